"""A battery that only a chip on its wire tells of, as on UPS HATs without a fuel gauge (INA219 of Waveshare)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehybrid.runtime.telemetry.polarity import Polarity
from edgehybrid.runtime.telemetry.rails import Rail, Rails, scope
from edgehybrid.runtime.telemetry.slope import Slope
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing
from edgehybrid.units import clip

_REST = (  # lithium-ion cell at rest: volts at 0, 5, 10, ... 100 %
    *(3.27, 3.61, 3.69, 3.71, 3.73, 3.75, 3.77, 3.79, 3.80, 3.82, 3.84),
    *(3.85, 3.87, 3.91, 3.95, 3.98, 4.02, 4.08, 4.11, 4.15, 4.20),
)
_CELL_OHM = 0.08  # cell, protection and wire; two cells in parallel have half
_SMOOTH_S = 30.0  # bursts of load dent the volts for seconds
_STEP_PCT = 2.0  # less is noise
_LEAST_W, _MOST_W = 0.05, 40.0
_ACCURACY = 0.03


def cells(volts: float) -> int | None:
    """Cells in series; ``None`` for volts that no pack of one or two cells has."""
    return 1 if 2.5 <= volts <= 4.35 else 2 if 5.6 <= volts <= 8.7 else None


def rest_percent(volts: float) -> float:
    """Charge of one lithium-ion cell from its volts at rest, by a table of typical cells; ± 10 %.

    The formula of the vendors, ``(V - 6) / 2.4``, is a straight line, more than 40 points too high at 3.7 V.
    """
    above = bisect_right(_REST, volts)
    if not 0 < above < len(_REST):
        return 0.0 if above == 0 else 100.0
    low, high = _REST[above - 1], _REST[above]
    return 5.0 * (above - 1 + (volts - low) / (high - low))


@dataclass(slots=True, kw_only=True)
class Pack:
    """Charge by the volts at rest, power by volts times amperes. Its sign must be proved by the charge.

    Args:
        rails: Read by the power source already.
        pack_wh: Energy of the full pack; without it there is a percentage and no energy.
    """

    rails: Rails
    pack_wh: float | None = None
    name: str = "battery wire"
    fields: tuple[str, ...] = ("battery_pct", "battery_wh", "battery_w", "on_mains")
    _wire: tuple[str, str] | None = None
    _rest: float | None = None  # volts of a cell, smoothed
    _at_s: float = 0.0
    _step: float | None = None  # charge in steps, for the slope
    _slope: Slope = field(default_factory=Slope)
    _polarity: Polarity = field(default_factory=Polarity)

    def discover(self) -> None:
        """Nothing: the rails are looked for by the power source."""

    def read(self, at_s: float) -> Mapping[str, Reading]:
        """Read the wire of the battery."""
        rails = self.rails.read(at_s)
        wire = next((r for r in rails if scope(r)[0] == "battery"), None)
        rail = wire or next((r for r in rails if (r.path, r.label) == self._wire), None)  # it may have become empty
        if rail is None:
            return dict.fromkeys(self.fields, missing("/sys/class/hwmon", "no chip on a battery's wire"))
        if rail.volts is None or rail.amps is None:
            return dict.fromkeys(self.fields, (insane if rail.refused else missing)(rail.path, rail.note))
        self._wire = (rail.path, rail.label)
        count = cells(rail.volts)
        if count is None:
            return dict.fromkeys(self.fields, insane(rail.path, f"{rail.volts:g} V is no pack of one or two cells"))
        direction = self._polarity.direction(rail.amps)
        pct = self._percent(rail.volts, abs(rail.amps) * (direction or 1), count, at_s)
        self._polarity = self._polarity.proved(rail.amps, self._slope.direction)
        return self._readings(rail, pct, self._polarity.direction(rail.amps))

    def _percent(self, volts: float, drain: float, count: int, at_s: float) -> float:
        rest = (volts + drain * _CELL_OHM * count) / count
        weight = 1.0 if self._rest is None else clip((at_s - self._at_s) / _SMOOTH_S, 0.0, 1.0)
        self._rest = rest if self._rest is None else self._rest + weight * (rest - self._rest)
        self._at_s = at_s
        pct = rest_percent(self._rest)
        if self._step is None or abs(pct - self._step) >= _STEP_PCT:
            self._step = pct
        self._slope = self._slope.push(at_s, self._step)
        return pct

    def _readings(self, rail: Rail, pct: float, direction: int) -> dict[str, Reading]:
        where, note = f"{rail.path} ({rail.label})", f"by the volts at rest, ± 10 %; {scope(rail)[1]}".rstrip("; ")
        charge = Reading(value=float(math.floor(pct)), source=where, note=note)
        energy = missing(where, "the energy of the full pack is not known")
        if self.pack_wh is not None:
            energy = Reading(value=self.pack_wh * pct / 100, source=where, note=note)
        mains = missing(where, "nothing tells whether it is plugged in")
        if direction:
            mains = Reading(value=float(direction < 0), source=where, note="by the direction of the current")
        return {"battery_pct": charge, "battery_wh": energy, "battery_w": _drain(rail, direction), "on_mains": mains}


def _drain(rail: Rail, direction: int) -> Reading:
    where, watts = f"{rail.path} ({rail.label})", rail.watts or 0.0
    if watts > _MOST_W:
        return insane(where, f"{watts:.3g} W refused; is shunt_resistor right?")
    if not direction:
        return missing(where, "the direction of the current is not proved yet")
    if direction > 0 and watts < _LEAST_W:
        return insane(where, f"{watts:.2g} W refused, less than a running board takes")
    return Reading(value=watts * direction, source=where, scope="battery", uncertainty=_ACCURACY * watts)
