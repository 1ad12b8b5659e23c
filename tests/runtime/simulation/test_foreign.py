from __future__ import annotations

from edgehybrid.profiles import load_policy
from edgehybrid.runtime import Context, Controller, Decision, Observation, Snapshot
from edgehybrid.runtime.simulation.mission import drive
from edgehybrid.runtime.simulation.scenario import Ambient, Board, Document, Load, Mission, Random, Scenario
from edgehybrid.runtime.simulation.study import believed_device
from edgehybrid.runtime.simulation.world import draw_world
from edgehybrid.testing.bundles import make_point

POINTS = tuple(
    make_point(name, energy_mj=0.86 * ms, latency_ms=ms, drop=drop)
    for name, ms, drop in (
        ("fp32", 60.0, 0.0),
        ("max", 36.0, 0.005),
        ("high", 22.0, 0.025),
        ("low", 13.0, 0.065),
        ("min", 8.0, 0.15),
    )
)


class Thermometer:
    """A controller that notes which room it believes to be in."""

    def __init__(self, controller: Controller) -> None:
        self.rooms_c: list[float] = []
        self._controller = controller

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Ask the controller, and note the room."""
        decision = self._controller.decide(snapshot, context)
        self.rooms_c.append(self._controller.state.heat.ambient_c)
        return decision

    def observe(self, observation: Observation) -> None:
        """Pass it on."""
        self._controller.observe(observation)


def test_a_foreign_profile_does_not_make_a_hot_room() -> None:
    """A cool board under another board's profile is never taken to be in a room that it would throttle in."""
    doc = Document(
        schema=1,
        device=Board(profile="raspberry-pi-4b", case="fan", slowdown=8.33, believed="raspberry-pi-5"),
        ambient=Ambient(celsius=20.0),
        load=Load(rate_hz=1.0),
        mission=Mission(duration_h=0.1, deadline_ms=400.0, min_quality=0.8625),
        random=Random(seed=29, runs=1, model_error=0.1),
    )
    scenario = Scenario(name="foreign", doc=doc)
    world, told = draw_world(scenario, POINTS), believed_device(scenario)
    driver = Thermometer(Controller(POINTS, told, load_policy("balanced")))
    drive(world, POINTS, driver, believed=told, interval_s=1.0)

    assert max(driver.rooms_c) < 45.0
