"""A project whose IB bars come from a simulated TWS that several processes share.

Here: the project, and reading what the server was asked. Not here: any expectation.

The live profile's clock is the machine's, and IB resets its servers at hours that every machine meets; what says "no"
then counts as "away" and is waited out. So these runs meet only troubles that mean the same at any hour. The others are
shown in the sandbox profile, whose simulator has no such hours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from data_assets.sandbox.tws.server import TwsRequest
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets_tests.end_to_end.project_folder import Project, document, span

AAPL, MSFT = "ib/bars_1m/AAPL", "ib/bars_1m/MSFT"
CLIENT_ID = 27
CHECKS = ("bar_count", "integrity", "ohlc", "session_hours", "splits", "timestamps", "trades", "volume")

DETAILS, BARS, CANCEL, HEAD = 9, 20, 25, 87
"""Numbers of TWS's messages."""


def live_ib(tws: SandboxTws, **more: str) -> dict[str, str]:
    """The environment of a project whose TWS is `tws`, with a budget that hardly waits."""
    return {
        "DATA_ASSETS_PROFILE": "live",
        "IB_HOST": tws.host,
        "IB_PORT": str(tws.port),
        "IB_SECONDS_BETWEEN_REQUESTS": "0",
        "IB_MAX_REQUESTS_PER_10_MIN": "10000",
        **more,
    }


def last_asked_long_ago(folder: Path) -> None:
    """Leave in `folder` what a run of last week has: IB may be asked at once, and not only in ten seconds."""
    state = folder / ".state" / "vendors" / "live"
    state.mkdir(parents=True, exist_ok=True)
    (state / "ib_pacing.json").write_text(
        json.dumps({"format": "data_assets ib pacing 1", "requests": [], "refused": []})
    )


def asked(tws: SandboxTws, number: int, since: int = 0) -> list[TwsRequest]:
    """The messages of one kind, in the order of arrival, without the first `since` of all kinds."""
    return [request for request in tws.requests[since:] if request.number == number]


def asked_days(tws: SandboxTws, since: int = 0) -> list[str]:
    """The session of every request for bars."""
    return [day.isoformat() for request in asked(tws, BARS, since) for day in request.days]


def in_hand(tws: SandboxTws, day: str) -> bool:
    """Whether the bars of a day have been asked for and not answered yet."""
    return any(request.code is None and day in map(str, request.days) for request in asked(tws, BARS))


def status_of(project: Project, dataset: str, days: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What `data-assets status --json` says of each of `days`."""
    ended = project.run("status", dataset, *span(days), "--json")
    return {row["day"]: row for row in document(ended)[dataset]["days"]}


def recorded_of(instance: dg.DagsterInstance, dataset: str) -> list[str]:
    """The day of every materialization in the event log, oldest first."""
    records = instance.fetch_materializations(dg.AssetKey(dataset.split("/")), limit=10_000).records
    return [record.partition_key or "" for record in reversed(records)]
