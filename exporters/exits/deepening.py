"""Depth: exits for the chosen candidates; each promise is a candidate of its own, measured as all others are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.data import Samples
from edgehybrid.exporters.assemble import Chosen, DeepPoint
from edgehybrid.exporters.chains import Chain, Deep, LoadedChain, depth_runs, mixed, score_chain
from edgehybrid.exporters.depth import Path as ThresholdPath
from edgehybrid.exporters.depth import Refusal, depths, make_exits
from edgehybrid.exporters.exits.choosing import Judged
from edgehybrid.exporters.exits.figures import (
    DELTA,
    Depths,
    Losses,
    certified_depths,
    epsilon_pairs,
    mixture_percentile,
    taken_scores,
    taken_sqnr_db,
)
from edgehybrid.exporters.measure import Timings, machine_key, resident_bytes
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.search import Figures, choose
from edgehybrid.exporters.trial import Tools, figures, time_runs
from edgehybrid.points import REFERENCE, DepthFigures, LatencyMs, Risk
from edgehybrid.quality import summarize

Float64Array = NDArray[np.float64]

_TIMING_SHARE = 0.6  # of the time that timing all candidates took


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """A chain with its heads, loaded.

    Attributes:
        loaded: The chain.
        path: The order in which its thresholds may be lowered.
        losses: How an early answer is judged.
        view: Its exits as the rows see them that heads and order come from, out of fold; costs in runs of the uncut
            candidate, as far as known before it is timed.
    """

    loaded: LoadedChain
    path: ThresholdPath
    losses: Losses
    view: Judged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Promised:
    """A chain under one promise, before it is timed."""

    name: str
    armed: Armed
    deep: Deep
    depths: Depths
    epsilons: tuple[float, float]

    @property
    def rivals(self) -> tuple[str, str, tuple[float, float]]:
        """What it shares with chains that differ from it in their cuts and heads only."""
        chain = self.armed.loaded.chain
        return chain.candidate.name, "cascade" if chain.is_cascade else "cuts", self.epsilons

    @property
    def predicted(self) -> float:
        """Mean time of an input, in runs of the uncut candidate."""
        return float(np.dot(self.armed.view.costs, self.depths.shares))

    @property
    def lost(self) -> float:
        """Mean loss of the evaluation inputs under thresholds that they did not help to choose."""
        return _mean_loss(self.armed.losses.of(self.deep), self.depths.taken)

    @property
    def lost_elsewhere(self) -> float:
        """Mean loss of the rows that the heads come from, out of fold, under the thresholds that ship.

        They are other inputs than the evaluation's, with mild variations: what the promise does not speak of.
        """
        view = self.armed.view
        thresholds = self.armed.path.thresholds(self.depths.places[0])
        return _mean_loss(view.losses, depths(thresholds, view.confidence))


def deepen(
    chosen: Chosen,
    chains: Sequence[Armed],
    prepared: Prepared,
    options: ExportOptions,
    tools: Tools,
    *,
    max_drop: float,
) -> Chosen:
    """Certify, measure and choose again, with every chain under every promise beside what was chosen so far."""
    promised: list[_Promised] = []
    dropped: list[Dropped] = []
    samples = prepared.evaluation
    wanted = len(chosen.scores[REFERENCE].scores)
    tools.progress.start(wanted * len(chains), "depth")
    for armed in chains:
        deep = _score(armed.loaded, chosen, samples, prepared, tools, wanted)
        kept, whys = _promises(armed, deep, options)
        promised += kept
        dropped += whys
    promised, slower = _undominated(promised)
    dropped += slower
    if not promised:
        return replace(chosen, dropped=(*chosen.dropped, *dropped))
    return _choose_again(chosen, promised, prepared, options, tools, max_drop, dropped)


def _score(
    loaded: LoadedChain, chosen: Chosen, samples: Samples, prepared: Prepared, tools: Tools, wanted: int
) -> Deep:
    total = samples.count

    def one_of(index: int) -> bool:
        return (index + 1) * wanted // total > index * wanted // total

    reference = chosen.trial.sessions[REFERENCE]
    key = ("deep", *(stage.digest for stage in loaded.chain.stages), samples.sha256, prepared.metric.name)

    def measure() -> dict[str, NDArray[np.generic]]:
        deep = score_chain(loaded, reference, samples, prepared.metric, wanted=one_of, advance=tools.progress.advance)
        return {"confidence": deep.confidence, "answers": deep.answers, "scores": deep.scores, "truth": deep.truth}

    kept = tools.cache.get((*key, str(wanted)), measure)
    return Deep(**{name: np.asarray(array, dtype=np.float64) for name, array in kept.items()})


def _promises(armed: Armed, deep: Deep, options: ExportOptions) -> tuple[list[_Promised], list[Dropped]]:
    kept: list[_Promised] = []
    dropped: list[Dropped] = []
    chain = armed.loaded.chain
    losses = armed.losses.of(deep)
    for epsilons in epsilon_pairs(options.exit_losses):
        name = f"{chain.name}~{epsilons[0]:g}"
        found = certified_depths(armed.path, deep, losses, epsilons)
        if isinstance(found, Refusal):
            dropped.append(Dropped(name=name, reason=f"exits: {found.reason}"))
        elif found.shares[-1] >= 1.0:
            dropped.append(Dropped(name=name, reason="exits: with this promise no input leaves early"))
        else:
            kept.append(_Promised(name=name, armed=armed, deep=deep, depths=found, epsilons=epsilons))
    return kept, dropped


def _undominated(promised: Sequence[_Promised]) -> tuple[list[_Promised], list[Dropped]]:
    """Of the chains of one candidate under one promise: those that nothing predicted to be faster equals in loss.

    All keep their promise. Some lose much less than it, on the evaluation inputs and on the others, and are better
    points for it though slower. Only these are timed.
    """
    kept, dropped = [], []
    for item in promised:
        better = next((other for other in promised if other is not item and _outdoes(other, item)), None)
        if better is None:
            kept.append(item)
            continue
        why = f"{better.name} promises the same, loses no more and is predicted to take {better.predicted:.2f}"
        dropped.append(Dropped(name=item.name, reason=f"exits: {why} of the time without, not {item.predicted:.2f}"))
    return kept, dropped


def _outdoes(a: _Promised, b: _Promised) -> bool:
    surer = a.lost <= b.lost and a.lost_elsewhere <= b.lost_elsewhere
    return a.rivals == b.rivals and surer and (a.predicted, a.name) < (b.predicted, b.name)


def _mean_loss(losses: Float64Array, taken: NDArray[np.int64]) -> float:
    """Mean loss of rows that leave at depth ``taken``; full depth loses nothing."""
    whole = np.column_stack([losses, np.zeros(len(losses))])
    return float(whole[np.arange(len(whole)), taken].mean())


def _choose_again(
    chosen: Chosen,
    promised: Sequence[_Promised],
    prepared: Prepared,
    options: ExportOptions,
    tools: Tools,
    max_drop: float,
    dropped: Sequence[Dropped],
) -> Chosen:
    timings = _time(chosen, promised, prepared, options, tools)
    uncut = replace(
        chosen.trial, candidates=tuple(c for c in chosen.trial.candidates if c.name in chosen.names), dropped=()
    )
    quality = {name: chosen.figures[name].quality for name in chosen.names}
    found = figures(uncut, chosen.scores, quality, timings, options.seed)
    found |= {item.name: _figures(item, found[REFERENCE], timings, prepared, options.seed) for item in promised}
    others = [item for name, item in found.items() if name != REFERENCE]
    frontier = choose(
        found[REFERENCE],
        others,
        metric=prepared.metric,
        max_drop=max_drop,
        levels=options.levels,
        seed=options.seed,
        keep=options.keep,
    )
    points = {
        item.name: _point(item, found[item.name], found[REFERENCE], timings, prepared, tools)
        for item in promised
        if item.name in frontier.kept
    }
    return replace(
        chosen,
        names=(REFERENCE, *frontier.kept),
        figures={**chosen.figures, **found},
        timings=timings,
        memory={**chosen.memory, **{name: point.resident_bytes for name, point in points.items()}},
        dropped=(*chosen.dropped, *dropped, *frontier.dropped),
        carried=frontier.carried,
        deep=points,
    )


def _time(
    chosen: Chosen, promised: Sequence[_Promised], prepared: Prepared, options: ExportOptions, tools: Tools
) -> Timings:
    """Time every kept candidate, and every chain to each of its depths, together."""
    samples = prepared.evaluation
    feeds = first_feeds(samples, 1)[0]
    trial = chosen.trial
    runs: dict[str, Callable[[], object]] = {name: partial(trial.timed[name].run, feeds) for name in chosen.names}
    key = [f"{name} {trial.candidate(name).graph.digest} {trial.candidate(name).threads}" for name in chosen.names]
    outputs = [spec.name for spec in prepared.model.outputs]
    for loaded in {item.armed.loaded.chain.name: item.armed.loaded for item in promised}.values():
        for depth, run in enumerate(depth_runs(loaded, feeds, prepared.model.inputs, outputs)):
            runs[_timed(loaded, depth)] = run
        key.append(" ".join([loaded.chain.name, *(stage.digest for stage in loaded.chain.stages)]))
    budget_s = _TIMING_SHARE * options.budget.timing_s
    return time_runs(runs, (*key, samples.sha256), tools, budget_s=budget_s, seed=options.seed)


def _timed(loaded: LoadedChain, depth: int) -> str:
    return f"{loaded.chain.name}@{depth}"


def _walls(item: _Promised, timings: Timings) -> tuple[list[Float64Array], list[Float64Array]]:
    """Latency and CPU time of every round at each depth."""
    loaded = item.armed.loaded
    columns = [timings.column(_timed(loaded, depth)) for depth in range(len(loaded.chain.exits) + 1)]
    return [timings.wall_s[:, c] for c in columns], [timings.cpu_s[:, c] for c in columns]


def _figures(item: _Promised, reference: Figures, timings: Timings, prepared: Prepared, seed: int) -> Figures:
    wall, cpu = _walls(item, timings)
    loaded, scores = item.armed.loaded, taken_scores(item.deep, item.depths.taken)
    wall_s = mixed(wall, item.depths.shares)
    mean = Timings(
        names=("mean", REFERENCE), wall_s=np.column_stack([wall_s, reference.wall_s]), cpu_s=np.zeros((len(wall_s), 2))
    )
    return Figures(
        name=item.name,
        quality=summarize(prepared.metric, scores, reference.scores),
        scores=scores,
        sqnr_db=taken_sqnr_db(item.deep, item.depths.taken),
        wall_s=wall_s,
        cpu_s=np.maximum(mixed(cpu, item.depths.shares), 1e-9),
        speedup=mean.speedup("mean", REFERENCE, seed),
        size_bytes=sum(loaded.size_bytes),
        finite=bool(np.isfinite(item.deep.answers).all()),
        may_lose=item.epsilons[0],
        lost_elsewhere=item.lost_elsewhere,
    )


def _point(
    item: _Promised, found: Figures, reference: Figures, timings: Timings, prepared: Prepared, tools: Tools
) -> DeepPoint:
    wall, cpu = _walls(item, timings)
    loaded, shares = item.armed.loaded, item.depths.shares
    stages = [stage.name for stage in loaded.chain.stages if stage.exit is not None]
    p50, p95 = (mixture_percentile(wall, shares, q) * 1e3 for q in (50.0, 95.0))
    return DeepPoint(
        loaded=loaded,
        exits=make_exits(item.armed.path, stages, item.deep.confidence, item.depths.places),
        risk=Risk(
            epsilon=item.epsilons[0],
            relaxed_epsilon=item.epsilons[1],
            delta=DELTA,
            n=len(item.deep.scores),
            loss=item.armed.losses.kind,
            bound=item.armed.losses.bound,
        ),
        depths=_by_stage(loaded.chain, shares, item.depths.relaxed_shares, wall, cpu),
        latency_ms=LatencyMs(p50=p50, p95=p95, mean=float(np.median(found.wall_s)) * 1e3),
        cpu_ms=float(np.median(found.cpu_s)) * 1e3,
        relaxed_quality=summarize(prepared.metric, taken_scores(item.deep, item.depths.relaxed), reference.scores),
        resident_bytes=_memory(loaded, prepared, tools),
    )


def _by_stage(
    chain: Chain,
    shares: Sequence[float],
    relaxed: Sequence[float],
    wall: Sequence[Float64Array],
    cpu: Sequence[Float64Array],
) -> tuple[DepthFigures, ...]:
    """Figures after every stage; behind one that has no exit nobody leaves, and the next exit's latency stands."""
    found, place = [], 0
    for stage in chain.stages:
        leaves = stage.exit is not None or stage is chain.stages[-1]
        found.append(
            DepthFigures(
                share=shares[place] if leaves else 0.0,
                relaxed_share=relaxed[place] if leaves else 0.0,
                latency_ms=float(np.median(wall[place])) * 1e3,
                cpu_ms=float(np.median(cpu[place])) * 1e3,
            )
        )
        place += leaves
    return tuple(found)


def _memory(loaded: LoadedChain, prepared: Prepared, tools: Tools) -> int:
    feeds = first_feeds(prepared.evaluation, 1)[0]
    threads = loaded.chain.candidate.threads
    key = ("memory", *(stage.digest for stage in loaded.chain.stages), str(threads), machine_key())

    def measure() -> Mapping[str, NDArray[np.generic]]:
        files = loaded.model_files()
        backends = [stage.backend for stage in loaded.chain.stages]
        return {"bytes": np.array(resident_bytes(files, loaded.folder, feeds, [threads] * len(files), backends))}

    return int(tools.cache.get(key, measure)["bytes"])
