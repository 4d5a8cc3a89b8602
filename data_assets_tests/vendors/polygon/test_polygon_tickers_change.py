"""A ticker that is added when days are stored, and one that was renamed: on a real instance, through real S3."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest

from data_assets.cli.commands import backfill, gaps, status
from data_assets.cli.local_run import run_range
from data_assets.lake.lake import NotKept
from data_assets.wiring import open_lake
from data_assets_tests.end_to_end.project_folder import open_days
from data_assets_tests.vendors.polygon.flat_file_project import DAY_CHECKS, FlatFileProject, bucket_of, project_of

BARS = "polygon/minute_aggs"
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
SPAN = ("--from", DAYS[0], "--to", DAYS[-1])
LAST_OF_FB, FIRST_OF_META = "2022-06-08", "2022-06-09"


Asked = Callable[..., tuple[int, Any]]


@pytest.fixture
def asked(capfd: pytest.CaptureFixture[str]) -> Iterator[Asked]:
    """Runs a command on the bars: its exit code, and what it wrote to stdout, read where it is a document."""
    stopped_by = signal.getsignal(signal.SIGTERM)

    def run(command: click.Command, *arguments: str) -> tuple[int, Any]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            command.main([BARS, *arguments])
        written = capfd.readouterr().out
        return int(ended.value.code or 0), json.loads(written) if "--json" in arguments else written

    yield run
    signal.signal(signal.SIGTERM, stopped_by)


def test_days_that_lack_a_ticker_added_since_are_listed_and_filled_from_the_cache(tmp_path: Path, asked: Asked) -> None:
    with bucket_of(DAYS) as bucket:
        with project_of(tmp_path, bucket, POLYGON_TICKERS="AAPL,SPY") as project:
            assert run_range(project.instance, project.bars.asset, DAYS[0], DAYS[1]).success
            code, found = asked(gaps, *SPAN, "--json")
            assert (code, open_days(found)) == (1, {BARS: {"missing": DAYS[2:], "failed": [], "lacking": {}}})
        with project_of(tmp_path, bucket, POLYGON_TICKERS="AAPL,BRK.A,QQQ,SPY") as project:
            assert run_range(project.instance, project.bars.asset, DAYS[2], DAYS[2]).success
            before = len(bucket.requests)

            code, found = asked(gaps, *SPAN, "--json")
            assert (code, found[BARS]["missing"], found[BARS]["failed"]) == (1, [], [])
            assert found[BARS]["lacking"] == {day: ["BRK.A", "QQQ"] for day in DAYS[:2]}
            text = asked(gaps, *SPAN)[1]
            assert "1 of 3 sessions stored" in text
            assert "lacking  2024-07-01 to 2024-07-02  (2 sessions)  BRK.A, QQQ" in text
            code, said = asked(status, *SPAN, "--json")
            assert (code, said[BARS]["stored"], said[BARS]["lacking"]) == (0, 1, 2)
            assert said[BARS]["first_stored"] == DAYS[0]
            assert [row["state"] for row in said[BARS]["days"]] == ["lacking", "lacking", "stored"]
            assert "stored before this was asked for: BRK.A, QQQ; a plain backfill" in said[BARS]["days"][0]["reason"]
            assert "+2 lacking" in asked(status, *SPAN)[1]
            with pytest.raises(NotKept, match="QQQ was not kept on 2024-07-01 to 2024-07-02"):
                open_lake().bars("QQQ", date(2024, 7, 1), date(2024, 7, 3))

            assert asked(backfill, *SPAN, "--only", "missing", "--json")[1]["stored"] == []
            code, done = asked(backfill, *SPAN, "--json")
            assert (code, done["stored"], done["not_stored"]) == (0, DAYS[:2], {})
            assert project.days_read(before) == [], "listed again, and not downloaded"
            code, found = asked(gaps, *SPAN, "--json")
            assert (code, open_days(found)) == (0, {BARS: {"missing": [], "failed": [], "lacking": {}}})
            days = open_lake().bars("QQQ", date(2024, 7, 1), date(2024, 7, 3)).collect()["time_new_york"].dt.date()
            assert [str(day) for day in days.unique(maintain_order=True)] == DAYS
        with project_of(tmp_path, bucket, POLYGON_TICKERS="SPY"):
            assert asked(gaps, *SPAN)[0] == 0, "a ticker less is no gap"
        with project_of(tmp_path, bucket, POLYGON_TICKERS="all"):
            assert asked(gaps, *SPAN, "--json")[1][BARS]["lacking"] == {day: ["all"] for day in DAYS}


def failed_checks(project: FlatFileProject, run_id: str) -> list[tuple[str, str | None, str | None]]:
    found = project.bars.evaluations(run_id)
    assert {each.check for each in found} == set(DAY_CHECKS)
    return [(each.check, each.day, each.summary) for each in found if not each.passed]


@pytest.mark.parametrize("tickers", [None, "META,SPY", "all"], ids=["as shipped", "named", "all"])
def test_a_renamed_ticker_is_kept_under_both_names_and_no_check_cries(
    tmp_path: Path, asked: Asked, tickers: str | None
) -> None:
    days = [LAST_OF_FB, FIRST_OF_META]
    chosen = {} if tickers is None else {"POLYGON_TICKERS": tickers}
    with bucket_of(days) as bucket, project_of(tmp_path, bucket, **chosen) as project:
        ended = run_range(project.instance, project.bars.asset, *days)

        assert ended.success
        assert failed_checks(project, ended.run_id) == []
        held = [set(pl.read_parquet(project.bars.file(day))["ticker"]) & {"FB", "META"} for day in days]
        assert held == [{"FB"}, {"META"}]
        assert asked(gaps, "--from", days[0], "--to", days[1])[0] == 0
        first, last = map(date.fromisoformat, days)
        whole = open_lake().bars("META", first, last, session="regular", grid=True, follow_renames=True).collect()
        assert whole["close"].null_count() == 0
        assert whole["ticker"].unique(maintain_order=True).to_list() == ["FB", "META"]


def test_days_stored_before_a_rename_was_known_get_the_name_of_their_day(tmp_path: Path, asked: Asked) -> None:
    with bucket_of([LAST_OF_FB]) as bucket:
        with project_of(tmp_path, bucket, POLYGON_TICKERS="SPY") as project:
            assert run_range(project.instance, project.bars.asset, LAST_OF_FB, LAST_OF_FB).success
        with project_of(tmp_path, bucket, POLYGON_TICKERS="META,SPY") as project:
            span = ("--from", LAST_OF_FB, "--to", LAST_OF_FB)
            assert asked(gaps, *span, "--json")[1][BARS]["lacking"] == {LAST_OF_FB: ["FB"]}
            assert asked(backfill, *span, "--json")[1]["stored"] == [LAST_OF_FB]
            assert "FB" in set(pl.read_parquet(project.bars.file(LAST_OF_FB))["ticker"])
