"""`data-assets splits` in a project: what the stored bars show, and the command that mends it."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

from data_assets.lake.lake import Lake
from data_assets_tests.cli.called import Call
from data_assets_tests.cli.test_json_schema import valid
from data_assets_tests.lake.minute_days import day_bars, ib_bars, store_day
from data_assets_tests.lake.test_splits_of_bars import DAYS, SPLIT, evening, in_old_shares, store_ib
from data_assets_tests.vendors.polygon.flat_file_project import flat_file_project

IB, POLYGON = "ib/bars_1m/AAPL", "polygon/minute_aggs"


def test_polygons_splits_are_told_until_the_table_knows_them(tmp_path: Path, call: Call) -> None:
    lake_folder = tmp_path / "lake"
    lake = Lake(str(lake_folder), synthetic=True)
    for day in DAYS:
        bars = day_bars(day, "AAPL", "SPY")
        store_day(lake, day, in_old_shares(bars) if day < SPLIT.day else bars)
        store_ib(
            lake, day, evening(day), in_old_shares(ib_bars("AAPL", day)) if day < SPLIT.day else ib_bars("AAPL", day)
        )
    table = tmp_path / "splits.csv"
    table.write_text("ticker,execution_date,split_from,split_to\nAAPL,2024-01-04,1,4\nSPY,2024-01-04,1,4\n")
    with flat_file_project(tmp_path / "project", [str(day) for day in DAYS], DATA_ASSETS_LAKE=str(lake_folder)):
        told = call("splits", POLYGON, "--ticker", "AAPL", "--json")
        assert told.code == 1, told.stderr
        (night,) = valid("splits", told.document)
        assert (night["ticker"], night["before"], night["after"]) == ("AAPL", "2024-01-03", "2024-01-04")
        assert (night["factor"], night["fetch_again"]) == (4.0, [])
        with chdir(tmp_path):
            known = call("splits", POLYGON, "--ticker", "AAPL", "--table", "splits.csv")
        assert (known.code, known.stdout) == (
            0,
            "polygon/minute_aggs: no night of AAPL looks like a split that is not known\n",
        )

        mixed = call("splits", IB)
        assert mixed.code == 1
        command = ["backfill", IB, "--from", "2024-01-02", "--to", "2024-01-03", "--only", "all"]
        assert mixed.printed("run: ") == command
        assert call("splits", IB, "--from", "2024-01-04").code == 0

        for wrong, said in {
            ("splits", POLYGON): "say which with --ticker",
            ("splits", IB, "--ticker", "AAPL"): "leave --ticker and --table out",
            ("splits", "theta/option_quotes/QQQ"): "splits are looked for in",
            ("splits", POLYGON, "--ticker", "AAPL", "--table", "none.csv"): "none.csv: cannot be read",
            ("splits", POLYGON, "--ticker", "AAPL", "--from", "2024-02", "--to", "2024-01"): "swap them",
        }.items():
            refused = call(*wrong)
            assert refused.code == 2, wrong
            assert said in refused.stderr


def test_a_lake_without_a_day_is_said_with_a_command_that_fills_it(tmp_path: Path, call: Call) -> None:
    with flat_file_project(tmp_path, [str(DAYS[0])]):
        said = call("splits", IB)
    assert (said.code, said.printed("run: ")) == (1, ["backfill", IB])
    assert "holds no day of it yet" in said.stderr
