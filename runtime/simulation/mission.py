"""Drives a board through a mission, decision by decision, input by input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.control import Context, Observation
from edgehybrid.runtime.energy import EnergyModel, Meter
from edgehybrid.runtime.simulation.drivers import Driver, Script, Shares
from edgehybrid.runtime.simulation.outcome import Outcome, Trail
from edgehybrid.runtime.simulation.plant import PlantState, speed_of, start, step, temperature_c
from edgehybrid.runtime.simulation.sensing import sense
from edgehybrid.runtime.simulation.serving import SLACK, Server, Window
from edgehybrid.runtime.simulation.world import World

_STEP_S = 2.0  # the quickest pole takes 3 s
_TOLD = 64  # observations of one look, as the engine's accounts
_TRAIL = 1000  # samples of a picture


@dataclass(slots=True)
class _Log:
    """What the board went through."""

    throttled_s: float = 0.0
    alive_s: float = 0.0
    max_temp_c: float = -math.inf
    died_s: float | None = None
    rows: list[tuple[float, ...]] = field(default_factory=list)


def context_of(world: World) -> Context:
    """Return what the app says in this mission."""
    mission = world.scenario.doc.mission
    alone = mission.energy_mj is None and world.pack is None
    goals = {
        "energy_mj": mission.energy_mj,
        "min_quality": mission.min_quality if alone else None,
        "late_quality": mission.late_quality,
    }
    hints: dict[str, float | str | bool] = {name: value for name, value in goals.items() if value is not None}
    until_s = world.scenario.duration_s if mission.last_until_end else None
    return Context(deadline_s=world.scenario.deadline_s, until_s=until_s, hints=hints)


def drive(
    world: World,
    points: Sequence[OperatingPoint],
    driver: Driver | Script,
    *,
    believed: DeviceProfile,
    interval_s: float,
    trail: bool = False,
) -> Outcome:
    """Run a whole mission.

    Args:
        world: The truth.
        points: Points of the bundle.
        driver: What decides. Sees only what sensors, context and observations tell; a script has seen everything.
        believed: Device that the driver's energy estimates are made with.
        interval_s: Time between two decisions.
        trail: Whether to keep what happened over time.
    """
    end_s, state, log, server = world.scenario.duration_s, start(world), _Log(), Server(world, points)
    link = _Link(driver, points, believed, context_of(world)) if not isinstance(driver, Script) else None
    solar = world.scenario.solar is not None
    while state.at_s < end_s - SLACK and (solar or not state.dead):
        dt_s, before = min(interval_s, end_s - state.at_s), state
        point = link.decide(state, world) if link else -1
        source = link.shares if link else driver
        assert isinstance(source, Script | Shares)
        window = server.serve(state.at_s + dt_s, state, source)
        if link:
            link.tell(window, state.at_s + dt_s, dt_s)
        state = _advance(state, world, dt_s, window.work_j, log)
        if trail:
            log.rows.append(_row(before, state, world, window, dt_s, point))
    return _outcome(state, log, server, link)


class _Link:
    """Stands between the board and a driver, as the engine does."""

    def __init__(
        self, driver: Driver, points: Sequence[OperatingPoint], believed: DeviceProfile, context: Context
    ) -> None:
        self.shares = Shares(points)
        self.switches = 0
        self._driver, self._context = driver, context
        self._names = [point.name for point in points]
        self._meter = Meter(model=EnergyModel(believed))
        self._given: tuple[str, str | None] | None = None
        self._busy = 0.0

    def decide(self, state: PlantState, world: World) -> int:
        """Ask the driver, and return the index of the point."""
        snapshot = sense(state, world, self._busy)
        self._meter = self._meter.add_snapshot(snapshot)
        decision = self._driver.decide(snapshot, self._context)
        self.shares.follow(decision)
        chosen = decision.point, decision.alternate
        self.switches += self._given is not None and chosen != self._given
        self._given = chosen
        return self._names.index(decision.point)

    def tell(self, window: Window, at_s: float, dt_s: float) -> None:
        """Tell the driver what inferences cost by the engine's own account."""
        model = self._meter.model
        for answer in window.answers[-_TOLD:]:
            option, stage = answer.option, answer.depth - 1
            usual_s = option.latency_s[stage]
            cores = option.cpu_s[stage] / usual_s if usual_s > 0 else 1.0
            joules = model.inference(answer.wall_s * cores, answer.wall_s).value
            self._driver.observe(
                Observation(
                    at_s=answer.ended_s,
                    point=option.point,
                    depth=answer.depth,
                    latency_s=answer.wall_s,
                    energy_j=joules,
                    threads=option.threads,
                )
            )
        for _ in range(window.skipped):
            self._driver.observe(Observation(at_s=at_s, point="", depth=0, latency_s=0.0, skipped=True))
        if window.answers:
            wall_s = sum(answer.wall_s for answer in window.answers)
            self._meter = self._meter.add_inference(window.cpu_s, wall_s)
        self._busy = window.cpu_s / dt_s


