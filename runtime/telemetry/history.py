"""Ages of readings, and sensors that have frozen. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgehybrid.runtime.telemetry.snapshot import Reading

FROZEN_AFTER_S = 120.0
"""Longer than the quick pole of any board (3 to 40 s), so that a real sensor would have moved."""
_SWING_PCT = 40.0  # such a change of load moves every measured board by at least 4 K, and its power by a watt
_SMOOTH_S = 15.0  # a short burst heats nothing
_NOISY = ("soc_temp_c", "battery_w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A value that has not moved since ``since_s``, and between which loads it stood still."""

    value: float
    since_s: float
    least_pct: float
    most_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """When each field was last sane, and which noisy ones stand still. A value: `advance` returns the next one."""

    sane_s: Mapping[str, float] = field(default_factory=dict)
    still: Mapping[str, Still] = field(default_factory=dict)
    load_pct: float | None = None  # smoothed
    at_s: float | None = None


def advance(before: History, readings: Mapping[str, Reading], at_s: float) -> tuple[History, dict[str, Reading]]:
    """Give every reading its age, and refuse what has frozen.

    A noisy sensor counts as frozen when it repeats one value for `FROZEN_AFTER_S` although the load changed a lot.
    """
    load = _smoothed(before, readings.get("cpu_load_pct"), at_s)
    still = {name: s for name in _NOISY if (s := _still(before.still.get(name), readings.get(name), load, at_s))}
    out: dict[str, Reading] = {}
    sane = dict(before.sane_s)
    for name, reading in readings.items():
        if (stood := still.get(name)) and _frozen(stood, at_s):
            note = f"{stood.value:g} for {at_s - stood.since_s:.0f} s while the load changed"
            sane[name] = stood.since_s
            out[name] = replace(reading, value=None, trust="frozen", age_s=at_s - stood.since_s, note=note)
        elif reading.value is not None:
            sane[name] = at_s - (reading.age_s or 0.0)
            out[name] = reading
        else:
            out[name] = replace(reading, age_s=at_s - sane[name] if name in sane else None)
    return History(sane_s=sane, still=still, load_pct=load, at_s=at_s), out


def _smoothed(before: History, reading: Reading | None, at_s: float) -> float | None:
    now = reading.value if reading is not None else None
    if now is None or before.load_pct is None or before.at_s is None:
        return now if now is not None else before.load_pct
    weight = min(max(at_s - before.at_s, 0.0) / _SMOOTH_S, 1.0)
    return before.load_pct + weight * (now - before.load_pct)


def _still(before: Still | None, reading: Reading | None, load: float | None, at_s: float) -> Still | None:
    if reading is None or reading.value is None or load is None or reading.note.startswith("slope"):
        return None
    if before is None or before.value != reading.value or reading.value == 0.0:
        return Still(value=reading.value, since_s=at_s, least_pct=load, most_pct=load)
    return replace(before, least_pct=min(before.least_pct, load), most_pct=max(before.most_pct, load))


def _frozen(still: Still, at_s: float) -> bool:
    return at_s - still.since_s > FROZEN_AFTER_S and still.most_pct - still.least_pct > _SWING_PCT
