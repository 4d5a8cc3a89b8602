from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.lake.layout import days_among, parse_partition_path, partition_path

segments = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)


def test_path_of_a_day():
    assert (
        partition_path("theta/option_quotes/QQQ", date(2024, 1, 3))
        == "theta/option_quotes/QQQ/date=2024-01-03/data.parquet"
    )


@given(st.lists(segments, min_size=1, max_size=4).map("/".join), st.dates(min_value=date(1000, 1, 1)))
def test_path_and_back(dataset, day):
    assert parse_partition_path(partition_path(dataset, day)) == (dataset, day)


@pytest.mark.parametrize(
    "dataset",
    [
        "",
        "/",
        "..",
        "a/..",
        "a/../b",
        "../a",
        "/a",
        "a/",
        "a//b",
        ".",
        "a/.hidden",
        "a\\b",
        "a/b\n",
        "a/\0",
        "a=b",
        "a b",
        "_x",
    ],
)
def test_no_key_leaves_its_folder(dataset):
    with pytest.raises(ValueError, match="is not a dataset key"):
        partition_path(dataset, date(2024, 1, 3))


@given(st.text(max_size=20))
def test_whatever_the_key_the_path_stays_inside(dataset):
    try:
        path = partition_path(dataset, date(2024, 1, 3))
    except ValueError:
        return
    assert all(part not in ("", ".", "..") for part in path.split("/"))


@pytest.mark.parametrize(
    "path",
    [
        "a/date=2024-01-03/other.parquet",
        "a/date=2024-1-3/data.parquet",
        "a/date=2024-13-03/data.parquet",
        "date=2024-01-03/data.parquet",
        "../a/date=2024-01-03/data.parquet",
        "a/date=2024-01-03/data.parquet/",
    ],
)
def test_other_paths_are_no_days(path):
    with pytest.raises(ValueError):
        parse_partition_path(path)


NAMES = st.one_of(
    st.dates(min_value=date(1000, 1, 1)).map(lambda day: partition_path("a/b", day)),
    st.from_regex(r"a/b/date=[0-9W-]{8,11}/data\.parquet", fullmatch=True),
    st.sampled_from(["a/b/data.parquet", "a/bb/date=2024-01-03/data.parquet", "a/b/date=2024-01-03/data.parquet/x"]),
)


@given(st.lists(NAMES))
def test_the_days_among_names_are_those_that_each_name_alone_says(names):
    def of_dataset(name):
        try:
            dataset, day = parse_partition_path(name)
        except ValueError:
            return []
        return [day] if dataset == "a/b" else []

    assert days_among("a/b", names) == [day for name in names for day in of_dataset(name)]
