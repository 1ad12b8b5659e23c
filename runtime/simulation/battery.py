"""A lithium battery: open-circuit voltage, inner resistance, and a gauge that errs, steps and stands still.

Voltages are of one cell; a pack of ``n`` cells in series behaves alike with ``n²`` times the resistance.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from edgehybrid.runtime.simulation.scenario import Pack
from edgehybrid.units import clip

CUT_OFF_V = 3.0
"""Below this the protection opens."""

REVIVE = 0.05
"""Charge from which a board that the battery had left starts again."""

_SOC = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_OCV = (3.0, 3.25, 3.45, 3.55, 3.62, 3.72, 3.85, 4.02, 4.18)  # typical of NMC cells; recalled, not measured
_WAVES = 3  # of the gauge's error from full to empty; slopes 0.4 to 1.6 with 3 %, as the UPSplus log


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The battery at one moment.

    Attributes:
        soc: Energy left over that of the full battery, 0 to 1.
        gauge_pct: What the gauge shows.
        volts: At the terminals.
        watts: Out of the cell, with its inner loss; negative while it charges.
        lost_j: Heat in the inner resistance so far.
        spilled_j: What the sun offered to a full battery so far.
    """

    soc: float
    gauge_pct: float
    volts: float
    watts: float = 0.0
    lost_j: float = 0.0
    spilled_j: float = 0.0


def full(pack: Pack, phase: float) -> Charge:
    """Return the battery at the start."""
    shown = gauge_pct(pack, phase, pack.charge, None)
    return Charge(soc=pack.charge, gauge_pct=shown, volts=open_circuit_v(pack.charge))


def open_circuit_v(soc: float) -> float:
    """Return the voltage of a resting cell."""
    if soc >= 1.0:
        return _OCV[-1]
    i = max(bisect_right(_SOC, soc) - 1, 0)
    share = (max(soc, 0.0) - _SOC[i]) / (_SOC[i + 1] - _SOC[i])
    return _OCV[i] + share * (_OCV[i + 1] - _OCV[i])


def least_soc(pack: Pack, watts: float) -> float:
    """Return the charge below which ``watts`` pull the voltage under the cut-off; that much is never delivered."""
    needed_v = CUT_OFF_V + watts / CUT_OFF_V * pack.resistance_ohm
    i = min(max(bisect_right(_OCV, needed_v), 1), len(_OCV) - 1)
    share = (needed_v - _OCV[i - 1]) / (_OCV[i] - _OCV[i - 1])
    return clip(_SOC[i - 1] + share * (_SOC[i] - _SOC[i - 1]), 0.0, 1.0)


def drain(
    charge: Charge, pack: Pack, phase: float, load_w: float, sun_w: float, dt_s: float, *, was_dead: bool
) -> tuple[Charge, bool]:
    """Take ``load_w`` out and put ``sun_w`` in for ``dt_s``.

    The current that gives ``P`` at the terminals solves ``V I - R I² = P``.

    Returns:
        The battery, and whether it has given up: empty, or its voltage under load below the cut-off. It comes back
        once the sun has charged it a little.
    """
    net_w, volts, ohm = load_w - sun_w, open_circuit_v(charge.soc), pack.resistance_ohm
    room = volts**2 - 4 * ohm * net_w
    if room <= 0:
        amps, collapsed = volts / (2 * ohm), True
    else:
        amps = (volts - math.sqrt(room)) / (2 * ohm) if ohm > 0 else net_w / volts
        collapsed = False
    terminal_v = volts - amps * ohm
    cell_w = volts * amps
    wanted = charge.soc - cell_w * dt_s / 3600.0 / pack.capacity_wh
    soc = clip(wanted, 0.0, 1.0)
    dead = soc < REVIVE if was_dead else (soc <= 0.0 or collapsed or terminal_v < CUT_OFF_V)
    return (
        Charge(
            soc=soc,
            gauge_pct=gauge_pct(pack, phase, soc, charge.gauge_pct),
            volts=terminal_v,
            watts=cell_w,
            lost_j=charge.lost_j + amps * amps * ohm * dt_s,
            spilled_j=charge.spilled_j + max(wanted - 1.0, 0.0) * pack.capacity_wh * 3600.0,
        ),
        dead,
    )


def gauge_pct(pack: Pack, phase: float, soc: float, last: float | None) -> float:
    """Return what the gauge shows: it errs by waves that vanish when full and empty, and moves in whole steps."""
    envelope = 4.0 * soc * (1.0 - soc)
    error = pack.gauge_error_pct * envelope * math.sin(2 * math.pi * _WAVES * soc + phase)
    felt, size = clip(100.0 * soc + error, 0.0, 100.0), pack.gauge_step_pct
    if last is not None and abs(felt - last) < size:
        return last
    return clip(round(felt / size) * size, 0.0, 100.0)
