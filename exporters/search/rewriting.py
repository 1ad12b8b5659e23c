"""The best float graph: each rewrite is verified on data, and kept only if the graph measures faster or smaller by it.

A rule's gain is what it adds *on top of the others*: the graph with all rules against the graph with all but this one,
run by run in the same rounds. So a rule that only makes room for another gets the credit for both, and two rules
that do the same work get none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.errors import ModelError
from edgehybrid.exporters.measure import Cache, Ratio, Timings, interleave, largest_difference, machine_key
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.rewrites import PASSES, Probes, RewriteReport, rewrite
from edgehybrid.exporters.skip import Skip

Feeds = Mapping[str, NDArray[np.generic]]
TOLERANCE = 1e-3  # share of the output's range; float sums in another order stay far below it
_MIN_ROUNDS = 15  # under it a paired ratio has no interval worth the name
_TIE = 0.99  # of a dozen rules that change nothing, one looks 1 % slower by chance
_SURE = 0.995  # above it a median over 1 stays: in integers, where products shrink, layout weighs twice as much
_NEITHER = "neither faster nor smaller with it"
_LONGEST = 4.0  # times the budget, however slow the model


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFigures:
    """What became of one rule.

    Attributes:
        name: Its name.
        sites: Places where it was applied, with all the others applied too.
        gain: How many times faster the graph is with it than without it, all others applied; ``None`` if not measured.
        kept: Whether the chosen graph has it.
        reason: Why it was dropped or not measured; empty if there is nothing to say.
        near_misses: Places that nearly fitted, and why not.
    """

    name: str
    sites: int
    gain: Ratio | None = None
    kept: bool = False
    reason: str = ""
    near_misses: tuple[Skip, ...] = ()

    def describe(self) -> str:
        """Say it in one line: ``6 sites, 1.21× [1.19, 1.23]``; a reason that says the gain already says it alone."""
        sites = f"{self.sites} site{'' if self.sites == 1 else 's'}"
        gain = self.gain.describe() if self.gain else ""
        return ", ".join(part for part in (sites, "" if gain in self.reason else gain, self.reason) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestFloat:
    """The chosen float graph; ``report`` is ``None`` if that is the user's own.

    ``dropped`` says what lost, and why; ``rules`` holds every rule of the table by name.
    """

    graph: Graph
    report: RewriteReport | None
    speedup: Ratio | None
    dropped: tuple[Dropped, ...]
    rules: tuple[RuleFigures, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """What every step of the choice needs."""

    graph: Graph
    probes: Probes
    samples: Sequence[Feeds]
    budget_s: float
    seed: int
    cache: Cache


def best_float(
    graph: Graph,
    probes: Probes,
    samples: Sequence[Feeds],
    *,
    budget_s: float,
    seed: int = 0,
    cache: Cache | None = None,
) -> BestFloat:
    """Try each rule on top of the others; verify on ``samples``; keep what is measurably faster, or smaller at a tie.

    Args:
        graph: The user's graph.
        probes: Inputs for rules that try a graph.
        samples: Some calibration inputs, one sample each.
        budget_s: Seconds for the measurement.
        seed: Of the order of runs.
        cache: Where the times are kept by content.
    """
    bench = _Bench(
        graph=graph,
        probes=probes,
        samples=samples,
        budget_s=budget_s,
        seed=seed,
        cache=cache or Cache(folder=None),
    )
    report, wrong = _verified(bench)
    sites = {name: report.applied.get(name, 0) for name in PASSES}
    rules = [
        RuleFigures(name=name, sites=sites[name], near_misses=report.skipped.get(name, ()), reason=wrong.get(name, ""))
        for name in PASSES
    ]
    if report.graph is graph:
        return _none(bench, rules)
    rules = _measured(bench, report, rules)
    losers = {rule.name for rule in rules if not rule.kept}
    if any(sites[name] for name in losers):
        report = rewrite(graph, probes, [name for name in PASSES if name not in losers])
        if report.graph is graph or _differs(graph, report.graph, samples):
            return _none(bench, rules)
    gain = _time(bench, {"fp32": graph, "best": report.graph}, 0.4).speedup("best", "fp32", seed)
    if gain.low <= 1.0:
        return _none(bench, rules, f"not measurably faster than float: {gain.describe()}")
    return BestFloat(graph=report.graph, report=report, speedup=gain, dropped=_dropped(rules), rules=tuple(rules))


def _none(bench: _Bench, rules: Iterable[RuleFigures], why: str = "") -> BestFloat:
    """The user's own graph."""
    rules = tuple(replace(rule, kept=False) for rule in rules)
    dropped = (*_dropped(rules), *((Dropped(name="all rewrites", reason=why),) if why else ()))
    return BestFloat(graph=bench.graph, report=None, speedup=None, dropped=dropped, rules=rules)


