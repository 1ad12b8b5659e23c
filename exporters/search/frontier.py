"""Which candidates are worth shipping: pure decisions on measured figures, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.exporters.measure import Ratio, paired_ratio
from edgehybrid.points import LEVELS, REFERENCE, Quality
from edgehybrid.quality import Metric, summarize

CLEARLY_SMALLER = 0.8
NOT_SLOWER = 0.97  # a median this close to float's counts as equal when the interval holds it
SAME_SQNR_DB = 3.0  # half the noise, or twice
CLEARLY_FASTER = 0.99
CLEARLY_MORE = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one candidate.

    Attributes:
        name: Candidate.
        quality: With intervals, against the reference.
        scores: The metric's score of each sample.
        sqnr_db: Likeness to float.
        wall_s: Latency of every round, shape ``(rounds,)``; the rounds of all candidates correspond.
        cpu_s: CPU time of every round over all threads, shape ``(rounds,)``.
        speedup: Against the reference.
        size_bytes: If stored apart.
        finite: Whether all outputs are numbers.
        may_lose: Largest loss against its own full depth that its exits promise; 0 without exits.
        lost_elsewhere: Mean loss of its exits on other inputs than the evaluation's and mild variations of them.
    """

    name: str
    quality: Quality
    scores: NDArray[np.float64]
    sqnr_db: float
    wall_s: NDArray[np.float64]
    cpu_s: NDArray[np.float64]
    speedup: Ratio
    size_bytes: int
    finite: bool = True
    may_lose: float = 0.0
    lost_elsewhere: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Names to ship, best quality first, without the reference; and what was dropped.

    Attributes:
        kept: The names.
        dropped: The others.
        carried: Those of ``kept`` that are shipped only because they were asked for: why they would have gone.
    """

    kept: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    carried: Mapping[str, str] = field(default_factory=dict)


def default_max_drop(reference: Quality) -> float:
    """Largest loss when the user has named none: 0.05 of a share, a tenth of an error, 15 dB of signal to noise."""
    if reference.metric == "sqnr_db":
        return reference.value - 15.0
    if reference.metric in ("accuracy", "agreement"):
        return 0.05
    return 0.1 * abs(reference.value)


def hopeless(quality: Mapping[str, Quality], broken: Set[str], max_drop: float) -> tuple[Dropped, ...]:
    """Say which candidates need no timing: their outputs are broken, or they lose more than is allowed."""
    reasons = {name: _bad(quality[name], broken=name in broken, max_drop=max_drop) for name in quality}
    return tuple(Dropped(name=name, reason=why) for name, why in reasons.items() if why and name != REFERENCE)


def choose(
    reference: Figures,
    candidates: Sequence[Figures],
    *,
    metric: Metric,
    max_drop: float,
    levels: int,
    seed: int = 0,
    keep: Sequence[str] = (),
) -> Frontier:
    """Choose the points.

    A candidate goes if it is broken, loses more than ``max_drop``, is slower than float, is neither faster nor
    clearly smaller, or is dominated: another is no worse in quality, likeness to float, latency and CPU time as far as
    the intervals can tell, nor clearly larger, and measurably better in one of them. A few bytes less do not save a
    candidate that is worse in everything else. Likeness to float counts because some hundred
    samples rarely tell 97.0 % from 97.2 %, and the nearer graph is the safer one on inputs that nobody has measured.
    For the same reason exits dominate nothing that promises to lose less, or that measures as well and loses clearly
    less on other inputs.

    What ``keep`` names (shell patterns) is meant for another processor than this one: its time here decides nothing,
    so it stays if its outputs are good enough, beside the others and not in their place while five points hold all;
    one place is always left to what measured best here, which a device runs until it has measured the rest.
    """
    usual = _choose(reference, candidates, metric=metric, max_drop=max_drop, levels=levels, seed=seed)
    fit = {item.name for item in candidates if not _bad(item.quality, broken=not item.finite, max_drop=max_drop)}
    gone = [item for item in usual.dropped if item.name in fit and any(fnmatchcase(item.name, p) for p in keep)]
    carried = {item.name: item.reason for item in gone[: max(LEVELS) - 1]}
    if not carried:
        return usual
    if (room := max(LEVELS) - len(carried)) < len(usual.kept):
        usual = _choose(reference, candidates, metric=metric, max_drop=max_drop, levels=room, seed=seed)
        carried = {name: why for name, why in carried.items() if name not in usual.kept}
    shipped = {*usual.kept, *carried}
    ordered = _by_quality([item for item in candidates if item.name in shipped], metric)
    return Frontier(
        kept=tuple(item.name for item in ordered),
        dropped=tuple(item for item in usual.dropped if item.name not in carried),
        carried=carried,
    )


def _choose(
    reference: Figures, candidates: Sequence[Figures], *, metric: Metric, max_drop: float, levels: int, seed: int
) -> Frontier:
    dropped: list[Dropped] = []
    alive: list[Figures] = []
    for figures in candidates:
        if why := _unfit(figures, reference, max_drop):
            dropped.append(Dropped(name=figures.name, reason=why))
        else:
            alive.append(figures)
    for figures in list(alive):
        better = next((o for o in alive if o is not figures and _dominates(o, figures, metric, seed)), None)
        if better is not None:
            alive.remove(figures)
            dropped.append(Dropped(name=figures.name, reason=_why_dominated(better, figures, seed)))
    ordered = _by_quality(alive, metric)
    kept = _spread(ordered, levels)
    for figures in ordered:
        if figures not in kept:
            why = f"lies between the others: {levels} levels were asked for"
            dropped.append(Dropped(name=figures.name, reason=why))
    return Frontier(kept=tuple(figures.name for figures in kept), dropped=tuple(dropped))


def _bad(quality: Quality, *, broken: bool, max_drop: float) -> str | None:
    if broken:
        return "gives NaN or infinity where float gives numbers"
    if quality.drop > max_drop:
        return f"loses {_lost(quality)}; allowed: {_loss(quality, max_drop)}"
    return None


def _lost(quality: Quality) -> str:
    share = quality.relative_drop
    return _loss(quality, quality.drop) + ("" if share is None else f" ({share:.1%} of float's)")


def _loss(quality: Quality, drop: float) -> str:
    """Say a loss in the metric's unit."""
    if quality.metric in ("accuracy", "agreement"):
        return f"{100 * drop:.1f} points of {quality.metric}"
    return f"{drop:.4g} of {quality.metric}"


