"""Joules by a power sensor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.profiles import load_device
from edgehybrid.runtime.energy import EnergyModel, Meter
from edgehybrid.runtime.telemetry import Reading, Snapshot
from edgehybrid.runtime.telemetry.snapshot import Scope

PI4 = EnergyModel(load_device("raspberry-pi-4b"))


def look(t: float, watts: float | None, load_pct: float, scope: Scope = "board") -> Snapshot:
    """A snapshot with a power sensor of 2 %."""
    reading = Reading(value=watts, source="ina", scope=scope, uncertainty=0.02 * watts if watts else None)
    return Snapshot(
        at_s=t,
        power_w=watts,
        power_scope=scope if watts else None,
        cpu_load_pct=load_pct,
        readings={"power_w": reading},
    )


def work(*, idle_w: float, core_w: float, ours: float = 1.0, scope: Scope = "board", gaps: bool = False) -> Meter:
    """Meter ten minutes idle, then ten minutes with one of four cores busy, of which ``ours`` is inference."""
    meter = Meter(model=PI4)
    for t in range(0, 1201, 2):
        busy = t > 600
        watts = idle_w + core_w if busy else idle_w
        if busy:
            meter = meter.add_inference(2.0 * ours, 2.0)
        meter = meter.add_snapshot(look(t, None if gaps and t % 200 < 20 else watts, 25.0 if busy else 0.0, scope))
    return meter


@pytest.mark.parametrize("ours", [1.0, 0.4])
def test_the_sensor_finds_what_inferences_took(ours: float) -> None:
    """A board unlike its profile, 3.5 W idle and 1.6 W a core: ten minutes cost 960 J, or our share of them."""
    meter = work(idle_w=3.5, core_w=1.6, ours=ours)
    found = meter.by_sensor

    assert found is not None
    assert "sensor" == found.method
    assert abs(found.value - 960 * ours) <= found.uncertainty
    assert found.uncertainty < 0.25 * found.value
    assert pytest.approx(3.5, rel=0.03) == meter.model.idle.value
    assert pytest.approx(960 * ours, rel=0.15) == 600 * ours * meter.model.inference(1.0, 1.0).value


def test_gaps_are_filled_by_the_model() -> None:
    """A sensor that falls silent now and then: the rest comes from the model that it has taught."""
    found = work(idle_w=3.5, core_w=1.6, gaps=True).by_sensor

    assert found is not None
    assert abs(found.value - 960) <= found.uncertainty


def test_a_sensor_of_a_part_is_not_the_board() -> None:
    """The processor's own counter corrects no board."""
    meter = work(idle_w=3.5, core_w=1.6, scope="rail")

    assert meter.by_sensor is None
    assert meter.model.correction is None


@given(powers=st.lists(st.none() | st.floats(0, 60), max_size=30), loads=st.lists(st.floats(0, 100), min_size=30))
def test_energy_is_never_negative_nor_certain(powers: list[float | None], loads: list[float]) -> None:
    """Whatever a sensor says, every method gives at least 0 J, and the total is the surest of them."""
    meter = Meter(model=PI4)
    for t, (watts, load) in enumerate(zip(powers, loads, strict=False)):
        meter = meter.add_inference(0.5, 0.5).add_snapshot(look(2.0 * t, watts, load))
    ways = [j for j in (meter.by_model, meter.by_gauge, meter.by_sensor) if j is not None]

    assert all(j.value >= 0 and j.uncertainty >= 0 for j in ways)
    assert min(ways, key=lambda j: j.uncertainty) == meter.total
    assert not ways[0].value or ways[0].uncertainty > 0