def _dropped(rules: Iterable[RuleFigures]) -> tuple[Dropped, ...]:
    lost = (rule for rule in rules if rule.reason and not rule.kept)
    return tuple(Dropped(name=f"rewrite {rule.name}", reason=rule.reason) for rule in lost)


def _verified(bench: _Bench) -> tuple[RewriteReport, dict[str, str]]:
    """All rules that together keep the outputs; and by name why the others do not."""
    names, wrong = list(PASSES), dict[str, str]()
    report = rewrite(bench.graph, bench.probes, names)
    while (why := _differs(bench.graph, report.graph, bench.samples)) is not None:
        guilty = _guilty(bench, [name for name in names if report.applied.get(name)])
        wrong[guilty] = why
        names.remove(guilty)
        report = rewrite(bench.graph, bench.probes, names)
    return report, wrong


def _guilty(bench: _Bench, names: Sequence[str]) -> str:
    """The first rule that changes the outputs when the rules are added one by one."""
    for count in range(1, len(names)):
        report = rewrite(bench.graph, bench.probes, names[:count])
        if _differs(bench.graph, report.graph, bench.samples):
            return names[count - 1]
    return names[-1]


def _measured(bench: _Bench, report: RewriteReport, rules: Sequence[RuleFigures]) -> list[RuleFigures]:
    """Time the graph with all rules against the one with all but one, for each rule that found a place."""
    others = _others(bench, report, [rule.name for rule in rules if rule.sites and not rule.reason])
    graphs = {"all": report.graph} | {name: item for name, item in others.items() if isinstance(item, Graph)}
    timings = _time(bench, graphs, 0.6) if len(graphs) > 1 else None
    out = []
    for rule in rules:
        without = others.get(rule.name)
        if isinstance(without, Graph) and timings is not None:
            out.append(_judged(rule, timings.speedup("all", rule.name, bench.seed), without, report.graph))
        else:
            kept = bool(rule.sites) and not rule.reason
            out.append(replace(rule, kept=kept, reason=rule.reason or (without if isinstance(without, str) else "")))
    return _without_stand_ins(bench, out)


def _without_stand_ins(bench: _Bench, rules: Sequence[RuleFigures]) -> list[RuleFigures]:
    """Of rules that do the same work none seems needed: drop them one by one, as long as none is missed."""
    gone = {rule.name for rule in rules if not rule.kept and not rule.reason.startswith(_NEITHER)}
    size = len(rewrite(bench.graph, bench.probes, [n for n in PASSES if n not in gone]).graph.proto.graph.node)
    out = []
    for rule in rules:
        if rule.kept or not rule.reason.startswith(_NEITHER):
            out.append(rule)
            continue
        left = rewrite(bench.graph, bench.probes, [n for n in PASSES if n not in gone | {rule.name}]).graph
        if len(left.proto.graph.node) > size:
            out.append(replace(rule, kept=True, reason="does the work of one that was dropped"))
        else:
            gone.add(rule.name)
            out.append(rule)
    return out


def _others(bench: _Bench, report: RewriteReport, names: Sequence[str]) -> dict[str, Graph | str]:
    """By rule, the graph with all the others that found a place, or why there is none to measure."""
    found: dict[str, Graph | str] = {}

    def without(name: str) -> Graph:
        return rewrite(bench.graph, bench.probes, [other for other in names if other != name]).graph

    first = tuple(reversed(names))  # fusions and layout first: they weigh most
    made = _in_time(bench, report.graph, first, without)
    for name in first:
        if name not in made:
            found[name] = "not measured alone: no time left"
        elif made[name].digest == report.graph.digest:
            found[name] = "not measured alone: others do the same"
        else:
            found[name] = made[name]
    return found


