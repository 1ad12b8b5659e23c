"""``Bundle``: a bundle on disk, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from edgehybrid.bundle.digests import file_sha256
from edgehybrid.bundle.draft import Array
from edgehybrid.bundle.manifest import MANIFEST, decode
from edgehybrid.bundle.paths import COPY_AGAIN, is_regular, require_no_links
from edgehybrid.bundle.schema import BundleDoc, StageInfo, VariantInfo
from edgehybrid.data import read_npz
from edgehybrid.errors import BundleError, DataError, RequestError
from edgehybrid.points import OperatingPoint

_GIVE = "Give the folder that edgehybrid export wrote."


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose manifest holds together. Files that it does not list are never read."""

    path: Path
    doc: BundleDoc

    @classmethod
    def open(cls, path: str | PathLike[str], *, check_files: bool = True) -> Bundle:
        """Open the bundle at ``path``.

        Args:
            path: The folder that ``edgehybrid export`` wrote.
            check_files: Compare the digest of every file. Without, files only have to be there.

        Raises:
            BundleError: Not a bundle, damaged, incomplete, unsafe to read, or of a newer schema.
        """
        root = Path(path)
        if root.is_symlink():  # a push may turn it elsewhere while we run: stay with this version
            root = root.resolve()
        doc = decode(_read_manifest(root), str(root))
        require_no_links(root)
        for name, digest in doc.files.items():
            _require_file(root, name, digest if check_files else None)
        return cls(root.absolute(), doc)

    @property
    def points(self) -> tuple[OperatingPoint, ...]:
        """Operating points: the reference, then best quality first."""
        return self.doc.points

    @property
    def stages(self) -> tuple[StageInfo, ...]:
        """Stages in the order in which they run."""
        return self.doc.stages

    def point(self, name: str) -> OperatingPoint:
        """The point ``name``; RequestError when there is none."""
        found = {point.name: point for point in self.points}
        if name not in found:
            raise RequestError(f"{self.path.name} has no point {name!r}.", f"It has: {', '.join(found)}.")
        return found[name]

    def stage(self, name: str) -> StageInfo:
        """The stage ``name``; RequestError when there is none."""
        found = {stage.name: stage for stage in self.stages}
        if name not in found:
            raise RequestError(f"{self.path.name} has no stage {name!r}.", f"It has: {', '.join(found)}.")
        return found[name]

    def variant(self, stage: str, name: str) -> VariantInfo:
        """The variant ``name`` of ``stage``; RequestError when there is none."""
        found = {variant.name: variant for variant in self.stage(stage).variants}
        if name not in found:
            raise RequestError(f"Stage {stage!r} has no variant {name!r}.", f"It has: {', '.join(found)}.")
        return found[name]

    def model_path(self, variant: VariantInfo) -> Path:
        """The model file of ``variant``."""
        return self.path / variant.model_file

    def weights_dir(self, variant: VariantInfo) -> Path | None:
        """The folder of its external weights; ``None`` when they lie in or beside the model file."""
        return None if variant.weights_dir is None else self.path / variant.weights_dir

    def golden_inputs(self, stage: StageInfo, variant: VariantInfo | None = None) -> dict[str, Array]:
        """Inputs to replay on ``variant`` of ``stage``: input name to array, as a back end takes it."""
        own = None if variant is None else variant.golden_inputs_file
        return self._golden(stage.golden_file if own is None else own)

    def golden_outputs(self, variant: VariantInfo) -> dict[str, Array]:
        """What ``variant`` gave for the golden inputs of its stage: output name to array."""
        return self._golden(variant.golden_file)

    def _golden(self, name: str) -> dict[str, Array]:
        try:
            return read_npz(self.path / name)
        except DataError as error:
            raise BundleError(error.what, COPY_AGAIN) from error


def _read_manifest(root: Path) -> bytes:
    manifest = root / MANIFEST
    if not root.is_dir():
        what = f"{root} is not a folder." if root.exists() else f"{root} does not exist."
        raise BundleError(what, _GIVE)
    if manifest.is_symlink():
        raise BundleError(f"{manifest} is a symbolic link; it is not followed.", COPY_AGAIN)
    if not is_regular(manifest):
        raise BundleError(f"{root} is no bundle: it has no {MANIFEST}.", _GIVE)
    try:
        return manifest.read_bytes()
    except OSError as error:
        raise BundleError(f"{manifest} cannot be read ({error.strerror}).", f"Run: chmod u+r {manifest}") from error


def _require_file(root: Path, name: str, digest: str | None) -> None:
    path = root / name
    if not is_regular(path):
        raise BundleError(f"{root} lacks the file {name!r}.", COPY_AGAIN)
    try:
        if digest is not None and file_sha256(path) != digest:
            raise BundleError(f"The file {name!r} of {root} was changed since it was written.", COPY_AGAIN)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}).", f"Run: chmod -R u+rX {root}") from error
