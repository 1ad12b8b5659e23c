"""Jumps that no device can make. Pure: one reading after the other in, doubts out.

A wild value is refused once. When the next reading is near it, the world has changed, not the sensor: it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgehybrid.runtime.telemetry.snapshot import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The most that a field can change: ``at_once``, plus ``per_s``. ``rises_only``: a fall is always believed.

    A gauge that falls by ten points has found out the truth; one that rises by ten without a charger errs, and
    believing it would spend what is not there.
    """

    at_once: float
    per_s: float
    rises_only: bool = False


LIMITS: Mapping[str, Limit] = {
    "soc_temp_c": Limit(at_once=25.0, per_s=10.0),  # the quick pole of every measured board: 16 K within 3 s
    "npu_temp_c": Limit(at_once=25.0, per_s=10.0),
    "battery_pct": Limit(
        at_once=5.0, per_s=0.1, rises_only=True
    ),  # gauges step 3 %; a pack fills in 20 minutes or more
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """The last value that was believed, and a wild one that waits for another like it."""

    value: float
    at_s: float
    source: str
    doubt: float | None = None


def judge(name: str, before: Believed | None, reading: Reading, at_s: float) -> tuple[Believed | None, str]:
    """Take in one reading: what is believed now, and why the reading is refused; empty if it is not."""
    limit, value = LIMITS.get(name), reading.value
    if limit is None or value is None:
        return (before if value is None and reading.trust == "insane" else None), ""
    fresh = Believed(value=value, at_s=at_s, source=reading.source)
    if before is None or before.source != reading.source:
        return fresh, ""
    span = max(at_s - before.at_s, 0.0)
    most = limit.at_once + limit.per_s * span
    if not _beyond(limit, before.value, value, most):
        return fresh, ""
    if before.doubt is not None and abs(value - before.doubt) <= limit.at_once:
        return fresh, ""
    why = f"{value:g} after {before.value:g} {span:.0f} s ago: more than {most:.0f} cannot be"
    return replace(before, doubt=value), why


def _beyond(limit: Limit, before: float, value: float, most: float) -> bool:
    return value - before > most or (not limit.rises_only and before - value > most)
