"""What the controller learns while it runs: how slow the device is now, and how often inputs come.

The slowdown is ALERT's one number for all points (Wan et al., USENIX ATC 2020): whatever slows the device (heat,
neighbours, a profile from another board) slows every point alike, so each inference of any point teaches about all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.control.values import Observation

_MEMORY = 0.3  # ALERT's share of the old process noise
_MIN_NOISE = 0.01  # ALERT's 0.1 keeps sigma above 0.31 for ever, which would leave a third of every deadline unused
_MEASUREMENT_NOISE = 0.001
_MAX_SURPRISE = 4.0  # in sigmas: one stalled run must not look like a device that became slow for good
_POINT_WEIGHT = 0.05
_POINT_RANGE = (0.25, 4.0)
_PERIOD_WEIGHT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """Time of an inference over its time in the bundle: a Gaussian, with the filter's gain and process noise."""

    mean: float = 1.0
    variance: float = 0.1
    gain: float = 0.5
    noise: float = 0.1

    @property
    def sigma(self) -> float:
        """Standard deviation of the slowdown."""
        return math.sqrt(self.variance)

    def share_within(self, ratio: float) -> float:
        """Return the expected share of inferences whose slowdown is at most ``ratio``, 0 to 1."""
        return 0.5 * (1.0 + math.erf((ratio - self.mean) / (self.sigma * math.sqrt(2.0))))

    def update(self, ratio: float) -> Slowdown:
        """Learn from one inference that took ``ratio`` times its time in the bundle."""
        reach = _MAX_SURPRISE * self.sigma
        surprise = min(max(ratio - self.mean, -reach), reach)
        noise = max(_MIN_NOISE, _MEMORY * self.noise + (1 - _MEMORY) * (self.gain * surprise) ** 2)
        variance = (1 - self.gain) * self.variance + noise
        gain = variance / (variance + _MEASUREMENT_NOISE)
        return Slowdown(mean=self.mean + gain * surprise, variance=variance, gain=gain, noise=noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Everything learned from inferences.

    Attributes:
        slowdown: Shared by all points.
        corrections: Point name to its own factor on top of the shared slowdown; 1 where absent.
        period_s: Mean time between inputs; ``None`` before the second input.
        last_input_s: When the last input ended, monotonic clock.
    """

    slowdown: Slowdown = field(default_factory=Slowdown)
    corrections: Mapping[str, float] = field(default_factory=dict)
    period_s: float | None = None
    last_input_s: float | None = None

    def expected_s(self, point: OperatingPoint, depth: int | None = None) -> float:
        """Return the latency of ``point`` at the bundle's speed, with its own correction, in seconds.

        Args:
            point: The point.
            depth: Of answers after so many stages; ``None``, or a depth without figures, takes the point's median.
        """
        latency_ms = point.latency_ms.p50
        if depth is not None and 0 < depth <= len(point.depths):
            latency_ms = point.depths[depth - 1].latency_ms
        return latency_ms / 1e3 * self.corrections.get(point.name, 1.0)

    def share_in_time(self, point: OperatingPoint, deadline_s: float) -> float:
        """Return the expected share of inferences at ``point`` that end within ``deadline_s``, 0 to 1.

        With exits, each depth counts by the share of the inputs that it answers.
        """
        shares = [figures.share for figures in point.depths]
        if sum(shares) <= 0:
            return self._share_within(deadline_s, self.expected_s(point))
        within = [self._share_within(deadline_s, self.expected_s(point, k + 1)) for k in range(len(shares))]
        return sum(share * part for share, part in zip(shares, within, strict=True)) / sum(shares)

    def _share_within(self, deadline_s: float, expected_s: float) -> float:
        return self.slowdown.share_within(deadline_s / expected_s) if expected_s > 0 else 1.0

    def inputs_per_s(self, now_s: float) -> float:
        """Return how many inputs come per second; falls while none come."""
        if not self.period_s or self.last_input_s is None:
            return 0.0
        return 1.0 / max(self.period_s, now_s - self.last_input_s)


def learn(learned: Learned, seen: Observation, point: OperatingPoint) -> Learned:
    """Learn from one inference at ``point``: how slow the device is against the figures of that very depth.

    An answer that was given again tells nothing of that, only that an input came.
    """
    expected = learned.expected_s(point, seen.depth)
    if seen.depth == 0:
        return replace(learned, period_s=_period(learned, seen.at_s), last_input_s=_latest(learned, seen.at_s))
    if not (expected > 0 and seen.latency_s > 0 and math.isfinite(seen.latency_s)):
        return learned
    ratio = seen.latency_s / expected
    # Measured against the shared value as it was: what all points suffer together is no point's own fault.
    own = learned.corrections.get(point.name, 1.0) * (ratio / learned.slowdown.mean) ** _POINT_WEIGHT
    own = min(max(own, _POINT_RANGE[0]), _POINT_RANGE[1])
    return replace(
        learned,
        slowdown=learned.slowdown.update(ratio),
        corrections={**learned.corrections, point.name: own},
        period_s=_period(learned, seen.at_s),
        last_input_s=_latest(learned, seen.at_s),
    )


def _latest(learned: Learned, at_s: float) -> float:
    return max(at_s, learned.last_input_s or at_s)


def _period(learned: Learned, at_s: float) -> float | None:
    if learned.last_input_s is None:
        return None
    gap = max(at_s - learned.last_input_s, 0.0)
    return gap if learned.period_s is None else learned.period_s + _PERIOD_WEIGHT * (gap - learned.period_s)
