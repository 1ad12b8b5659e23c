"""Every option for every input, and the queue that they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.simulation.baselines.task import thread_counts
from edgehybrid.runtime.simulation.options import Option, late_worth, make_option
from edgehybrid.runtime.simulation.plant import core_w
from edgehybrid.runtime.simulation.world import World

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK = 50_000
"""Inputs of one table: those of a long mission would not fit."""

_SCALARS = (0.0, 0.5, 1.0)
_TIME_PRICES = (0.0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0)  # of a second, in worths per mean inference


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """What every option would bring and cost for every input, on a board that never throttles.

    Attributes:
        options: The options; the last column of the arrays is to leave the input out.
        worth: Shape ``(inputs, options + 1)``.
        energy: Above the idle board, in J, same shape.
        wall_s: How long an inference takes, same shape.
    """

    options: tuple[Option, ...]
    worth: Floats
    energy: Floats
    wall_s: Floats


def options_of(world: World, points: Sequence[OperatingPoint]) -> tuple[Option, ...]:
    """Return every option."""
    threads = thread_counts(world.device)
    return tuple(
        make_option(point, scalar, count)
        for point in points
        for scalar in (_SCALARS if point.depths else (0.0,))
        for count in threads
    )


def column(world: World, option: Option, rows: slice = slice(None)) -> tuple[Floats, Floats, Floats]:
    """Return worth (were it in time), energy in J and duration in s of one option for the inputs in ``rows``."""
    arrivals, difficulty, jitter = (a[rows] for a in (world.arrivals_s, world.difficulty, world.jitter))
    cells = np.minimum((arrivals / world.grid_s).astype(np.int64), len(world.drift) - 1)
    cores, stage = world.device.cpu.cores, option.depths_of(difficulty)
    pace = world.speed[option.point] * world.drift[cells] * np.exp(option.sigma * jitter)
    pace *= 1.0 + (world.memory[cells] - 1.0) * world.sensitivity[option.point]
    crowd = np.maximum((option.threads + world.neighbours[cells]) / cores, 1.0)
    wall_s = np.asarray(option.latency_s)[stage] * pace * crowd
    energy = np.asarray(option.cpu_s)[stage] * pace * core_w(world.device.power, min(option.threads, cores))
    return option.worths_of(difficulty), energy, wall_s


def expect(
    world: World, option: Option, deadline_s: float, missing: float, rows: slice = slice(None)
) -> tuple[Floats, Floats, Floats]:
    """Return what ``column`` does, in expectation over what nothing tells before an input has run.

    That is its jitter and its difficulty. The worth counts how likely it is in time; the duration is a median.
    """
    cells = np.minimum((world.arrivals_s[rows] / world.grid_s).astype(np.int64), len(world.drift) - 1)
    cores, strict = world.device.cpu.cores, [0.0, *option.strict_reach]
    pace = world.speed[option.point] * world.drift[cells]
    pace = pace * (1.0 + (world.memory[cells] - 1.0) * world.sensitivity[option.point])
    crowd = np.maximum((option.threads + world.neighbours[cells]) / cores, 1.0)
    watts = core_w(world.device.power, min(option.threads, cores)) * math.exp(option.sigma**2 / 2)
    worth, energy = np.zeros_like(pace), np.zeros_like(pace)
    for k, (low, high) in enumerate(zip((0.0, *option.reach), option.reach, strict=False)):
        if high <= low:
            continue
        wall_s = option.latency_s[k] * pace * crowd
        moved = high - min(max(strict[k + 1], low), high)  # those that answer earlier than at the exit scalar 0
        brings = option.worth * (high - low) - option.loss * moved
        chance = _in_time(deadline_s / wall_s, option.sigma)
        worth += missing * (high - low) + (brings - missing * (high - low)) * chance
        energy += (high - low) * option.cpu_s[k] * pace * watts
    return worth, energy, option.latency_s[-1] * pace * crowd


def _in_time(room: Floats, sigma: float) -> Floats:
    """Probability that a log-normal factor of ``sigma`` is at most ``room``."""
    if sigma <= 0 or np.isinf(room).all():
        return np.asarray(room >= 1.0, np.float64)
    return np.asarray([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in (np.log(room) / sigma).tolist()])


def tabulate(
    world: World, points: Sequence[OperatingPoint], rows: slice = slice(None), *, blind: bool = False
) -> Table:
    """Work out every option for the inputs in ``rows``; ``blind``: in expectation over jitter and difficulty."""
    options, count = options_of(world, points), len(world.arrivals_s[rows])
    deadline_s = np.inf if world.scenario.deadline_s is None else world.scenario.deadline_s
    missing = late_worth(points, world.scenario.doc.mission.late_quality)
    brings = np.full((count, len(options) + 1), missing)
    costs, walls = np.zeros_like(brings), np.zeros_like(brings)
    for i, option in enumerate(options):
        if blind:
            brings[:, i], costs[:, i], walls[:, i] = expect(world, option, float(deadline_s), missing, rows)
        else:
            brings[:, i], costs[:, i], walls[:, i] = column(world, option, rows)
    if not blind:
        brings[walls > deadline_s] = missing
    return Table(options=options, worth=brings, energy=costs, wall_s=walls)


def answered_after(arrivals_s: Floats, wall_s: Floats) -> Floats:
    """Return the time from arrival to answer, first come, first served (Lindley's recursion as a running maximum)."""
    done = np.cumsum(wall_s)
    return np.asarray(done + np.maximum.accumulate(arrivals_s - (done - wall_s)) - arrivals_s, np.float64)


def ease_queue(world: World, points: Sequence[OperatingPoint], choice: Ints, price: float) -> Ints:
    """Change a choice that was made without waiting, where inputs wait for each other.

    One after the other, each input gets the best option that is still in time behind those before it, or none. What an
    inference takes from those behind it has a price; the best of several prices is taken. So this is a strong
    schedule, not a proven optimum.

    Args:
        world: The truth.
        points: Of the bundle.
        choice: Option of each input, as ``tabulate`` counts them, shape ``(n,)``.
        price: Worth of a joule.
    """
    deadline_s = world.scenario.deadline_s
    if deadline_s is None or not len(choice):
        return choice
    tables = [tabulate(world, points, slice(k, k + CHUNK)) for k in range(0, len(choice), CHUNK)]
    walls = np.concatenate([t.wall_s[np.arange(len(t.wall_s)), choice[k * CHUNK :][:CHUNK]] for k, t in _each(tables)])
    if not _waiting_hurts(world.arrivals_s, walls, deadline_s):
        return choice
    unit = max(float(np.mean(walls)), 1e-9)
    best, best_score = _always(world, tables, price, deadline_s)
    for time_price in _TIME_PRICES:
        tried, score = _in_turn(world, tables, price, time_price / unit, deadline_s)
        if score > best_score:
            best, best_score = tried, score
    return best


def _always(world: World, tables: list[Table], price: float, deadline_s: float) -> tuple[Ints, float]:
    """Return the best single option for all, and its worth less its energy at ``price``."""
    missing = tables[0].worth[0, -1]
    scores = []
    for option in range(len(tables[0].options) + 1):
        walls, brings, costs = (
            np.concatenate([getattr(table, name)[:, option] for table in tables])
            for name in ("wall_s", "worth", "energy")
        )
        late = answered_after(world.arrivals_s, walls) > deadline_s
        scores.append(float(np.where(late, missing, brings).sum() - price * costs.sum()))
    best = int(np.argmax(scores))
    return np.full(sum(len(table.worth) for table in tables), best, np.int64), scores[best]


def _each(tables: list[Table]) -> list[tuple[int, Table]]:
    return list(enumerate(tables))


def _waiting_hurts(arrivals_s: Floats, wall_s: Floats, deadline_s: float) -> bool:
    """Tell whether anybody is late only because of those before."""
    return bool(((answered_after(arrivals_s, wall_s) > deadline_s) & (wall_s <= deadline_s)).any())


def _in_turn(
    world: World, tables: list[Table], price: float, time_price: float, deadline_s: float
) -> tuple[Ints, float]:
    """Serve every input in turn; return the choice and its worth less its energy at ``price``."""
    choice: list[int] = []
    total, free_s = 0.0, 0.0
    for k, table in _each(tables):
        value = table.worth - price * table.energy
        score = value - time_price * table.wall_s
        first = score.argmax(axis=1)
        wall = table.wall_s[np.arange(len(first)), first].tolist()
        for i, (arrival, option) in enumerate(
            zip(world.arrivals_s[k * CHUNK :][: len(first)].tolist(), first.tolist(), strict=True)
        ):
            begin_s = max(arrival, free_s)
            left_s = deadline_s - (begin_s - arrival)
            if wall[i] > left_s:
                option = int(np.where(table.wall_s[i] <= left_s, score[i], -np.inf).argmax()) if left_s > 0 else -1
            taken_s = float(table.wall_s[i, option])
            free_s = begin_s + taken_s if taken_s > 0 else free_s
            total += float(value[i, option])
            choice.append(option if option >= 0 else value.shape[1] - 1)
    return np.asarray(choice, np.int64), total
