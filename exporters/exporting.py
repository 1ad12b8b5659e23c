"""``export``: from a model to a bundle of measured operating points."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

from edgehybrid.bundle import Bundle, Dropped, Untouched, check_output, write_bundle
from edgehybrid.errors import ExportError
from edgehybrid.exporters.assemble import Chosen, golden_feeds, make_draft, reload_check
from edgehybrid.exporters.measure import Cache, Ratio, cache_folder
from edgehybrid.exporters.model import Graph, ModelReport
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.precision import Method, Ranges, Target, collect_ranges, watched
from edgehybrid.exporters.prepare import Prepared, calibration_batches, first_feeds, prepare
from edgehybrid.exporters.progress import Progress, Silent
from edgehybrid.exporters.search import BestFloat, Built, Plan, Workshop, best_float, choose, default_max_drop, plans
from edgehybrid.exporters.skip import Skip
from edgehybrid.exporters.trial import figures, memory_of, open_trial, score_all, time_all
from edgehybrid.points import REFERENCE, OperatingPoint
from edgehybrid.profiles import detect_device

_VERIFY_SAMPLES = 16
_REWRITE_SHARE = 0.15  # of the time for measuring


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
        near_misses: Rule to the places that nearly fitted, and why not.
        dropped: What is not shipped, and why.
        untouched: What a scheme left as it was, and why.
    """

    bundle: Bundle | None
    points: tuple[OperatingPoint, ...]
    model: ModelReport
    plans: tuple[Plan, ...]
    speedups: Mapping[str, Ratio] = field(default_factory=dict)
    sqnr_db: Mapping[str, float] = field(default_factory=dict)
    rewrites: Mapping[str, int] = field(default_factory=dict)
    near_misses: Mapping[str, tuple[Skip, ...]] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    untouched: tuple[Untouched, ...] = ()


def export(
    model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    data: str | PathLike[str],
    eval_data: str | PathLike[str] | None = None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Turn ``model`` into a bundle at ``out``.

    Args:
        model: ONNX file.
        out: Folder to make; it appears whole or not at all.
        data: ``.npz`` or ``module:function``. Alone, its rows are split into calibration and evaluation, interleaved.
        eval_data: Evaluation data; then all of ``data`` calibrates.
        options: See ``ExportOptions``.
        progress: Told what happens.

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
    prepared = prepare(model, data, eval_data, options)
    todo = plans(prepared.components, options.effort)
    if options.dry_run:
        return ExportResult(bundle=None, points=(), model=prepared.report, plans=todo)
    best = _best_float(prepared, options, progress)
    built = _build(prepared, best, todo, options, progress)
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        chosen = _choose(built, prepared, options, progress, Path(folder))
        chosen = replace(chosen, dropped=(*chosen.dropped, *built.dropped, *best.dropped))
        draft = make_draft(chosen, prepared, name=out.name, seed=options.seed)
        progress.start(len(chosen.names), "write and check")
        check = reload_check(chosen, golden_feeds(prepared))
        bundle = write_bundle(draft, out, overwrite=options.overwrite, before_publish=check)
    return ExportResult(
        bundle=bundle,
        points=draft.points,
        model=prepared.report,
        plans=todo,
        speedups={name: item.speedup for name, item in chosen.figures.items()},
        sqnr_db={name: item.sqnr_db for name, item in chosen.figures.items()},
        rewrites=best.report.applied if best.report else {},
        near_misses=best.report.skipped if best.report else {},
        dropped=draft.dropped,
        untouched=draft.untouched,
    )


def _cache(options: ExportOptions) -> Cache:
    return Cache(folder=cache_folder() if options.cache else None)


def _best_float(prepared: Prepared, options: ExportOptions, progress: Progress) -> BestFloat:
    progress.start(1, "rewrites")
    samples = first_feeds(prepared.calibration, _VERIFY_SAMPLES)
    budget = _REWRITE_SHARE * options.seconds
    cache = _cache(options)
    best = best_float(prepared.model.graph, prepared.probes, samples, budget_s=budget, seed=options.seed, cache=cache)
    if best.speedup is not None:
        progress.note(f"rewrites make the float model {best.speedup.describe()} as fast")
    progress.advance()
    return best


def _build(
    prepared: Prepared, best: BestFloat, todo: tuple[Plan, ...], options: ExportOptions, progress: Progress
) -> Built:
    methods: list[Method] = sorted({plan.method for plan in todo if "w8a8" in plan.recipe.values()})
    progress.start(len(methods), "calibration")
    ranges: dict[Method, Ranges] = {}
    for method in methods:
        ranges[method] = _calibrate(best.graph, prepared, method)
        progress.advance()
    workshop = Workshop(
        original=prepared.model.graph,
        best_float=best.graph,
        components=prepared.components,
        target=Target.of(prepared.device.cpu.isa),
        native=Target.of(detect_device().cpu.isa),
        ranges=ranges,
        threads=options.threads,
    )
    return workshop.build(todo)


def _calibrate(graph: Graph, prepared: Prepared, method: Method) -> Ranges:
    return collect_ranges(graph, watched(graph), calibration_batches(prepared.calibration), method=method)


def _choose(built: Built, prepared: Prepared, options: ExportOptions, progress: Progress, folder: Path) -> Chosen:
    cache = _cache(options)
    trial = open_trial(built.candidates, folder)
    scores = score_all(trial, prepared, cache, progress)
    timings = time_all(trial, prepared, cache, progress, budget_s=options.seconds, seed=options.seed)
    found = figures(trial, prepared, scores, timings, options.seed)
    reference = found[REFERENCE]
    if not reference.scores.size:
        raise ExportError("The float model gives no finite outputs on the evaluation data.", "Check model and data.")
    limit = default_max_drop(reference.quality) if options.max_drop is None else options.max_drop
    others = [item for name, item in found.items() if name != REFERENCE]
    frontier = choose(
        reference, others, metric=prepared.metric, max_drop=limit, levels=options.levels, seed=options.seed
    )
    names = (REFERENCE, *frontier.kept)
    if not frontier.kept:
        progress.note("no candidate is worth shipping beside the float model; the reasons are in the bundle")
    return Chosen(
        names=names,
        trial=trial,
        scores=scores,
        figures=found,
        timings=timings,
        memory=memory_of(trial, names, prepared, cache, progress),
        dropped=(*frontier.dropped, *trial.dropped),
        untouched=built.untouched,
    )