def _in_time(bench: _Bench, graph: Graph, names: Sequence[str], make: Callable[[str], Graph]) -> dict[str, Graph]:
    """Make as many as there is time for; how many is remembered, so that a second export makes the same."""
    made: dict[str, Graph] = {}

    def measure() -> dict[str, NDArray[np.generic]]:
        end = time.perf_counter() + _LONGEST * bench.budget_s
        for name in names[: _affordable(bench, graph)]:
            if time.perf_counter() > end:
                break
            made[name] = make(name)
        return {"count": np.array(len(made))}

    key = ("rewrites-made", bench.graph.digest, graph.digest, str(bench.budget_s), *names, machine_key())
    count = int(bench.cache.get(key, measure)["count"].item())
    return {name: made[name] if name in made else make(name) for name in names[:count]}


def _judged(rule: RuleFigures, gain: Ratio, without: Graph, graph: Graph) -> RuleFigures:
    """Keep a rule that is measurably faster; at a tie, one that leaves fewer nodes, or looks faster by a hair."""
    smaller = len(graph.proto.graph.node) < len(without.proto.graph.node)
    hair = gain.median > 1.0 and gain.low >= _SURE
    if gain.low > 1.0 or hair or (smaller and gain.high >= _TIE):
        return replace(rule, gain=gain, kept=True)
    why = "slower with it" if gain.high < _TIE else _NEITHER
    return replace(rule, gain=gain, reason=f"{why}: {gain.describe()}")


def _affordable(bench: _Bench, graph: Graph) -> int:
    """How many graphs can be run often enough in the time; remembered, so that a second export measures the same."""

    def measure() -> dict[str, NDArray[np.generic]]:
        session = open_session(graph.proto)
        runs = []
        for _ in range(3):
            start = time.perf_counter()
            session.run(None, dict(bench.samples[0]))
            runs.append(time.perf_counter() - start)
        return {"run_s": np.array(min(runs))}

    run_s = float(bench.cache.get(("rewrites-run", graph.digest, machine_key()), measure)["run_s"].item())
    return int(bench.budget_s * _LONGEST / (_MIN_ROUNDS * max(run_s, 1e-6)))


def _time(bench: _Bench, graphs: Mapping[str, Graph], share: float) -> Timings:
    """Time the graphs, interleaved, for a share of the budget."""
    feeds, budget = bench.samples[0], bench.budget_s * share
    digests = (graph.digest for graph in graphs.values())
    key = ("rewrites", *digests, str(budget), str(bench.seed), machine_key())

    def measure() -> dict[str, NDArray[np.generic]]:
        sessions = {name: open_session(graph.proto) for name, graph in graphs.items()}
        runs = {n: (lambda session=session: session.run(None, dict(feeds))) for n, session in sessions.items()}
        timings = interleave(runs, budget_s=budget, seed=bench.seed, min_rounds=_MIN_ROUNDS)
        return {"wall_s": timings.wall_s, "cpu_s": timings.cpu_s}

    arrays = bench.cache.get(key, measure)
    wall, cpu = (np.asarray(arrays[part], dtype=np.float64) for part in ("wall_s", "cpu_s"))
    return Timings(names=tuple(graphs), wall_s=wall, cpu_s=cpu)


def _differs(graph: Graph, other: Graph, samples: Sequence[Feeds]) -> str | None:
    """Compare outputs on ``samples``; say how they differ, or that ONNX Runtime refuses the other."""
    if other is graph:
        return None
    a = open_session(graph.proto)
    try:
        b = open_session(other.proto)
    except ModelError as error:
        return error.what
    names = [output.name for output in a.get_outputs()]
    for feeds in samples:
        for name, expected, got in zip(names, a.run(names, dict(feeds)), b.run(names, dict(feeds)), strict=True):
            allowed = TOLERANCE * max(float(np.abs(np.nan_to_num(expected.astype(np.float64))).max(initial=0.0)), 1e-6)
            if (off := largest_difference(got, expected)) > allowed:
                return f"changes output {name!r} by {off:.3g}, more than {allowed:.3g}"
    return None
