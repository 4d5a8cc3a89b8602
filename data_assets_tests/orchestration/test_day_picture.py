"""The picture of a stored day: small, and of the numbers that the file holds."""

from __future__ import annotations

import re
from datetime import date
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import polars as pl
import pytest

from data_assets.cli.local_run import run_range
from data_assets.cli.project import datasets
from data_assets.lake.lake import Lake
from data_assets.orchestration.day_picture import HEIGHT, POINTS, WIDTH, day_picture
from data_assets.vendors.theta import minutes
from data_assets_tests.orchestration.in_process import in_process_project, of_day
from data_assets_tests.vendors.polygon.flat_file_project import flat_file_project


def drawing(markdown: str) -> ElementTree.Element:
    """The SVG in an image whose address is the image."""
    (encoded,) = re.findall(r"^!\[\]\(data:image/svg\+xml,([^) ]+)\)$", markdown, re.MULTILINE)
    return ElementTree.fromstring(unquote(encoded))


def width(markdown: str) -> int:
    return int((drawing(markdown).get("viewBox") or "").split()[2])


def points(markdown: str) -> list[tuple[int, int]]:
    """Those of the line, of which each but the first is written as its distance from the one before."""
    _, line = drawing(markdown)
    numbers = [int(number) for number in re.findall(r"-?\d+", line.get("d") or "")]
    return list(zip(accumulate(numbers[::2]), accumulate(numbers[1::2]), strict=True))


@pytest.mark.parametrize("rows", [2, 59, 60, 61, 120, 121, 210, 390, 960])
def test_a_day_is_drawn_from_left_to_right_and_is_short_enough_to_be_shown_where_it_stands(rows: int) -> None:
    day = pl.DataFrame({"price": [100 + place % 37 / 7 for place in range(rows)], "volume": range(rows)})
    markdown = day_picture(day)
    assert markdown is not None
    line = points(markdown)
    assert (line[0][0], line[-1][0], len(line)) == (0, width(markdown), -(-rows // -(-rows // POINTS)))
    assert WIDTH / 2 < width(markdown) <= WIDTH
    assert all(0 <= y <= HEIGHT for _, y in line)
    assert len(markdown) < 1000, "of more, Dagster's UI shows a link"


def test_the_wildest_day_is_short_enough_too() -> None:
    wild = [place % 2 for place in range(POINTS)]
    markdown = day_picture(pl.DataFrame({"open interest of calls": wild, "open interest of puts": wild}))
    assert markdown is not None
    assert len(markdown) < 1000


def test_the_ranges_stand_below_in_words() -> None:
    rows = 100
    day = pl.DataFrame({"price": [100 + place % 37 / 7 for place in range(rows)], "volume": range(rows)})
    markdown = day_picture(day)
    assert markdown is not None
    assert f"price {day['price'].min():,.6g} to {day['price'].max():,.6g}, volume 0 to {rows - 1:,.6g}" in markdown


def test_what_rises_is_drawn_higher_and_what_stands_still_is_level() -> None:
    rising = day_picture(pl.DataFrame({"price": [1.0, 2.0, 3.0], "volume": [0, 0, 0]}))
    level = day_picture(pl.DataFrame({"price": [5.0, 5.0, None, 5.0], "volume": [1, 2, 3, None]}))
    assert rising is not None
    assert level is not None
    assert [y for _, y in points(rising)] == sorted((y for _, y in points(rising)), reverse=True)
    assert len({y for _, y in points(level)}) == 1


def test_each_point_is_the_average_of_neighbours_and_a_row_that_lacks_either_number_is_none() -> None:
    prices = [
        each for place in range(POINTS) for each in (place % 7, -place % 7)
    ]  # no two firsts alike, all pairs 0 or 7
    tossing = day_picture(pl.DataFrame({"price": [float(each) for each in prices], "volume": [1] * 2 * POINTS}))
    assert tossing is not None
    assert len({y for _, y in points(tossing)}) == 2
    lacking = day_picture(pl.DataFrame({"price": [1.0, 2.0, 9.0], "volume": [1, 2, None]}))
    assert lacking == day_picture(pl.DataFrame({"price": [1.0, 2.0], "volume": [1, 2]}))


def test_nothing_to_draw_is_no_picture() -> None:
    assert day_picture(pl.DataFrame({"price": [1.0], "volume": [1]})) is None
    assert day_picture(pl.DataFrame({"price": [None, None], "volume": [1, 2]})) is None


def test_a_stored_day_of_quotes_has_one(tmp_path: Path) -> None:
    day = "2024-07-01"
    with in_process_project(tmp_path, contracts=60) as project:
        assert run_range(project.instance, project.asset, day, day).success
        (record,) = project.materializations()
        shown = minutes.of_quotes(pl.scan_parquet(project.file(day)))
    assert record.asset_materialization is not None
    picture = str(record.asset_materialization.metadata["picture"].value)
    assert picture == day_picture(shown)
    assert shown.columns == ["underlying by parity", "median spread"]
    assert shown["underlying by parity"].is_between(300, 700).all()
    assert (shown["median spread"] > 0).all()


def test_a_stored_day_of_bars_has_one(tmp_path: Path) -> None:
    day = "2024-07-01"
    with flat_file_project(tmp_path, [day]) as project:
        assert run_range(project.instance, project.bars.asset, day, day).success
        picture = project.metadata(project.bars, day)["picture"]
        stored = pl.read_parquet(project.bars.file(day)).filter(pl.col("ticker") == "AAPL")
        project.run(of_day("2024-07-01"), project.months)
        of_month = project.metadata(project.months, "2024-07-01")["picture"]
    said = f"AAPL price {stored['close'].min():,.6g} to {stored['close'].max():,.6g}"
    assert said in picture
    assert said in of_month, "whose only day it is"


def test_reports_are_drawn_by_strike() -> None:
    rows = pl.LazyFrame(
        {
            "strike": [500.0, 495.0, 500.0, 500.0, 505.0],
            "right": ["CALL", "PUT", "PUT", "CALL", "CALL"],
            "open_interest": [10, 7, 3, 20, 1],
            "volume": [1, 2, 3, 4, 5],
        }
    )
    assert minutes.of_open_interest(rows).to_dict(as_series=False) == {
        "open interest of calls": [0, 30, 1],
        "open interest of puts": [7, 3, 0],
    }
    assert minutes.of_reports(rows).to_dict(as_series=False) == {
        "volume of calls": [0, 5, 5],
        "volume of puts": [2, 3, 0],
    }


def test_every_dataset_with_rows_has_a_picture(tmp_path: Path) -> None:
    with in_process_project(tmp_path):
        without = {name for name, dataset in datasets().items() if dataset.minutes is None}
    assert without == {"polygon/flat_files/minute_aggs_v1"}, "the vendor's file; the bars have the picture"


def test_a_day_that_cannot_be_drawn_is_recorded_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_lake: Lake, _day: date) -> pl.DataFrame:
        raise pl.exceptions.ComputeError("the store did not answer")

    day = "2024-07-01"
    with in_process_project(tmp_path, contracts=60) as project:
        object.__setattr__(datasets()[project.asset.to_user_string()], "minutes", fails)
        assert run_range(project.instance, project.asset, day, day).success
        (record,) = project.materializations()
    assert record.asset_materialization is not None
    assert "picture" not in record.asset_materialization.metadata
    assert f"{day}: stored, but its picture could not be drawn: the store did not answer" in caplog.text
