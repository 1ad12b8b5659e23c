"""The battery until the end of the mission: what is left, what the board takes, and what each input may take.

The energy is counted: what the model of the board (or a power sensor) says, times a factor ``k`` that the gauge
teaches. Each step of the gauge tells how much has left the battery, with an error: gauges err by some percent in the
middle of the charge, in waves, and hardly when full and when empty. So ``k`` is a weighted regression of all steps
through the start,

    k = (1 / s² + sum w B D) / (1 / s² + sum w B²),   var k = 1 / (1 / s² + sum w B²)

with ``B`` counted and ``D`` gauged joules since the start, ``s`` the prior of ``k`` around 1 and ``w`` the weight of
a step: the inverse variance of the gauge there, for as many steps as are wrong alike. What is still to be had is
``(start - reserve) / k - B``. Board and battery stay the same from day to day, so what one discharge taught is the
prior of the next one: ``m / s²`` in the place of the numerator's ``1 / s²``, and a smaller ``s``.

The allowance is even until the end, and comes with its standard deviation: what a joule is worth while nobody knows
how many there are is told in ``doubt``.
"""

from __future__ import annotations

import math

from msgspec import Struct

from edgehybrid.runtime.control.evolve import evolve

_PRIOR_SD = 0.14  # capacity and watts, each wrong by a tenth
_SENSOR_PRIOR_SD = 0.1  # capacity alone
_DAYS_SD = 0.03  # from one discharge to the next: temperature, age, what else the board does
_WAVE_PCT = 2.0  # standard deviation of a gauge in the middle; none when full and when empty
_ALIKE_PCT = 8.0  # charge over which a gauge is wrong in the same way; steps of one wave cancel
_BAND = 3.0  # standard deviations of the gauge within which the count must stay
_ROOT_12 = math.sqrt(12.0)
_FAR = 1.6  # standard deviations at which the doubt is measured
_BASE_TAU_S = 60.0
_LEAST_J = 1e-3
RESERVE = 0.01
"""Share of a full battery that the plan keeps back: its voltage gives in."""


