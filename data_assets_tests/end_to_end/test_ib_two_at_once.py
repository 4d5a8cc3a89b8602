"""Two backfills of two tickers at once: one account, one client id, one budget."""

from __future__ import annotations

import json
from pathlib import Path

from data_assets.sandbox.tws.pacing import PacingRules
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.sandbox.tws.stocks import STOCKS
from data_assets_tests.end_to_end.ib_project import AAPL, BARS, MSFT, asked, last_asked_long_ago, live_ib
from data_assets_tests.end_to_end.project_folder import document, run_statuses, sessions, slots_held, span

DAYS = sessions("2024-01-02", 4)
PAUSE_SECONDS = 1.0
AT_ONCE_IS_REFUSED = PacingRules(
    identical_seconds=0, burst_seconds=0, window_seconds=0.9 * PAUSE_SECONDS, window_requests=1
)
"""The server calls a request too many that comes sooner after any other than the project is told to wait."""


def heads_are_known(folder: Path) -> None:
    """Leave in `folder` what earlier runs have: a second question for a head timestamp would wait for ten seconds."""
    heads = {str(stock.con_id): "2016-01-04T14:30:00+00:00" for stock in STOCKS}
    (folder / ".state" / "vendors" / "live" / "ib_head_timestamps.json").write_text(json.dumps(heads))


def test_two_processes_share_the_account_the_client_id_and_the_budget(new_project):
    with SandboxTws(pacing=AT_ONCE_IS_REFUSED, says_synthetic=False) as tws:
        project = new_project(**live_ib(tws, IB_SECONDS_BETWEEN_REQUESTS=str(PAUSE_SECONDS)))
        last_asked_long_ago(project.folder)
        heads_are_known(project.folder)

        commands = [project.start("backfill", dataset, *span(DAYS), "--json") for dataset in (AAPL, MSFT)]
        for command in commands:
            ended = command.end()
            assert (ended.returncode, document(ended)["stored"]) == (0, DAYS), ended.stderr

        symbols = [request.asked.contract.symbol for request in asked(tws, BARS)]
        assert sorted(symbols) in (symbols, symbols[::-1]), "one after the other, or the id would have been taken"
        per_symbol = {(request.asked.contract.symbol, *map(str, request.days)) for request in asked(tws, BARS)}
        assert per_symbol == {(symbol, day) for symbol in ("AAPL", "MSFT") for day in DAYS}
        assert {request.code for request in asked(tws, BARS)} == {0}, "none came too early for the server"
        assert tws.most_open == 1
        assert tws.clients == []
    with project.instance() as instance:
        assert run_statuses(instance) == ["SUCCESS", "SUCCESS"]
        assert slots_held(instance) == []
