"""Makes one snapshot of what several sources say of the same field. Pure: readings in, a snapshot out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from edgehybrid.runtime.telemetry.snapshot import Reading, Snapshot, Trust
from edgehybrid.runtime.telemetry.source import Source, SourceReport

_WORST: tuple[Trust, ...] = get_args(Trust)
_FLAGS = frozenset({"on_mains", "throttled", "under_voltage", "npu_present"})
FIELDS = tuple(f.name for f in fields(Snapshot) if f.name not in {"at_s", "power_scope", "readings"})
"""What a source can offer."""


def first_that_answers(found: Iterable[Mapping[str, Reading]]) -> dict[str, Reading]:
    """Take each field from the first source that has a value; if none has, from the one that tells most of why not."""
    best: dict[str, Reading] = {}
    for readings in found:
        for name, reading in readings.items():
            if name not in best or _tells(reading) > _tells(best[name]):
                best[name] = reading
    return best


def _tells(reading: Reading) -> int:
    """A value tells most, then a refused one, then a reason; ``no battery`` and the like least."""
    if reading.value is not None:
        return 3
    return 2 if reading.trust != "missing" else int(not reading.note.startswith("no "))


def with_battery_power(readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
    """Take what leaves the battery for the power of a board that nothing else measures, while nothing charges."""
    power, drain, mains = (readings[name] for name in ("power_w", "battery_w", "on_mains"))
    if power.value is not None and power.scope != "rail":
        return readings
    if (
        drain.value is None
        or drain.value <= 0
        or drain.trust != "good"
        or drain.note.startswith("slope")
        or mains.value
    ):
        return readings
    error = drain.uncertainty if drain.uncertainty is not None else 0.05 * drain.value
    note = "what leaves the battery" + (f"; {drain.note}" if drain.note else "")
    return {**readings, "power_w": replace(drain, note=note, scope="battery", uncertainty=error)}


def with_doubted_clock(readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
    """Say that the clock is not what it claims to be, while the firmware says that it lowers it.

    On a Raspberry Pi 3B the kernel shows 1200 MHz where 657 run. The latency of known work tells; nothing here does.
    """
    clock, slowed = readings["cpu_mhz"], readings["throttled"]
    if clock.value is None or not slowed.value:
        return readings
    note = "as requested, not real: the clock is being lowered"
    return {**readings, "cpu_mhz": replace(clock, note=note)}


def snapshot(at_s: float, readings: Mapping[str, Reading]) -> Snapshot:
    """Make the snapshot."""
    values: dict[str, Any] = {name: readings[name].value for name in FIELDS}
    for name in _FLAGS:
        values[name] = None if values[name] is None else bool(values[name])
    scope = readings["power_w"].scope if values["power_w"] is not None else None
    return Snapshot(at_s=at_s, power_scope=scope, readings=readings, **values)


def report(source: Source, own: Mapping[str, Reading], final: Mapping[str, Reading]) -> SourceReport:
    """Say what ``source`` offers; a field that a surer source has already is not counted."""
    taken = {f: final[f].source != r.source and final[f].value is not None for f, r in own.items()}
    mine = {f: r if taken[f] else final[f] if final[f].source == r.source else r for f, r in own.items()}
    offers = tuple(f for f, r in mine.items() if r.value is not None and not taken[f])
    beaten = [f"{f} comes from {final[f].source}" for f, r in mine.items() if r.value is not None and taken[f]]
    shown = [mine[f] for f in offers] or list(mine.values())
    refused = [r for r in mine.values() if r.trust in {"insane", "frozen"}]
    notes = dict.fromkeys(r.note for r in mine.values() if r.note)
    return SourceReport(
        name=source.name,
        offers=offers,
        lacks=tuple(f for f, r in mine.items() if r.value is None),
        path=", ".join(dict.fromkeys(r.source for r in shown)),
        trust=max((r.trust for r in (*shown, *refused)), key=_WORST.index),
        note="; ".join((*notes, *beaten)),
    )