def _unfit(figures: Figures, reference: Figures, max_drop: float) -> str | None:
    if why := _bad(figures.quality, broken=not figures.finite, max_drop=max_drop):
        return why
    gain = figures.speedup
    if gain.high < 1.0:
        return f"slower than float: {gain.describe()}"
    if gain.low > 1.0:
        return None
    smaller = figures.size_bytes <= CLEARLY_SMALLER * reference.size_bytes
    if smaller and gain.median >= NOT_SLOWER:
        return None
    share = figures.size_bytes / reference.size_bytes
    return f"not measurably faster than float ({gain.describe()}), and not clearly smaller ({share:.0%} of its size)"


def _dominates(a: Figures, b: Figures, metric: Metric, seed: int) -> bool:
    """Whether ``a`` is no worse than ``b`` anywhere, and better somewhere."""
    loss = summarize(metric, a.scores, b.scores).drop_ci95
    quality_worse, quality_better = loss[0] > 0.0, loss[1] < 0.0
    likeness_worse, likeness_better = a.sqnr_db < b.sqnr_db - SAME_SQNR_DB, a.sqnr_db > b.sqnr_db + SAME_SQNR_DB
    gain = paired_ratio(b.wall_s, a.wall_s, seed)
    slower, faster = gain.high < 1.0, gain.low > 1.0
    thrift = paired_ratio(b.cpu_s, a.cpu_s, seed)
    dearer, cheaper = thrift.high < 1.0, thrift.low > 1.0
    larger, smaller = b.size_bytes <= CLEARLY_SMALLER * a.size_bytes, a.size_bytes < b.size_bytes / 1.02
    if _riskier(a, b) or quality_worse or slower or dearer or larger:
        return False
    if likeness_worse and not quality_better:
        return False
    return quality_better or likeness_better or faster or cheaper or smaller


def _riskier(a: Figures, b: Figures) -> bool:
    """Whether ``a`` may lose more by its promise, or measures no better here and loses clearly more elsewhere."""
    elsewhere = a.lost_elsewhere > CLEARLY_MORE * b.lost_elsewhere and b.quality.drop <= a.quality.drop
    return a.may_lose > b.may_lose or elsewhere


def _why_dominated(a: Figures, b: Figures, seed: int) -> str:
    gain = paired_ratio(b.wall_s, a.wall_s, seed)
    return (
        f"dominated by {a.name}: {gain.describe()} as fast, {a.size_bytes / b.size_bytes:.0%} of the size, "
        f"{a.quality.metric} {a.quality.value:.4g} against {b.quality.value:.4g}, "
        f"likeness to float {a.sqnr_db:.0f} dB against {b.sqnr_db:.0f} dB"
    )


def _by_quality(figures: Sequence[Figures], metric: Metric) -> list[Figures]:
    """What promises to lose least and is most float-like first; a measurable difference in quality counts more."""
    ordered = sorted(
        figures,
        key=lambda item: (item.may_lose, item.lost_elsewhere, -item.sqnr_db, item.quality.drop, item.name),
    )
    for _ in ordered:
        for index in range(len(ordered) - 1):
            first, second = ordered[index], ordered[index + 1]
            if summarize(metric, first.scores, second.scores).drop_ci95[0] > 0.0:
                ordered[index], ordered[index + 1] = second, first
    return ordered


def _spread(ordered: Sequence[Figures], levels: int) -> list[Figures]:
    """At most ``levels`` of them: the fastest, the first, the fastest without exits, and what fills gaps in latency.

    A step down should be faster than the steps above it; what is only smaller on disk comes in where there is room.
    """
    if len(ordered) <= levels:
        return list(ordered)
    steps = [
        item for i, item in enumerate(ordered) if all(_median(item) < CLEARLY_FASTER * _median(o) for o in ordered[:i])
    ]
    whole = min((item for item in ordered if not item.may_lose), key=_median, default=ordered[0])
    chosen = _distinct([min(ordered, key=_median), ordered[0], whole])[:levels]
    while len(chosen) < levels:
        rest = [item for item in steps if item not in chosen] or [item for item in ordered if item not in chosen]
        chosen.append(max(rest, key=lambda item: min(_gap(item, other) for other in chosen)))
    return [item for item in ordered if item in chosen]


def _distinct(items: Sequence[Figures]) -> list[Figures]:
    return list({item.name: item for item in items}.values())


def _median(item: Figures) -> float:
    return float(np.median(item.wall_s))


def _gap(a: Figures, b: Figures) -> float:
    return abs(float(np.log(_median(a) / _median(b))))
