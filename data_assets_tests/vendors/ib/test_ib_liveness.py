"""TWS is there when it answers, not when it shakes hands; what it said of a request is taken for what it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from data_assets.ingest.engine import IngestReport
from data_assets.ingest.outcome import Failed, RunEnded, Stored, Transient, VendorDown
from data_assets.lake.lake import Lake
from data_assets.sandbox.faults import IB_CONTRACT_DETAILS, Fault
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.trading_calendar import session
from data_assets.vendors.ib.day import IbBarsSource
from data_assets.vendors.ib.timeouts import Timeouts
from data_assets_tests.vendors.ib.hand_tws import Say, bars_message, hand_tws
from data_assets_tests.vendors.ib.ib_client_fixtures import AAPL, DAY, SHORT, engine_run, opened

HMDS = "Historical Market Data Service error message:"
GERMAN = "Fehlermeldung des Dienstes fuer historische Marktdaten:"
OPEN = int(session(DAY).open.timestamp())
WEEK = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9)]
IMPATIENT = replace(SHORT, bars=0.05, head=0.05, details=0.05, outage=0.4)


async def run_against(folder: Path, *faults: Fault, timeouts: Timeouts = IMPATIENT) -> tuple[IngestReport, int]:
    """How a run of a week ends, and how often it asked for bars."""
    lake = Lake(str(folder / "lake"), synthetic=True)
    with SandboxTws(faults=faults, pacing_scale=0) as tws:
        async with opened(tws, folder, timeouts=timeouts) as ib:
            report = await engine_run(IbBarsSource(AAPL, lake=lake, client=ib.client), WEEK)
        return report, sum(request.number == 20 for request in tws.requests)


# Gateways that are there and are of no use.


async def test_a_gateway_that_only_shakes_hands_is_given_up_at_the_start(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        return asked[0] != "71"

    async with hand_tws(script) as tws:
        with pytest.raises(RunEnded, match=r"accepts the connection and then answers nothing: .* a login.*Trusted"):
            async with opened(tws, tmp_path, timeouts=replace(SHORT, connect=0.1, heartbeat=0.05)):
                pass
        assert tws.connections == SHORT.attempts


async def test_a_gateway_that_turns_into_one_is_given_up_and_not_asked_for_ever(tmp_path) -> None:
    mute = Fault(kind="handshake_only", seconds=3600, day=date(2024, 1, 8))
    timeouts = replace(IMPATIENT, bars=1.5, details=5, head=5, connect=0.7, heartbeat=0.7)
    report, asked = await run_against(tmp_path, mute, timeouts=timeouts)
    assert type(report.outcomes[date(2024, 1, 9)]) is Stored
    assert asked == 2, "no request goes to a gateway that has not answered one question"
    assert report.ended is not None
    assert report.ended.startswith("no history from IB for 0 s: TWS or IB Gateway at 127.0.0.1:")
    assert "accepts the connection and then answers nothing: look whether it shows a dialog or a login" in report.ended


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (162, HMDS + "API historical data query cancelled: 28"),
        (162, HMDS + "Request Timed Out"),
        (366, "No historical data query found for ticker id:2223"),
    ],
)
async def test_a_history_service_that_drops_every_request_is_given_up_after_three_days(tmp_path, code, text) -> None:
    report, asked = await run_against(tmp_path, Fault(kind="tws_error", code=code, text=text), timeouts=SHORT)
    assert report.ended is not None
    assert report.ended.startswith("3 days in a row failed for the same cause")
    assert f"IB Error {code}: {text}" in report.ended
    assert "restart TWS or IB Gateway" in report.ended
    assert [outcome.attempts > 0 for outcome in report.outcomes.values()] == [True] * 3 + [False] * 3
    assert asked == 9


async def test_one_that_drops_some_requests_costs_their_days_alone(tmp_path) -> None:
    text = HMDS + "API historical data query cancelled: 28"
    report, _ = await run_against(tmp_path, Fault(kind="tws_error", code=162, text=text, day=WEEK[2]), timeouts=SHORT)
    assert report.ended is None
    assert {day for day, outcome in report.outcomes.items() if type(outcome) is not Stored} == {WEEK[2]}


async def test_a_gateway_that_speaks_again_is_used_again(tmp_path) -> None:
    mute = Fault(kind="handshake_only", seconds=3, times=1)
    with SandboxTws(faults=[mute], pacing_scale=0) as tws:
        timeouts = replace(SHORT, bars=0.5, connect=1, heartbeat=0.7)
        async with opened(tws, tmp_path, timeouts=timeouts) as ib:
            with pytest.raises(Transient, match="did not answer"):
                await ib.bars()
            await ib.client.wait_until_up()
            assert "does not answer" in " ".join(ib.said)
        assert sum(request.number == 61 for request in tws.requests) > 1, "connected anew"


@pytest.mark.parametrize("endpoint", ["ib/historical_data", IB_CONTRACT_DETAILS])
async def test_questions_that_are_never_answered_end_the_run_though_tws_tells_the_time(tmp_path, endpoint) -> None:
    report, asked = await run_against(tmp_path, Fault(kind="silence", endpoint=endpoint))
    assert report.ended is not None
    assert report.ended.startswith("3 days in a row failed for the same cause, the last of them 2024-01-05: TWS did")
    for words in ("dialog or a login", "trust this machine's address", "restart it"):
        assert words in report.ended
    assert asked == (9 if endpoint != IB_CONTRACT_DETAILS else 0)
    assert [outcome.tried for outcome in report.outcomes.values() if isinstance(outcome, Failed)] == [True] * 3 + [
        False
    ] * 3


async def test_connections_that_break_at_every_request_end_the_run(tmp_path) -> None:
    report, asked = await run_against(tmp_path, Fault(kind="half_frame"), timeouts=SHORT)
    assert asked == 9
    assert report.ended is not None
    assert "broke off" in report.ended


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (162, f"{GERMAN}Verletzung der Pacing-Regeln", "set it to English"),
        (162, f"{HMDS}Something new", "IB Error 162"),
        (99_999, "a code of a newer TWS", "IB Error 99999: a code of a newer TWS"),
    ],
)
async def test_an_answer_that_nobody_knows_ends_the_run_on_its_third_day(tmp_path, code, text, words) -> None:
    report, asked = await run_against(tmp_path, Fault(kind="tws_error", code=code, text=text), timeouts=SHORT)
    assert asked == 9
    assert report.ended is not None
    assert words in report.ended
    assert text in report.ended


async def test_two_days_in_a_row_end_no_run(tmp_path) -> None:
    faults = [Fault(kind="tws_error", code=99_999, text="new", day=day) for day in (WEEK[0], WEEK[1], WEEK[3], WEEK[4])]
    report, _ = await run_against(tmp_path, *faults, timeouts=replace(SHORT, linger=0.02))
    assert report.ended is None
    assert [type(report.outcomes[day]) for day in WEEK] == [Failed, Failed, Stored, Failed, Failed, Stored]


# What TWS says before it answers, or instead.

ADVISORIES = [
    (2188, "Up-to-the-second historical data requires additional subscription for the API."),
    (10089, "Requested market data requires additional subscription for API."),
    (10090, "Part of requested market data is not subscribed."),
    (10091, "Part of requested market data requires additional subscription for API."),
    (10167, "Requested market data is not subscribed. Displaying delayed market data."),
    (99_999, "a code of a newer TWS"),
]


@pytest.mark.parametrize(("code", "text"), ADVISORIES)
async def test_data_that_comes_with_an_advisory_is_taken_and_the_advisory_kept(tmp_path, code, text) -> None:
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    with SandboxTws(faults=[Fault(kind="advisory", code=code, text=text)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, linger=30)) as ib:
            report = await engine_run(IbBarsSource(AAPL, lake=lake, client=ib.client), [DAY])
        assert sum(request.number == 25 for request in tws.requests) == 0
    assert report.outcomes[DAY].attempts == 1
    assert lake.provenance("ib/bars_1m/AAPL", DAY).details["said_by_ib"] == [f"{code}: {text}"]


@pytest.mark.parametrize(("code", "text"), [(2107, "HMDS data farm connection is inactive"), (162, f"{HMDS}odd")])
async def test_what_is_said_of_no_request_leaves_the_request_alone(tmp_path, code, text) -> None:
    with SandboxTws(faults=[Fault(kind="notice", code=code, text=text)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            answer = await ib.bars()
    assert (answer.bars.height, answer.requests, answer.said) == (390, 1, ())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "advisory", "code": 2188, "text": "Up-to-the-second"}, ["2188: Up-to-the-second", "restart it"]),
        ({"kind": "advisory", "code": 10090, "text": "not subscribed"}, ["10090: not subscribed", "lacks this market"]),
        ({"kind": "advisory", "code": 10167, "text": "Delayed"}, ["10167: Delayed", "lacks this market"]),
        ({"kind": "notice", "code": 2107, "text": "HMDS inactive"}, ["2107: HMDS inactive", "restart it"]),
        ({"kind": "notice", "code": 321, "text": "Read-Only mode"}, ["321: Read-Only mode", "dialog or a login"]),
        ({"kind": "silence"}, ["within 0 s - Symbol: AAPL", "trust this machine's address"]),
    ],
)
async def test_what_tws_said_is_quoted_when_nothing_follows(tmp_path, fault, words) -> None:
    silent = {} if fault["kind"] == "silence" else {"silent": True}
    with SandboxTws(faults=[Fault.model_validate(fault | silent)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, bars=0.1)) as ib:
            with pytest.raises(Transient, match="did not answer within 0 s") as late:
                await ib.bars()
    assert "\n" not in str(late.value)
    for each in words:
        assert each in str(late.value)


async def test_a_code_that_is_not_known_ends_its_request_when_nothing_follows(tmp_path) -> None:
    fault = Fault(kind="advisory", code=99_999, text="a code of a newer TWS", silent=True)
    with SandboxTws(faults=[fault], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, bars=600, linger=0.1)) as ib:
            with pytest.raises(Transient, match="IB Error 99999: a code of a newer TWS - Symbol: AAPL"):
                await ib.bars()


async def test_a_farm_that_was_inactive_before_is_quoted_and_one_that_woke_is_not(tmp_path) -> None:
    inactive = "HMDS data farm connection is inactive but should be available upon demand.ushmds"
    awake = False

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "61":
            say(62, 1)
            say(4, 2, -1, 2107, inactive, "")
        if asked[0] == "20" and awake:
            say(4, 2, -1, 2106, "HMDS data farm connection is OK:ushmds", "")
        return asked[0] in ("20", "61")

    async with hand_tws(script) as tws, opened(tws, tmp_path, timeouts=replace(SHORT, bars=0.1)) as ib:
        with pytest.raises(Transient, match="did not answer within 0 s after it said 2107: HMDS data farm"):
            await ib.bars()
        awake = True
        with pytest.raises(Transient, match="did not answer within 0 s - Symbol"):
            await ib.bars()


async def test_an_answer_without_bars_quotes_what_was_said_before_it(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            say(4, 2, asked[1], 10167, "Displaying delayed market data", "")
            say(*bars_message(asked[1]))
        return asked[0] == "20"

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        with pytest.raises(Transient, match="without bars after it said 10167: Displaying delayed"):
            await ib.bars()


async def test_a_word_in_another_language_about_the_beginning_stops_no_day(tmp_path) -> None:
    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "87":
            say(4, 2, asked[1], 162, f"{GERMAN}Kein Zeitstempel", "")
        return asked[0] == "87"

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        assert await ib.client.head_timestamp(AAPL) is None
        assert "set it to English" in ib.said[0]


async def test_a_history_service_that_is_away_is_still_waited_for(tmp_path) -> None:
    with SandboxTws(faults=[Fault(kind="hmds_disconnect", times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            with pytest.raises(VendorDown, match="IB Error 165"):
                await ib.bars()
            assert (await ib.bars()).bars.height == 390
