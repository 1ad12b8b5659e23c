"""Joules by model and by gauge."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.profiles import device_names, load_device
from edgehybrid.runtime.energy import EnergyModel, Gauge, Meter
from edgehybrid.runtime.telemetry import Snapshot

PI4 = EnergyModel(load_device("raspberry-pi-4b"))


def test_one_busy_core_for_a_second_costs_its_measured_watts() -> None:
    """3.51 W with one core busy, 2.65 W idle: 0.86 J, ± 20 % as the profile says."""
    cost = PI4.inference(1.0, 1.0)

    assert pytest.approx(0.86) == cost.value
    assert pytest.approx(0.172) == cost.uncertainty
    assert "model" == cost.method


def test_four_threads_cost_the_watts_of_four_cores() -> None:
    """Four CPU seconds within one second take what the board took with four cores busy."""
    assert pytest.approx(5.91 - 2.65) == PI4.inference(4.0, 1.0).value


@pytest.mark.parametrize(("busy", "watts"), [(0, 2.65), (1, 3.51), (1.5, 3.925), (4, 5.91), (9, 5.91), (-1, 2.65)])
def test_watts_lie_on_straight_lines_between_the_measured_ones(busy: float, watts: float) -> None:
    """And beyond the last measured figure, on it."""
    assert pytest.approx(watts) == PI4.watts(busy).value


@given(name=st.sampled_from(device_names()), cpu=st.floats(0, 100), more=st.floats(0, 10), wall=st.floats(0.001, 100))
def test_more_work_never_costs_less(name: str, cpu: float, more: float, wall: float) -> None:
    """Energy is at least 0 and rises with CPU time, whatever the latency."""
    model = EnergyModel(load_device(name))
    less = model.inference(cpu, wall)

    assert 0 <= less.value <= model.inference(cpu + more, wall).value + 1e-9
    assert pytest.approx(less.value * model.device.power.uncertainty) == less.uncertainty


def test_no_work_and_no_time_cost_nothing_odd() -> None:
    """Zero CPU seconds cost 0 J; zero wall seconds count as one core."""
    assert 0.0 == PI4.inference(0.0, 1.0).value
    assert 0.0 == PI4.inference(0.0, 0.0).value
    assert pytest.approx(0.86) == PI4.inference(1.0, 0.0).value


def test_the_gauge_finds_the_drain_of_a_stepped_battery() -> None:
    """A 20 Wh battery with a 1 % gauge under 6 W: 6 W within the stated uncertainty after 20 minutes."""
    gauge = Gauge()
    for t in range(0, 1200, 5):
        pct = math.floor(100 - 6 * t / 3600 / 20 * 100)
        gauge = gauge.push(Snapshot(at_s=t, battery_wh=20 * pct / 100))

    assert gauge.watts is not None
    assert abs(gauge.watts.value - 6) <= gauge.watts.uncertainty
    assert "gauge" == gauge.watts.method
    assert gauge.push(Snapshot(at_s=9999)) == gauge


def run(hours: float, *, board_w: float, on_mains: bool = False) -> Meter:
    """Meter a board on which inferences keep one of four cores busy all the time; 1 % gauge of a 40 Wh pack."""
    meter = Meter(model=PI4)
    for t in range(0, int(hours * 3600), 30):
        wh = 40 * math.floor(100 - board_w * t / 3600 / 40 * 100) / 100
        meter = meter.add_snapshot(Snapshot(at_s=t, battery_wh=wh, cpu_load_pct=25.0, on_mains=on_mains))
        meter = meter.add_inference(30.0, 30.0)
    return meter


def test_after_a_minute_the_model_is_surer() -> None:
    """One step of the gauge is more than a minute's energy."""
    total = run(1 / 30, board_w=3.51).total

    assert "model" == total.method
    assert pytest.approx(4 * 30 * 0.86) == total.value


def test_by_the_gauge_a_board_that_takes_more_than_its_profile_shows() -> None:
    """The gauge gives the excess over idle: 6 W instead of 3.51 W means 3.35 W of work, not 0.86 W."""
    meter = run(5, board_w=6.0)
    found = meter.by_gauge

    assert found is not None
    assert abs(found.value - 5 * 3600 * (6.0 - 2.65)) <= found.uncertainty
    assert found.value > 2 * meter.by_model.value


def test_the_surer_of_the_two_is_the_total() -> None:
    """Whatever the method, the total is the one with the smaller uncertainty, and says which."""
    for hours in (0.1, 1, 5):
        meter = run(hours, board_w=3.51)
        both = [j for j in (meter.by_model, meter.by_gauge) if j is not None]

        assert min(both, key=lambda j: j.uncertainty) == meter.total


def test_on_the_mains_the_gauge_tells_nothing() -> None:
    """What the charger feeds is not seen by the battery; so the model counts."""
    meter = run(1, board_w=3.51, on_mains=True)

    assert meter.by_gauge is None
    assert "model" == meter.total.method


def test_work_before_the_first_snapshot_keeps_the_gauge_out() -> None:
    """The gauge must have seen everything, or its share would be wrong."""
    meter = Meter(model=PI4).add_inference(1.0, 1.0)
    for t in range(0, 3600, 60):
        meter = meter.add_snapshot(Snapshot(at_s=t, battery_wh=20 - t / 3600 * 3, cpu_load_pct=50))

    assert meter.by_gauge is None
