"""`data-assets export` in a project: what its days are by the event log decides what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import chdir
from datetime import date
from pathlib import Path

import pytest
from dagster import AssetKey

from data_assets.lake.lake import Lake
from data_assets.vendors.polygon.day import BARS_KEY
from data_assets_tests.cli.called import Call
from data_assets_tests.cli.test_json_schema import valid
from data_assets_tests.orchestration.in_process import AssetInProcess, of_day
from data_assets_tests.vendors.polygon.flat_file_project import FlatFileProject, flat_file_project

DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
SPIKED, HALF, HOLE = DAYS[0], DAYS[1], DAYS[2]
MISSING = "2024-06-28"
SPAN = ("--from", DAYS[0], "--to", DAYS[-1])
EXPORT = ("export", "csv", BARS_KEY, "--ticker", "AAPL")
LIQUID = "AAPL,AMZN,GOOGL,IWM,META,MSFT,NVDA,QQQ,SPY,TSLA"
FAULTS = (
    {"kind": "high_spike", "day": SPIKED, "ticker": "AAPL"},
    {"kind": "stops_at_noon", "day": HALF},
    {"kind": "missing_file", "day": HOLE},
)


@pytest.fixture
def project(tmp_path: Path, call: Call) -> Iterator[FlatFileProject]:
    """A day with a warning, one that is red on a check, one that failed, and one without fault."""
    with flat_file_project(tmp_path / "project", DAYS, *FAULTS, POLYGON_TICKERS=LIQUID) as project:
        assert call("backfill", BARS_KEY, *SPAN).code == 1
        yield project


def test_an_export_names_what_stops_it_and_records_what_is_allowed(
    project: FlatFileProject, call: Call, tmp_path: Path
) -> None:
    into = tmp_path / "out"
    refused = call(*EXPORT, "--into", str(into))
    assert refused.code == 1
    assert refused.stdout == ""
    assert f"not exported, red on a check: {HALF} (bar_count" in refused.stderr
    assert f"failed: {HOLE}" in refused.stderr
    assert refused.printed("or fetch them with: ") == [
        *("backfill", BARS_KEY, "--from", HALF, "--to", HOLE, "--only", "all")
    ]
    assert not list(into.rglob("*.csv"))

    assert call("accept-hole", BARS_KEY, HOLE, "--reason", "the vendor has none").code in (0, None)
    document = valid("export", call(*EXPORT, "--into", str(into), "--json").document)
    assert document["refused"] == {"check": [HALF], "hole": [HOLE]}
    assert (document["manifest"], document["days"]) == (None, [])

    allowed = ("--allow", "check", "--allow", "hole")
    ended = call(*EXPORT, "--into", str(into), *allowed, "--json")
    assert ended.code == 0, ended.stderr
    document = valid("export", ended.document)
    assert document["days"] == [SPIKED, HALF, DAYS[3]]
    assert document["allowed"] == {"check": [HALF], "hole": [HOLE]}
    assert document["warned"]["ohlc"] == [SPIKED]
    manifest = json.loads(Path(document["manifest"]).read_text())
    assert [each["state"] for each in manifest["days"]] == ["stored", "stored", "hole", "stored"]
    assert manifest["synthetic"] is False
    with (into / "AAPL" / "AAPL_2024-07.csv").open() as file:
        assert len(list(csv.DictReader(file))) == document["rows"] == sum(each["rows"] for each in manifest["days"])

    told = call(*EXPORT, "--into", str(into), *allowed)
    assert told.code == 0
    assert f"csv  {BARS_KEY} AAPL: 3 days, {SPIKED} to {DAYS[3]}" in told.stdout
    assert f"tolerated, hole: {HOLE}" in told.stdout
    assert "not adjusted" in told.stdout


def test_every_format_refuses_the_same_days_and_records_the_same(
    project: FlatFileProject, call: Call, tmp_path: Path
) -> None:
    """A day that nobody asked for, one that is red on a check, one that failed, and two that may go."""
    for engine in ("csv", "frame", "lean", "nautilus", "iceberg"):
        into = tmp_path / engine
        ticker = () if engine == "iceberg" else ("--ticker", "AAPL")
        asked = ("export", engine, BARS_KEY, *ticker, "--from", MISSING, "--to", DAYS[-1], "--into", str(into))
        some = call(*asked, "--allow", "check", "--json")
        assert (some.code, some.document["refused"]) == (1, {"missing": [MISSING], "failed": [HOLE]}), engine
        assert [path for path in into.rglob("*") if path.is_file()] == [], engine
        ended = call(*asked, *(each for name in ("check", "missing", "failed") for each in ("--allow", name)), "--json")
        assert ended.code == 0, ended.stderr
        assert ended.document["days"] == [SPIKED, HALF, DAYS[3]], engine
        assert ended.document["allowed"] == {"missing": [MISSING], "check": [HALF], "failed": [HOLE]}, engine
        manifest = json.loads(Path(ended.document["manifest"]).read_text())
        assert [(each["day"], each["state"], each["allowed"], bool(each["files"])) for each in manifest["days"]] == [
            (MISSING, "missing", ["missing"], False),
            (SPIKED, "stored", [], True),
            (HALF, "stored", ["check"], True),
            (HOLE, "failed", ["failed"], False),
            (DAYS[3], "stored", [], True),
        ], engine


LATER = "2024-07-08"
"""Behind the last stored day; the vendor has no file of it."""


def test_days_that_failed_behind_the_last_stored_one_stop_an_export_of_all_days(
    project: FlatFileProject, call: Call, tmp_path: Path
) -> None:
    for day in (MISSING, LATER):
        assert call("backfill", BARS_KEY, "--from", day, "--to", day).code == 1
    into = tmp_path / "deep" / "out"
    asked = (*EXPORT, "--allow", "check", "--into", str(into))
    refused = call(*asked, "--json")
    assert (refused.code, refused.document["refused"]) == (1, {"failed": [MISSING, HOLE, LATER]})
    assert not into.parent.exists(), "a refused export leaves no folder behind"
    ends = call(*asked, "--allow", "hole", "--from", SPIKED, "--to", LATER)
    assert f"failed: {HOLE}, {LATER}; tolerate them" in ends.stderr, (
        "one lies between stored days: no bound leaves it out"
    )
    newest = call(*asked, "--from", DAYS[3])
    assert (
        f"not exported, failed: {LATER}; tolerate them with --allow failed, leave them out with --to {DAYS[3]}, or"
        in (newest.stderr)
    )
    lake = Lake(str(project.folder / "lake" / "live"), synthetic=False)
    days = lake.days(BARS_KEY, project=project.folder)
    assert dict(days.select("day", "state").iter_rows()) == {
        date.fromisoformat(day): state
        for day, state in {
            **{MISSING: "failed", SPIKED: "stored", HALF: "stored", HOLE: "failed", DAYS[3]: "stored"},
            LATER: "failed",
        }.items()
    }
    assert "no file for 2024-07-08" in days["reason"].to_list()[-1]
    assert lake.days(BARS_KEY)["day"].to_list()[-1] == date.fromisoformat(DAYS[3]), "of failed days files say nothing"


def test_an_export_of_nothing_is_told(project: FlatFileProject, call: Call, tmp_path: Path) -> None:
    """Of a ticker that no day keeps, of days without a file, and of what is no dataset of days."""
    into = ("--into", str(tmp_path / "out"))
    for allow in ((), ("--allow", "missing", "--allow", "check", "--allow", "failed")):
        unknown = call("export", "csv", BARS_KEY, "--ticker", "SPYY", *SPAN, *into, *allow)
        assert (unknown.code, unknown.stderr.count("\n")) == (1, 1)
        assert "keeps SPYY: ask for SPY if you meant that" in unknown.stderr
        assert unknown.printed("run: ") == ["add", "polygon", "SPYY"], "a backfill would bring nothing"
        assert not (tmp_path / "out").exists()
    document = valid("export", call("export", "csv", BARS_KEY, "--ticker", "KO", *into, "--json").document)
    assert document["refused"] == {"missing": [SPIKED, HALF, DAYS[3]]}
    none = call(*EXPORT, "--from", HOLE, "--to", HOLE, "--allow", "failed", *into)
    assert (none.code, "the export is empty: the lake holds no bar of AAPL" in none.stderr) == (1, True)
    for key in ("polygon/flat_files/minute_aggs_v1", "polygon/minute_aggs_monthly"):
        for engine in ("iceberg", "csv"):
            ended = call("export", engine, key, *into)
            assert (ended.code, ended.stderr.count("\n")) == (2, 1)
            assert "missing" not in ended.stderr
            assert BARS_KEY in ended.stderr or engine == "csv"


def test_a_ticker_that_some_days_keep_is_no_reason_for_a_backfill_that_does_nothing(tmp_path: Path, call: Call) -> None:
    with flat_file_project(tmp_path / "project", DAYS[:2], POLYGON_TICKERS="AAPL,SPY"):
        assert call("backfill", BARS_KEY, "--from", DAYS[0], "--to", DAYS[0]).code == 0
    with flat_file_project(tmp_path / "project", DAYS[:2], POLYGON_TICKERS="AAPL"):
        assert call("backfill", BARS_KEY, "--from", DAYS[1], "--to", DAYS[1]).code == 0
        ended = call("export", "csv", BARS_KEY, "--ticker", "SPY", "--into", str(tmp_path / "out"))
        assert ended.code == 1
        assert f"missing: {DAYS[1]} (stored without the ticker)" in ended.stderr
        assert f"leave them out with --to {DAYS[0]}" in ended.stderr
        assert ended.printed("have SPY kept; run: ") == ["add", "polygon", "SPY"]


BLOCK = f"""
type: data_assets.export.component.Exports
attributes:
  exports:
    - {{engine: csv, dataset: {BARS_KEY}, ticker: SPY}}
