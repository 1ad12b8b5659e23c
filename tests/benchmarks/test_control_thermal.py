"""The predictor and the controller on recorded boards."""

from __future__ import annotations

import pytest

from benchmarks.control.thermal import TRACES, Row, pi_3b, plant, recorded, rows_of
from edgehybrid.profiles import load_device, load_policy
from edgehybrid.runtime import Controller, Observation, Snapshot
from edgehybrid.testing.bundles import make_point

DEVICES = {"1MFf": load_device("raspberry-pi-4b"), "4hOp": pi_3b()}


def test_a_minute_ahead_on_a_plant_that_is_ten_percent_off() -> None:
    """The prediction is right within a kelvin and a half, four times better than that nothing changes."""
    found = plant(DEVICES["1MFf"], seed=1)
    assert found["rms_c"] < 1.5
    assert found["rms_c"] < found["persistence_c"] / 4


@pytest.mark.parametrize("trace", DEVICES)
def test_recorded_boards_are_foretold_better_than_by_persistence(trace: str) -> None:
    """With watts that are only guessed from the load."""
    found = recorded(_rows(trace), DEVICES[trace])
    assert found["rms_c"] < found["persistence_c"] / 2


@pytest.mark.parametrize("trace", DEVICES)
def test_a_recorded_hot_board_is_answered_with_reasons(trace: str) -> None:
    """Replayed: always a reason, the cheapest point once it is too hot, a guard while the firmware throttles."""
    device = DEVICES[trace]
    points = [make_point(f"p{i}", energy_mj=200.0 / (i + 1), latency_ms=100.0 / (i + 1), drop=i / 50) for i in range(4)]
    controller = Controller(points, device, load_policy("balanced"))
    for row in _rows(trace):
        load = 100.0 * row.cores / device.cpu.cores
        now = Snapshot(at_s=row.at_s, soc_temp_c=row.temp_c, cpu_load_pct=load, throttled=row.slowed)
        decision = controller.decide(now)
        assert decision.point in decision.reason
        assert decision.guard or not row.slowed
        if row.temp_c > device.thermal.throttle_c:
            assert "p3" == decision.point
        controller.observe(Observation(at_s=row.at_s, point=decision.point, depth=1, latency_s=0.1))


def _rows(trace: str) -> list[Row]:
    path = TRACES / "board-thermal-power" / f"{trace}.csv"
    if not path.is_file():
        pytest.skip("the recorded traces are not here")
    return rows_of(path, DEVICES[trace])
