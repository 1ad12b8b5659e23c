"""Oracles: they know the world. One chooses for every input, one a single configuration for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.simulation.battery import least_soc
from edgehybrid.runtime.simulation.drivers import Script
from edgehybrid.runtime.simulation.mixture import (
    Mixture,
    Steps,
    best_over_time,
    best_within,
    cheapest_reaching,
    climb,
)
from edgehybrid.runtime.simulation.options import Option, late_worth, worth
from edgehybrid.runtime.simulation.plant import speed_of, start, step
from edgehybrid.runtime.simulation.tabling import CHUNK, answered_after, column, ease_queue, options_of, tabulate
from edgehybrid.runtime.simulation.world import World

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LATE_SHARE = 0.1
"""A configuration that is late more often violates the deadline (ALERT's protocol)."""

_MAX_PERIOD_S = 60.0  # shorter than the slow pole of any case
_PERIODS = 300
_ROUNDS = 12
_HORIZONS = np.linspace(0.02, 1.0, 50)
_COOLER = 0.97
_MORE = 1e-3  # of the battery, kept back in each further round


def oracle_dynamic(world: World, points: Sequence[OperatingPoint], *, blind: bool = False) -> Script:
    """Choose for every input with knowledge of the future.

    ``blind`` knows board, neighbours and drift at every moment, but of an input neither its jitter nor its difficulty,
    which nothing tells before it has run: no controller can do better, but by luck.

    With a quality goal and no energy limit: the least energy whose mean quality reaches it. Else the best quality that
    the battery, the energy goal, the deadline and the throttling temperature allow. Losses of the battery and heat
    depend on the choice; they are found by playing it on the board and choosing again.
    """
    options, steps = _hulls(world, points, blind=blind)
    mission, count = world.scenario.doc.mission, len(world.arrivals_s)
    if world.pack is not None and _play(world, np.zeros(_periods(world))).dead:
        mixture = _to_the_last(world, steps)
        return _script(options, ease_queue(world, points, mixture.choice, mixture.price))
    if mission.min_quality is not None and world.pack is None and mission.energy_mj is None:
        mixture = cheapest_reaching(steps, worth(points[0].quality, mission.min_quality) * count)
        return _script(options, ease_queue(world, points, mixture.choice, mixture.price))
    period = _period_of(world)
    total_j = np.inf if mission.energy_mj is None else mission.energy_mj / 1e3 * count
    given_j = _given_j(world)
    kept_j = lost_j = np.zeros(len(given_j))
    caps, cooler, more_j = None, 1.0, -_MORE * (world.pack.capacity_wh * 3600.0 if world.pack else 0.0)
    mixture = best_within(steps, 0.0)
    for _ in range(_ROUNDS):
        budgets = np.minimum(given_j - kept_j, total_j)
        mixture = best_over_time(steps, period, budgets, caps)
        work_j = np.bincount(period, weights=_energies(steps, mixture), minlength=len(given_j))
        played = _play(world, work_j.astype(np.float64))
        if not played.dead and not played.throttled:
            break
        if played.dead and world.pack is not None:
            capacity_j = world.pack.capacity_wh * 3600.0
            reserve_j = least_soc(world.pack, played.mean_w) * capacity_j
            more_j += _MORE * capacity_j
            lost_j = np.maximum(lost_j, played.lost_j)
            kept_j = lost_j + reserve_j + more_j
        if played.throttled:
            caps, cooler = _heat_caps(world) * cooler, cooler * _COOLER
    if world.pack is not None and not mission.last_until_end:
        shorter = _to_the_last(world, steps)
        mixture = shorter if shorter.worth > mixture.worth else mixture
    return _script(options, ease_queue(world, points, mixture.choice, mixture.price))


def _to_the_last(world: World, steps: Steps) -> Mixture:
    """Choose where the battery need not, or cannot, reach the end: answer well up to a moment, then nothing."""
    period, idle = _period_of(world), _play(world, np.zeros(_periods(world)))
    assert world.pack is not None
    reserve_j = least_soc(world.pack, idle.mean_w) * world.pack.capacity_wh * 3600.0
    given_j = np.maximum(_given_j(world) - idle.lost_j - reserve_j, 0.0)
    best = best_within(steps, 0.0)
    lived = max(idle.lived, 1)
    for share in _HORIZONS:
        end = max(round(share * lived), 1)
        budgets = np.full(len(given_j), given_j[end - 1])
        tried = best_over_time(steps.only(period[steps.row] < end), period, budgets)
        best = tried if tried.worth > best.worth else best
    return best


def oracle_static(world: World, points: Sequence[OperatingPoint]) -> Script:
    """Choose one configuration for all inputs with knowledge of the future.

    It keeps the deadline in all but a tenth of the inputs, goals, battery and throttling temperature, if any does.
    """
    options = options_of(world, points)
    mission, count = world.scenario.doc.mission, len(world.arrivals_s)
    mean, total_j, late = np.asarray([_overall(world, points, option) for option in options]).T
    limit_j = np.inf if mission.energy_mj is None else mission.energy_mj / 1e3 * count
    goal = -np.inf if mission.min_quality is None else worth(points[0].quality, mission.min_quality)
    saving = mission.min_quality is not None and world.pack is None and mission.energy_mj is None
    fits = (late <= LATE_SHARE) & (total_j <= limit_j)
    good = fits & (mean >= goal - 1e-9)
    rank = total_j if saving and good.any() else 1e-12 * total_j - mean
    order = np.argsort(np.where(good if good.any() else fits, rank, np.inf), kind="stable").tolist()
    order = order[: max(int((good if good.any() else fits).sum()), 1)]
    best = next((i for i in order if _bears(world, options[i])), int(total_j.argmin()))
    return Script(options=options, choice=[best] * count)


def _bears(world: World, option: Option) -> bool:
    """Tell whether battery and temperature bear one option for all inputs."""
    _, costs, _ = column(world, option)
    work_j = np.bincount(_period_of(world), weights=costs, minlength=_periods(world))
    played = _play(world, work_j.astype(np.float64))
    return not played.dead and not played.throttled


def _overall(world: World, points: Sequence[OperatingPoint], option: Option) -> tuple[float, float, float]:
    """Return mean worth, energy and share of late answers of one option for all inputs."""
    brings, costs, wall_s = column(world, option)
    deadline_s = np.inf if world.scenario.deadline_s is None else world.scenario.deadline_s
    missed = answered_after(world.arrivals_s, wall_s) > deadline_s
    missing = late_worth(points, world.scenario.doc.mission.late_quality)
    return float(np.where(missed, missing, brings).mean()), float(costs.sum()), float(missed.mean())


def _hulls(world: World, points: Sequence[OperatingPoint], *, blind: bool) -> tuple[tuple[Option, ...], Steps]:
    """Find the hulls chunk by chunk: whole tables of a long mission would not fit."""
    parts: list[Steps] = []
    options: tuple[Option, ...] = ()
    for first in range(0, max(len(world.arrivals_s), 1), CHUNK):
        table = tabulate(world, points, slice(first, first + CHUNK), blind=blind)
        options, part = table.options, climb(table.worth, table.energy)
        parts.append(part)
    return options, Steps(
        start=np.concatenate([part.start for part in parts]),
        worth=np.concatenate([part.worth for part in parts]),
        energy=np.concatenate([part.energy for part in parts]),
        row=np.concatenate([part.row + k * CHUNK for k, part in enumerate(parts)]),
        option=np.concatenate([part.option for part in parts]),
        gain=np.concatenate([part.gain for part in parts]),
        cost=np.concatenate([part.cost for part in parts]),
    )


def _script(options: tuple[Option, ...], choice: Ints) -> Script:
    skip = len(options)
    return Script(options=options, choice=[-1 if i == skip else i for i in choice.tolist()])


def _energies(steps: Steps, mixture: Mixture) -> Floats:
    """Energy of each input in a mixture."""
    energy = steps.energy.copy()
    reached = np.zeros(len(steps.row), dtype=np.bool_)
    chosen = mixture.choice != steps.start
    # an input has taken all its steps up to the one that leads to its choice
    last = np.flatnonzero((steps.option == mixture.choice[steps.row]) & chosen[steps.row])
    ends = np.full(len(steps.start), -1)
    ends[steps.row[last]] = last
    reached = np.arange(len(steps.row)) <= ends[steps.row]
    np.add.at(energy, steps.row[reached], steps.cost[reached])
    return energy


def _period_s(world: World) -> float:
    """Length of the pieces in which energy is planned: a minute, less in short missions."""
    return min(_MAX_PERIOD_S, max(world.scenario.duration_s / _PERIODS, world.grid_s))


def _periods(world: World) -> int:
    return max(int(np.ceil(world.scenario.duration_s / _period_s(world) - 1e-9)), 1)


def _period_of(world: World) -> Ints:
    return np.minimum((world.arrivals_s / _period_s(world)).astype(np.int64), _periods(world) - 1)


def _base_w(world: World) -> Floats:
    """Watts of the board without us, cell by cell."""
    power = world.device.power
    levels = np.asarray((power.idle_w, *power.busy_w))
    return np.asarray(np.interp(world.neighbours, np.arange(len(levels)), levels), np.float64)


def _by_period(world: World, cells: Floats) -> Floats:
    """Mean of a series of cells in each period."""
    index = np.minimum((np.arange(len(cells)) * world.grid_s / _period_s(world)).astype(np.int64), _periods(world) - 1)
    sums: Floats = np.bincount(index, weights=cells).astype(np.float64)
    return sums / np.bincount(index)


def _given_j(world: World) -> Floats:
    """Energy for inferences up to the end of each period: battery and sun less the board without us."""
    if world.pack is None:
        return np.full(_periods(world), np.inf)
    ends = np.minimum((np.arange(_periods(world)) + 1) * _period_s(world), world.scenario.duration_s)
    spans = np.diff(np.concatenate(([0.0], ends)))
    net = _by_period(world, world.solar_w - _base_w(world)) * spans
    return np.asarray(world.pack.charge * world.pack.capacity_wh * 3600.0 + np.cumsum(net), np.float64)


def _heat_caps(world: World) -> Floats:
    """Most energy of inferences in each period such that its steady temperature stays below throttling."""
    resistance = sum(path.kelvin_per_w for path in world.heat)
    limit_c = world.device.thermal.soft_limit_c or world.device.thermal.throttle_c
    room_w = (limit_c - 0.5 - _by_period(world, world.ambient_c)) / resistance - _by_period(world, _base_w(world))
    return np.asarray(np.maximum(room_w, 0.0) * _period_s(world), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Played:
    lost_j: Floats
    mean_w: float
    lived: int  # periods
    dead: bool
    throttled: bool


def _play(world: World, work_j: Floats) -> _Played:
    """Run the board with so much work in each period; tell what was lost up to each period's end."""
    state, lost, throttled = start(world), [], False
    dt_s, alive, lived = 2.0, True, 0
    for joules in work_j.tolist():
        span_s = min(_period_s(world), world.scenario.duration_s - state.at_s)
        parts = max(int(np.ceil(span_s / dt_s)), 1)
        for _ in range(parts):
            state = step(state, world, span_s / parts, joules / parts)
            throttled = throttled or (speed_of(state) < 1.0 and not state.dead)
            alive = alive and not state.dead
        lived += alive
        charge = state.charge
        lost.append(0.0 if charge is None else charge.lost_j + charge.spilled_j)
    mean_w = state.out_j / max(lived * _period_s(world), dt_s)
    return _Played(lost_j=np.asarray(lost), mean_w=mean_w, lived=lived, dead=not alive, throttled=throttled)
