from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import RequestError
from edgehybrid.runtime.control import seconds_until

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("18:00", 6 * 3600),
        ("11:59", 24 * 3600 - 60),
        ("12:00", 24 * 3600),
        ("12:00:30", 30),
        (90, 90),
        (0.5, 0.5),
        (NOON + timedelta(hours=2), 7200),
        (datetime(2026, 5, 4, 15, 0, tzinfo=timezone(timedelta(hours=2))), 3600),
        (datetime(2026, 5, 4, 13, 0), 3600),
    ],
)
def test_ends_are_understood(until: str | float | datetime, seconds: float) -> None:
    """A time of day is today's or tomorrow's; numbers are seconds; moments may have a time zone or not."""
    assert seconds == seconds_until(until, NOON)


@pytest.mark.parametrize("until", ["25:00", "tonight", "", 0, -1, float("nan"), float("inf"), NOON - timedelta(days=1)])
def test_what_is_no_end_is_refused(until: str | float | datetime) -> None:
    """Nonsense and the past are refused with a fix."""
    with pytest.raises(RequestError):
        seconds_until(until, NOON)


@given(minutes=st.integers(0, 24 * 60 - 1), now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
def test_a_time_of_day_comes_within_a_day(minutes: int, now: datetime) -> None:
    """Any time of day lies ahead, and at most a day."""
    seconds = seconds_until(f"{minutes // 60:02d}:{minutes % 60:02d}", now.replace(tzinfo=UTC))
    assert 0 < seconds <= 24 * 3600
