"""A foreign device's profile: what it costs after twenty inferences that the figures are another board's.

The board is a Raspberry Pi 4B, the controller is given the profile of another one, the bundle's latencies are off by a
factor that it is not told, and each point by 10 %. From the twentieth input on, the energy is compared with that of the
oracle which knows the board (but no input before it has run) for the same mean quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.control.protocol import SHARES, Setting, scenario_of, slowdown_of
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import Policy
from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation.drivers import Driver, Script
from edgehybrid.runtime.simulation.mission import drive
from edgehybrid.runtime.simulation.options import late_worth, make_option
from edgehybrid.runtime.simulation.plant import core_w
from edgehybrid.runtime.simulation.study import OURS, believed_device, make_driver, make_task
from edgehybrid.runtime.simulation.world import World, draw_world
from edgehybrid.runtime.telemetry import Snapshot

BELIEVED = ("raspberry-pi-zero-2w", "raspberry-pi-5", "generic-linux")
WARM_UP = 20
_DEADLINES = (0.8, 1.3, 2.0)
_FACTORS = (0.5, 2.0)


class _Ears:
    """Keeps what each inference of a driver really took and brought."""

    def __init__(self, driver: Driver, world: World, points: Sequence[OperatingPoint]) -> None:
        self._driver, self._world = driver, world
        self._points = {point.name: point for point in points}
        self._late = late_worth(points, None)
        self.joules: list[float] = []
        self.worths: list[float] = []

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Ask the driver."""
        return self._driver.decide(snapshot, context)

    def observe(self, observation: Observation) -> None:
        """Note it, and pass it on."""
        option = make_option(self._points[observation.point], 0.0, observation.threads)
        stage = observation.depth - 1
        cpu_s = observation.latency_s / option.latency_s[stage] * option.cpu_s[stage]
        self.joules.append(cpu_s * core_w(self._world.device.power, option.threads))
        late = observation.latency_s > (self._world.scenario.deadline_s or np.inf)
        self.worths.append(self._late if late else option.mean_worth)
        self._driver.observe(observation)


def foreign(points: Sequence[OperatingPoint], policy: Policy) -> Mapping[str, float]:
    """Return mean, median and largest regret, and the quality that was missing, over boards, factors and goals."""
    regrets, short = [], []
    quality = [point.quality.value for point in points]
    cases = [(b, f, d, s) for b in BELIEVED for f in _FACTORS for d in _DEADLINES for s in SHARES]
    for seed, (believed, factor, deadline, share) in enumerate(cases):
        goal = min(quality) + share * (max(quality) - min(quality))
        scenario = scenario_of(Setting(environment="none", deadline=deadline, min_quality=goal), points, seed)
        board = replace(scenario.doc.device, believed=believed, slowdown=slowdown_of(points) * factor)
        mission = replace(scenario.doc.mission, deadline_ms=(scenario.doc.mission.deadline_ms or 0.0) * factor)
        scenario = replace(scenario, doc=replace(scenario.doc, device=board, mission=mission))
        world, task = draw_world(scenario, points), make_task(scenario, points, policy)
        ours = make_driver(OURS, world, task)
        assert not isinstance(ours, Script)
        ears, told = _Ears(ours, world, points), believed_device(scenario)
        drive(world, points, ears, believed=told, interval_s=1.0)
        reached = float(np.mean(ears.worths[WARM_UP:]))
        wanted = replace(scenario, doc=replace(scenario.doc, mission=replace(mission, min_quality=reached)))
        knowing = draw_world(wanted, points)
        script = make_driver("oracle-blind", knowing, make_task(wanted, points, policy))
        best = drive(knowing, points, script, believed=told, interval_s=1.0)
        regrets.append(float(np.mean(ears.joules[WARM_UP:])) / (best.ours_j / best.inputs) - 1.0)
        short.append(max(goal - reached, 0.0))
    return {
        "cases": float(len(cases)),
        "regret": float(np.mean(regrets)),
        "median": float(np.median(regrets)),
        "worst": float(np.max(regrets)),
        "within_10_pct": float(np.mean(np.asarray(regrets) <= 0.1)),
        "quality_missing": float(np.mean(short)),
    }
