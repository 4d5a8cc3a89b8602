"""What the lake itself knows of each session, without the run history."""

from datetime import date

import pytest

from data_assets.lake.lake import Lake, LakeError
from data_assets_tests.lake.lake_days import DATASET, DAY, provenance, quotes, store

FRIDAY, MONDAY = date(2024, 1, 5), date(2024, 1, 8)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"), synthetic=True)


def test_each_session_has_its_state_and_what_its_footer_says(lake, tmp_path):
    for day in (DAY, FRIDAY, MONDAY):
        store(lake, quotes(), day=day)
    (tmp_path / "lake" / DATASET / f"date={FRIDAY}" / "data.parquet").write_bytes(b"PAR1 and no more")
    found = lake.days(DATASET)
    assert found.select("day", "state", "rows").rows() == [
        (DAY, "stored", quotes().height),
        (date(2024, 1, 4), "not stored", None),
        (FRIDAY, "unreadable", None),
        (MONDAY, "stored", quotes().height),
    ]
    assert found["fetched_at"][0] == provenance().fetched_at
    assert found["source"][0] == provenance().source
    assert found["written_at"].null_count() == 2


def test_bounds_may_lie_outside_of_what_is_stored(lake):
    with pytest.raises(LakeError, match="holds no day"):
        lake.days(DATASET)
    store(lake, quotes())
    found = lake.days(DATASET, date(2024, 1, 1), date(2024, 1, 4))
    assert found["state"].to_list() == ["not stored", "stored", "not stored"], "New Year's Day is no session"
    assert lake.days(DATASET, FRIDAY, MONDAY)["state"].to_list() == ["not stored", "not stored"]
    for bounds, said in {(FRIDAY, None): "from 2024-01-05 on", (None, date(2024, 1, 1)): "up to 2024-01-01"}.items():
        with pytest.raises(LakeError, match=f"no day is stored {said}, but some are from 2024-01-03 to 2024-01-03"):
            lake.days(DATASET, *bounds)
