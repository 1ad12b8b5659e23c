"""How slow the device is now: ALERT's one number for all points, in logarithms, with sigmas that are right.

ALERT (Wan et al., USENIX ATC 2020) filters the latency over the bundle's latency of whatever runs; its constants keep
sigma above 0.31. Here an inference of option ``o`` among ``b`` busy cores of others on a board of ``n`` cores takes

    ln t = ln t_bundle(o) + ln max((threads + b) / n, 1) + level + own(point) + own(threads) + e,   e ~ N(0, noise)

``level`` is shared; each point, and each number of threads that was not measured, has its own correction. One Kalman
filter holds them all with their covariance, so what one point taught is not forgotten when another runs. The noise of
each point is learned from its residuals. What no filter explains (an innovation beyond three sigmas) opens the level's
variance, so that it jumps at once, both ways. Each number of busy neighbours is a regime with a memory of its own level
and of how much that differed from visit to visit: coming back, the level is there before the first inference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from msgspec import Struct, field

from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.options import Option

LEVEL_VARIANCE = 0.5  # a bundle from another machine: e^±0.7 covers half to twice
POINT_VARIANCE = 0.02  # points differ by 10 to 15 % from board to board
THREADS_VARIANCE = 0.01  # the square root is only a rule
_MIN_NOISE, _MAX_NOISE = 1e-4, 0.25
_NOISE_WEIGHT = 0.04
_WANDER = 1e-5  # variance a second: 3 % in a minute and a half
_BEYOND = 9.0  # innovations beyond three sigmas are another world, not noise
_NEW_REGIME = 0.06  # variance of what a new neighbour does: e^±0.25
_LEAST_SPREAD = 4e-4
_VISITS = 6.0
_ERROR_WEIGHT = 0.1
SHARE_TAU_S = 600.0
"""Over which the share of the time in each regime fades."""

_LOG_RANGE = 7.0


class Regime(Struct, frozen=True, kw_only=True, gc=False):
    """What is remembered of a number of busy neighbours.

    Attributes:
        log: Mean of the levels at the end of the visits.
        spread: Variance of them.
        visits: How many, at most six.
        seen_s: Time spent in it, fading over ten minutes of all time.
    """

    log: float
    spread: float = _NEW_REGIME
    visits: float = 0.0
    seen_s: float = 0.0


class Slowdown(Struct, frozen=True, kw_only=True, gc=False):
    """The filter's state.

    Attributes:
        names: What there are corrections of: points, and ``point/threads``; as ``Options.names``.
        means: Level first, then the corrections: means of logarithms.
        covariance: Of them, row by row.
        noises: Variance from input to input by point; the bundle's own where nothing was seen yet.
        others: Cores that others keep busy.
        regime: ``others``, rounded.
        regimes: By rounded number of busy cores.
        inferences: In this visit of the regime.
        stayed_s: How long it has lasted.
        at_s: Of the last inference, monotonic clock.
        missed: Mean square of the last prediction errors of the logarithm, beyond the variance that was expected.
    """

    names: tuple[str, ...] = ()
    means: tuple[float, ...] = (0.0,)
    covariance: tuple[float, ...] = (LEVEL_VARIANCE,)
    noises: Mapping[str, float] = field(default_factory=dict)
    others: float = 0.0
    regime: int = 0
    regimes: Mapping[str, Regime] = field(default_factory=dict)
    inferences: int = 0
    stayed_s: float = 0.0
    at_s: float | None = None
    missed: float = 0.0

    @property
    def pole(self) -> float:
        """How far changes are held back, 0 to 1, because predictions were wrong of late.

        CALOREE's rule (Mishra et al., ASPLOS 2018): ``pole = max(0, 1 - 2 / delta)`` with ``delta = 1 + 3 sigma`` of
        the model; JouleGuard (Hoffmann, SOSP 2015) has the same with the ratio of observed to predicted. Nothing is
        held back while predictions are right within a third, or were known to be as doubtful as they turned out.
        """
        return max(0.0, 1.0 - 2.0 / (1.0 + 3.0 * math.sqrt(self.missed)))

    @property
    def log(self) -> float:
        """The level: mean of the logarithm of the slowdown, without what busy cores explain."""
        return self.means[0]

    @property
    def mean(self) -> float:
        """The level as a factor."""
        return math.exp(self.means[0])

    @property
    def variance(self) -> float:
        """Variance of the level."""
        return self.covariance[0]

    def of(self, option: Option) -> tuple[float, float]:
        """Return the logarithm of an option's slowdown, level and corrections together, and its variance."""
        p, t, n = option.own_index, option.threads_index, len(self.means)
        m, c = self.means, self.covariance
        log, variance = m[0] + m[p], c[0] + c[p * n + p] + 2.0 * c[p]
        if t:
            log += m[t]
            variance += c[t * n + t] + 2.0 * (c[t] + c[p * n + t])
        return log, max(0.0, variance)

    def noise(self, option: Option) -> float:
        """Return the variance from input to input."""
        return self.noises.get(option.point, option.noise)

    def crowd(self, threads: int, cores: int) -> float:
        """Return how much longer a run waits for cores among the neighbours."""
        return max((threads + self.others) / cores, 1.0)


