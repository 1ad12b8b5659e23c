"""Ages of readings, and sensors that have frozen or jump. Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgehybrid.runtime.telemetry.plausible import Believed, judge
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.units import JOULES_PER_WH

FROZEN_AFTER_S = 120.0
"""Longer than the quick pole of any board (3 to 40 s), so that a real sensor would have moved."""
_SWING_PCT = 40.0  # such a change of load moves every measured board by at least 4 K, and its power by a watt
_SMOOTH_S = 15.0  # a short burst heats nothing
_NOISY = ("soc_temp_c", "battery_w", "power_w")
_SAME = 10  # readings at least that were the same; a few sweeps far apart prove nothing
_STEP_PCT = 6.0  # twice the largest step of a gauge that we know


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A value that has not moved since ``since_s``, and between which loads it stood still."""

    value: float
    since_s: float
    least_pct: float
    most_pct: float
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A gauge that has stood at ``pct`` while ``drained_wh`` left the battery, as the power sensor counts."""

    pct: float
    drained_wh: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """When each field was last sane, and which noisy ones stand still. A value: `advance` returns the next one."""

    sane_s: Mapping[str, float] = field(default_factory=dict)
    still: Mapping[str, Still] = field(default_factory=dict)
    believed: Mapping[str, Believed] = field(default_factory=dict)
    stuck: Stuck | None = None
    load_pct: float | None = None  # smoothed
    at_s: float | None = None


def advance(before: History, readings: Mapping[str, Reading], at_s: float) -> tuple[History, dict[str, Reading]]:
    """Give every reading its age, and refuse what has frozen.

    A noisy sensor counts as frozen when it repeats one value for `FROZEN_AFTER_S` although the load changed a lot.
    A gauge that stands still while the measured power should have moved it twice is called stale; its value stays,
    for a battery that is not seen would count as mains.
    """
    believed, readings = _plausible(before.believed, readings, at_s)
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
        elif name in sane:
            out[name] = replace(reading, age_s=at_s - sane[name])
        else:
            out[name] = reading if reading.age_s is None else replace(reading, age_s=None)
    stuck = _stuck(before, readings, at_s)
    if stuck is not None and (why := _unmoved(stuck, readings)):
        out["battery_pct"] = replace(out["battery_pct"], trust="stale", note=why)
    return History(sane_s=sane, still=still, believed=believed, stuck=stuck, load_pct=load, at_s=at_s), out


def _plausible(
    before: Mapping[str, Believed], readings: Mapping[str, Reading], at_s: float
) -> tuple[dict[str, Believed], dict[str, Reading]]:
    believed: dict[str, Believed] = {}
    out = dict(readings)
    for name, reading in readings.items():
        now, why = judge(name, before.get(name), reading, at_s)
        if now is not None:
            believed[name] = now
        if why:
            out[name] = replace(reading, value=None, trust="insane", note=why)
            if name == "battery_pct" and out["battery_wh"].value is not None:
                out["battery_wh"] = replace(out["battery_wh"], value=None, trust="insane", note=why)
    return believed, out


def _stuck(before: History, readings: Mapping[str, Reading], at_s: float) -> Stuck | None:
    pct, watts = (readings.get(name) for name in ("battery_pct", "battery_w"))
    if pct is None or pct.value is None or watts is None or watts.value is None or watts.note.startswith("slope"):
        return None
    if before.stuck is None or before.at_s is None or before.stuck.pct != pct.value:
        return Stuck(pct=pct.value)
    used = watts.value * max(at_s - before.at_s, 0.0) / JOULES_PER_WH
    return replace(before.stuck, drained_wh=before.stuck.drained_wh + used)


def _unmoved(stuck: Stuck, readings: Mapping[str, Reading]) -> str:
    left = readings["battery_wh"].value if "battery_wh" in readings else None
    if left is None or stuck.pct <= 0:
        return ""
    full = left / stuck.pct * 100
    if abs(stuck.drained_wh) <= _STEP_PCT / 100 * full or (0 < stuck.pct == 100 and stuck.drained_wh < 0):
        return ""
    return f"{stuck.pct:g} % still, although {abs(stuck.drained_wh):.1f} Wh flowed"


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
    least, most = min(before.least_pct, load), max(before.most_pct, load)
    if at_s - before.since_s < 3 * _SMOOTH_S:  # the smoothed load still follows what moved the value last
        least = most = load
    return replace(before, count=before.count + 1, least_pct=least, most_pct=most)


def _frozen(still: Still, at_s: float) -> bool:
    long = at_s - still.since_s > FROZEN_AFTER_S and still.count >= _SAME
    return long and still.most_pct - still.least_pct > _SWING_PCT
