"""The profile's watts, corrected by what was seen."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.profiles import load_device
from edgehybrid.runtime.energy import Correction, EnergyModel, Meter
from edgehybrid.runtime.telemetry import Snapshot

DEVICE = load_device("raspberry-pi-4b")
FULL_W = DEVICE.power.busy_w[-1] - DEVICE.power.idle_w
factors = st.floats(0.4, 2.5)
loads = st.lists(st.floats(0, 4), min_size=40, max_size=40)


def truth(idle: float, scale: float, busy_cores: float) -> float:
    """Watts of a board that takes ``idle`` and ``scale`` times what its profile says."""
    profile = EnergyModel(DEVICE)
    extra = profile.watts(busy_cores).value - DEVICE.power.idle_w
    return idle * DEVICE.power.idle_w + scale * extra


@given(idle=factors, scale=factors, busy=loads)
def test_any_board_is_found_under_varying_load(idle: float, scale: float, busy: list[float]) -> None:
    """Forty readings of an exact sensor, idle and full load among them: every power is right within 5 %."""
    model = EnergyModel(DEVICE)
    for n in (0.0, 4.0, *busy, 0.0, 4.0, 0.0, 4.0):
        watts = truth(idle, scale, n)
        model = model.seen(watts, busy_cores=n, error_w=0.02 * watts)

    for n in (0, 1, 2.5, 4):
        assert pytest.approx(truth(idle, scale, n), rel=0.05) == model.watts(n).value
    one_core = scale * EnergyModel(DEVICE).inference(1.0, 1.0).value
    assert pytest.approx(one_core, rel=0.15) == model.inference(1.0, 1.0).value


@given(
    idle=factors,
    scale=factors,
    seen=st.lists(st.tuples(st.floats(0, 4), st.floats(-0.03, 0.03)), min_size=60, max_size=60),
)
def test_noise_ends_within_the_stated_doubt(idle: float, scale: float, seen: list[tuple[float, float]]) -> None:
    """With readings off by up to 3 %, told as 5 %, power lies within three times the stated half interval."""
    model = EnergyModel(DEVICE)
    for n, noise in ((0.0, 0.0), (4.0, 0.0), *seen, (0.0, 0.0), (4.0, 0.0)):
        watts = truth(idle, scale, n) * (1 + noise)
        model = model.seen(watts, busy_cores=n, error_w=0.05 * watts)

    for n in (0, 2, 4):
        found = model.watts(n)
        assert abs(found.value - truth(idle, scale, n)) <= 3 * found.uncertainty


@given(busy=loads, error=st.floats(0.05, 5))
def test_a_board_that_is_as_its_profile_says_only_makes_it_surer(busy: list[float], error: float) -> None:
    """Nothing moves, and no doubt grows."""
    correction = Correction.of(DEVICE.power)
    for n in busy:
        extra = n / 4 * FULL_W
        before = correction
        correction = correction.seen(DEVICE.power.idle_w + extra, extra_w=extra, error_w=error)

        assert correction.idle_uncertainty <= before.idle_uncertainty + 1e-9
        assert correction.scale_uncertainty <= before.scale_uncertainty + 1e-9
    assert pytest.approx((DEVICE.power.idle_w, 1.0)) == (correction.idle_w, correction.scale)


@given(seen=st.lists(st.tuples(st.floats(-50, 500), st.floats(0, 40), st.floats(1e-6, 1e3)), max_size=50))
def test_whatever_is_seen_it_stays_a_figure(seen: list[tuple[float, float, float]]) -> None:
    """Finite, never negative, never without doubt."""
    correction = Correction.of(DEVICE.power)
    for watts, extra, error in seen:
        correction = correction.seen(watts, extra_w=extra, error_w=error)

    assert all(math.isfinite(v) for v in (correction.idle_w, correction.scale, correction.uncertainty(3.0)))
    assert correction.idle_w >= 0
    assert correction.scale > 0
    assert correction.idle_uncertainty > 0
    assert correction.scale_uncertainty > 0


def test_it_follows_a_board_that_changes() -> None:
    """After a thousand readings a camera is plugged in that takes 1.5 W: found within thirty readings."""
    correction = Correction.of(DEVICE.power)
    for extra_watts, count in ((0.0, 1000), (1.5, 30)):
        for i in range(count):
            busy = i % 5 / 4 * FULL_W
            correction = correction.seen(2.65 + extra_watts + busy, extra_w=busy, error_w=0.15)

    assert pytest.approx(4.15, abs=0.15) == correction.idle_w
    assert pytest.approx(1.0, abs=0.1) == correction.scale


@pytest.mark.parametrize("step_pct", [0.01, 1.0, 3.0])
def test_a_gauge_corrects_the_model(step_pct: float) -> None:
    """A board that takes 4 W idle and 6.5 W busy, a 40 Wh pack: after four hours of both, right within 10 %."""
    meter, left = Meter(model=EnergyModel(DEVICE)), 40.0
    for t in range(0, 14400, 5):
        busy = t // 1200 % 2
        left -= (6.5 if busy else 4.0) * 5 / 3600
        step = 40 * step_pct / 100
        shown = math.floor(left / step) * step
        meter = meter.add_snapshot(Snapshot(at_s=t, battery_wh=shown, cpu_load_pct=100.0 * busy, on_mains=False))

    assert meter.model.correction is not None
    assert pytest.approx(5.25, rel=0.1) == (meter.model.watts(0).value + meter.model.watts(4).value) / 2
    assert meter.model.watts(0).uncertainty < EnergyModel(DEVICE).watts(0).uncertainty


def test_on_the_mains_nothing_is_learned() -> None:
    """What the charger gives is no power of the board."""
    meter = Meter(model=EnergyModel(DEVICE))
    for t in range(0, 3600, 30):
        meter = meter.add_snapshot(Snapshot(at_s=t, battery_wh=20 - t / 3600, cpu_load_pct=50, on_mains=True))

    assert meter.model.correction is None
