"""What energy costs: the battery's allowance for an input, and the price of a degree.

The battery limits a sum, so its price is that of the last joule that the sum allows: ``hull`` finds it over all the
neighbours that come and go. The temperature limits each moment, so a degree has a price of its own, by the headroom
that the predictor sees a minute ahead: nothing up to the policy's distance to throttling, then rising, until half of
that distance it is as dear as the most valuable joule. Steps that bring much quality get the last degrees, those that
bring little give way first, and nothing jumps where a cap would. An input runs with

    max worth - price_J · E - price_K(T) · dT/dE · E
    T = T_rest + dT/dE · E,   dT/dE = gain · rate · sum R (1 - exp(-t / tau))

on the upper hull of the present options.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct, field

from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control.fuel import allowance_j, prospect
from edgehybrid.runtime.control.hull import Hull, Mix, at_energy
from edgehybrid.runtime.control.learning import board_watts
from edgehybrid.runtime.control.state import State
from edgehybrid.runtime.control.thermal import AHEAD_S, HeatPole, per_watt, predict
from edgehybrid.runtime.control.values import Context
from edgehybrid.runtime.telemetry import Snapshot

_DEAREST = 0.5  # of the headroom: there a degree is worth the steepest step; the ladder of the temperature begins there
_TINY = 1e-12


class Budget(Struct, frozen=True, kw_only=True, gc=False):
    """Energy that an input may take above the idle board, and what says so; ``None`` when nothing limits it.

    ``doubt_j`` is the standard deviation of what it may turn out to be.
    """

    most_j: float | None = None
    doubt_j: float = 0.0
    why: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


class Warmth(Struct, frozen=True, kw_only=True, gc=False):
    """What inferences do to the temperature a minute ahead, and where degrees cost.

    Attributes:
        now_c: Temperature.
        rest_c: A minute ahead without inferences.
        kelvin_per_j: That every joule of an input adds to it, at the present rate of inputs.
        free_c: Up to here degrees cost nothing.
        dearest_c: Here they cost as much as the most valuable step.
    """

    now_c: float
    rest_c: float
    kelvin_per_j: float
    free_c: float
    dearest_c: float

    def ahead_c(self, energy_j: float) -> float:
        """Return the temperature a minute ahead if each input takes ``energy_j``."""
        return self.rest_c + self.kelvin_per_j * energy_j

    def price(self, hull: Hull, energy_j: float) -> float:
        """Return the worth of a degree there: that of the steepest step for the whole of the band, in parts of it."""
        if len(hull) < 2 or not self.kelvin_per_j > 0:
            return 0.0
        part = (self.ahead_c(energy_j) - self.free_c) / (self.dearest_c - self.free_c)
        return _slope(hull, 1) / self.kelvin_per_j * min(max(part, 0.0), 1.0)


def cool(hull: Hull, mix: Mix, warmth: Warmth) -> Mix:
    """Return ``mix``, or less of it where the degrees cost more than the last joules bring.

    A step of the hull with the slope ``s`` pays up to the temperature where ``price_K · dT/dE = s``.
    """
    if not warmth.kelvin_per_j > 0 or warmth.ahead_c(mix.energy_j) <= warmth.free_c:
        return mix  # the best of equals may lie beyond the hull: it gives way where degrees cost, not before
    most_j, above = hull[0].energy_j, hull[-1].energy_j
    steepest = _slope(hull, 1) if len(hull) > 1 else 1.0
    for k in range(len(hull) - 1, 0, -1):
        bears_c = warmth.free_c + (warmth.dearest_c - warmth.free_c) * _slope(hull, k) / steepest
        pays_j = (bears_c - warmth.rest_c) / warmth.kelvin_per_j
        if pays_j > hull[k - 1].energy_j:
            most_j = min(pays_j, above)
            break
        above = hull[k - 1].energy_j
    return mix if mix.energy_j <= most_j * (1.0 + _TINY) else at_energy(hull, most_j)


def _slope(hull: Hull, k: int) -> float:
    low, high = hull[k - 1], hull[k]
    return (high.worth - low.worth) / max(high.energy_j - low.energy_j, _TINY)


def battery_budget(state: State, snapshot: Snapshot, context: Context, day_s: float | None) -> Budget:
    """Return what the battery leaves for an input until the end of the mission."""
    fuel = state.fuel
    if snapshot.on_mains or context.until_s is None or fuel.start_wh is None or fuel.base_w is None:
        return Budget()
    left_s = max(context.until_s - snapshot.at_s, 0.0)
    inputs = state.arrivals.expected(left_s, day_s)
    known = prospect(fuel, sensor=snapshot.battery_w is not None)
    most_j = allowance_j(
        known,
        extra_j=(context.number("supply_w") or 0.0) * left_s,
        base_w=fuel.base_w,
        seconds=left_s,
        inputs=inputs,
    )
    numbers = {"battery_wh": known.left_wh, "battery_factor": known.factor, "battery_factor_sd": known.factor_sd}
    if math.isinf(most_j):
        return Budget(numbers=numbers)
    why = f"{known.left_wh:.2f} Wh for {left_s / 3600.0:.2g} h allow {1e3 * most_j:.3g} mJ an input"
    doubt_j = known.doubt_j / max(inputs, 1.0)
    return Budget(
        most_j=most_j, doubt_j=doubt_j, why=why, numbers={**numbers, "plan_j": most_j, "plan_doubt_j": doubt_j}
    )


def warmth_of(
    state: State, device: DeviceProfile, poles: tuple[HeatPole, ...], policy: Policy, snapshot: Snapshot
) -> Warmth | None:
    """Look a minute ahead; ``None`` without a thermometer or before the first inputs."""
    temp, rate, heat = snapshot.soc_temp_c, state.arrivals.per_s, state.heat
    if temp is None or not heat.rise_c or not rate > 0:
        return None
    limit_c = device.thermal.soft_limit_c or device.thermal.throttle_c
    base_w = board_watts(device, state.slow.others if snapshot.cpu_load_pct is not None else 0.0)
    return Warmth(
        now_c=temp,
        rest_c=predict(heat, poles, base_w, AHEAD_S),
        kelvin_per_j=heat.gain * rate * per_watt(poles, AHEAD_S),
        free_c=limit_c - policy.thermal.headroom_c,
        dearest_c=limit_c - policy.thermal.headroom_c * _DEAREST,
    )