"""


def test_a_month_as_an_asset_names_the_days_that_failed_behind_the_last_stored_one(tmp_path: Path, call: Call) -> None:
    with flat_file_project(tmp_path / "project", DAYS[:1], POLYGON_TICKERS="AAPL,SPY") as project:
        block = project.folder / "defs" / "exports" / "defs.yaml"
        block.parent.mkdir(parents=True)
        block.write_text(BLOCK)
        assert call("backfill", BARS_KEY, "--from", DAYS[0], "--to", DAYS[1]).code == 1
        asset = AssetInProcess(
            project.folder, project.instance, AssetKey(["export", "csv", *BARS_KEY.split("/"), "SPY"])
        )
        ended = asset.materialize(of_day("2024-07-01"))
        assert not ended.success
        assert f"not exported, failed: {DAYS[1]}" in asset.messages(ended.run_id)


WRONG = [
    (("csv", BARS_KEY), "holds many tickers: say whose bars with --ticker"),
    (("csv", "polygon/minute_aggs_monthly", "--ticker", "SPY"), "export that, it reads the months"),
    (("csv", BARS_KEY, "--ticker", "SPY", "--into", "/"), "name a folder that is for exports alone"),
    (("iceberg", BARS_KEY, "--ticker", "SPY"), "leave --ticker and --hours out"),
    (("csv", BARS_KEY, "--ticker", "SPY", "--snapshot", "none"), "the lake has no snapshot 'none'; it has none"),
    (("csv", "theta/option_quotes/QQQ"), "holds nothing that csv takes; lean, nautilus and iceberg take it"),
    (("frame", "theta/option_eod/SPX"), "holds nothing that frame takes; iceberg takes it"),
    (("vectorbt", BARS_KEY, "--ticker", "SPY"), "vectorbt reads what the format frame writes: name that instead"),
    (("Backtrader", BARS_KEY, "--ticker", "SPY"), "reads what the format frame with --label end writes"),
    (("csv", "ib/bars_1m/AAPL", "--ticker", "SPY"), "leave --ticker out"),
    (("csv", "ib/bars_1m/AAPL"), "holds no day of it yet; run: data-assets backfill ib/bars_1m/AAPL --days 10"),
    (("csv", BARS_KEY, "--ticker", "SPY", "--zone", "Mars"), "zone 'Mars'"),
    (("csv", BARS_KEY, "--ticker", "SPY", "--grid", "--hours", "extended"), "regular hours"),
    (("csv", BARS_KEY, "--ticker", "SPY", "--from", DAYS[3], "--to", DAYS[0]), "swap them"),
    (("csv", BARS_KEY, "--ticker", "SPY", "--into", "lake/live/x"), "lies in the lake"),
    (("csv", BARS_KEY, "--ticker", "SPY", "--from", "2025-01"), "no stored day lies there"),
]


def test_where_an_export_goes_and_what_is_a_wrong_call(project: FlatFileProject, call: Call, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with chdir(elsewhere):
        one = ("--from", DAYS[3], "--to", DAYS[3])
        ended = call("export", "frame", BARS_KEY, "--ticker", "SPY", *one, "--every", "5m", "--into", "mine", "--json")
        assert ended.code == 0, ended.stderr
        assert (ended.document["folder"], ended.document["rows"]) == (str(elsewhere / "mine"), 78)
        usual = call("export", "csv", BARS_KEY, "--ticker", "SPY", *one, "--json")
        assert usual.document["folder"] == str(project.folder / "exports" / "live" / "csv")
        catalog = call("export", "nautilus", BARS_KEY, "--ticker", "SPY", *one, "--json")
        assert (catalog.document["rows"], catalog.document["rounded"]) == (390, {})
        for arguments, text in WRONG:
            ended = call("export", *arguments)
            assert (ended.code, ended.stderr.count("\n")) == (2, 1), ended
            assert text in ended.stderr
