from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake.lake import Lake
from data_assets.lake.provenance import PREFIX, Provenance, from_metadata, public_source, to_metadata
from data_assets_tests.lake.lake_days import DATASET, DAY, provenance, quotes, store

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.large_string())])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)
provenances = st.builds(
    Provenance,
    dataset=st.text(st.characters(codec="utf-8")),
    day=st.dates(),
    source=st.text(st.characters(codec="utf-8", exclude_characters=":")),
    fetched_at=st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    schema_version=st.integers(),
    raw_sha256=st.text("0123456789abcdef"),
    raw_size=st.integers(min_value=0),
    synthetic=st.booleans(),
    etag=st.none() | st.text(st.characters(codec="utf-8")),
    details=st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=3),
)


def as_footer(metadata):
    return {key.encode(): value.encode() for key, value in metadata.items()}


@given(provenances, st.integers(min_value=0))
def test_round_trip(value, rows):
    footer = from_metadata(as_footer(to_metadata(value, rows, SCHEMA)))
    assert footer.provenance == value
    assert footer.rows == rows
    assert footer.columns == (("a", "int64"), ("b", "string"))


def test_every_key_is_ours():
    assert all(key.startswith(PREFIX) for key in to_metadata(provenance(etag="x"), 1, SCHEMA))


def test_round_trip_through_a_file(tmp_path):
    lake = Lake(str(tmp_path), synthetic=True)
    more = {"etag": '"5f-1"', "details": {"contracts": 24, "share": 0.5, "missing": ["a"], "tier": None}}
    store(lake, quotes(), **more)
    assert lake.provenance(DATASET, DAY) == provenance(**more)


@pytest.mark.parametrize("lost", list(to_metadata(provenance(), 1, SCHEMA)))
def test_a_missing_key_is_told(lost):
    metadata = to_metadata(provenance(), 1, SCHEMA)
    del metadata[lost]
    with pytest.raises(ValueError, match="no whole provenance"):
        from_metadata(as_footer(metadata))


def test_no_metadata_at_all_is_told():
    with pytest.raises(ValueError, match="no whole provenance"):
        from_metadata(None)


def test_a_naive_time_is_refused():
    values = {**vars(provenance()), "fetched_at": datetime(2024, 1, 3)}  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        Provenance(**values)


def test_times_are_kept_in_utc():
    here = datetime(2024, 1, 3, 20, tzinfo=timezone(timedelta(hours=-5)))
    assert (
        Provenance(**{**vars(provenance()), "fetched_at": here}).fetched_at.isoformat() == "2024-01-04T01:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("https://user:hunter2@host:8080/a?b=1", "https://host:8080/a?b=1"),
        ("https://hunter2@host/a", "https://host/a"),
        (
            "https://s3.host/k?X-Amz-Signature=hunter2&X-Amz-Credential=hunter2&x-amz-security-token=hunter2&versionId=7",
            "https://s3.host/k?versionId=7",
        ),
        ("https://host/k?AWSAccessKeyId=hunter2&Signature=hunter2&Expires=1", "https://host/k?Expires=1"),
        ("https://host/k?sv=1&sig=hunter2", "https://host/k?sv=1"),
        (
            "https://host/k?apiKey=hunter2&token=hunter2&access_token=hunter2&date=2024-01-03",
            "https://host/k?date=2024-01-03",
        ),
        (
            "http://127.0.0.1:25503/v3/q?expiration=*&end_time=16:15:00",
            "http://127.0.0.1:25503/v3/q?expiration=*&end_time=16:15:00",
        ),
        ("s3://flatfiles/us/2024-01-03.csv.gz", "s3://flatfiles/us/2024-01-03.csv.gz"),
        ("a key with ?sig in it", "a key with ?sig in it"),
    ],
)
def test_no_secret_reaches_a_footer(source, kept):
    value = Provenance(**{**vars(provenance()), "source": source})
    assert value.source == kept == public_source(kept)
    assert "hunter2" not in str(to_metadata(value, 1, SCHEMA))


def test_details_that_are_no_json_are_refused():
    with pytest.raises(TypeError):
        to_metadata(provenance(details={"day": date(2024, 1, 3)}), 1, SCHEMA)
