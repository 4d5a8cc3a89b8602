"""Runs of IB's bars that cannot start: each says in one line, on the terminal and in the grid, what to do."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from signal import SIGINT

import pytest

from data_assets.sandbox.loopback import HOST
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.sandbox.tws.stocks import STOCKS, Stock
from data_assets_tests.end_to_end.ib_project import (
    AAPL,
    BARS,
    CLIENT_ID,
    asked,
    last_asked_long_ago,
    live_ib,
    status_of,
)
from data_assets_tests.end_to_end.project_folder import Project, document, run_statuses, sessions, span

DAYS = sessions("2024-01-02", 2)
WITH_A_SPACE = Stock("BRK B", "NYSE", "BERKSHIRE HATHAWAY INC-CL B", date(1996, 5, 9))


@pytest.fixture
def tws() -> Iterator[SandboxTws]:
    with SandboxTws(stocks=(*STOCKS, WITH_A_SPACE), pacing_scale=0, says_synthetic=False) as tws:
        yield tws


def with_tickers(project: Project, *rows: str) -> Project:
    """A project with a `tickers.csv` of its own."""
    (project.folder / "defs" / "ib" / "bars_1m" / "tickers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return project


def refused(project: Project, dataset: str = AAPL) -> str:
    """Why a backfill got no day at all: one reason, the same on the terminal, in the result and in the grid."""
    ended = project.run("backfill", dataset, *span(DAYS), "--json")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    result = document(ended)
    assert (result["stored"], sorted(result["not_stored"])) == ([], DAYS)
    (reason,) = {why["reason"] for why in result["not_stored"].values()}
    for row in status_of(project, dataset, DAYS).values():
        assert (row["state"], row["outcome"], row["reason"]) == ("failed", "Failed", reason)
    assert f"✗ {DAYS[-1]}  Failed: {reason}\n" in ended.stderr
    with project.instance() as instance:
        assert run_statuses(instance) == ["FAILURE"]
    return str(reason)


def test_nobody_listening_says_what_to_start(new_project):
    with closing(socket.create_server((HOST, 0))) as reserved:
        port = reserved.getsockname()[1]
    project = new_project(DATA_ASSETS_PROFILE="live", IB_PORT=str(port))

    reason = refused(project)

    assert f"nothing listens at 127.0.0.1:{port} (Connection refused): start TWS or IB Gateway" in reason
    assert "IB_HOST and IB_PORT" in reason


def test_the_live_profile_refuses_the_simulator(new_project):
    with SandboxTws(pacing_scale=0) as tws:
        reason = refused(new_project(**live_ib(tws)))

        assert "is the sandbox, whose data is synthetic, and DATA_ASSETS_PROFILE is live" in reason
        assert asked(tws, BARS) == []


def test_a_client_id_that_is_taken_is_named_with_the_setting_to_change(new_project, tws):
    with closing(socket.create_connection((tws.host, tws.port))) as other:
        for frame in (b"v157..178", b"71\x002\x00%d\x00\x00" % CLIENT_ID):
            other.sendall((b"API\x00" if frame.startswith(b"v") else b"") + len(frame).to_bytes(4, "big") + frame)
        while tws.clients != [CLIENT_ID]:
            other.recv(4096)

        reason = refused(new_project(**live_ib(tws)))

    assert reason.startswith("IB Error 326: ")
    assert f"another client with the id {CLIENT_ID}: set IB_CLIENT_ID to another number" in reason


@contextmanager
def half_dead_gateway() -> Iterator[tuple[int, list[socket.socket]]]:
    """A port that takes connections and never says a word: its number, and the connections so far."""
    connections: list[socket.socket] = []
    with closing(socket.create_server((HOST, 0))) as server:

        def accept() -> None:
            while True:
                try:
                    connections.append(server.accept()[0])
                except OSError:
                    return

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server.getsockname()[1], connections
        finally:
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for each in connections:
                each.close()


def test_ctrl_c_ends_the_wait_for_a_gateway_that_takes_connections_and_stays_silent(new_project):
    with half_dead_gateway() as (port, connections):
        project = new_project(DATA_ASSETS_PROFILE="live", IB_PORT=str(port))
        command = project.start("backfill", AAPL, *span(DAYS), "--json")
        command.wait_for(lambda: bool(connections))
        ended = command.end(SIGINT)

        assert ended.returncode == 1
        assert len(connections) == 1, "it did not wait for its time to be up and try again"
    assert {why["reason"] for why in document(ended)["not_stored"].values()} == {"stopped before it was done"}
    assert "Traceback" not in ended.stderr
    assert {row["state"] for row in status_of(project, AAPL, DAYS).values()} == {"missing"}
    with project.instance() as instance:
        assert run_statuses(instance) == ["CANCELED"]


ROWS = (
    "symbol,secType,exchange,currency,primaryExchange,completeness",
    "AAPL,STK,SMART,USD,NASDAQ,",
    "AAPLE,STK,SMART,USD,,",
    "GLD,STK,SMART,USD,,",
    "DIS,STK,SMART,USD,NYSE,lenient",
    "BRK B,STK,SMART,USD,NYSE,lenient",
    "VUAA,STK,SMART,USD,,",
)


def test_rows_that_tws_does_not_know_fail_by_row_and_column(new_project):
    """In the sandbox profile, whose IB has no resets: a row is blamed only while IB is there."""
    project = with_tickers(new_project(), *ROWS)
    for dataset, said in (
        (
            "ib/bars_1m/AAPLE",
            "tickers.csv row 3, column symbol: TWS knows no STK AAPLE on SMART in USD; correct the row",
        ),
        (
            "ib/bars_1m/GLD",
            "tickers.csv row 4, column primaryExchange: GLD in USD is listed on ARCA, LSEETF; name the one",
        ),
        (
            "ib/bars_1m/VUAA",
            "tickers.csv row 7: VUAA in USD is a contract of LSEETF, time zone GB-Eire; only stocks of US exchanges",
        ),
    ):
        ended = project.run("backfill", dataset, *span(DAYS), "--json")
        assert (ended.returncode, document(ended)["stored"]) == (1, [])
        assert all(why["reason"].startswith(said) for why in document(ended)["not_stored"].values()), ended.stdout
        assert "Traceback" not in ended.stderr


def test_a_symbol_may_hold_a_space_and_a_thin_ticker_may_lack_minutes(new_project, tws):
    project = with_tickers(new_project(**live_ib(tws)), *ROWS)
    last_asked_long_ago(project.folder)

    spaced = project.run("backfill", "ib/bars_1m/BRK.B", *span(DAYS[:1]), "--json")
    assert (spaced.returncode, document(spaced)["stored"]) == (0, DAYS[:1]), spaced.stderr
    assert [request.asked.contract.symbol for request in asked(tws, BARS)] == ["BRK B"]
    lenient = project.run("backfill", "ib/bars_1m/DIS", *span(DAYS), "--json")

    assert (lenient.returncode, document(lenient)["stored"]) == (0, DAYS), lenient.stderr
    for row in status_of(project, "ib/bars_1m/DIS", DAYS).values():
        assert 300 < row["rows"] < row["shown"]["expected_bars"] == 390
        assert set(row["checks"].values()) == {"SUCCEEDED"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((*ROWS[:2], "ES,FUT,CME,USD,,"), "tickers.csv row 3, column secType: FUT, futures, is not supported yet"),
        ((*ROWS[:2], "SAP,STK,SMART,EUR,IBIS,"), "tickers.csv row 3, column currency: EUR is not supported yet"),
        ((*ROWS[:2], "MSFT,STK,,USD,,"), "tickers.csv row 3, column exchange: is empty; a STK needs it"),
        (("symbol,secType,currency", "MSFT,STK,USD"), "tickers.csv line 1: found 'symbol,secType,currency', the"),
        ((*ROWS[:2], "MSFT;STK;SMART;USD"), "tickers.csv line 3: found 'MSFT;STK;SMART;USD', separated by semicolons"),
    ],
)
def test_a_row_that_no_tws_could_know_leaves_out_the_datasets_of_its_list(new_project, rows, said):
    project = with_tickers(new_project(), *rows)

    ended: subprocess.CompletedProcess[str] = project.run("backfill", AAPL, *span(DAYS))

    assert (ended.returncode, ended.stdout) == (2, "")
    wrong, missing = ended.stderr.splitlines()
    assert wrong.startswith(f"Error: defs/ib/bars_1m/defs.yaml: {said}")
    assert missing == f"Error: there is no dataset '{AAPL}' in the blocks that could be loaded: correct the other"
