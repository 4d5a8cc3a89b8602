"""Numbers of things read as a native speaker writes them."""

from __future__ import annotations

import pytest

from data_assets.counts import all_that, count_of, count_that, part_of


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (count_of(0, "day"), "0 days"),
        (count_of(1, "day"), "1 day"),
        (count_of(2_594, "day"), "2,594 days"),
        (count_that(1, "bar", "do not start on a minute"), "1 bar does not start on a minute"),
        (count_that(2, "bar", "do not start on a minute"), "2 bars do not start on a minute"),
        (count_that(1, "row", "are blank"), "1 row is blank"),
        (count_that(1, "row", "were sent"), "1 row was sent"),
        (count_that(1, "contract", "have several rows"), "1 contract has several rows"),
        (count_that(1, "line", "read"), "1 line reads"),
        (part_of(1, 390, "minute"), "1 of 390 minutes"),
        (part_of(1, 1, "day", "have no bar"), "1 of 1 day has no bar"),
        (part_of(0, 1, "day"), "0 of 1 day"),
        (all_that(390, "bar", "hold"), "all 390 bars hold"),
        (all_that(1, "bar", "hold"), "the one bar holds"),
    ],
)
def test_one_of_them_is_in_the_singular(written: str, expected: str) -> None:
    assert written == expected
