"""What each option brings and costs as things are: expectations over the slowdown's distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from msgspec import Struct

from edgehybrid.runtime.control.options import Option
from edgehybrid.runtime.control.slowdown import Slowdown

_ROOT_2 = math.sqrt(2.0)
_SURE = 0.9999
_LARGE = 50.0


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


def appraise(
    options: Sequence[Option],
    slow: Slowdown,
    cores: int,
    *,
    deadline_s: float | None,
    late_worth: float,
    watts_scale: float = 1.0,
) -> list[Appraised]:
    """Work out every option, but more threads than measured only where they may help against lateness.

    ``P(in time) = Phi((ln deadline - E[ln t]) / sigma)`` with the variances of level, corrections and noise together;
    with exits each depth counts by its share. ``E = cpu · exp(level + own + variance / 2) · watts``.
    """
    found = []
    erf, exp, sqrt, log_of = math.erf, math.exp, math.sqrt, math.log
    means, covariance, noises, size = slow.means, slow.covariance, slow.noises, len(slow.means)
    level, spread, others = means[0], covariance[0], slow.others
    room = None if deadline_s is None else math.log(deadline_s)
    settled = -1  # rank of a point that needs no more threads than it was measured with
    for option in options:
        t = option.threads_index
        if t and (option.rank == settled or room is None):
            continue
        p = option.own_index  # what follows is ``slow.of(option)``, without the call
        log, variance = level + means[p], spread + covariance[p * size + p] + 2.0 * covariance[p]
        if t:
            log += means[t]
            variance += covariance[t * size + t] + 2.0 * (covariance[t] + covariance[p * size + t])
        if variance < 0.0:  # comparisons, not calls of min and max: they are a fifth of it
            variance = 0.0
        power = log + 0.5 * variance
        energy_j = option.energy_j * watts_scale * exp(min(_LARGE, power))
        if room is None:
            found.append(Appraised(option, option.worth, energy_j, 1.0))
            continue
        crowd = (option.threads + others) / cores
        left = room - log - (log_of(crowd) if crowd > 1.0 else 0.0)
        sigma = _ROOT_2 * sqrt(variance + noises.get(option.point, option.noise))
        within = 0.0
        for share, log_s in option.depths:
            within += share * (0.5 + 0.5 * erf((left - log_s) / sigma))
        if within >= _SURE and not t:
            settled = option.rank
        within = min(1.0, within)
        found.append(Appraised(option, late_worth + (option.worth - late_worth) * within, energy_j, within))
    return found or appraise(
        [replace(option, threads_index=0) for option in options],  # none of them runs as it was measured
        slow,
        cores,
        deadline_s=deadline_s,
        late_worth=late_worth,
        watts_scale=watts_scale,
    )


def punctual(appraised: Sequence[Appraised], late_share: float) -> list[Appraised]:
    """Keep the options that are late in at most ``late_share`` of the inputs; the most punctual one if none is."""
    kept = [one for one in appraised if one.in_time >= 1.0 - late_share]
    return kept or [max(appraised, key=lambda one: (one.in_time, -one.energy_j))]
