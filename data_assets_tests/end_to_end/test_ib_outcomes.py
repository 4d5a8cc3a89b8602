"""Every trouble that the simulated TWS knows, in the sandbox profile as a user sets it: its outcome and its reason.

The simulator has no hours at which IB resets its servers, so "no" is "no" whenever this runs.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from data_assets.lake.lake import Lake
from data_assets.lake.views import create_views
from data_assets.sandbox.market.minute_bars import minute_bars
from data_assets_tests.end_to_end.ib_project import AAPL, CHECKS, status_of
from data_assets_tests.end_to_end.project_folder import Project, document, sessions, span

DAYS = sessions("2024-01-02", 19)
HMDS = "Historical Market Data Service error message:"

RECOVERED = {  # kind -> how often the day is asked for until it stores
    "pacing": 2,
    "hmds_disconnect": 2,
    "silence": 2,
    "half_frame": 2,
    "half_frame_reset": 2,
    "connection_lost": 1,
    "farm_lost": 1,
    "restart": 2,
    "fractional_volume": 1,
}
REFUSED = {  # kind -> outcome, words of the reason, how often the day is asked for
    "no_data": ("NoData", [f"IB Error 162: {HMDS}HMDS query returned no data: AAPL@SMART Trades", "said so twice"], 1),
    "tws_error": ("Failed", [f"IB Error 162: {HMDS}Query failed", "gave up after 3 failed attempts"], 3),
    "wrong_count": ("Failed", ["the response of TWS does not parse", "gave up after 3 failed attempts"], 3),
    "short_day": ("Rejected", ["bar_count: 351 of 390 minutes; missing 15:21-15:59 New York"], 1),
    "bad_bar": ("Rejected", ["ohlc: 1 bar with the open or the close outside low to high"], 1),
    "wrong_session": ("Rejected", ["session_hours: 09:30 to 16:00", "390 bars before it"], 1),
    "frozen": ("Rejected", ["trades: 360 of 390 minutes without a trade", "10:00-15:59 New York", "lenient"], 1),
    "flat": ("Rejected", ["trades: 390 of 390 minutes without a trade", "09:30-15:59 New York", "lenient"], 1),
    "permissions": ("NotEntitled", [f"IB Error 162: {HMDS}No market data permissions for NASDAQ STK"], 1),
}


def plan() -> dict[str, str]:
    """The kind of trouble of each day; the oldest ones are those that a missing permission answers too."""
    kinds = [*RECOVERED, *REFUSED]
    return dict(zip(reversed(DAYS), kinds, strict=False))


def faults(kinds: dict[str, str]) -> str:
    more: dict[str, dict[str, Any]] = {"tws_error": {"code": 162, "text": f"{HMDS}Query failed"}}
    return json.dumps(
        [
            {"kind": kind, "day": day, "seconds": 0.5}
            | ({"times": 1} if kind in RECOVERED and kind != "fractional_volume" else {})
            | more.get(kind, {})
            for day, kind in kinds.items()
        ]
    )


def whole_day(lake: Lake, day: str) -> bool:
    """Whether the stored prices are the market's."""
    when = date.fromisoformat(day)
    market = minute_bars("AAPL", when).select("timestamp", "open", "high", "low", "close")
    stored = lake.scan(AAPL, when, when).select(market.columns).collect()
    return stored.height == 390 and stored.equals(market.join(stored.select("timestamp"), on="timestamp"))


