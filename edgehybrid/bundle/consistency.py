"""Whether the parts of a bundle's document agree with each other."""

from __future__ import annotations

from collections.abc import Iterable

from edgehybrid.bundle.paths import COPY_AGAIN, NOT_OURS, is_safe_name, require_safe
from edgehybrid.bundle.schema import BundleDoc, StageInfo
from edgehybrid.errors import BundleError
from edgehybrid.points import REFERENCE


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
    known = {stage.name: {variant.name for variant in stage.variants} for stage in doc.stages}
    for point in doc.points:
        if set(point.variants) != set(known) or any(name not in known[s] for s, name in point.variants.items()):
            what = f"Point {point.name!r} needs {dict(point.variants)}, which the bundle does not hold."
            raise BundleError(what, COPY_AGAIN)
        if strange := (set(point.exits) | set(point.placement)) - set(known):
            raise BundleError(f"Point {point.name!r} names stages that are not there: {sorted(strange)}.", COPY_AGAIN)


def _require_stage(stage: StageInfo, doc: BundleDoc) -> None:
    _require_unique(f"variant of stage {stage.name!r}", [variant.name for variant in stage.variants])
    for name in (stage.name, *(variant.name for variant in stage.variants)):
        if not is_safe_name(name):
            raise BundleError(f"The manifest names a stage or variant {name!r}, which cannot be a folder.", NOT_OURS)
    folders = {variant.weights_dir for variant in stage.variants if variant.weights_dir is not None}
    files = {stage.golden_file}
    for variant in stage.variants:
        files |= {variant.model_file, variant.golden_file}
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
