"""Every controller in every world of a scenario, beside the oracles, with intervals over the runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgehybrid.errors import RequestError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy, load_device
from edgehybrid.runtime.control import Controller
from edgehybrid.runtime.simulation.baselines import BASELINES, Task
from edgehybrid.runtime.simulation.drivers import Driver, Script
from edgehybrid.runtime.simulation.mission import drive
from edgehybrid.runtime.simulation.options import late_worth, worth
from edgehybrid.runtime.simulation.oracle import oracle_dynamic, oracle_static
from edgehybrid.runtime.simulation.outcome import Outcome
from edgehybrid.runtime.simulation.scenario import Scenario
from edgehybrid.runtime.simulation.world import World, draw_world

OURS, ORACLE, ORACLE_STATIC, ORACLE_BLIND = "edgehybrid", "oracle", "oracle-static", "oracle-blind"
_RESAMPLES = 2000

CONTROLLERS: Mapping[str, str] = {
    OURS: "the controller of this package",
    "fixed": "one point, chosen at the desk",
    "race": "the best point on all cores, then idle",
    "thresholds": "steps by temperature, charge and lateness (Play It Cool, RAMS)",
    "mcdnn": "best point within the energy left for each input (MCDNN)",
    "alert": "point and threads by one filtered slowdown (ALERT)",
    "alert-app": "ALERT, point alone",
    "alert-sys": "ALERT, threads of the quickest point alone",
    "jouleguard": "bandit over threads, controller over points (JouleGuard)",
    "poet": "cheapest pair at the speed that the deadline asks for (POET)",
    "ztt": "bandit over points and duties (zTT)",
    ORACLE_STATIC: "best single configuration, knowing the future",
    ORACLE_BLIND: "best choice for every input, knowing all but the input's own difficulty and jitter",
    ORACLE: "best choice for every input, knowing the future",
}
"""Every controller that can be simulated, with what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Mean over the runs with a 95 % bootstrap interval."""

    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One controller over all runs.

    Attributes:
        name: Of the controller.
        outcomes: One a run.
        lost: What it lost to the oracle in mean quality, a run each; positive is worse.
        more_energy: Energy of its inferences over the oracle's, less one, a run each; ``None`` without.
    """

    name: str
    outcomes: tuple[Outcome, ...]
    lost: tuple[float, ...]
    more_energy: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A scenario, simulated.

    Attributes:
        scenario: What was simulated.
        metric: Of the quality.
        higher_is_better: Its direction.
        results: One a controller, the oracle last.
    """

    scenario: Scenario
    metric: str
    higher_is_better: bool
    results: tuple[Result, ...]

    def shown(self, value: float) -> float:
        """Turn a worth back into the metric's own direction."""
        return value if self.higher_is_better else -value

    def result(self, name: str) -> Result:
        """Return the result of a controller by its name."""
        return next(result for result in self.results if result.name == name)


