import pytest

from data_assets.quality.option_quotes import grid, timestamps
from data_assets.quality.roots import per_root
from data_assets.quality.verdict import Verdict
from data_assets_tests.quality.quote_days import (
    CLOSE,
    DAY,
    MINUTE,
    OPEN,
    OPTION_CLOSE,
    Contract,
    chain,
    quotes_of,
    summary_of,
)

FINE = Verdict("rule", passed=True, severity="warn", summary="fine", metadata={"rows": 1})
ODD = Verdict("rule", passed=False, severity="warn", summary="odd", metadata={"rows": 2, "names": ["a"]})
WRONG = Verdict("rule", passed=False, severity="error", summary="wrong")
STRICT = Verdict("rule", passed=True, severity="error", summary="strict")


@pytest.mark.parametrize(
    ("spx", "spxw", "passed", "severity", "summary"),
    [
        (FINE, FINE, True, "warn", "SPX: fine; SPXW: fine"),
        (STRICT, STRICT, True, "error", "SPX: strict; SPXW: strict"),
        (FINE, ODD, False, "warn", "SPXW: odd; SPX: fine"),
        (WRONG, ODD, False, "error", "SPX: wrong; SPXW: odd"),
        (STRICT, ODD, False, "warn", "SPXW: odd; SPX: strict"),
    ],
)
def test_the_worst_breach_decides(spx, spxw, passed, severity, summary):
    verdict = per_root(["SPX", "SPXW"], {"SPX": spx, "SPXW": spxw}.__getitem__)
    assert (verdict.name, verdict.passed, verdict.severity, verdict.summary) == ("rule", passed, severity, summary)


def test_metadata_says_whose_it_is():
    verdict = per_root(["SPX", "SPXW"], {"SPX": FINE, "SPXW": ODD}.__getitem__)
    assert verdict.metadata == {"SPX_rows": 1, "SPXW_rows": 2, "SPXW_names": ["a"]}


def grid_of(summary) -> Verdict:
    return grid(summary, open_=OPEN, close=CLOSE, option_close=OPTION_CLOSE, interval=MINUTE, tolerance=0.2)


def two_roots(spx_end=OPTION_CLOSE):
    """In the order of the file: by expiration, and by root within it."""
    many = [Contract(c.expiration, c.strike, c.right, end=c.end, symbol="SPXW") for c in chain(strikes=5)]
    few = [
        Contract(c.expiration, c.strike, c.right, end=spx_end, symbol="SPX")
        for c in chain(strikes=1)
        if c.expiration > DAY
    ]
    contracts = sorted([*many, *few], key=lambda c: (c.expiration, c.symbol))
    return summary_of(quotes_of(*contracts))


def test_a_root_that_stops_early_cannot_hide_behind_the_larger_one():
    assert grid_of(two_roots()).passed
    broken = two_roots(spx_end=OPEN + 60 * MINUTE)
    assert grid_of(broken).passed
    verdict = per_root(["SPX", "SPXW"], lambda root: grid_of(broken.filter(symbol=root)))
    assert not verdict.passed
    assert verdict.summary.startswith("SPX: 4 of 4 contracts (100.00%) leave the grid")


def test_a_root_without_a_row_is_an_error():
    summary = two_roots().filter(symbol="SPXW")
    verdict = per_root(["SPX", "SPXW"], lambda root: grid_of(summary.filter(symbol=root)))
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert verdict.summary.startswith("SPX: the day holds no contract")


def test_order_is_judged_over_both_roots():
    assert timestamps(two_roots()).passed
    apart = [Contract(c.expiration, c.strike, c.right, symbol=root) for root in ("SPX", "SPXW") for c in chain()[6:]]
    verdict = timestamps(summary_of(quotes_of(*apart)))
    assert not verdict.passed
    assert "not in the order of the file" in verdict.summary


def test_a_root_that_holds_nothing_is_said_while_another_holds_contracts():
    summary = two_roots().filter(symbol="SPXW")
    verdict = per_root(["SPX", "SPXW"], lambda root: grid_of(summary.filter(symbol=root)), held={"SPXW"})
    assert verdict.passed
    assert verdict.summary.endswith("SPX: no contract on this day")
    assert verdict.metadata["roots_without_contracts"] == ["SPX"]
    nobody = per_root(["SPX", "SPXW"], lambda root: grid_of(summary.clear()), held=set())
    assert (nobody.passed, nobody.severity) == (False, "error")
