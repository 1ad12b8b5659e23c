"""Two poles and what surrounds them: the temperature a minute ahead, and what each watt does to it.

Two time constants are needed: the quick one (3 to 12 s) makes threshold controllers swing, the slow one (60 to 450 s)
is the budget to plan with. The poles of the board's profile are driven by the watts that it takes; ambient and gain
(what case and wind change) are learned from the sensor by recursive least squares that forgets:

    T = ambient + gain · (x1 + x2),   dx_k/dt = (R_k P - x_k) / tau_k
"""

from __future__ import annotations

import math
from functools import lru_cache

from msgspec import Struct

from edgehybrid.profiles import DeviceProfile

AHEAD_S = 60.0
"""How far ahead the watts are planned: about the slow pole of a bare board."""

_BARE = ((2.91, 5.0), (4.85, 100.0))  # K/W and s of a bare Pi 4B, for profiles without poles
_SENSOR_VARIANCE = 0.15  # half-degree steps and some noise
_AMBIENT_VARIANCE, _GAIN_VARIANCE = 100.0, 0.04  # at first
_AMBIENT_WANDER, _GAIN_WANDER = 4e-3, 2e-6  # variances a second
_GAIN_RANGE = (0.3, 3.0)
_FIRST_AMBIENT_C = 25.0
_MOVING = 0.1  # of a rise since the last reading is not to be trusted: nobody knows how the load was spread


class HeatPole(Struct, frozen=True, kw_only=True, gc=False):
    """Temperature above ambient per watt of the whole board, and how fast it gets there."""

    kelvin_per_w: float
    tau_s: float


class Heat(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of the temperature.

    Attributes:
        rise_c: Temperature of each pole by the profile alone; empty before the first reading.
        ambient_c: Learned.
        gain: Learned; 1 = as the profile says.
        ambient_variance: Of ``ambient_c``.
        gain_variance: Of ``gain``.
        covariance: Of the two.
        at_s: When it was updated, monotonic clock.
    """

    rise_c: tuple[float, ...] = ()
    ambient_c: float = _FIRST_AMBIENT_C
    gain: float = 1.0
    ambient_variance: float = _AMBIENT_VARIANCE
    gain_variance: float = _GAIN_VARIANCE
    covariance: float = 0.0
    at_s: float | None = None


def poles_of(device: DeviceProfile) -> tuple[HeatPole, ...]:
    """Return the poles of a profile, per watt; those of a bare Raspberry Pi 4B where it has none."""
    step_w = device.power.busy_w[-1] - device.power.idle_w
    if not device.thermal.poles or step_w <= 0:
        return tuple(HeatPole(kelvin_per_w=kelvin, tau_s=tau_s) for kelvin, tau_s in _BARE)
    return tuple(HeatPole(kelvin_per_w=pole.kelvin / step_w, tau_s=pole.tau_s) for pole in device.thermal.poles)


def feel(heat: Heat, poles: tuple[HeatPole, ...], watts: float, temp_c: float, at_s: float) -> Heat:
    """Take in a reading.

    Args:
        heat: So far.
        poles: Of the profile.
        watts: What the board took since the last reading.
        temp_c: What the sensor says now.
        at_s: Now.
    """
    if heat.at_s is None or at_s < heat.at_s or not heat.rise_c:
        rest = tuple(pole.kelvin_per_w * watts for pole in poles)  # taken to have been so for long
        fresh = Heat(rise_c=rest, gain=heat.gain, gain_variance=_GAIN_VARIANCE)
        return _seen(fresh, temp_c, rise=rest, at_s=at_s, dt_s=0.0)
    dt_s = at_s - heat.at_s
    rise = tuple(
        pole.kelvin_per_w * watts + (x - pole.kelvin_per_w * watts) * math.exp(-dt_s / pole.tau_s)
        for x, pole in zip(heat.rise_c, poles, strict=True)
    )
    return _seen(heat, temp_c, rise=rise, at_s=at_s, dt_s=dt_s)


def predict(heat: Heat, poles: tuple[HeatPole, ...], watts: float, ahead_s: float) -> float:
    """Return the temperature after ``ahead_s`` at ``watts``, in °C."""
    total = 0.0
    for x, pole in zip(heat.rise_c, poles, strict=True):
        end = pole.kelvin_per_w * watts
        total += end + (x - end) * math.exp(-ahead_s / pole.tau_s)
    return heat.ambient_c + heat.gain * total


@lru_cache(maxsize=64)
def per_watt(poles: tuple[HeatPole, ...], ahead_s: float) -> float:
    """Return how many kelvins every watt that lasts adds after ``ahead_s``, by the profile."""
    return sum(pole.kelvin_per_w * -math.expm1(-ahead_s / pole.tau_s) for pole in poles)


def _seen(heat: Heat, temp_c: float, *, rise: tuple[float, ...], at_s: float, dt_s: float) -> Heat:
    """One step of the least squares: ``T = ambient + gain · x``; after ``x`` has moved much a reading says less.

    Bounds of variances and of the gain keep the pair consistent: a covariance shrinks with its variances, and a gain
    held at its bound moves the ambient as the covariance says.
    """
    x = sum(rise)
    va, vg = heat.ambient_variance + _AMBIENT_WANDER * dt_s, heat.gain_variance + _GAIN_WANDER * dt_s
    c = heat.covariance
    if va > _AMBIENT_VARIANCE:
        va, c = _AMBIENT_VARIANCE, c * math.sqrt(_AMBIENT_VARIANCE / va)
    if vg > _GAIN_VARIANCE:
        vg, c = _GAIN_VARIANCE, c * math.sqrt(_GAIN_VARIANCE / vg)
    pa, pg = va + c * x, c + vg * x  # covariance of each with the prediction
    total = pa + pg * x + _SENSOR_VARIANCE + (_MOVING * (x - sum(heat.rise_c))) ** 2
    error = temp_c - heat.ambient_c - heat.gain * x
    ka, kg = pa / total, pg / total
    va, vg, c = max(va - ka * pa, 1e-6), max(vg - kg * pg, 1e-8), c - ka * pg
    ambient_c, free = heat.ambient_c + ka * error, heat.gain + kg * error
    gain = min(max(free, _GAIN_RANGE[0]), _GAIN_RANGE[1])
    return Heat(
        rise_c=rise,
        at_s=at_s,
        ambient_c=ambient_c + c / vg * (gain - free),
        gain=gain,
        ambient_variance=va,
        gain_variance=vg,
        covariance=c,
    )