def run_study(
    scenario: Scenario,
    points: Sequence[OperatingPoint],
    policy: Policy,
    *,
    controllers: Sequence[str] = tuple(CONTROLLERS),
    runs: int | None = None,
    interval_s: float | None = None,
    trail: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> Study:
    """Simulate ``controllers`` in the same worlds; the oracle is always among them.

    Args:
        scenario: What to simulate.
        points: Of a bundle.
        policy: What the owner wants.
        controllers: Names out of ``CONTROLLERS``.
        runs: How many worlds; ``None``: as the scenario says.
        interval_s: Time between two decisions; ``None``: as the policy says.
        trail: Whether to keep the first run over time.
        advance: Called after each controller in each run.

    Raises:
        RequestError: A controller is not known, or there are no points.
    """
    names = _names(controllers)
    if not points:
        raise RequestError("There are no points to choose from.", "Pass the points of a bundle.")
    device, task = believed_device(scenario), make_task(scenario, points, policy)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for run in range(runs or scenario.doc.random.runs):
        world = draw_world(scenario, points, run)
        for name in names:
            outcome = drive(
                world,
                points,
                make_driver(name, world, task),
                believed=device,
                interval_s=interval_s or policy.switching.interval_s,
                trail=trail and run == 0,
            )
            outcomes[name].append(outcome)
            advance()
    oracle = outcomes[ORACLE]
    first = points[0].quality
    return Study(
        scenario=scenario,
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        results=tuple(_result(name, outcomes[name], oracle) for name in names),
    )


def make_driver(name: str, world: World, task: Task) -> Driver | Script:
    """Make a controller by its name, for one world.

    Raises:
        RequestError: There is no such controller.
    """
    if name == OURS:
        return Controller(task.points, task.device, _policy_with_floor(task))
    if name == ORACLE:
        return oracle_dynamic(world, task.points)
    if name == ORACLE_BLIND:
        return oracle_dynamic(world, task.points, blind=True)
    if name == ORACLE_STATIC:
        return oracle_static(world, task.points)
    if name not in BASELINES:
        raise RequestError(f"There is no controller {name!r}.", f"There are {', '.join(CONTROLLERS)}.")
    return BASELINES[name](task)


def make_task(scenario: Scenario, points: Sequence[OperatingPoint], policy: Policy) -> Task:
    """Return what a baseline is told."""
    mission, load = scenario.doc.mission, scenario.doc.load
    if scenario.load is not None:
        period_s = scenario.load.period_s / max(float(scenario.load.values.sum()), 1.0)
    else:
        period_s = 1.0 / (load.rate_hz or 1.0)
    return Task(
        points=tuple(points),
        device=believed_device(scenario),
        policy=policy,
        period_s=period_s,
        deadline_s=scenario.deadline_s,
        duration_s=scenario.duration_s,
        until_end=mission.last_until_end,
        floor=None if mission.min_quality is None else worth(points[0].quality, mission.min_quality),
        energy_j=None if mission.energy_mj is None else mission.energy_mj / 1e3,
        late_worth=late_worth(points, mission.late_quality),
        slowdown=scenario.doc.device.slowdown,
        battery=scenario.doc.battery is not None,
    )


def believed_device(scenario: Scenario) -> DeviceProfile:
    """Return the profile that controllers are given."""
    board = scenario.doc.device
    device = load_device(board.believed or board.profile)
    if board.idle_w is None or board.believed is not None:
        return device
    moved = tuple(board.idle_w + watts - device.power.idle_w for watts in device.power.busy_w)
    return replace(device, power=replace(device.power, idle_w=board.idle_w, busy_w=moved))


def figure(values: Sequence[float], *, seed: int = 0) -> Figure:
    """Return the mean with its interval; the interval of a single run is its value."""
    array = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).integers(0, len(array), (_RESAMPLES, len(array)))
    low, high = np.percentile(array[draws].mean(axis=1), [2.5, 97.5])
    return Figure(mean=float(array.mean()), ci95=(float(low), float(high)))


def _policy_with_floor(task: Task) -> Policy:
    """Turn a quality floor beside a battery or an energy goal into the policy's largest drop.

    Alone it is a goal of the mean, which the context tells.
    """
    if task.floor is None or not (task.until_end or task.energy_j is not None or task.battery):
        return task.policy
    reference = max(worth(p.quality) + p.quality.drop for p in task.points)
    drop = max(reference - task.floor, 0.0) + 1e-9
    old = task.policy.max_drop
    return replace(task.policy, max_drop=drop if old is None else min(old, drop))


def _names(controllers: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in controllers if name not in CONTROLLERS]
    if unknown:
        raise RequestError(f"There is no controller {unknown[0]!r}.", f"There are {', '.join(CONTROLLERS)}.")
    return tuple(name for name in CONTROLLERS if name in controllers or name == ORACLE)


def _result(name: str, outcomes: Sequence[Outcome], oracle: Sequence[Outcome]) -> Result:
    pairs = list(zip(outcomes, oracle, strict=True))
    return Result(
        name=name,
        outcomes=tuple(outcomes),
        lost=tuple(best.worth - mine.worth for mine, best in pairs),
        more_energy=tuple(mine.ours_j / best.ours_j - 1 if best.ours_j > 0 else None for mine, best in pairs),
    )
