from __future__ import annotations

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.ingest.boundary import BOUNDARY_DAYS, DataBoundary, RunOutcomes
from data_assets.ingest.outcome import Failed, NoData, NotEntitled, NotPublished, Rejected, Stored
from data_assets_tests.ingest.scripted import days

STORED = Stored("p", 1, 1, "0" * 64)
LETTERS = {
    "S": STORED,
    ".": NoData("472"),
    "F": Failed("timed out"),
    "R": Rejected("header"),
    "P": NotPublished("too early"),
    "E": NotEntitled("your plan begins later"),
}


def history(pattern: str, order: list[int] | None = None) -> RunOutcomes:
    """What is known after the days of `pattern`, newest first, ended in `order`; `?` has not ended."""
    known = RunOutcomes(days(len(pattern)))
    for position in order if order is not None else range(len(pattern)):
        if pattern[position] != "?":
            known.ended(position, LETTERS[pattern[position]])
    return known


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_boundary_depends_on_positions_and_not_on_the_order_of_arrival(data):
    blocks = data.draw(st.lists(st.sampled_from(["S", "F", "R", "P", ".", "." * 10, "." * 19, "." * 20]), max_size=6))
    pattern = "".join(blocks)
    order = data.draw(st.permutations(range(len(pattern))))
    found = history(pattern, order).boundary()
    last_data = max(pattern.rfind("S"), pattern.rfind("R"))
    row = pattern.find("." * BOUNDARY_DAYS, last_data + 1)
    assert (found is None) == (row < 0)
    if found is not None:
        named = days(len(pattern))
        assert found.data_from == (named[last_data] if last_data >= 0 else None)
        assert found.empty_to < found.empty_from
        assert named.index(found.empty_to) - named.index(found.empty_from) == BOUNDARY_DAYS - 1
        start = named.index(found.empty_from)
        assert set(pattern[start : start + BOUNDARY_DAYS]) == {"."}


def test_twenty_are_a_boundary_and_nineteen_are_not():
    assert history("S" + "." * 19).boundary() is None
    known = days(21)
    assert history("S" + "." * 20).boundary() == DataBoundary(known[0], known[1], known[20])


def test_a_day_not_yet_ended_is_not_an_empty_one():
    assert history("." * 10 + "?" + "." * 19).boundary() is None


def test_a_newer_row_that_completes_late_does_not_hide_the_boundary():
    pattern = "." * 20 + "S" + "." * 20
    late = [position for position in range(41) if position != 10] + [10]
    found = history(pattern, late).boundary()
    assert found is not None
    assert found.empty_from == days(41)[21]


def test_the_verdict_says_what_is_known():
    verdict = history("SF" + "." * 20).verdict(22)
    assert verdict == NoData(
        f"not asked: 20 days in a row, {days(22)[2]} back to {days(22)[21]}, have no data; "
        f"the vendor has data from {days(22)[0]} on",
        tried=False,
    )
    nothing = history("." * 20).verdict(20)
    assert nothing is not None
    assert nothing.reason.endswith("no newer day of this run had data either")


def test_of_months_the_verdict_speaks_of_months():
    months = [date(2024 - n // 12, 12 - n % 12, 1) for n in range(21)]
    known = RunOutcomes(months, "month", lambda day: f"{day:%Y-%m}")
    known.ended(0, STORED)
    for position in range(1, 21):
        known.ended(position, NoData("none"))
    verdict = known.verdict(21)
    assert verdict is not None
    assert verdict.reason == (
        "not asked: 20 months in a row, 2024-11 back to 2023-04, have no data; the vendor has data from 2024-12 on"
    )


def test_one_refused_day_speaks_for_the_older_ones():
    verdict = history("SE").verdict(2)
    assert verdict == NotEntitled(
        f"not asked: the vendor refused the newer day {days(2)[1]}: your plan begins later", tried=False
    )
    assert history("SSF.P").verdict(5) is None


def test_of_several_refused_days_the_newest_is_named():
    verdict = history("SEEE", [0, 3, 1, 2]).verdict(4)
    assert verdict is not None
    assert str(days(4)[1]) in verdict.reason


def test_an_older_day_with_data_takes_the_refusal_back():
    assert history("SES").verdict(3) is None
    after = history("SESE").verdict(4)
    assert after is not None
    assert str(days(4)[3]) in after.reason


def test_a_verdict_is_about_days_older_than_those_it_rests_on():
    refused = history("S??E?")
    assert [refused.verdict(position) is not None for position in range(5)] == [False] * 4 + [True]
    empty = history("S?" + "." * 20 + "?")
    assert [position for position in range(23) if empty.verdict(position) is not None] == [22]
