"""The end of the mission, as people say it, in seconds from now."""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta

from edgehybrid.errors import RequestError

Until = str | float | datetime


def seconds_until(until: Until, now: datetime) -> float:
    """Return how far ``until`` is from ``now``, in seconds.

    Args:
        until: ``"18:00"`` (local time, today or else tomorrow), seconds from now, or a moment.
        now: The present, local; with a time zone if ``until`` has one.

    Raises:
        RequestError: It is not to be understood, or in the past.
    """
    if isinstance(until, str):
        return _seconds_until_clock(until, now)
    if isinstance(until, datetime):
        here = now.astimezone(until.tzinfo) if until.tzinfo else now.replace(tzinfo=None)
        seconds = (until - here).total_seconds()
    else:
        seconds = float(until)
    if not (math.isfinite(seconds) and seconds > 0):
        raise RequestError(f"until={until!r} is not in the future.", 'Pass seconds from now, "18:00", or a datetime.')
    return seconds


def _seconds_until_clock(text: str, now: datetime) -> float:
    try:
        at = time.fromisoformat(text)
    except ValueError as error:
        raise RequestError(
            f"until={text!r} is no time of day.", 'Write it like "18:00", or pass seconds from now.'
        ) from error
    end = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return (end if end > now else end + timedelta(days=1)).timestamp() - now.timestamp()
