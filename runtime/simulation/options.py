"""What it costs and brings to run a point with an exit scalar and a number of threads, input by input.

Threads beyond the measured ones: latency falls with the square root of the threads. Four threads beside one gave
1.5 (mobilenet_v2) to 2.0 (resnet50) times the speed on a Raspberry Pi 4B (github.com/Tencent/ncnn
benchmark/README.md); CPU time grows accordingly.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from edgehybrid.points import OperatingPoint, Quality
from edgehybrid.units import clip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_Z95 = 1.645
_SIGMA = 0.05
_MAX_SIGMA = 0.2  # a busy workstation's 95th percentile says more of the workstation
_THREAD_POWER = 0.5
_LEAST = 1e-9  # shares that are zero but for rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A point with an exit scalar and threads, at the bundle's speed.

    Attributes:
        point: Name of the point.
        scalar: Exit scalar; ``None`` lets nothing leave early.
        threads: Threads.
        reach: Difficulty up to which an answer comes after 1, 2, ... stages; the last is 1.
        strict_reach: The same at the exit scalar 0.
        latency_s: By depth.
        cpu_s: By depth.
        sigma: Of the logarithm of the latency from input to input.
        worth: Quality where the depth is that of the exit scalar 0; higher is better.
        loss: What an input loses that answers earlier than at the exit scalar 0.
        mean_worth: Mean over all inputs.
    """

    point: str
    scalar: float | None
    threads: int
    reach: tuple[float, ...]
    strict_reach: tuple[float, ...]
    latency_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    sigma: float
    worth: float
    loss: float
    mean_worth: float

    def depth_of(self, difficulty: float) -> int:
        """Return the index into ``latency_s`` for an input: 0 after the first stage."""
        return bisect_left(self.reach, difficulty)

    def worth_of(self, difficulty: float) -> float:
        """Return the expected quality of the answer to an input; higher is better."""
        early = self.loss and bisect_left(self.reach, difficulty) < bisect_left(self.strict_reach, difficulty)
        return self.worth - self.loss if early else self.worth

    def depths_of(self, difficulty: Floats) -> Ints:
        """Return ``depth_of`` each input, shape as given."""
        return np.searchsorted(self.reach, difficulty, side="left").astype(np.int64)

    def worths_of(self, difficulty: Floats) -> Floats:
        """Return ``worth_of`` each input, shape as given."""
        early = self.depths_of(difficulty) < np.searchsorted(self.strict_reach, difficulty, side="left")
        return np.where(early, self.worth - self.loss, self.worth)


def worth(quality: Quality, value: float | None = None) -> float:
    """Return a quality such that higher is better."""
    shown = quality.value if value is None else value
    return shown if quality.higher_is_better else -shown


def late_worth(points: Sequence[OperatingPoint], said: float | None) -> float:
    """Return what a late or missing answer is worth; higher is better."""
    first = points[0].quality
    if said is not None:
        return worth(first, said)
    if first.metric.startswith(("accuracy", "agreement")):
        return 0.0
    return min(worth(point.quality) for point in points)


def make_option(point: OperatingPoint, scalar: float | None = 0.0, threads: int | None = None) -> Option:
    """Work out what ``point`` does at an exit scalar (``None``: no exits), with so many threads."""
    threads = threads or point.threads
    pace = (point.threads / threads) ** _THREAD_POWER
    effort = pace * threads / point.threads
    strict = _reach(point, 0.0)
    reach = (*(0.0 for _ in strict[1:]), 1.0) if scalar is None else _reach(point, clip(scalar, 0.0, 1.0))
    stages = point.depths
    loss = _loss(point, strict)
    latency_ms = tuple(depth.latency_ms for depth in stages) or (point.latency_ms.mean or point.latency_ms.p50,)
    cpu_ms = tuple(depth.cpu_ms for depth in stages) or (point.cpu_ms,)
    return Option(
        point=point.name,
        scalar=scalar,
        threads=threads,
        reach=reach,
        strict_reach=strict,
        latency_s=tuple(ms * pace / 1e3 for ms in latency_ms),
        cpu_s=tuple(ms * effort / 1e3 for ms in cpu_ms),
        sigma=_sigma(point),
        worth=worth(point.quality),
        loss=loss,
        mean_worth=worth(point.quality) - loss * _moved(strict, reach),
    )


def _reach(point: OperatingPoint, scalar: float) -> tuple[float, ...]:
    """Shares of inputs that answer after at most 1, 2, ... stages: straight between both ends of the scalar."""
    if not point.depths:
        return (1.0,)
    strict = accumulate(depth.share for depth in point.depths)
    relaxed = accumulate(depth.relaxed_share for depth in point.depths)
    reach = [s + scalar * (max(r, s) - s) for s, r in zip(strict, relaxed, strict=True)]
    return (*reach[:-1], 1.0)


def _loss(point: OperatingPoint, strict: Sequence[float]) -> float:
    """Loss of each input that leaves earlier at the scalar 1, such that their mean is the point's relaxed quality."""
    if point.relaxed_quality is None:
        return 0.0
    moved = _moved(strict, _reach(point, 1.0))
    lost = worth(point.quality) - worth(point.relaxed_quality)
    return max(lost, 0.0) / moved if moved > _LEAST else 0.0


def _moved(strict: Sequence[float], reach: Sequence[float]) -> float:
    """Share of inputs that answer earlier by ``reach`` than by ``strict``."""
    moved, below = 0.0, 0.0
    for early, late in zip(reach, strict, strict=True):  # difficulties in (below, early] answer here
        moved += early - min(max(below, late), early)
        below = early
    return moved


def _sigma(point: OperatingPoint) -> float:
    """Jitter by the measured percentiles; where inputs differ in depth they say nothing of it."""
    if point.depths or not point.latency_ms.p50 > 0:
        return _SIGMA
    return clip(math.log(max(point.latency_ms.p95 / point.latency_ms.p50, 1.0)) / _Z95, 0.0, _MAX_SIGMA)
