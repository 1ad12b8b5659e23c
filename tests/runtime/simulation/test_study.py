"""Controllers, baselines and oracles in the same worlds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgehybrid.errors import RequestError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation import (
    CONTROLLERS,
    Ambient,
    Board,
    Contention,
    Load,
    Mission,
    Pack,
    Random,
    Scenario,
    Solar,
    draw_world,
    drive,
    make_trace,
    run_study,
)
from edgehybrid.runtime.simulation.mixture import best_within, cheapest_reaching, climb
from edgehybrid.runtime.simulation.options import late_worth
from edgehybrid.runtime.simulation.study import believed_device, make_driver, make_task
from edgehybrid.runtime.simulation.tabling import answered_after, tabulate
from edgehybrid.runtime.telemetry import Snapshot

Points = tuple[OperatingPoint, ...]
Make = Callable[..., Scenario]
DRIVEN = [name for name in CONTROLLERS if not name.startswith("oracle")]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(DRIVEN),
    seed=st.integers(0, 10**6),
    deadline_ms=st.sampled_from([60.0, 150.0, 400.0, 900.0]),
    model=st.sampled_from(["none", "compute", "memory"]),
)
def test_the_oracle_is_never_worse_at_the_same_energy(
    points: Points, scenario: Make, policy: Policy, name: str, seed: int, deadline_ms: float, model: str
) -> None:
    """No controller reaches more quality with as much energy, nor as much with less, than the linear program."""
    made = scenario(
        duration_h=0.08,
        deadline_ms=deadline_ms,
        contention=Contention(model=model, mean_on_s=30, mean_off_s=30),  # type: ignore[arg-type]  # drawn
        random=Random(seed=seed, model_error=0.1),
    )
    world, task = draw_world(made, points), make_task(made, points, policy)
    outcome = drive(world, points, make_driver(name, world, task), believed=task.device, interval_s=2.0)
    table = tabulate(world, points)
    steps, count = climb(table.worth, table.energy), outcome.inputs
    slack = 1e-9 * count

    assert 0.0 == outcome.throttled
    assert outcome.worth * count <= best_within(steps, outcome.ours_j + slack).worth + slack
    assert cheapest_reaching(steps, outcome.worth * count - slack).energy <= outcome.ours_j + slack


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_controller_drives(points: Points, scenario: Make, policy: Policy, name: str) -> None:
    """Each name makes something that brings the mission to its end, twice alike."""
    made = scenario(duration_h=0.1, deadline_ms=400.0, battery=Pack(capacity_wh=5.0))
    first, again = (run_study(made, points, policy, controllers=[name], runs=1).result(name) for _ in range(2))

    assert 360 == first.outcomes[0].inputs
    assert repr(first.outcomes) == repr(again.outcomes)


def test_the_oracle_lasts_to_the_end(points: Points, scenario: Make, policy: Policy) -> None:
    """With a battery that is too small for the best point, the oracle spends it all, and no more."""
    mission = Mission(duration_h=2.0, last_until_end=True, deadline_ms=900.0)
    board = Board(profile="raspberry-pi-4b", slowdown=10.0)
    made = scenario(device=board, mission=mission, battery=Pack(capacity_wh=5.8))
    study = run_study(made, points, policy, controllers=["fixed", "oracle-static"], runs=1)
    oracle, static = study.result("oracle").outcomes[0], study.result("oracle-static").outcomes[0]

    assert oracle.died_h is None
    assert (oracle.battery_pct or 0.0) < 3.0
    assert static.worth < oracle.worth
    assert len(oracle.points) >= 2


def test_the_oracle_stays_cool(points: Points, scenario: Make, policy: Policy) -> None:
    """Where the best point throttles a hot board, the oracle does not, and still does better than the cheapest."""
    mission = Mission(duration_h=0.5)
    made = scenario(
        device=Board(profile="raspberry-pi-4b", slowdown=11.0),
        mission=mission,
        ambient=Ambient(celsius=55.5),
        load=Load(rate_hz=1.0),
    )
    study = run_study(made, points[1:], policy, controllers=["race", "oracle"], runs=1)

    assert study.result("race").outcomes[0].throttled > 0.2
    assert study.result("oracle").outcomes[0].throttled < 0.02
    assert study.result("oracle").outcomes[0].worth > 0.85


def test_the_oracle_waits_for_the_sun(points: Points, scenario: Make, policy: Policy) -> None:
    """Energy that comes at noon is not spent in the morning."""
    sun = make_trace(np.asarray([0.0, 7199.0, 7200.0, 14400.0]), np.asarray([0.0, 0.0, 1000.0, 1000.0]))
    made = scenario(
        device=Board(profile="raspberry-pi-4b", slowdown=10.0),
        mission=Mission(duration_h=4.0, last_until_end=True),
        battery=Pack(capacity_wh=20.0, charge=0.3),
        solar=Solar(trace="", panel_w=8.0),
        solar_trace=sun,
    )
    study = run_study(made, points, policy, controllers=["race"], runs=1, trail=True)
    oracle, race = study.result("oracle").outcomes[0], study.result("race").outcomes[0]
    assert oracle.trail is not None
    early = oracle.trail.worth[oracle.trail.at_s < 7000].mean()

    assert oracle.died_h is None
    assert race.died_h is not None
    assert early < oracle.trail.worth[oracle.trail.at_s > 7400].mean()


def test_the_oracle_eases_the_queue(points: Points, scenario: Make, policy: Policy) -> None:
    """Where inputs come in groups, the oracle answers some quickly so that those behind are in time."""
    made = scenario(
        duration_h=0.2,
        deadline_ms=600.0,
        load=Load(arrivals="trace"),
        load_trace=make_trace(np.asarray([0.0, 5.0]), np.asarray([4.0, 4.0])),
    )
    study = run_study(made, points, policy, controllers=["fixed", "alert", "oracle-static"], runs=1)

    assert study.result("oracle").outcomes[0].late < 0.02
    assert min(study.result("alert").lost[0], study.result("oracle-static").lost[0]) >= 0.0


def test_answers_come_in_turn() -> None:
    """Two inputs at once: the second waits for the first."""
    after = answered_after(np.asarray([0.0, 0.0, 5.0]), np.asarray([1.0, 2.0, 1.0]))

    assert [1.0, 3.0, 1.0] == after.tolist()


def test_controllers_see_the_device_that_is_believed(points: Points, scenario: Make) -> None:
    """A foreign profile reaches the controllers, not the board."""
    made = scenario(device=Board(profile="raspberry-pi-4b", believed="generic-linux", idle_w=1.0))

    assert "generic-linux" == believed_device(made).name
    assert 1.0 == draw_world(made, points).device.power.idle_w


def test_a_controller_sees_only_what_a_device_tells(
    points: Points, scenario: Make, board: DeviceProfile, policy: Policy
) -> None:
    """Snapshots and observations are those of the engine: battery in steps, latency as it was, joules by the model."""
    seen: list[Snapshot] = []
    costs: list[Observation] = []

    class Watcher:
        def decide(self, snapshot: Snapshot, context: Context) -> Decision:
            assert 0.4 == context.deadline_s
            assert 360.0 == context.until_s
            seen.append(snapshot)
            return Decision(at_s=snapshot.at_s, point="max", reason="")

        def observe(self, observation: Observation) -> None:
            costs.append(observation)

    mission = Mission(duration_h=0.1, deadline_ms=400.0, last_until_end=True)
    world = draw_world(scenario(mission=mission, battery=Pack(capacity_wh=5.0, gauge_step_pct=2.0)), points)
    drive(world, points, Watcher(), believed=board, interval_s=policy.switching.interval_s)

    assert [0.0, 2.0, 4.0] == [snapshot.at_s for snapshot in seen[:3]]
    assert {0.0} == {(snapshot.battery_pct or 0.0) % 2.0 for snapshot in seen}
    assert {False} == {snapshot.on_mains for snapshot in seen}
    assert 360 == len(costs)
    assert all(cost.energy_j and cost.latency_s > 0.1 for cost in costs)


def test_a_late_answer_is_worth_what_the_metric_says(points: Points) -> None:
    """Nothing for an accuracy; for an error the worst point's; else what the scenario says."""
    from dataclasses import replace

    errors = [
        replace(p, quality=replace(p.quality, metric="rmse", value=float(k), higher_is_better=False))
        for k, p in enumerate(points)
    ]

    assert 0.0 == late_worth(points, None)
    assert -3.0 == late_worth(errors, None)
    assert -9.0 == late_worth(errors, 9.0)


def test_unknown_controllers_are_named(points: Points, scenario: Make, policy: Policy) -> None:
    """A misspelled name is told with those that there are."""
    with pytest.raises(RequestError, match="'alret'") as error:
        run_study(scenario(), points, policy, controllers=["alret"])

    assert "alert-app" in str(error.value)
