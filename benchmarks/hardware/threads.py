"""Threads per stage: ``python -m benchmarks.hardware.threads [WORK ...]``.

The placement search of ``--effort thorough`` alone, with ONNX Runtime and LiteRT: every stage timed on one thread and
on two, the proposed chains timed whole. The fastest proposals on one thread throughout, on two throughout, and with
stages of both kinds, that lose at most one hundredth, are then timed again, in turn in one process: latency and CPU
time of all threads. With any number per stage the search is free to take the fastest of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export.works import Work
from benchmarks.hardware.exported import run
from benchmarks.machine import describe_machine, median_with_interval, ratio_of_medians
from edgehybrid.exporters import ExportOptions, Silent
from edgehybrid.exporters.measure import Cache, interleave, local_pool
from edgehybrid.exporters.placement import propose_mixed
from edgehybrid.exporters.precision import APPROXIMATE, Target
from edgehybrid.exporters.prepare import Prepared, first_feeds, prepare
from edgehybrid.exporters.search import Built, Workshop, hopeless, plans, proposed
from edgehybrid.exporters.survey import survey
from edgehybrid.exporters.trial import Tools, Trial, open_trial, qualities, score_all
from edgehybrid.exporters.workshops import calibrate, find_best_float
from edgehybrid.points import REFERENCE
from edgehybrid.profiles import detect_device

SAMPLES = ("keyword_spotter", "camera_classifier")
BACKENDS = ("onnx", "tflite")
SECTION = "threads"
ONE = "one thread throughout"
CLASSES: Mapping[str, Callable[[set[int]], bool]] = {
    ONE: lambda threads: threads == {1},
    "two threads throughout": lambda threads: threads == {2},
    "one thread here, two there": lambda threads: threads == {1, 2},
}
MAX_DROP = 0.01
_SCORED = 4  # of the fastest of each class
_LOOKS, _ROUNDS = 60, 600


def main() -> int:
    """Measure the named samples."""
    return run(__doc__, SECTION, SAMPLES, one, markdown, effort="thorough", budget_s=30.0)


def one(work: Work, out: Path, effort: Any, budget_s: float) -> dict[str, Any]:
    """Search, and tell what the best chain of each class takes."""
    options = ExportOptions(
        effort=effort, budget_s=budget_s, metric=work.metric, backends=BACKENDS, gate=False, cache=False
    )
    given = prepare(work.model, work.calibration, work.evaluation, options)
    out.mkdir()
    with local_pool() as pool:
        tools = Tools(cache=Cache(folder=None), executor=pool, progress=Silent())
        built, workshop = _mixtures(given, options, tools)
        found, _ = propose_mixed(built, given, workshop, BACKENDS, options, tools)
        trial = open_trial((built.candidates[0], *found), out)
        fastest = _fastest(trial, given, tools)
    names = {kind: name for kind, name in fastest.items() if name is not None}
    feeds = first_feeds(given.evaluation, 1)[0]
    runs = {name: (lambda session=trial.sessions[name]: session.run(feeds)) for name in (REFERENCE, *names.values())}
    times = interleave(runs, budget_s=0.0, min_rounds=_ROUNDS, max_rounds=_ROUNDS, warm_up=20)

    def figures(name: str) -> dict[str, Any]:
        column, base = times.column(name), times.column(names.get(ONE, REFERENCE))
        return {
            "made_of": trial.candidate(name).plan.recipe,
            "latency_ms": median_with_interval(1e3 * times.wall_s[:, column]),
            "cpu_ms": median_with_interval(1e3 * times.cpu_s[:, column]),
            "latency_beside_one": ratio_of_medians(times.wall_s[:, base], times.wall_s[:, column]),
            "cpu_beside_one": ratio_of_medians(times.cpu_s[:, base], times.cpu_s[:, column]),
        }

    return {
        "chains": len(found),
        "load_1min": describe_machine()["load_1min"],
        "float_ms": median_with_interval(1e3 * times.wall_s[:, times.column(REFERENCE)]),
        "classes": {kind: figures(names[kind]) if kind in names else None for kind in CLASSES},
    }


def _mixtures(given: Prepared, options: ExportOptions, tools: Tools) -> tuple[Built, Workshop]:
    """The mixtures of ``--effort quick``, as stages are made in them, and what makes them."""
    quick = replace(options, effort="quick", budget_s=None)
    best = find_best_float(given.model.graph, given, quick, tools)
    native = Target.of(detect_device().cpu.isa)
    workshop = Workshop(
        original=given.model.graph,
        best_float=best.graph,
        components=given.components,
        target=native,
        native=native,
        ranges={"minmax": calibrate(best.graph, given, "minmax", tools.cache)},
    )
    looked = replace(workshop, original=best.graph)
    seen = survey(given, looked, tools, quick.budget, schemes=APPROXIMATE, methods=("minmax",), seed=0)
    return workshop.build((*plans(given.components, "quick"), *proposed(seen, 0))), workshop


def _fastest(trial: Trial, given: Prepared, tools: Tools) -> dict[str, str | None]:
    """The fastest chain of each class that is good enough, by a first look at all of them."""
    feeds = first_feeds(given.evaluation, 1)[0]
    runs = {name: (lambda session=session: session.run(feeds)) for name, session in trial.sessions.items()}
    times = interleave(runs, budget_s=0.0, min_rounds=_LOOKS, max_rounds=_LOOKS)
    median_s = dict(zip(times.names, np.median(times.wall_s, axis=0), strict=True))
    by_class = {kind: sorted(_members(trial, belongs), key=median_s.__getitem__) for kind, belongs in CLASSES.items()}
    wanted = {REFERENCE, *(name for names in by_class.values() for name in names[:_SCORED])}
    few = replace(trial, candidates=tuple(c for c in trial.candidates if c.name in wanted))
    scores = score_all(few, given.evaluation, given.metric, tools)
    broken = {name for name in scores if not scores[name].finite}
    bad = {item.name for item in hopeless(qualities(few, given.metric, scores), broken, MAX_DROP)}
    return {kind: next((name for name in names[:_SCORED] if name not in bad), None) for kind, names in by_class.items()}


def _members(trial: Trial, belongs: Callable[[set[int]], bool]) -> Sequence[str]:
    return [c.name for c in trial.candidates if c.parts and belongs({part.threads for part in c.parts})]


def markdown(found: Mapping[str, Any]) -> str:
    """The section of the page."""
    machine = describe_machine()
    lines = [
        "## Threads per stage",
        "",
        f"`python -m benchmarks.hardware.threads` on {machine['cores']} cores of {machine['cpu']}, in turn in one "
        "process: the fastest chains over ONNX Runtime and LiteRT that lose at most one point. Medians with 95 % "
        "intervals; how many times as fast as on one thread throughout, and how many times less CPU time.",
        "",
        "| sample | on | latency | beside one thread | CPU time | beside one thread |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one_ in found.items():
        for kind, of in one_["classes"].items():
            if of is None:
                lines.append(f"| {name} | {kind} | no chain promises enough | - | - | - |")
                continue
            cells = [_ms(of["latency_ms"]), _times(of["latency_beside_one"])]
            cells += [_ms(of["cpu_ms"]), _times(of["cpu_beside_one"])]
            lines.append(f"| {name} | {kind} | {' | '.join(cells)} |")
    lines.append("")
    for name, one_ in found.items():
        medians = {kind: of["latency_ms"]["median"] for kind, of in one_["classes"].items() if of is not None}
        if medians:
            first = min(medians, key=medians.__getitem__)
            lines.append(f"- {name}: with any number per stage the fastest is the chain on {first}.")
        lines.append(
            f"- {name}: {one_['chains']} chains timed; float {_ms(one_['float_ms'])}; load {one_['load_1min']}."
        )
        for kind, of in one_["classes"].items():
            if of is not None:
                words = ", ".join(f"{stage} {form}" for stage, form in of["made_of"].items())
                lines.append(f"- {name}, {kind}: {words}.")
    return "\n".join(lines)


def _ms(figure: Mapping[str, Any]) -> str:
    low, high = figure["ci95"]
    return f"{figure['median']:.3f} ms ({low:.3f}-{high:.3f})"


def _times(figure: Mapping[str, Any]) -> str:
    low, high = figure["ci95"]
    return f"{figure['ratio']:.2f} × ({low:.2f}-{high:.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
