from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from data_assets.quality.neighbours import NEAR, neighbours

DAY = date(2024, 1, 3)
OFFSETS = st.sets(st.integers(-200, 200))


@given(OFFSETS)
def test_neighbours_are_near_the_nearest_first_and_never_the_day_itself(offsets):
    found = neighbours((DAY + timedelta(days=offset) for offset in offsets), DAY)
    distances = [abs(other - DAY) for other in found]
    assert distances == sorted(distances)
    assert {(other - DAY).days for other in found} == {offset for offset in offsets if 0 < abs(offset) <= NEAR.days}


def test_years_away_is_no_neighbour():
    assert neighbours([date(2004, 1, 5), date(2024, 1, 2), date(2024, 1, 4)], DAY) == [
        date(2024, 1, 2),
        date(2024, 1, 4),
    ]
