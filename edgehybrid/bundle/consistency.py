"""Whether the parts of a bundle's document agree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from edgehybrid.bundle.paths import COPY_AGAIN, NOT_OURS, is_safe_name, require_safe
from edgehybrid.bundle.schema import BundleDoc, StageInfo
from edgehybrid.errors import BundleError
from edgehybrid.points import REFERENCE, OperatingPoint


def require_consistent(doc: BundleDoc) -> None:
    """Refuse a document whose parts contradict each other, or that names places outside the bundle.

    Raises:
        BundleError: It does.
    """
    require_safe(doc.files)
    for stage in doc.stages:
        _require_stage(stage, doc)
    _require_unique("stage", [stage.name for stage in doc.stages])
    _require_unique("point", [point.name for point in doc.points])
    if not doc.points or not doc.points[0].is_reference:
        raise BundleError(f"The first point is not the reference {REFERENCE!r}.", COPY_AGAIN)
    for point in doc.points:
        _require_point(point, doc)


def _require_point(point: OperatingPoint, doc: BundleDoc) -> None:
    stages = {stage.name: stage for stage in doc.stages}
    _require_chain(point.name, point.variants, doc)
    if point.pieces:
        _require_chain(point.name, point.pieces, doc)
    used = list(point.variants)
    if strange := (set(point.exits) | set(point.placement)) - set(used):
        raise BundleError(f"Point {point.name!r} names stages that it does not run: {sorted(strange)}.", COPY_AGAIN)
    for name, found in point.exits.items():
        rising = any(later > earlier for earlier, later in pairwise(found.thresholds))
        if stages[name].exit is None or name == used[-1] or not found.thresholds or rising:
            raise BundleError(f"Point {point.name!r} has an exit at {name!r} that cannot be.", COPY_AGAIN)


def _require_chain(point: str, variants: Mapping[str, str], doc: BundleDoc) -> None:
    """Refuse stages that are not there, or that do not make a chain from the model's inputs to its outputs."""
    stages = {stage.name: stage for stage in doc.stages}
    held = {(stage.name, variant.name) for stage in doc.stages for variant in stage.variants}
    if not variants or not set(variants.items()) <= held:
        raise BundleError(f"Point {point!r} needs {dict(variants)}, which the bundle does not hold.", COPY_AGAIN)
    known = {spec.name for spec in doc.model.inputs}
    for name in variants:
        if missing := {spec.name for spec in stages[name].inputs} - known:
            what = f"Stage {name!r} of point {point!r} needs {sorted(missing)}, which nothing before it gives."
            raise BundleError(what, COPY_AGAIN)
        known |= {spec.name for spec in stages[name].outputs}
    if lost := {spec.name for spec in doc.model.outputs} - {spec.name for spec in stages[list(variants)[-1]].outputs}:
        raise BundleError(f"Point {point!r} never gives {sorted(lost)}.", COPY_AGAIN)


def _require_stage(stage: StageInfo, doc: BundleDoc) -> None:
    _require_unique(f"variant of stage {stage.name!r}", [variant.name for variant in stage.variants])
    for name in (stage.name, *(variant.name for variant in stage.variants)):
        if not is_safe_name(name):
            raise BundleError(f"The manifest names a stage or variant {name!r}, which cannot be a folder.", NOT_OURS)
    folders = {variant.weights_dir for variant in stage.variants if variant.weights_dir is not None}
    files = {stage.golden_file}
    for variant in stage.variants:
        files |= {variant.model_file, variant.golden_file}
        if variant.golden_inputs_file is not None:
            files.add(variant.golden_inputs_file)
        if not variant.model_file.startswith(f"{stage.name}/{variant.name}/"):
            raise BundleError(f"The model file of {variant.name!r}, {variant.model_file!r}, is not its own.", NOT_OURS)
    require_safe(files | folders)
    if missing := files - set(doc.files):
        raise BundleError(f"The manifest has no digest for {sorted(missing)}.", COPY_AGAIN)
    for folder in folders:
        if not any(path.startswith(f"{folder}/") for path in doc.files):
            raise BundleError(f"The manifest has no digest for the files in {folder!r}.", COPY_AGAIN)


def _require_unique(what: str, names: Iterable[str]) -> None:
    names = list(names)
    if not names:
        raise BundleError(f"The bundle has no {what}.", COPY_AGAIN)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BundleError(f"The bundle has more than one {what} {twice[0]!r}.", COPY_AGAIN)
