"""Temperature of the processor, from thermal zones, else from hwmon."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgehybrid.runtime.telemetry.files import garbage, integer, names, read, shown
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing

_ZONES = "sys/class/thermal"
_HWMON = "sys/class/hwmon"
_RANKS = (  # what a driver calls the sensor of the chip, the surest name first
    re.compile(r"cpu[-_]?thermal|bcm2835_thermal|bcm2711_thermal"),
    re.compile(r"soc[-_]?(max[-_]?)?thermal|soc|x86_pkg_temp|coretemp|k10temp|zenpower"),
    re.compile(r".*cpu.*|.*(big|little|package)[-_]?core.*"),
)
OTHER = len(_RANKS)
_LOWEST_C, _HIGHEST_C = -40.0, 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A temperature file, and how surely it is that of the processor: 0 is surest, `OTHER` is a guess."""

    path: str
    kind: str
    rank: int


def rank(kind: str) -> int:
    """Rank the name that a driver gives its sensor."""
    return next((i for i, pattern in enumerate(_RANKS) if pattern.fullmatch(kind.lower())), OTHER)


def celsius(text: str) -> tuple[float | None, str]:
    """Degrees from m°C; ``None`` and the reason for what no chip can have."""
    value = integer(text)
    if value is None:
        return None, garbage(text)
    degrees = value / 1000
    if not _LOWEST_C <= degrees <= _HIGHEST_C:
        return None, f"{degrees:.1f} °C cannot be"
    return degrees, ""


def hottest(readings: Sequence[tuple[Zone, float]]) -> tuple[Zone, float] | None:
    """Choose among sane temperatures: the surest rank, and the hottest within it.

    Exactly 0 °C beside a sensor that says otherwise is a dead sensor.
    """
    alive = [r for r in readings if r[1] != 0.0] or list(readings)
    return min(alive, key=lambda r: (r[0].rank, -r[1])) if alive else None


@dataclass(slots=True, kw_only=True)
class Thermal:
    """The zone of the processor; where nothing is named like one, the hottest zone."""

    root: str
    name: str = "temperature"
    fields: tuple[str, ...] = ("soc_temp_c",)
    _zones: tuple[Zone, ...] = field(default=())

    def discover(self) -> None:
        """List thermal zones and the hwmon sensors of processors."""
        base = f"{self.root}{_ZONES}"
        found = [
            Zone(path=f"{base}/{n}/temp", kind=kind, rank=rank(kind))
            for n in names(base)
            if n.startswith("thermal_zone") and (kind := read(f"{base}/{n}/type").text or n)
        ]
        base = f"{self.root}{_HWMON}"
        for n in names(base):
            kind = read(f"{base}/{n}/name").text or ""
            if rank(kind) < OTHER:
                found.append(Zone(path=f"{base}/{n}/temp1_input", kind=kind, rank=rank(kind)))
        self._zones = tuple(sorted(found, key=lambda z: z.rank))

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read the surest zones; others only where those are dead and nothing better is named."""
        if not self._zones:
            return {"soc_temp_c": missing(f"/{_ZONES}", "no thermal zone")}
        best = self._zones[0].rank
        if best == OTHER:
            return {"soc_temp_c": self._choose(self._zones, "no zone is named like a processor: the hottest")}
        sure = [z for z in self._zones if z.rank == best]
        reading = self._choose(sure, "")
        if reading.value is None or reading.value == 0.0:
            rest = [z for z in self._zones if z.rank < OTHER]  # never a battery's temperature for a chip's
            second = self._choose(rest, f"{sure[0].kind}: {reading.note}" if reading.note else "")
            if second.value is not None:
                reading = second
        if reading.value == 0.0 and self._another_lives():
            reading = insane(reading.source, "0.0 °C exactly, while other sensors say otherwise")
        return {"soc_temp_c": reading}

    def _another_lives(self) -> bool:
        others = (celsius(read(z.path).text or "")[0] for z in self._zones if z.rank == OTHER)
        return any(others)

    def _choose(self, zones: Sequence[Zone], note: str) -> Reading:
        sane: list[tuple[Zone, float]] = []
        problems: list[tuple[Zone, str, bool]] = []
        for zone in zones:
            text = read(zone.path)
            if text.text is None:
                problems.append((zone, text.note, False))
                continue
            degrees, why = celsius(text.text)
            if degrees is None:
                problems.append((zone, why, True))
            else:
                sane.append((zone, degrees))
        if (chosen := hottest(sane)) is not None:
            return Reading(value=chosen[1], source=shown(chosen[0].path, self.root), note=note)
        zone, why, refused = max(problems, key=lambda p: p[2])
        make = insane if refused else missing
        return make(shown(zone.path, self.root), why)