def test_each_trouble_has_its_outcome_and_its_reason_and_what_recovers_is_stored(new_project, tmp_path: Path):
    kinds = plan()
    project: Project = new_project(DATA_ASSETS_SANDBOX_FAULTS=faults(kinds))

    ended = project.run("backfill", AAPL, *span(DAYS), "--json")

    lake = Lake(str(project.lake_folder), synthetic=True)
    rows = status_of(project, AAPL, DAYS)
    recovered = sorted(day for day, kind in kinds.items() if kind in RECOVERED)
    assert ended.returncode == 1
    assert document(ended)["stored"] == recovered, ended.stderr
    assert "Traceback" not in ended.stderr
    for begin, end in (
        ("IB Error 162: ", ": asking nothing for 0 s"),
        ("the connection to TWS at ", "reconnecting"),
    ):
        said = [line for line in ended.stderr.splitlines() if line.startswith(begin) and line.endswith(end)]
        assert said, "what makes a run wait is said where somebody waits for it"
    for day in recovered:
        assert (rows[day]["state"], rows[day]["outcome"]) == ("stored", None)
        assert rows[day]["attempts"] == RECOVERED[kinds[day]], kinds[day]
        assert rows[day]["checks"] == dict.fromkeys(CHECKS, "SUCCEEDED")
        assert rows[day]["shown"] == {"expected_bars": 390, "last_timestamp": f"{day}T20:59:00+00:00"}
        assert whole_day(lake, day)
    for day, kind in kinds.items():
        if kind in RECOVERED:
            continue
        outcome, words, attempts = REFUSED[kind]
        row = rows[day]
        assert (row["state"], row["outcome"], row["attempts"]) == ("failed", outcome, attempts), row
        assert f" - Symbol: AAPL, Date: {day}" in row["reason"]
        for word in words:
            assert word in row["reason"]
        assert document(ended)["not_stored"][day] == {"outcome": outcome, "reason": row["reason"]}
    for day in DAYS[: len(DAYS) - len(kinds)]:
        assert (rows[day]["outcome"], rows[day]["attempts"]) == ("NotEntitled", 0), "not asked for"
    for_people = project.run("status", AAPL, *span(DAYS)).stdout.splitlines()
    for row in rows.values():
        assert row["reason"] is None or any(row["reason"] in line for line in for_people), "word for word"

    aside = {day for day, kind in kinds.items() if kind in REFUSED and REFUSED[kind][0] == "Rejected"}
    kept = {path.parent.name.removeprefix("date="): path for path in project.lake_folder.glob("_rejected/**/*.parquet")}
    assert kept.keys() == aside
    for day, path in kept.items():
        assert str(path) in rows[day]["reason"], "the reason says where to look"
        assert pl.read_parquet(path).height == (351 if kinds[day] == "short_day" else 390)
    assert lake.datasets() == [AAPL]
    assert [str(day) for day in lake.stored_days(AAPL)] == recovered
    scanned = lake.scan(AAPL, date.fromisoformat(DAYS[0]), date.fromisoformat(DAYS[-1])).collect()
    assert scanned["timestamp"].dt.date().unique().sort().cast(pl.String).to_list() == recovered
    assert create_views(lake, tmp_path / "lake.duckdb") == ["ib_bars_1m_AAPL"]
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as connection:
        (days,) = connection.execute("SELECT count(DISTINCT date) FROM ib_bars_1m_AAPL").fetchone() or ()
    assert days == len(recovered)
    assert project.temp_files() == []

    del project.environment["DATA_ASSETS_SANDBOX_FAULTS"]
    assert project.run("backfill", AAPL, *span(DAYS)).returncode == 0
    assert [str(day) for day in lake.stored_days(AAPL)] == DAYS
    assert lake.datasets() == [AAPL]


def test_a_day_that_ib_will_never_have_is_accepted_by_name_until_it_has_it(new_project):
    day, other = sessions("2024-01-02", 2)
    project: Project = new_project(DATA_ASSETS_SANDBOX_FAULTS=json.dumps([{"kind": "no_data", "day": day}]))
    assert project.run("backfill", AAPL, *span([day, other])).returncode == 1

    accepted = project.run("accept-hole", AAPL, day, "--reason", "IB: lost in 2024")

    assert accepted.returncode == 0, accepted.stderr
    row = status_of(project, AAPL, [day, other])[day]
    assert (row["state"], row["rows"], row["outcome"], row["reason"]) == (
        "hole",
        0,
        "Hole",
        "IB: lost in 2024",
    )
    assert row["shown"] == {"expected_bars": 390}
    again = project.run("backfill", AAPL, *span([day, other]), "--json")
    assert (again.returncode, document(again)["stored"]) == (0, []), "nothing is left to do"

    del project.environment["DATA_ASSETS_SANDBOX_FAULTS"]
    assert project.run("backfill", AAPL, *span([day, other]), "--only", "all").returncode == 0
    row = status_of(project, AAPL, [day, other])[day]
    assert (row["state"], row["rows"], row["outcome"], row["attempts"]) == ("stored", 390, None, 1)
