"""Arrivals, battery and heat: what the plan is made of."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.profiles import load_device
from edgehybrid.runtime.control.arrivals import Arrivals, arrive, pass_time
from edgehybrid.runtime.control.fuel import Fuel, allowance_j, count, prospect
from edgehybrid.runtime.control.thermal import Heat, feel, per_watt, poles_of, predict

DEVICE = load_device("raspberry-pi-4b")
POLES = poles_of(DEVICE)
HOUR = 3600.0


def test_the_rate_of_inputs_falls_while_none_come() -> None:
    """Ten inputs a second are seen as such; ten minutes later they are not."""
    arrivals = Arrivals()
    for i in range(600):
        arrivals = arrive(arrivals, i / 10)
    assert 10.0 == pytest.approx(arrivals.per_s, rel=0.01)
    assert pass_time(arrivals, 660.0, None).per_s < 0.2


def test_the_pattern_of_the_day_is_learned_and_looked_ahead() -> None:
    """After three days with inputs from 9 to 17 only, the night before expects none until 9, and then what came."""
    arrivals = arrive(Arrivals(), 0.0)
    for minute in range(3 * 24 * 60):
        at_s = 60.0 * minute
        if 9 <= minute // 60 % 24 < 17:
            arrivals = arrive(arrivals, at_s)
        arrivals = pass_time(arrivals, at_s + 59.0, (at_s + 59.0) % 86_400.0)
    assert arrivals.expected(8 * HOUR, day_s=0.5 * HOUR) < 10
    assert 8 * 60 == pytest.approx(arrivals.expected(24 * HOUR, day_s=0.5 * HOUR), rel=0.05)


def drained(true_factor: float, *, hours: float, watts: float = 1.0, step_pct: float = 2.0) -> Fuel:
    """A full battery of 4 Wh whose board really takes ``true_factor`` times what is counted."""
    fuel = Fuel()
    for minute in range(round(hours * 60) + 1):
        pct = 100.0 * (1.0 - true_factor * watts * minute / 60 / 4.0)
        shown = math.ceil(pct / step_pct) * step_pct
        fuel = count(fuel, 4.0 * shown / 100, shown, watts, watts, 60.0 * minute)
    return fuel


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.2])
def test_the_gauge_teaches_how_wrong_the_watts_are(factor: float) -> None:
    """The factor is found, and its doubt falls as the battery does."""
    early, late = prospect(drained(factor, hours=0.5), sensor=False), prospect(drained(factor, hours=2.5), sensor=False)
    assert factor == pytest.approx(late.factor, abs=0.03)
    assert late.factor_sd < early.factor_sd / 2
    assert 0.0 < late.doubt_j < early.doubt_j


def test_between_two_steps_of_the_gauge_the_count_goes_on() -> None:
    """Energy left falls smoothly, not by the gauge's steps."""
    left = [prospect(drained(1.0, hours=1.0 + k / 60), sensor=False).left_wh for k in range(6)]
    falls = [a - b for a, b in pairwise(left)]
    assert all(0.0 < fall < 0.06 for fall in falls)


@given(
    hours=st.floats(0.1, 3.5),
    base=st.floats(0.1, 2.0),
    inputs=st.floats(1, 1e5),
    extra=st.floats(0, 1e4),
)
def test_more_energy_never_allows_less(hours: float, base: float, inputs: float, extra: float) -> None:
    """The allowance rises with the energy that is to come, and is never below zero."""
    known = prospect(drained(1.0, hours=hours), sensor=False)
    without, with_more = (
        allowance_j(known, extra_j=e, base_w=base, seconds=3600.0, inputs=inputs) for e in (0.0, extra)
    )
    assert 0.0 <= without <= with_more


def warmed(minutes: int, ambient_c: float, gain: float) -> tuple[Heat, float]:
    """A board in another case and room than believed, under a load that changes every minute."""
    heat, rise, temp_c = Heat(), [p.kelvin_per_w * 2.65 for p in POLES], 0.0
    for second in range(0, 60 * minutes, 2):
        watts = 2.65 + (second // 60 % 4)
        rise = [
            p.kelvin_per_w * watts + (x - p.kelvin_per_w * watts) * math.exp(-2.0 / p.tau_s)
            for x, p in zip(rise, POLES, strict=True)
        ]
        temp_c = ambient_c + gain * sum(rise)
        heat = feel(heat, POLES, watts, round(temp_c * 2) / 2, float(second + 2))
    return heat, temp_c


@pytest.mark.parametrize(("ambient_c", "gain"), [(15.0, 1.0), (36.0, 0.8), (22.0, 1.3)])
def test_ambient_and_gain_are_learned(ambient_c: float, gain: float) -> None:
    """Ten minutes teach the room and the case well enough for a degree a minute ahead."""
    heat, _ = warmed(10, ambient_c, gain)
    longer = ambient_c + gain * sum(
        p.kelvin_per_w * 4.0 + (x - p.kelvin_per_w * 4.0) * math.exp(-60.0 / p.tau_s)
        for x, p in zip(heat.rise_c, POLES, strict=True)
    )
    assert longer == pytest.approx(predict(heat, POLES, 4.0, 60.0), abs=1.0)


@given(watts=st.floats(0, 10), more=st.floats(0, 10), ahead_s=st.floats(5, 600))
def test_every_watt_adds_as_much(watts: float, more: float, ahead_s: float) -> None:
    """The temperature ahead is a straight line in the watts, as steep as ``per_watt`` times the gain says."""
    heat, _ = warmed(5, 22.0, 1.0)
    rise = predict(heat, POLES, watts + more, ahead_s) - predict(heat, POLES, watts, ahead_s)
    assert heat.gain * per_watt(POLES, ahead_s) * more == pytest.approx(rise, abs=1e-6)


@given(cores=st.lists(st.floats(0, 4), min_size=60, max_size=200), kelvin=st.floats(0.0, 0.5))
def test_a_foreign_board_is_not_taken_for_a_hot_room(cores: list[float], kelvin: float) -> None:
    """However far the profile's poles are from the truth, the pair stays consistent and explains what is read."""
    heat, temp_c = Heat(), 0.0
    for i, busy in enumerate(cores):
        watts = 2.65 + 0.8 * busy
        temp_c = 20.0 + kelvin * watts  # hardly warms up at all
        heat = feel(heat, POLES, watts, round(temp_c * 2) / 2, 2.0 * i)
        assert heat.covariance**2 <= heat.ambient_variance * heat.gain_variance * (1 + 1e-6)
    assert temp_c == pytest.approx(heat.ambient_c + heat.gain * sum(heat.rise_c), abs=6.0)
