"""``export``: from a model to a bundle of measured operating points."""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

from edgehybrid.bundle import Bundle, Dropped, Untouched, check_output, write_bundle
from edgehybrid.errors import ExportError, RequestError
from edgehybrid.exporters.assemble import make_draft, reload_check
from edgehybrid.exporters.chosen import Chosen
from edgehybrid.exporters.exits import add_depth
from edgehybrid.exporters.fitting import fit
from edgehybrid.exporters.formats import require_tflite
from edgehybrid.exporters.measure import Cache, Ratio, cache_folder, local_pool
from edgehybrid.exporters.model import ModelReport
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.placement import place, require_backends
from edgehybrid.exporters.precision import APPROXIMATE, SCHEMES, Method, Ranges, Target
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.progress import Progress, Silent
from edgehybrid.exporters.search import (
    BestFloat,
    Built,
    Plan,
    RuleFigures,
    Sensitivity,
    Workshop,
    choose,
    default_max_drop,
    hopeless,
    plans,
    proposed,
    split_large,
    wholes,
)
from edgehybrid.exporters.splitting import split_points
from edgehybrid.exporters.survey import survey
from edgehybrid.exporters.tflite_candidates import joined, tflite_plans, write_tflite
from edgehybrid.exporters.trial import (
    Tools,
    affordable,
    figures,
    memory_of,
    open_trial,
    qualities,
    score_all,
    time_all,
)
from edgehybrid.exporters.workshops import calibrate, find_best_float
from edgehybrid.points import REFERENCE, OperatingPoint, Quality
from edgehybrid.profiles import detect_device


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What an export did.

    Attributes:
        bundle: The bundle, open; ``None`` after a dry run.
        points: Its operating points, the reference first.
        model: The model as it was found.
        plans: The candidates that were (or would be) tried.
        speedups: Candidate name to how many times faster it is than float.
        sqnr_db: Candidate name to likeness to float: signal to noise of its outputs on the evaluation data, in dB.
        rewrites: Rule to number of places where it was applied, of the float graph that was kept.
        rules: Every rewrite with its sites, its gain on top of the others, and its near misses with their reasons.
        dropped: What is not shipped, and why.
        untouched: What a scheme left as it was, and why.
        sensitivities: What each scheme does to each component alone; of approximations only where the effort is quick.
    """

    bundle: Bundle | None
    points: tuple[OperatingPoint, ...]
    model: ModelReport
    plans: tuple[Plan, ...]
    speedups: Mapping[str, Ratio] = field(default_factory=dict)
    sqnr_db: Mapping[str, float] = field(default_factory=dict)
    rewrites: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[RuleFigures, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    untouched: tuple[Untouched, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()


def export(
    model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    data: str | PathLike[str],
    eval_data: str | PathLike[str] | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> ExportResult:
    """Turn ``model`` into a bundle at ``out``.

    Args:
        model: ONNX file.
        out: Folder to make; it appears whole or not at all.
        data: ``.npz`` or ``module:function``. Alone, its rows are split into calibration and evaluation, interleaved.
        eval_data: Evaluation data; then all of ``data`` calibrates.
        options: See ``ExportOptions``.
        progress: Told what happens.
        executor: Scores candidates, one task for a few of them; threads of this process by default, or that of a Dask
            client whose workers see the data at the same path. Time is always measured here, and alone.

    Raises:
        ModelError: The model cannot be used.
        DataError: The data does not fit it.
        OutputError: ``out`` exists, cannot be written, or the disk is full.
        ExportError: A written file failed its own check.
    """
    options, progress = options or ExportOptions(), progress or Silent()
    out = Path(out)
    if not options.dry_run:
        check_output(out, overwrite=options.overwrite)
    if options.wants_tflite:
        require_tflite()
    require_backends(options.backends)
    prepared = prepare(model, data, eval_data, options)
    _note_labels(prepared, options, progress)
    todo = plans(prepared.components, options.effort)
    lite = tflite_plans(prepared.components) if options.wants_tflite else ()
    _require_known(options.keep, [plan.name for plan in (*todo, *lite)])
    if options.dry_run:
        return ExportResult(bundle=None, points=(), model=prepared.report, plans=(*todo, *lite))
    with ExitStack() as stack:
        pool = stack.enter_context(local_pool()) if executor is None else executor
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgehybrid-")))
        tools = Tools(cache=Cache(folder=cache_folder() if options.cache else None), executor=pool, progress=progress)
        return _search(prepared, todo, lite, options, tools, folder, out)


def _search(
    prepared: Prepared,
    todo: tuple[Plan, ...],
    lite: tuple[Plan, ...],
    options: ExportOptions,
    tools: Tools,
    folder: Path,
    out: Path,
) -> ExportResult:
    best = find_best_float(prepared.model.graph, prepared, options, tools)
    workshop = _workshop(prepared, best, todo, options, tools)
    found = _survey(prepared, workshop, options, tools)
    todo = (*todo, *proposed(found, options.budget.proposals))
    built = workshop.build(todo)
    fitted = fit(built, prepared, workshop, tools, options.budget)
    todo = (*todo, *(candidate.plan for candidate in fitted), *lite)
    built = joined(
        replace(built, candidates=(*built.candidates, *fitted)), write_tflite(lite, prepared, options, tools)
    )
    built = place(built, prepared, workshop, options, tools)
    todo = (*todo, *(candidate.plan for candidate in built.candidates if candidate.parts))
    chosen = _choose(built, prepared, options, tools, folder)
    limit = _limit(chosen.figures[REFERENCE].quality, options)
    _note_chance(chosen.figures[REFERENCE].quality, prepared, tools.progress)
    chosen = add_depth(chosen, prepared, workshop, options, tools, folder, max_drop=limit)
    chosen = split_points(chosen, prepared, workshop, options, tools, folder)
    known = {*chosen.figures, *(item.name for item in chosen.dropped)}
    dropped = (*chosen.dropped, *built.dropped, *best.dropped, *_unknown(options.keep, known))
    chosen = replace(chosen, dropped=dropped)
    draft = make_draft(chosen, prepared, name=out.name, seed=options.seed)
    tools.progress.start(len(chosen.names), "write and check")
    check = reload_check(chosen)
    bundle = write_bundle(draft, out, overwrite=options.overwrite, before_publish=check)
    return ExportResult(
        bundle=bundle,
        points=draft.points,
        model=prepared.report,
        plans=todo,
        speedups={name: item.speedup for name, item in chosen.figures.items()},
        sqnr_db={name: item.sqnr_db for name, item in chosen.figures.items()},
        rewrites=best.report.applied if best.report else {},
        rules=best.rules,
        dropped=draft.dropped,
        untouched=draft.untouched,
        sensitivities=found,
    )


def _note_labels(prepared: Prepared, options: ExportOptions, progress: Progress) -> None:
    """Say that there are no labels where there may be some by another name."""
    data = prepared.evaluation
    if data.has_labels or options.metric is not None or not data.unused:
        return
    progress.note(
        f"the data has no array {options.labels_key!r}: quality is likeness to the float model; "
        f"if {' or '.join(map(repr, data.unused))} holds labels, name it with --labels-key"
    )


def _note_chance(float_quality: Quality, prepared: Prepared, progress: Progress) -> None:
    """Say that the model as given answers no better than by chance: mostly labels in another order."""
    classes = prepared.model.outputs[0].shape[-1] if prepared.model.outputs[0].shape else None
    if float_quality.metric != "accuracy" or not isinstance(classes, int) or classes < 2:
        return
    if float_quality.value <= 1 / classes:
        progress.note(
            f"the float model itself is right in {float_quality.value:.1%}, no better than by chance "
            f"({1 / classes:.1%}): do the labels belong to these samples, in the order of the model's classes?"
        )


def _workshop(
    prepared: Prepared, best: BestFloat, todo: tuple[Plan, ...], options: ExportOptions, tools: Tools
) -> Workshop:
    """What all candidates are made from; calibrated in every way that is asked for."""
    methods: list[Method] = sorted({"minmax", *(plan.method for plan in todo if plan.needs_ranges)})
    tools.progress.start(len(methods), "calibration")
    ranges: dict[Method, Ranges] = {}
    for method in methods:
        ranges[method] = calibrate(best.graph, prepared, method, tools.cache)
        tools.progress.advance()
    costs = {
        info.name: float(info.macs) for info in prepared.report.components
    }  # not times: they would differ each run
    shares = {name: cost / max(sum(costs.values()), 1.0) for name, cost in costs.items()}
    pieces = split_large(prepared.model.graph, prepared.components, shares, parts=options.budget.parts)
    return Workshop(
        original=prepared.model.graph,
        best_float=best.graph,
        components=pieces,
        whole=wholes(prepared.components, pieces),
        target=Target.of(prepared.device.cpu.isa),
        native=Target.of(detect_device().cpu.isa),
        ranges=ranges,
        threads=options.threads,
    )


def _survey(prepared: Prepared, workshop: Workshop, options: ExportOptions, tools: Tools) -> tuple[Sensitivity, ...]:
    budget = options.budget
    alone = replace(workshop, original=workshop.best_float)
    schemes = tuple(SCHEMES) if budget.proposals else APPROXIMATE
    return survey(prepared, alone, tools, budget, schemes=schemes, methods=tuple(workshop.ranges), seed=options.seed)


def _limit(reference: Quality, options: ExportOptions) -> float:
    return default_max_drop(reference) if options.max_drop is None else options.max_drop


def _choose(built: Built, prepared: Prepared, options: ExportOptions, tools: Tools, folder: Path) -> Chosen:
    trial = open_trial(built.candidates, folder)
    samples, budget = prepared.evaluation, options.budget
    wanted = affordable(trial, samples, tools.cache, budget.quality_s)
    if wanted < samples.count:
        tools.progress.note(f"quality on {wanted:,} of {samples.count:,} samples; a higher --effort takes more")
    scores = score_all(trial, samples, prepared.metric, tools, wanted=wanted)
    if not scores[REFERENCE].scores.size:
        raise ExportError("The float model gives no finite outputs on the evaluation data.", "Check model and data.")
    quality = qualities(trial, prepared.metric, scores)
    limit = _limit(quality[REFERENCE], options)
    trial = trial.without(hopeless(quality, {name for name in scores if not scores[name].finite}, limit))
    timings = time_all(trial, samples, tools, budget_s=budget.timing_s, seed=options.seed)
    found = figures(trial, scores, quality, timings, options.seed)
    others = [item for name, item in found.items() if name != REFERENCE]
    frontier = choose(
        found[REFERENCE],
        others,
        metric=prepared.metric,
        max_drop=limit,
        levels=options.levels,
        seed=options.seed,
        keep=options.keep,
    )
    names = (REFERENCE, *frontier.kept)
    if not frontier.kept:
        tools.progress.note("no candidate is worth shipping beside the float model; the reasons are in the bundle")
    return Chosen(
        names=names,
        trial=trial,
        scores=scores,
        figures=found,
        timings=timings,
        memory=memory_of(trial, names, prepared, tools),
        dropped=(*frontier.dropped, *trial.dropped),
        untouched=built.untouched,
        carried=frontier.carried,
    )


def _require_known(keep: Sequence[str], planned: Sequence[str]) -> None:
    """Refuse a name that no candidate will have, before long work; patterns and what a search may find are let pass.

    Raises:
        RequestError: There will be no such candidate.
    """
    for name in keep:
        plain = not set(name) & set("*?[+~@") and not name.startswith(("mixed-", "placed"))
        if plain and name not in planned:
            raise RequestError(f"--keep names {name!r}, which is no candidate.", f"Choose among {', '.join(planned)}.")


def _unknown(keep: Sequence[str], names: Iterable[str]) -> tuple[Dropped, ...]:
    """Say which of the names to keep belong to nothing that was made."""
    there = sorted(set(names) - {REFERENCE})
    missing = [pattern for pattern in keep if not fnmatch.filter(there, pattern)]
    return tuple(
        Dropped(name=item, reason=f"--keep names no candidate; there were {', '.join(there)}") for item in missing
    )
