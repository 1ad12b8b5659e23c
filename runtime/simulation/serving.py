"""Serves inputs: who waits, how long each takes, what it costs and what it is worth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.simulation.drivers import Script, Shares
from edgehybrid.runtime.simulation.options import Option, late_worth
from edgehybrid.runtime.simulation.plant import PlantState, core_w, speed_of
from edgehybrid.runtime.simulation.world import World

SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Served:
    """One answer: when it ended, with what, after how many stages, and how long it took (without waiting)."""

    ended_s: float
    option: Option
    depth: int
    wall_s: float


@dataclass(slots=True)
class Window:
    """What happened between two decisions."""

    inputs: int = 0
    work_j: float = 0.0
    cpu_s: float = 0.0
    worth: float = 0.0
    skipped: int = 0
    answers: list[Served] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What happened so far."""

    met: int = 0  # inputs that came while the board was alive
    answered: int = 0
    late: int = 0
    skipped: int = 0  # left out on purpose
    worth: float = 0.0
    wall_s: float = 0.0
    depth: int = 0
    points: Counter[str] = field(default_factory=Counter)


class Server:
    """A single server, first come, first served; nothing is dropped.

    Args:
        world: The truth.
        points: Points of the bundle.
    """

    def __init__(self, world: World, points: Sequence[OperatingPoint]) -> None:
        mission = world.scenario.doc.mission
        self.counts = Counts()
        self.late_worth = late_worth(points, mission.late_quality)
        self._world, self._cores = world, world.device.cpu.cores
        self._deadline_s = world.scenario.deadline_s or math.inf
        self._arrivals, self._difficulty = world.arrivals_s.tolist(), world.difficulty.tolist()
        self._jitter = world.jitter.tolist()
        self._core_w = {n: core_w(world.device.power, n) for n in range(1, self._cores + 1)}
        self._index, self._free_s = 0, 0.0

    @property
    def inputs(self) -> int:
        """How many inputs there are in all."""
        return len(self._arrivals)

    def serve(self, until_s: float, state: PlantState, source: Script | Shares) -> Window:
        """Serve the inputs that come before ``until_s``."""
        window, world, counts = Window(), self._world, self.counts
        clock = speed_of(state)
        while self._index < len(self._arrivals) and self._arrivals[self._index] < until_s:
            i = self._index
            self._index += 1
            if state.dead:
                continue
            window.inputs += 1
            option = source.next() if isinstance(source, Shares) else source.of(i)
            if option is None and isinstance(source, Shares) and source.skipped_worth is not None:
                window.skipped += 1
                window.worth += source.skipped_worth
                continue
            if option is None:
                counts.late += 1
                window.worth += self.late_worth
                continue
            stage, cell = option.depth_of(self._difficulty[i]), world.cell(self._arrivals[i])
            pace = world.speed[option.point] * world.drift.item(cell) * math.exp(option.sigma * self._jitter[i])
            pace *= 1.0 + (world.memory.item(cell) - 1.0) * world.sensitivity[option.point]
            crowd = max((option.threads + world.neighbours.item(cell)) / self._cores, 1.0)
            wall_s = option.latency_s[stage] * pace * crowd / clock
            cpu_s = option.cpu_s[stage] * pace  # at full clock; watts fall as the clock does
            window.work_j += cpu_s * self._core_w[min(option.threads, self._cores)]
            window.cpu_s += cpu_s / clock
            self._answer(i, option, stage, wall_s, window)
        counts.met += window.inputs
        counts.skipped += window.skipped
        counts.worth += window.worth
        return window

    def _answer(self, i: int, option: Option, stage: int, wall_s: float, window: Window) -> None:
        counts, arrival = self.counts, self._arrivals[i]
        self._free_s = max(arrival, self._free_s) + wall_s
        late = self._free_s - arrival > self._deadline_s
        window.worth += self.late_worth if late else option.worth_of(self._difficulty[i])
        window.answers.append(Served(self._free_s, option, stage + 1, wall_s))
        counts.late += late
        counts.answered += 1
        counts.wall_s += wall_s
        counts.depth += stage + 1
        counts.points[option.point] += 1
