"""No "no" is final that TWS says while IB is away from it: the row of the ticker is right, and so is the account."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from data_assets.ingest.outcome import DayEnded, NoData, RunEnded, Stored, VendorDown
from data_assets.lake.lake import Lake
from data_assets.sandbox.faults import IB_CONTRACT_DETAILS, IB_HEAD_TIMESTAMP, Fault
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.trading_calendar import session
from data_assets.vendors.ib.day import IbBarsSource
from data_assets_tests.vendors.ib.hand_tws import DETAILS, Say, bars_message, hand_tws
from data_assets_tests.vendors.ib.ib_client_fixtures import AAPL, DAY, SHORT, engine_run, opened

HMDS = "Historical Market Data Service error message:"
NO_CONTRACT = "No security definition has been found for the request"
OPEN = int(session(DAY).open.timestamp())
LOST, BACK = (4, 2, -1, 1100, "lost", ""), (4, 2, -1, 1102, "restored", "")
NO_DATA = f"{HMDS}HMDS query returned no data: AAPL@SMART Trades"

VERDICTS = [
    (162, NO_DATA),
    (162, f"{HMDS}No market data permissions for NASDAQ STK"),
    (162, f"{HMDS}invalid step: 7"),
    (166, "HMDS Expired Contract Violation"),
    (200, NO_CONTRACT),
    (200, "The contract description specified for AAPL is ambiguous."),
    (321, "Error validating request.-'bN' : cause - No market data permissions"),
    (321, "Error validating request.-'bN' : cause - The duration is invalid"),
    (354, "Requested market data is not subscribed"),
    (420, "Invalid Real-time Query: No market data permissions"),
    (10187, "Failed to request historical ticks: No market data permissions"),
    (10314, "End Date/Time: The date, time, or time-zone entered is invalid"),
]


@pytest.mark.parametrize(("code", "text"), VERDICTS)
async def test_what_is_said_of_bars_while_ib_is_away_is_asked_again(tmp_path, code, text) -> None:
    fault = Fault(kind="connection_lost", code=code, text=text, seconds=0.1, times=1)
    with SandboxTws(faults=[fault], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            with pytest.raises(VendorDown, match=rf"IB Error {code}: .* servers are away.* so this is not believed"):
                await ib.bars()
            await ib.client.wait_until_up()
            assert (await ib.bars()).requests == 1


@pytest.mark.parametrize(("code", "text"), VERDICTS)
async def test_what_is_said_in_a_reset_is_asked_again(tmp_path, code, text) -> None:
    end = datetime.now(UTC)
    with SandboxTws(faults=[Fault(kind="tws_error", code=code, text=text, times=1)], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, resets=lambda now: end if now < end else None) as ib:
            end = datetime.now(UTC) + timedelta(seconds=1.5)  # from now on: however long connecting took
            with pytest.raises(VendorDown, match=r"IB resets its servers until .* so this is not believed"):
                await ib.bars()
            await ib.client.wait_until_up()
            assert datetime.now(UTC) >= end
            assert (await ib.bars()).requests == 1


@pytest.mark.parametrize("code", [162, 200, 354])
async def test_an_outage_that_ends_with_the_same_packet_is_not_missed(tmp_path, code) -> None:
    left = [1]

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] != "20":
            return False
        if left and left.pop():
            say(*LOST)
            say(4, 2, asked[1], code, NO_DATA, "")
            say(*BACK)
        else:
            say(*bars_message(asked[1], OPEN))
        return True

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        with pytest.raises(VendorDown, match="so this is not believed"):
            await ib.bars()
        assert (await ib.bars()).bars.height == 1


async def test_a_200_while_ib_is_away_does_not_blame_the_row(tmp_path) -> None:
    lost = Fault(kind="connection_lost", endpoint=IB_CONTRACT_DETAILS, code=200, text=NO_CONTRACT, seconds=0.3, times=1)
    days = [DAY, date(2024, 1, 4), date(2024, 1, 5)]
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    with SandboxTws(faults=[lost], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            await ib.client.validate([AAPL])  # as a run begins
            assert [line for line in ib.said if "asking again with the first day" in line]
            report = await engine_run(IbBarsSource(AAPL, lake=lake, client=ib.client), days)
    assert report.ended is None
    assert {type(outcome) for outcome in report.outcomes.values()} == {Stored}


@pytest.mark.parametrize("contracts", [0, 2])
async def test_a_list_of_contracts_that_comes_while_ib_is_away_is_not_the_last_word(tmp_path, contracts) -> None:
    left = [1]

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] != "9" or not left:
            return False
        left.pop()
        say(*LOST)
        for number in range(contracts):
            say(10, asked[2], *DETAILS[:10], 265598 + number, *DETAILS[11:])
        say(52, 1, asked[2])
        say(*BACK)
        return True

    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        await ib.client.validate([AAPL])
        assert "so this is not believed: asking again with the first day" in ib.said[0]
        await ib.client.validate([AAPL])


async def test_a_200_for_a_contract_that_was_confirmed_ends_no_run_at_once(tmp_path) -> None:
    faults = [
        Fault(kind="tws_error", code=200, text=NO_CONTRACT, times=1),
        Fault(kind="tws_error", code=200, text=NO_CONTRACT, endpoint=IB_HEAD_TIMESTAMP, times=1),
    ]
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    with SandboxTws(faults=faults, pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            report = await engine_run(IbBarsSource(AAPL, lake=lake, client=ib.client), [DAY])
    assert type(report.outcomes[DAY]) is Stored
    assert report.outcomes[DAY].attempts == 2


async def test_a_200_for_a_confirmed_contract_day_after_day_ends_the_run_and_says_so(tmp_path) -> None:
    fault = Fault(kind="tws_error", code=200, text="The contract description specified for AAPL is ambiguous.")
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    with SandboxTws(faults=[fault], pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            days = [date(2024, 1, day) for day in (2, 3, 4, 5, 8)]
            report = await engine_run(IbBarsSource(AAPL, lake=lake, client=ib.client), days)
        asked = sum(request.number == 20 for request in tws.requests)
    assert asked == 9
    assert report.ended is not None
    assert "is ambiguous" in report.ended
    assert "column primaryExchange" in report.ended


async def test_a_no_is_not_believed_at_once_when_ib_is_back(tmp_path) -> None:
    lost = Fault(kind="connection_lost", seconds=0.05, times=1, day=DAY)
    missing = Fault(kind="permissions", day=date(2024, 1, 4))
    with SandboxTws(faults=[lost, missing], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, settle=0.4)) as ib:
            assert (await ib.bars()).bars.height == 390
            with pytest.raises(VendorDown, match="within 0 s after IB's servers were back, so this is not believed"):
                await ib.bars(day=date(2024, 1, 4))
            with pytest.raises(DayEnded, match="permissions"):  # asked when IB had time to settle
                await ib.bars(day=date(2024, 1, 4))


@pytest.mark.parametrize(
    ("lost", "code", "text"),
    [
        ((2105, "HMDS data farm connection is broken:ushmds"), 162, NO_DATA),
        ((2157, "Sec-def data farm connection is broken:secdefnj"), 200, NO_CONTRACT),
    ],
)
async def test_a_farm_that_nobody_declares_healthy_has_no_last_word(tmp_path, lost, code, text) -> None:
    healed = False

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "61":
            say(62, 1)
            say(4, 2, -1, *lost, "")
            say(4, 2, -1, 2106, "HMDS data farm connection is OK:euhmds", "")  # another one
        if asked[0] == "20" and not healed:
            say(4, 2, asked[1], code, text, "")
        elif asked[0] == "20":
            say(4, 2, -1, 2106, "HMDS data farm connection is OK:ushmds", "")
            say(4, 2, -1, 2158, "Sec-def data farm connection is OK:secdefnj", "")
            say(4, 2, asked[1], 162, NO_DATA, "")
        return asked[0] in ("61", "20")

    async with hand_tws(script) as tws, opened(tws, tmp_path, timeouts=replace(SHORT, farm=0.05)) as ib:
        for _ in range(2):
            with pytest.raises(VendorDown, match=rf"IB Error {code}: .*{lost[0]}: .* so this is not believed"):
                await ib.bars()
        healed = True
        with pytest.raises(VendorDown):  # it was away when this was asked for
            await ib.bars()
        with pytest.raises(DayEnded, match="IB said so twice") as ended:
            await ib.bars()
        assert type(ended.value.outcome) is NoData


async def test_bars_that_are_not_whole_and_came_while_ib_was_away_are_asked_for_again(tmp_path) -> None:
    left = [1]
    whole = [OPEN + 60 * minute for minute in range(390)]

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "20":
            if left and left.pop():
                say(*LOST)
                say(*bars_message(asked[1], *whole[:100]))
                say(*BACK)
            else:
                say(*bars_message(asked[1], *whole))
        return asked[0] == "20"

    lake = Lake(str(tmp_path / "lake"), synthetic=False)
    async with hand_tws(script) as tws, opened(tws, tmp_path) as ib:
        report = await engine_run(IbBarsSource(AAPL, lake=lake, client=ib.client), [DAY])
        assert tws.numbers().count("20") == 2
    assert type(report.outcomes[DAY]) is Stored


async def test_a_head_timestamp_from_a_reset_is_neither_used_nor_remembered(tmp_path) -> None:
    resetting = True

    async def script(asked: list[str], say: Say) -> bool:
        if asked[0] == "87":
            say(88, asked[1], 1_900_000_000 if resetting else 345_479_400)  # 2030, and 1980
        return asked[0] == "87"

    end = datetime.now(UTC) + timedelta(days=1)
    async with hand_tws(script) as tws:
        async with opened(tws, tmp_path, resets=lambda _now: end if resetting else None) as ib:
            assert await ib.client.head_timestamp(AAPL) is None
            assert "every day is requested" in ib.said[0]
            assert await ib.client.head_timestamp(AAPL) is None
            assert tws.numbers().count("87") == 1, "asking again in the reset would tell nothing"
            resetting = False
            head = await ib.client.head_timestamp(AAPL)
            assert head is not None
            assert head.year == 1980
        assert tws.numbers().count("87") == 2


async def test_what_is_wrong_while_ib_is_there_still_ends_the_run(tmp_path) -> None:
    fault = Fault(kind="tws_error", code=200, text=NO_CONTRACT, endpoint=IB_CONTRACT_DETAILS)
    with SandboxTws(faults=[fault], pacing_scale=0) as tws:
        async with opened(tws, tmp_path, timeouts=replace(SHORT, settle=30)) as ib:
            with pytest.raises(RunEnded, match="correct the row"):
                await ib.client.validate([AAPL])


async def test_an_outage_that_the_run_waits_out_costs_no_day(tmp_path) -> None:
    """Answers of any kind but data: an outage never ends what only IB could end."""
    faults = [
        Fault(kind="connection_lost", code=code, text=text, seconds=0.05, times=1, day=day)
        for (code, text), day in zip(VERDICTS[:5], [date(2024, 1, day) for day in (2, 3, 4, 5, 8)], strict=True)
    ]
    lake = Lake(str(tmp_path / "lake"), synthetic=True)
    with SandboxTws(faults=faults, pacing_scale=0) as tws:
        async with opened(tws, tmp_path) as ib:
            source = IbBarsSource(AAPL, lake=lake, client=ib.client)
            report = await engine_run(source, [fault.day for fault in faults if fault.day])
    assert {type(outcome) for outcome in report.outcomes.values()} == {Stored}
