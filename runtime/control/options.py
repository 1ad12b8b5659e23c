"""What can be chosen: points with a number of threads and an exit scalar, and what each brings by the bundle.

Threads beyond the measured ones are believed to make the latency fall with their square root: four beside one gave 1.5
(mobilenet_v2) to 2.0 (resnet50) times the speed on a Raspberry Pi 4B (github.com/Tencent/ncnn benchmark/README.md);
CPU time grows accordingly. What is learned from inferences corrects it for each number of threads.

Busy cores take fewer watts each when there are more of them, says a profile; half of that is believed (in logarithms):
a profile's first core holds what shows only at the wall, and the profile may be another board's. See decision 0038.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from edgehybrid.points import OperatingPoint, Quality
from edgehybrid.profiles import DeviceProfile

_THREAD_POWER = 0.5
_ENDS = (0.0, 1.0)  # of the exit scalar; all between them lie on a straight line
_DIGITS = 3  # of a scalar
_LEAST = 1e-9
_Z95 = 1.645
_LEAST_SIGMA, _MOST_SIGMA = 0.03, 0.15  # a busy workstation's 95th percentile says more of the workstation
_NOISE = 0.0036  # 6 % from input to input, where the bundle cannot tell
_FEWEST_S = 1e-9
_DEARER = 1.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing that an input can be run with.

    Attributes:
        index: In the list of all options.
        point: Name of the point.
        threads: Threads.
        scalar: Exit scalar; ``None`` where the point has no exits.
        rank: Of the point in the bundle, 0 = best quality.
        worth: Mean quality; higher is better.
        drop: Loss of mean quality against the reference, in the metric's unit.
        cpu_s: Mean CPU time of an inference by the bundle.
        latency_s: Mean latency by the bundle.
        busy_cores: Cores that it keeps busy while it runs.
        core_w: Watts of each of them above the idle board, by bundle and profile.
        energy_j: Energy of an inference above the idle board, by both.
        noise: Variance of the logarithm of its latency from input to input, by the bundle's percentiles.
        own_index: Of the point's correction in the filter of the slowdown.
        threads_index: The same of this number of threads; 0 for the measured number.
        depths: Share of the inputs and logarithm of the latency in s, for each depth.
        reference: Whether it is the user's own float graph.
    """

    index: int
    point: str
    threads: int
    scalar: float | None
    rank: int
    worth: float
    drop: float
    cpu_s: float
    latency_s: float
    busy_cores: float
    core_w: float
    energy_j: float
    noise: float
    own_index: int
    threads_index: int
    depths: tuple[tuple[float, float], ...]
    reference: bool


class Options:
    """All options of a bundle on a board.

    Args:
        points: Of the bundle, best quality first.
        device: The board.
        max_threads: Ceiling; ``None``: as many as the board has cores.
    """

    def __init__(self, points: Sequence[OperatingPoint], device: DeviceProfile, max_threads: int | None) -> None:
        found: list[Option] = []
        names = [point.name for point in points]
        for rank, point in enumerate(points):
            for threads in _thread_counts(point, device, max_threads):
                if threads != point.threads:
                    names.append(f"{point.name}/{threads}")
                index = 0 if threads == point.threads else len(names)
                for scalar in _ENDS if point.depths else (None,):
                    found.append(_make(len(found), rank, point, threads, index, scalar, device))
        self.names = tuple(names)
        self.every = tuple(found)
        self.points = tuple(points)
        worths, energies = [o.worth for o in found], [o.energy_j for o in found]
        self.span = (max(worths) - min(worths), max(energies) - min(energies))
        self._device = device
        self._by_point: dict[tuple[str, int], Option] = {}
        self._between: dict[tuple[int, float], Option] = {}
        for option in reversed(found):
            self._by_point[option.point, option.threads] = option
            own = points[option.rank].threads
            if option.threads == min(own, max_threads or own):
                self._by_point[option.point, 0] = option
        self._latency_s = {
            (option.point, option.threads): _latencies_s(points[option.rank], option.threads) for option in found
        }

    def latency_s(self, point: str, threads: int, depth: int) -> float | None:
        """Return the bundle's latency of ``point`` after ``depth`` stages; ``None`` for what is not in the bundle."""
        by_depth = self._latency_s.get((point, threads))
        if by_depth is None or depth == 0:
            return None
        return by_depth[min(depth, len(by_depth)) - 1]

    def find(self, point: str, threads: int | None, scalar: float | None) -> Option | None:
        """Return the option of a point at an exit scalar; ``None`` for what is not in the bundle.

        Threads that are not known, or ``None``, are taken for those that the point was measured with.
        """
        mine = self._by_point.get((point, threads or 0)) or self._by_point.get((point, 0))
        return mine if mine is None else self.at(mine, scalar or 0.0)

    def at(self, option: Option, scalar: float) -> Option:
        """Return an option with its exits moved to ``scalar``; itself where the point has none."""
        scalar = round(min(max(scalar, 0.0), 1.0), _DIGITS)
        if option.scalar is None or option.scalar == scalar:
            return option
        key = option.index, scalar
        if key not in self._between:
            point = self.points[option.rank]
            made = _make(option.index, option.rank, point, option.threads, option.threads_index, scalar, self._device)
            self._between[key] = made
        return self._between[key]

    def within(self, option: Option, floor: float) -> Option | None:
        """Return the option, with its exits as far back as the floor of the drop asks; ``None`` where none keeps it."""
        if option.drop <= floor:
            return option
        if not option.scalar:
            return None
        strict = self.at(option, 0.0)
        room, all_ = floor - strict.drop, option.drop - strict.drop
        if room < 0 or all_ <= 0:
            return None
        scale = 10.0**_DIGITS
        return self.at(option, math.floor(option.scalar * room / all_ * scale) / scale)


