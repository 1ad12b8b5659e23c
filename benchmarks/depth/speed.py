"""How much sooner answers come within one point of quality, and what the cut itself costs."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.depth.works import Arrays, Work, loss_of, open_plan, row_feeds
from benchmarks.machine import interleave, pin_to_one_core, ratio_of_medians
from edgehybrid.bundle import Bundle
from edgehybrid.exporters.depth import without_outputs
from edgehybrid.exporters.model import Graph
from edgehybrid.points import REFERENCE, OperatingPoint
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend
from edgehybrid.runtime.execution import LoadedStage, Plan

WITHIN = 0.01  # of a share; of an error, that part of it
PASSES = 15


def within_a_point(bundle: Bundle, work: Work, data: Arrays) -> dict[str, Any]:
    """The fastest point with exits beside the fastest without, both within a point of float on the clean data.

    The one with exits is picked by what the bundle says of it, which the clean rows had no part in; if it is not within
    a point on the clean rows, there is none.
    """
    pin_to_one_core()
    plans = {point.name: open_plan(bundle, point, 0.0) for point in bundle.points}
    drops = {point.name: _drop(bundle, work, data, plans, point) for point in bundle.points}
    means = {name: np.median(values) for name, values in _passes(bundle, data, plans, 3).items()}
    near = [point for point in bundle.points if drops[point.name] <= _limit(bundle)]
    whole = min((p.name for p in near if not p.exits), key=means.__getitem__)
    ours = [point for point in bundle.points if point.exits and point.quality.drop <= _limit(bundle)]
    early = min((point.name for point in ours), key=means.__getitem__, default=None)
    table = [_row(point, drops[point.name], float(means[point.name])) for point in bundle.points]
    if early is None or early not in {point.name for point in near}:
        return {"points": table, "best_without": whole, "best_with": None, "times_faster": None}
    times = _passes(bundle, data, {name: plans[name] for name in (whole, early)}, PASSES)
    faster = ratio_of_medians(times[whole], times[early])
    return {"points": table, "best_without": whole, "best_with": early, "times_faster": faster}


def _row(point: OperatingPoint, drop: float, mean_s: float) -> dict[str, Any]:
    return {
        "name": point.name,
        "exits": len(point.exits),
        "promised": None if point.risk is None else point.risk.epsilon,
        "drop": round(drop, 5),
        "mean_ms": round(mean_s * 1e3, 4),
        "share_by_depth": [round(depth.share, 3) for depth in point.depths],
    }


def _limit(bundle: Bundle) -> float:
    reference = next(point for point in bundle.points if point.name == REFERENCE).quality
    return WITHIN * (reference.value if reference.metric == "rmse" else 1.0) + 1e-9


def _drop(bundle: Bundle, work: Work, data: Arrays, plans: dict[str, Plan], point: OperatingPoint) -> float:
    """Loss of quality against float, on rows that the thresholds have not seen."""
    if work.clean == work.evaluation:
        return point.quality.drop
    feeds = row_feeds(bundle, data)
    outputs = [
        np.concatenate([next(iter(plans[name].run(row)[0].values())) for row in feeds])
        for name in (point.name, REFERENCE)
    ]
    return loss_of(outputs[0], data["labels"]) - loss_of(outputs[1], data["labels"])


def _passes(bundle: Bundle, data: Arrays, plans: dict[str, Plan], passes: int) -> dict[str, Any]:
    """Mean seconds of an input in each pass over all rows; the plans take turns at every row."""
    feeds = row_feeds(bundle, data)
    found: dict[str, list[float]] = {name: [] for name in plans}
    for number in range(passes):
        total = dict.fromkeys(plans, 0.0)
        for index, row in enumerate(feeds):
            for name in list(plans) if (index + number) % 2 else reversed(plans):
                begun = time.perf_counter()
                plans[name].run(row)
                total[name] += time.perf_counter() - begun
        for name, seconds in total.items():
            found[name].append(seconds / len(feeds))
    return {name: np.array(values) for name, values in found.items()}


def full_depth(bundle: Bundle, data: Arrays) -> list[dict[str, Any]]:
    """All stages with nothing leaving early beside the uncut variant of the same precision, where that ships."""
    pin_to_one_core()
    found = {}
    uncut_names = {variant.name for variant in bundle.stage("main").variants}
    feeds = row_feeds(bundle, data)[0]
    for point in bundle.points:
        variant = next(iter(point.variants.values()))
        name = variant.removesuffix("-b")
        if not point.exits or "main" in point.variants or name not in uncut_names or variant in found:
            continue
        uncut = replace(point, name="uncut", variants={"main": name}, exits={}, depths=(), risk=None)
        whole, cut = open_plan(bundle, uncut, None), open_plan(bundle, point, None)
        with tempfile.TemporaryDirectory() as folder:
            bare = replace(cut, stages=_without_heads(bundle, point, Path(folder)))
        plans = {"staged": cut, "cut": bare, "uncut": whole}
        times = interleave({key: partial(plan.run, feeds) for key, plan in plans.items()}, rounds=150, runs=10)
        ratios = {f"{key}_to_uncut": ratio_of_medians(times[key], times["uncut"]) for key in ("staged", "cut")}
        found[variant] = {"variant": variant, "stages": len(point.variants), **ratios}
    return list(found.values())


def _without_heads(bundle: Bundle, point: OperatingPoint, folder: Path) -> tuple[LoadedStage, ...]:
    """The stages of a point without their heads: what the cuts alone cost."""
    stages = []
    for name, variant_name in point.variants.items():
        stage, variant = bundle.stage(name), bundle.variant(name, variant_name)
        file = bundle.path / variant.model_file
        if stage.exit is not None:
            heads = [*stage.exit.outputs.values(), stage.exit.confidence]
            graph = without_outputs(Graph(proto=onnx.load(file, load_external_data=False)), heads)
            file = folder / f"{name}.onnx"
            file.write_bytes(graph.to_bytes())
        weights = None if variant.weights_dir is None else bundle.path / variant.weights_dir
        request = LoadRequest(model_file=file, weights_dir=weights, threads=point.threads)
        stages.append(LoadedStage(name=name, session=OnnxBackend().load(request)))
    return tuple(stages)