class Fuel(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of the battery's energy.

    Attributes:
        start_wh: What the gauge said at first; ``None`` before.
        start_pct: The same in percent of the full battery.
        step_wh: What it said last.
        square: Weighted sum of counted energies squared at the steps of the gauge, in inverse variances of ``k``.
        product: The same of counted times gauged.
        last_square: Of the last step alone.
        last_product: The same.
        counted_j: Energy of the board by model or sensor since the start.
        largest_step_wh: Largest step of the gauge.
        base_w: What the board takes beside our inferences, by model or sensor, over the last minute.
        at_s: When it was updated, monotonic clock.
        usual: ``k`` as former discharges taught it.
        usual_sd: Its standard deviation for this one; ``None``: there were none.
    """

    start_wh: float | None = None
    start_pct: float = 100.0
    step_wh: float = 0.0
    square: float = 0.0
    product: float = 0.0
    last_square: float = 0.0
    last_product: float = 0.0
    counted_j: float = 0.0
    largest_step_wh: float = 0.0
    base_w: float | None = None
    at_s: float | None = None
    usual: float = 1.0
    usual_sd: float | None = None


class Prospect(Struct, frozen=True, kw_only=True, gc=False):
    """What is still to be had, in counted joules.

    Attributes:
        factor: Joules of the gauge for a counted one: ``k``.
        factor_sd: Its standard deviation.
        even_j: Energy that is left as expected.
        doubt_j: Standard deviation of ``even_j``.
        left_wh: Energy left as the gauge would show it, the reserve included.
    """

    factor: float
    factor_sd: float
    even_j: float
    doubt_j: float
    left_wh: float


def count(fuel: Fuel, wh: float, pct: float, watts: float, base_w: float, at_s: float) -> Fuel:
    """Take in a reading of the gauge, and what the board took since the last one."""
    if fuel.start_wh is None or fuel.at_s is None or at_s < fuel.at_s or wh > fuel.step_wh + 2 * _jump(fuel):
        fresh = rested(fuel)  # new, or charged meanwhile
        return evolve(fresh, start_wh=wh, start_pct=pct, step_wh=wh, base_w=base_w, at_s=at_s)
    dt_s = at_s - fuel.at_s
    counted_j = fuel.counted_j + watts * dt_s
    share = -math.expm1(-dt_s / _BASE_TAU_S)
    old = base_w if fuel.base_w is None else fuel.base_w
    after = evolve(fuel, counted_j=counted_j, base_w=old + share * (base_w - old), at_s=at_s)
    if wh == fuel.step_wh:
        return after
    moved_wh = abs(fuel.step_wh - wh)
    after = evolve(after, step_wh=wh, largest_step_wh=max(fuel.largest_step_wh, moved_wh))
    full_wh = _full_wh(after)
    sure = max(3600.0 * _gauge_sd_wh(after, full_wh), _LEAST_J) ** -2
    square, product = sure * counted_j**2, sure * counted_j * 3600.0 * (fuel.start_wh - wh)
    alike = min(100.0 * moved_wh / full_wh / _ALIKE_PCT, 1.0)
    return evolve(
        after,
        square=fuel.square + alike * square,
        product=fuel.product + alike * product,
        last_square=square,
        last_product=product,
    )


def rested(fuel: Fuel) -> Fuel:
    """Return what holds when the battery has been charged, or after a restart: what the discharge taught of ``k``."""
    if fuel.start_wh is None:
        return fuel if fuel.at_s is None else Fuel(usual=fuel.usual, usual_sd=fuel.usual_sd)
    factor, sd = _factor(fuel, sensor=False)
    return Fuel(usual=factor, usual_sd=min(math.hypot(sd, _DAYS_SD), _PRIOR_SD))


def prospect(fuel: Fuel, *, sensor: bool) -> Prospect:
    """Return what is known now; ``sensor``: whether the counted energy was measured."""
    assert fuel.start_wh is not None
    full_wh = _full_wh(fuel)
    factor, sd = _factor(fuel, sensor=sensor)
    band_wh = _BAND * _gauge_sd_wh(fuel, full_wh) + fuel.largest_step_wh
    low_wh, high_wh = fuel.step_wh - band_wh, fuel.step_wh + band_wh
    reserve_wh = RESERVE * full_wh

    def future_j(k: float) -> float:
        left_wh = min(max(fuel.start_wh - k * fuel.counted_j / 3600.0, low_wh), high_wh) if fuel.start_wh else 0.0
        return 3600.0 * max(left_wh - reserve_wh, 0.0) / k

    even_j = future_j(factor)
    return Prospect(
        factor=factor,
        factor_sd=sd,
        even_j=even_j,
        doubt_j=(even_j - future_j(factor + _FAR * sd)) / _FAR,
        left_wh=even_j * factor / 3600.0 + reserve_wh,
    )


def allowance_j(known: Prospect, *, extra_j: float, base_w: float, seconds: float, inputs: float) -> float:
    """Return the energy that each input until the end may take, in counted joules above the board without us.

    Args:
        known: What is left.
        extra_j: Energy that is going to come in, as the app says.
        base_w: Watts without us.
        seconds: Until the end.
        inputs: That are still expected.
    """
    if inputs <= 0:
        return math.inf
    return max((known.even_j - base_w * seconds + extra_j) / inputs, 0.0)


def _factor(fuel: Fuel, *, sensor: bool) -> tuple[float, float]:
    """Return ``k`` and its standard deviation."""
    prior = (fuel.usual_sd or (_SENSOR_PRIOR_SD if sensor else _PRIOR_SD)) ** -2
    square, product = fuel.square, fuel.product
    if fuel.last_square > square:  # early, the last step alone says more than all of them that are wrong alike
        square, product = fuel.last_square, fuel.last_product
    return (prior * fuel.usual + product) / (prior + square), (prior + square) ** -0.5


def _full_wh(fuel: Fuel) -> float:
    return max((fuel.start_wh or 0.0) / max(fuel.start_pct, 1.0) * 100.0, 1e-9)


def _jump(fuel: Fuel) -> float:
    return max(fuel.largest_step_wh, 1e-3 * (fuel.start_wh or 0.0))


def _gauge_sd_wh(fuel: Fuel, full_wh: float) -> float:
    share = min(max(fuel.step_wh / full_wh, 0.0), 1.0)
    wave = _WAVE_PCT / 100.0 * 4.0 * share * (1.0 - share) * full_wh
    return math.hypot(wave, fuel.largest_step_wh / _ROOT_12)