def worth(quality: Quality, value: float | None = None) -> float:
    """Return a quality such that higher is better."""
    shown = quality.value if value is None else value
    return shown if quality.higher_is_better else -shown


def late_worth(points: Sequence[OperatingPoint], said: float | None = None) -> float:
    """Return what a late answer is worth: what was ``said``; nothing for a share; else as much as the worst point."""
    first = points[0].quality
    if said is not None:
        return worth(first, said)
    if first.metric.startswith(("accuracy", "agreement")):
        return 0.0
    return min(worth(point.quality) for point in points)


def _thread_counts(point: OperatingPoint, device: DeviceProfile, most: int | None) -> tuple[int, ...]:
    """Return 1, 2, 4, ... up to the cores, and the number that the point was measured with."""
    ceiling = min(device.cpu.cores, most or device.cpu.cores)
    doubled = {2**k for k in range(8) if 2**k <= ceiling}
    own = min(point.threads, most or point.threads)
    return tuple(sorted(doubled | {own}))


def _make(
    index: int,
    rank: int,
    point: OperatingPoint,
    threads: int,
    threads_index: int,
    scalar: float | None,
    device: DeviceProfile,
) -> Option:
    shares = _shares(point, scalar or 0.0)
    latency_s = _latencies_s(point, threads)
    effort = (threads / point.threads) ** (1.0 - _THREAD_POWER)
    cpu_ms = [figures.cpu_ms for figures in point.depths] or [point.cpu_ms]
    mean_s = sum(share * s for share, s in zip(shares, latency_s, strict=True))
    cpu_s = sum(share * ms for share, ms in zip(shares, cpu_ms, strict=True)) / 1e3 * effort
    cores = cpu_s / mean_s if mean_s > 0 else 1.0
    if not point.depths and point.latency_ms.mean is not None:
        mean_s = mean_s * point.latency_ms.mean / max(point.latency_ms.p50, _FEWEST_S)
    lost = _lost(point, scalar or 0.0)
    core_w = _watts(point, device)
    if threads != point.threads:  # nobody has measured that these threads save energy: a profile may be another board's
        measured = cores / (threads / point.threads)
        change = _core_w(device, max(cores, 1.0)) / _core_w(device, max(measured, 1.0))
        core_w *= max(math.sqrt(change), _DEARER / effort)
    return Option(
        index=index,
        point=point.name,
        threads=threads,
        scalar=scalar,
        rank=rank,
        worth=worth(point.quality) - lost,
        drop=point.quality.drop + lost,
        cpu_s=cpu_s,
        latency_s=mean_s,
        busy_cores=cores,
        core_w=core_w,
        energy_j=cpu_s * core_w,
        noise=_noise(point),
        own_index=1 + rank,
        threads_index=threads_index,
        depths=tuple(
            (share if share > _LEAST else 0.0, math.log(max(s, _FEWEST_S)))
            for share, s in zip(shares, latency_s, strict=True)
        ),
        reference=point.is_reference,
    )


def _latencies_s(point: OperatingPoint, threads: int) -> tuple[float, ...]:
    """By depth, with so many threads."""
    pace = (point.threads / threads) ** _THREAD_POWER / 1e3
    return tuple(figures.latency_ms * pace for figures in point.depths) or (point.latency_ms.p50 * pace,)


def _shares(point: OperatingPoint, scalar: float) -> tuple[float, ...]:
    """Share of the inputs that answer at each depth: straight between both ends of the exit scalar."""
    if not point.depths:
        return (1.0,)
    strict = accumulate(figures.share for figures in point.depths)
    relaxed = accumulate(figures.relaxed_share for figures in point.depths)
    reach = [s + scalar * (max(r, s) - s) for s, r in zip(strict, relaxed, strict=True)]
    reach[-1] = 1.0
    return tuple(max(high - low, 0.0) for low, high in zip((0.0, *reach), reach, strict=False))


def _lost(point: OperatingPoint, scalar: float) -> float:
    """Mean quality that a scalar above 0 gives up: in step with the share of inputs that leave earlier."""
    if point.relaxed_quality is None:
        return 0.0
    return scalar * max(worth(point.quality) - worth(point.relaxed_quality), 0.0)


def _noise(point: OperatingPoint) -> float:
    """Variance by the measured percentiles; where inputs differ in depth they say nothing of it."""
    if point.depths or not point.latency_ms.p50 > 0:
        return _NOISE
    sigma = math.log(max(point.latency_ms.p95 / point.latency_ms.p50, 1.0)) / _Z95
    return min(max(sigma, _LEAST_SIGMA), _MOST_SIGMA) ** 2


def _watts(point: OperatingPoint, device: DeviceProfile) -> float:
    """Watts of each busy core as the point was measured: its joules over its CPU time, else by the profile."""
    if point.cpu_ms > 0 and point.energy_mj.value > 0:
        return point.energy_mj.value / point.cpu_ms
    return _core_w(device, max(point.cpu_ms / point.latency_ms.p50, 1.0) if point.latency_ms.p50 > 0 else 1.0)


def _core_w(device: DeviceProfile, cores: float) -> float:
    """Mean watts of each of ``cores`` busy cores above the idle board, on straight lines between the profile's."""
    power = device.power
    n = min(cores, float(len(power.busy_w)))
    levels = (power.idle_w, *power.busy_w)
    low = min(int(n), len(levels) - 2)
    return (levels[low] + (n - low) * (levels[low + 1] - levels[low]) - power.idle_w) / n