def _advance(state: PlantState, world: World, dt_s: float, work_j: float, log: _Log) -> PlantState:
    parts = max(math.ceil(dt_s / _STEP_S - SLACK), 1)
    part_s = dt_s / parts
    for _ in range(parts):
        alive, ambient_c = not state.dead, world.ambient_c.item(world.cell(state.at_s))
        state = step(state, world, part_s, work_j / parts)
        log.alive_s += part_s * alive
        log.throttled_s += part_s * (alive and speed_of(state) < 1.0)
        log.max_temp_c = max(log.max_temp_c, temperature_c(state, ambient_c))
    if state.dead and log.died_s is None:
        log.died_s = state.at_s
    return state


def _row(
    before: PlantState, after: PlantState, world: World, window: Window, dt_s: float, point: int
) -> tuple[float, ...]:
    charge = after.charge
    soc, gauge = (math.nan, math.nan) if charge is None else (100.0 * charge.soc, charge.gauge_pct)
    mean = window.worth / window.inputs if window.inputs else math.nan
    temp_c = temperature_c(after, world.ambient_c.item(world.cell(before.at_s)))
    power_w = (after.out_j - before.out_j) / dt_s
    return (before.at_s, mean, power_w, soc, gauge, temp_c, speed_of(after), point)


def _outcome(state: PlantState, log: _Log, server: Server, link: _Link | None) -> Outcome:
    counts, total, charge = server.counts, server.inputs, state.charge
    answered = max(counts.answered, 1)
    worth = counts.worth + server.late_worth * (total - counts.met)
    return Outcome(
        inputs=total,
        answered=counts.answered,
        worth=worth / total if total else math.nan,
        late=counts.late / max(counts.met, 1),
        skipped=counts.skipped / max(counts.met, 1),
        energy_wh=state.out_j / 3600.0,
        ours_j=state.ours_j,
        lost_j=0.0 if charge is None else charge.lost_j,
        battery_pct=None if charge is None else 100.0 * charge.soc,
        died_h=None if log.died_s is None else log.died_s / 3600.0,
        throttled=log.throttled_s / max(log.alive_s, SLACK),
        max_temp_c=log.max_temp_c,
        switches=0 if link is None else link.switches,
        points={name: count / answered for name, count in counts.points.items()},
        depth=counts.depth / answered,
        latency_s=counts.wall_s / answered,
        trail=_trail(log.rows) if log.rows else None,
    )


def _trail(rows: Sequence[tuple[float, ...]]) -> Trail:
    """Thin out; the worth is a mean over what is left out."""
    table = np.asarray(rows)
    stride = max(math.ceil(len(table) / _TRAIL), 1)
    starts = np.arange(0, len(table), stride)
    known = np.isfinite(table[:, 1])
    sums = np.add.reduceat(np.where(known, table[:, 1], 0.0), starts)
    counts = np.add.reduceat(known.astype(float), starts)
    worth = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    power_w = np.add.reduceat(table[:, 2], starts) / np.diff([*starts, len(table)])
    thin = table[starts]
    return Trail(
        at_s=thin[:, 0],
        worth=worth,
        power_w=power_w,
        soc_pct=thin[:, 3],
        gauge_pct=thin[:, 4],
        temp_c=np.maximum.reduceat(table[:, 5], starts),
        clock=np.minimum.reduceat(table[:, 6], starts),
        point=thin[:, 7].astype(np.int64),
    )
