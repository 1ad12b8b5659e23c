"""Power from the steps of a gauge."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.telemetry import Slope


def follow(watts: float, *, step_wh: float, seconds: int, every: int = 2, start_wh: float = 20.0) -> Slope:
    """Push a battery drained by ``watts`` through a gauge that knows only whole steps."""
    slope = Slope()
    for t in range(0, seconds, every):
        slope = slope.push(float(t), math.floor((start_wh - watts * t / 3600) / step_wh) * step_wh)
    return slope


@given(watts=st.floats(1.0, 12.0), step=st.floats(0.01, 0.3))
def test_the_slope_is_within_its_uncertainty(watts: float, step: float) -> None:
    """For any drain and any step of the gauge, truth lies within the uncertainty that is stated."""
    found = follow(watts, step_wh=step, seconds=1800).watts()

    if found is not None:  # two jumps have happened
        assert abs(found[0] - watts) <= found[1] + 0.02 * watts


def test_a_charging_battery_has_negative_power() -> None:
    """The sign is that of the energy that leaves the battery."""
    found = follow(-8.0, step_wh=0.1, seconds=600, start_wh=5.0).watts()

    assert found is not None
    assert pytest.approx(-8.0, rel=0.1) == found[0]


def test_nothing_is_said_before_the_gauge_has_moved_twice() -> None:
    """A gauge that stands still, or moved once, tells neither power nor direction."""
    slope = Slope().push(0, 10).push(100, 10).push(200, 9.9)

    assert slope.watts() is None
    assert 0 == slope.direction


def test_direction_follows_the_steps_and_turns_with_them() -> None:
    """Falling is 1; after the charger is plugged in, the old steps are forgotten."""
    falling = Slope().push(0, 10).push(60, 9.9).push(120, 9.8).push(180, 9.7)
    turned = falling.push(240, 9.8).push(300, 9.9)

    assert 1 == falling.direction
    assert -1 == turned.push(360, 10.0).direction
    assert turned.watts() is not None


def test_a_gauge_that_stands_still_longer_than_its_pace_lowers_the_power() -> None:
    """After 0.1 Wh a minute, ten minutes without a step mean less than 0.1 Wh in ten minutes."""
    slope = Slope().push(0, 10).push(60, 9.9).push(120, 9.8).push(180, 9.7)
    found = slope.watts(780)

    assert found is not None
    assert pytest.approx(0.6) == found[0]


def test_time_that_goes_back_starts_anew() -> None:
    """A clock that jumps back makes no negative span."""
    slope = Slope().push(100, 10).push(160, 9.9).push(220, 9.8).push(50, 9.7)

    assert slope.watts() is None


def test_the_window_forgets() -> None:
    """Old steps leave once newer ones suffice."""
    slope = Slope(window_s=300)
    for n in range(100):
        slope = slope.push(60.0 * n, 20 - 0.1 * n)

    assert slope.edges[-1].at_s - slope.edges[0].at_s <= 420