def fit(slow: Slowdown, names: tuple[str, ...]) -> Slowdown:
    """Return the filter for a bundle with these corrections; what is known of others is left behind."""
    if slow.names == names:
        return slow
    n = len(names) + 1
    covariance = np.diag([slow.variance, *(THREADS_VARIANCE if "/" in name else POINT_VARIANCE for name in names)])
    means = (slow.log, *(0.0 for _ in names))
    return evolve(slow, names=names, means=means, covariance=tuple(covariance.reshape(n * n).tolist()), noises={})


def at_level(slow: Slowdown, log: float, variance: float) -> Slowdown:
    """Put the level where it was in another regime; what it has in common with the corrections is gone."""
    n = len(slow.means)
    covariance = list(slow.covariance)
    covariance[0] = variance
    for k in range(1, n):
        covariance[k] = covariance[k * n] = 0.0
    return evolve(slow, means=(log, *slow.means[1:]), covariance=tuple(covariance))


def enter(slow: Slowdown, others: float, seconds: float) -> Slowdown:
    """Take in that others keep ``others`` cores busy; ``seconds`` have passed since this was last told."""
    regime = slow.regime if abs(others - slow.regime) < 0.6 else int(others + 0.5)  # a little hysteresis
    stayed_s = slow.stayed_s + seconds
    if regime == slow.regime:
        return slow if others == slow.others and not seconds else evolve(slow, others=others, stayed_s=stayed_s)
    fade = math.exp(-stayed_s / SHARE_TAU_S)
    known = {key: evolve(one, seen_s=one.seen_s * fade) for key, one in slow.regimes.items()}
    here = str(slow.regime)
    present = known.get(here) or Regime(log=slow.log)
    known[here] = evolve(present, seen_s=present.seen_s + stayed_s)
    if slow.inferences > 0:
        known[here] = _left(known[here], slow.log)
    coming = known.get(str(regime))
    after = evolve(slow, others=others, regime=regime, regimes=known, inferences=0, stayed_s=0.0)
    if coming is None or coming.visits == 0:
        return evolve(after, covariance=(slow.variance + _NEW_REGIME, *slow.covariance[1:]))
    return at_level(after, coming.log, max(coming.spread, _LEAST_SPREAD))


def learn(slow: Slowdown, option: Option, nominal_s: float, latency_s: float, at_s: float, cores: int) -> Slowdown:
    """Learn from one inference that took ``latency_s``; ``nominal_s`` by the bundle, at its depth and threads."""
    n = len(slow.means)
    p = np.asarray(slow.covariance).reshape(n, n)
    p[0, 0] += _WANDER * min(max(at_s - (slow.at_s if slow.at_s is not None else at_s), 0.0), 3600.0)
    used = [0, option.own_index, *([option.threads_index] if option.threads_index else [])]
    noise = slow.noise(option)
    predicted = sum(slow.means[k] for k in used)
    surprise = math.log(latency_s / (nominal_s * slow.crowd(option.threads, cores))) - predicted
    shared = p[:, used].sum(axis=1)  # covariance of everything with the prediction
    total = float(shared[used].sum()) + noise
    square = surprise * surprise
    opened = max(square - _BEYOND * total, 0.0)
    p[0, 0] += opened
    shared[0] += opened
    total += opened
    means = np.asarray(slow.means) + shared * (surprise / total)
    p -= np.outer(shared, shared) / total
    seen = noise * (1.0 + _NOISE_WEIGHT * (min(square / (total - opened), _BEYOND) - 1.0) * (noise / total))
    return evolve(
        slow,
        means=tuple(np.clip(means, -_LOG_RANGE, _LOG_RANGE).tolist()),
        covariance=tuple(p.reshape(n * n).tolist()),
        noises={**slow.noises, option.point: min(max(seen, _MIN_NOISE), _MAX_NOISE)},
        inferences=slow.inferences + 1,
        at_s=at_s if slow.at_s is None else max(at_s, slow.at_s),
        missed=slow.missed + _ERROR_WEIGHT * (min(max(square - total + opened, 0.0), _LOG_RANGE) - slow.missed),
    )


def _left(regime: Regime, log: float) -> Regime:
    """Remember the level at the end of a visit."""
    visits = min(regime.visits + 1.0, _VISITS)
    away = log - regime.log if regime.visits else 0.0
    spread = regime.spread + (away * away - regime.spread) / max(visits, 2.0) if regime.visits else _NEW_REGIME / 2
    return evolve(regime, log=regime.log + away / visits if regime.visits else log, spread=spread, visits=visits)
