"""``write_bundle``: a draft becomes a folder, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgehybrid.bundle import places
from edgehybrid.bundle.digests import folder_sha256
from edgehybrid.bundle.draft import BundleDraft, Content, StageDraft, VariantDraft
from edgehybrid.bundle.manifest import ASSET_PREFIX, ASSETS, MANIFEST, encode
from edgehybrid.bundle.paths import is_safe_name, is_safe_path
from edgehybrid.bundle.reading import Bundle
from edgehybrid.bundle.schema import SCHEMA, BundleDoc, StageInfo, VariantInfo
from edgehybrid.data import npz_bytes
from edgehybrid.errors import BundleError, ExportError, RequestError

GOLDEN = "golden.npz"
GOLDEN_INPUTS = "golden-inputs.npz"
_RESERVED = {GOLDEN, GOLDEN_INPUTS, MANIFEST, ASSETS}
_CHUNK = 1 << 20
_MANIFEST_ROOM = 1 << 16


def write_bundle(
    draft: BundleDraft,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    before_publish: Callable[[Path], None] | None = None,
) -> Bundle:
    """Write ``draft`` to ``path``; equal drafts give equal bytes.

    All is written into a folder beside ``path``, flushed, read back and only then renamed. On any failure that
    folder is removed and whatever was at ``path`` stays as it was.

    Args:
        draft: What to write.
        path: Where; its parent must exist.
        overwrite: Replace a bundle that is there. Anything else there is never replaced.
        before_publish: Called with the finished folder before it is renamed; what it raises stops the writing.

    Raises:
        OutputError: The place exists, cannot be written or is full.
        RequestError: A name or path in the draft cannot be a file's.
        ExportError: The draft contradicts itself: what was written does not open.
    """
    target = Path(path)
    places.check_output(target, overwrite=overwrite)
    _require_names(draft)
    with places.translated(target, 0):
        needed = sum(_size(content) for content in _contents(draft)) + _MANIFEST_ROOM
        places.require_room(target, needed)
    with places.aside(target) as folder:
        with places.translated(target, needed):
            _write_all(draft, folder)
            places.sync_tree(folder)
        _require_opens(folder)
        if before_publish is not None:
            before_publish(folder)
        with places.translated(target, needed):
            places.publish(folder, target, overwrite=overwrite)
    return Bundle.open(target, check_files=False)


@dataclass(frozen=True, slots=True)
class _Folder:
    """The folder being written, and what is in it so far: path to digest, path to bytes."""

    root: Path
    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, content: Content) -> None:
        """Write one file, flush it and note its digest."""
        place = self.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with place.open("xb") as out, _opened(content) as source:
            while piece := source.read(_CHUNK):
                out.write(piece)
                digest.update(piece)
                size += len(piece)
            out.flush()
            os.fsync(out.fileno())
        self.digests[name], self.sizes[name] = digest.hexdigest(), size

    def put_asset(self, files: Mapping[str, Content]) -> str:
        """Write files into the shared asset that their digest names; return its path."""
        digests = {name: _sha256(content) for name, content in files.items()}
        asset = f"{ASSETS}/{ASSET_PREFIX}{folder_sha256(digests)}"
        for name, content in files.items():
            if f"{asset}/{name}" not in self.digests:  # another stage may share the same
                self.put(f"{asset}/{name}", content)
        return asset


def _write_all(draft: BundleDraft, root: Path) -> None:
    folder = _Folder(root)
    safest = draft.points[0].variants if draft.points else {}
    stages = tuple(_write_stage(stage, safest.get(stage.name), folder) for stage in draft.stages)
    doc = BundleDoc(
        schema=SCHEMA,
        bundle=draft.bundle,
        model=draft.model,
        stages=stages,
        points=draft.points,
        measured_on=draft.measured_on,
        untouched=draft.untouched,
        dropped=draft.dropped,
        gate=draft.gate,
        sum_of_variants_bytes=sum(variant.size_bytes for stage in stages for variant in stage.variants),
        files=dict(sorted(folder.digests.items())),
    )
    folder.put(MANIFEST, _manifest(doc, sum(folder.sizes.values())))


def _write_stage(stage: StageDraft, safest: str | None, folder: _Folder) -> StageInfo:
    asset = folder.put_asset(stage.shared) if stage.shared else None
    golden = f"{stage.name}/{GOLDEN}"
    folder.put(golden, npz_bytes(stage.golden_inputs, compress=True))
    # Stock ONNX Runtime takes the first variant that it can run: let that be the reference's.
    variants = sorted(stage.variants, key=lambda variant: variant.name != safest)
    infos = tuple(_write_variant(stage.name, variant, asset, folder) for variant in variants)
    return StageInfo(
        name=stage.name,
        inputs=stage.inputs,
        outputs=stage.outputs,
        golden_file=golden,
        variants=infos,
        exit=stage.exit,
    )


def _write_variant(stage: str, variant: VariantDraft, asset: str | None, folder: _Folder) -> VariantInfo:
    home = f"{stage}/{variant.name}"
    for name, content in variant.files.items():
        folder.put(f"{home}/{name}", content)
    folder.put(f"{home}/{GOLDEN}", npz_bytes(variant.golden_outputs, compress=True))
    own_inputs = None
    if variant.golden_inputs is not None:
        own_inputs = f"{home}/{GOLDEN_INPUTS}"
        folder.put(own_inputs, npz_bytes(variant.golden_inputs, compress=True))
    return VariantInfo(
        name=variant.name,
        format=variant.format,
        schemes=variant.schemes,
        model_file=f"{home}/{variant.model_file}",
        weights_dir=asset if variant.uses_shared else None,
        golden_file=f"{home}/{GOLDEN}",
        golden_atol=variant.golden_atol,
        size_bytes=variant.size_bytes,
        backend=variant.backend,
        golden_inputs_file=own_inputs,
        needs=variant.needs,
        placed_atol=variant.placed_atol,
        writer=variant.writer,
    )


def _manifest(doc: BundleDoc, others: int) -> bytes:
    """The manifest with ``disk_bytes`` counting the manifest itself: more digits make it longer, so go up to a rest."""
    total = others
    while True:
        raw = encode(replace(doc, disk_bytes=total))
        if others + len(raw) == total:
            return raw
        total = others + len(raw)


def _require_opens(folder: Path) -> None:
    try:
        Bundle.open(folder)
    except BundleError as error:
        what = f"The bundle as written does not open: {error.what}"
        raise ExportError(what, "The draft contradicts itself.") from error


def _require_names(draft: BundleDraft) -> None:
    for stage in draft.stages:
        for name in (stage.name, *(variant.name for variant in stage.variants)):
            if not is_safe_name(name) or name in _RESERVED:
                raise RequestError(f"{name!r} cannot name a stage or variant.", "Use letters, digits and . _ + = @ -")
        paths = [*stage.shared, *(path for variant in stage.variants for path in variant.files)]
        for path in paths:
            if not is_safe_path(path) or path in (GOLDEN, GOLDEN_INPUTS):
                fix = f"Use a relative path without .. that is not {GOLDEN} or {GOLDEN_INPUTS}."
                raise RequestError(f"{path!r} cannot name a file of a bundle.", fix)


def _contents(draft: BundleDraft) -> Iterator[Content]:
    for stage in draft.stages:
        yield from stage.shared.values()
        for variant in stage.variants:
            yield from variant.files.values()


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _opened(content: Content) -> io.BufferedReader | io.BytesIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _sha256(content: Content) -> str:
    with _opened(content) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
