"""What each option brings and costs as things are: expectations over the slowdown's distribution.

This is the innermost loop of a decision, run for the present neighbours and for those that were here before: what
depends on the options alone is prepared once, and the rows are plain tuples in the order in which the hull wants them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from msgspec import Struct

from edgehybrid.runtime.control.options import Option
from edgehybrid.runtime.control.slowdown import Slowdown

_ROOT_2 = math.sqrt(2.0)
_SURE = 0.9999
_LARGE = 50.0

Row = tuple[float, float, int, float]
"""Expected energy in J, expected worth with its sign turned, place in the menu, expected share in time."""

_Member = tuple[int, float, float, float, tuple[float, ...]]
"""Place in the menu, worth, J by bundle and profile, share of the first depth, of the others."""
_Group = tuple[int, int, int, int, str, float, float, tuple[float, ...], list[_Member]]
"""Places of both corrections, rank, threads, point, noise, ln s of the first depth, of the others, the scalars."""


class Appraised(Struct, frozen=True, gc=False):
    """An option as it is expected to do now.

    Attributes:
        option: The option.
        worth: Expected quality of an input; what is late counts as late answers do.
        energy_j: Expected energy above the idle board.
        in_time: Expected share in time, 0 to 1.
    """

    option: Option
    worth: float
    energy_j: float
    in_time: float


class Menu:
    """Options to choose from. Neighbours of one point and number of threads share their slowdown and their depths.

    Args:
        options: At least one.
    """

    def __init__(self, options: Sequence[Option]) -> None:
        self.options = tuple(options)
        self.groups = _grouped(self.options)

    @cached_property
    def as_measured(self) -> Menu:
        """The same with every number of threads taken for the measured one."""
        return Menu([replace(option, threads_index=0) for option in self.options])


def _grouped(options: Sequence[Option]) -> tuple[_Group, ...]:
    groups: list[_Group] = []
    last: tuple[str, int] | None = None
    for place, option in enumerate(options):
        if (option.point, option.threads) != last:
            last = option.point, option.threads
            who = option.own_index, option.threads_index, option.rank, option.threads, option.point, option.noise
            first, *later = (log_s for _, log_s in option.depths)
            groups.append((*who, first, tuple(later), []))
        share, *shares = (share for share, _ in option.depths)
        groups[-1][-1].append((place, option.worth, option.energy_j, share, tuple(shares)))
    return tuple(groups)


class Terms(Struct, frozen=True, gc=False):
    """What is the same for all options.

    Attributes:
        cores: Of the board.
        deadline_s: For each input; ``None`` without.
        late_worth: What a late answer is worth.
        watts_scale: Joules over those by the profile.
    """

    cores: int
    deadline_s: float | None
    late_worth: float
    watts_scale: float = 1.0


class Level(Struct, frozen=True, gc=False):
    """The level among other neighbours than the present ones: what it had in common with the corrections is gone.

    Attributes:
        log: Mean of its logarithm.
        spread: Variance of it.
        others: Cores that they keep busy.
    """

    log: float
    spread: float
    others: float


def weigh(menu: Menu, slow: Slowdown, terms: Terms, at: Level | None = None) -> list[Row]:
    """Work out every option, but more threads than measured only where they may help against lateness.

    ``P(in time) = Phi((ln deadline - E[ln t]) / sigma)`` with the variances of level, corrections and noise together;
    with exits each depth counts by its share. ``E = cpu · exp(level + own + variance / 2) · watts``.
    """
    return _weigh(menu.groups, slow, terms, at) or _weigh(menu.as_measured.groups, slow, terms, at)


def _weigh(groups: Iterable[_Group], slow: Slowdown, terms: Terms, at: Level | None) -> list[Row]:
    rows: list[Row] = []
    erf, exp, sqrt, log_of = math.erf, math.exp, math.sqrt, math.log
    late_worth, watts_scale, cores = terms.late_worth, terms.watts_scale, terms.cores
    means, covariance, noises, size = slow.means, slow.covariance, slow.noises, len(slow.means)
    level, spread, others = (means[0], covariance[0], slow.others) if at is None else (at.log, at.spread, at.others)
    common = covariance if at is None else (0.0,) * size  # its first row: of the level and each correction
    room = None if terms.deadline_s is None else log_of(terms.deadline_s)
    settled = -1  # rank of a point that needs no more threads than it was measured with
    for p, t, rank, threads, point, noise, log_s, logs, members in groups:
        if t and (rank == settled or room is None):
            continue
        log, variance = level + means[p], spread + covariance[p * size + p] + 2.0 * common[p]  # as ``slow.of``
        if t:
            log += means[t]
            variance += covariance[t * size + t] + 2.0 * (common[t] + covariance[p * size + t])
        if variance < 0.0:  # comparisons, not calls of min and max: they are a fifth of it
            variance = 0.0
        power = log + 0.5 * variance
        if power > _LARGE:
            power = _LARGE
        slower = exp(power)
        if room is None:
            rows += [(joules * watts_scale * slower, -worth, place, 1.0) for place, worth, joules, _, _ in members]
            continue
        crowd = (threads + others) / cores
        left = room - log - (log_of(crowd) if crowd > 1.0 else 0.0)
        sigma = _ROOT_2 * sqrt(variance + noises.get(point, noise))
        first = 0.5 + 0.5 * erf((left - log_s) / sigma)
        later = [0.5 + 0.5 * erf((left - log_s) / sigma) for log_s in logs] if logs else ()
        for place, worth, joules, share, shares in members:
            within = share * first
            for part, chance in zip(shares, later, strict=True):
                within += part * chance
            if within >= _SURE and not t:
                settled = rank
            within = min(1.0, within)
            rows.append((joules * watts_scale * slower, -(late_worth + (worth - late_worth) * within), place, within))
    return rows


def punctual(rows: list[Row], late_share: float) -> list[Row]:
    """Keep the options that are late in at most ``late_share`` of the inputs; the most punctual one if none is."""
    least = 1.0 - late_share
    return [row for row in rows if row[3] >= least] or [max(rows, key=lambda row: (row[3], -row[0]))]


def appraised(menu: Menu, rows: Sequence[Row]) -> list[Appraised]:
    """Give rows their names."""
    options = menu.options
    return [Appraised(options[place], -turned, energy_j, within) for energy_j, turned, place, within in rows]
