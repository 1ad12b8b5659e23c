"""``manifest.json``: an ONNX Runtime model package, with our section in ``additional_metadata.edgehybrid``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from edgehybrid.bundle.consistency import require_consistent
from edgehybrid.bundle.digests import is_sealed, seal
from edgehybrid.bundle.paths import COPY_AGAIN, NOT_OURS
from edgehybrid.bundle.schema import SCHEMA, BundleDoc, VariantInfo
from edgehybrid.errors import BundleError

MANIFEST = "manifest.json"
ASSETS = "shared_assets"
ASSET_PREFIX = "sha256-"

_PACKAGE_SCHEMA = "1.0"
_WEIGHTS_OPTION = "session.model_external_initializers_file_folder_path"
_UPDATE = "Run: pip install --upgrade edgehybrid"


def encode(doc: BundleDoc) -> bytes:
    """Write the manifest of ``doc``, sealed with its own digest; its ``disk_bytes`` may be of this very length."""
    package = {
        "schema_version": _PACKAGE_SCHEMA,
        "package_name": doc.bundle.name,
        "package_version": doc.bundle.version,
        "description": f"Operating points of edgehybrid: {', '.join(point.name for point in doc.points)}",
        "layout": "portable",
        "components": {
            stage.name: {"variants": {v.name: _package_variant(stage.name, v) for v in stage.variants}}
            for stage in doc.stages
        },
        "additional_metadata": {"edgehybrid": doc},
    }
    return seal(msgspec.json.format(msgspec.json.encode(package), indent=2) + b"\n")


def decode(raw: bytes, where: str) -> BundleDoc:
    """Read our section of a manifest.

    Args:
        raw: Bytes of the manifest.
        where: The bundle's path, for messages.

    Raises:
        BundleError: Damaged, changed, of a newer schema, at odds with itself, or not ours.
    """
    package = _package(raw, where)
    section = _section(package)
    if section is None:
        raise BundleError(
            f"{where} is an ONNX Runtime model package, but not one of edgehybrid.",
            "Open it with onnxruntime.ModelPackage, or make a bundle: edgehybrid export MODEL -o DIR --data FILE",
        )
    schema = section.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(f"{where} has schema {schema}; this edgehybrid reads up to {SCHEMA}.", _UPDATE)
    try:
        doc = msgspec.convert(section, BundleDoc)
    except msgspec.ValidationError as error:
        raise BundleError(f"The manifest of {where} is not valid: {error}.", COPY_AGAIN) from error
    if not is_sealed(raw, doc.manifest_sha256):
        raise BundleError(f"{where}/{MANIFEST} was changed since it was written.", COPY_AGAIN)
    require_consistent(doc)
    _require_same_parts(package, doc, where)
    return doc


def is_ours(raw: bytes) -> bool:
    """Tell whether ``raw`` is the manifest of a bundle of ours, of any schema, whole or not."""
    try:
        package = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return _section(package) is not None


def _package_variant(stage: str, variant: VariantInfo) -> dict[str, Any]:
    folder = f"{stage}/{variant.name}"
    executors: dict[str, Any] = {"edgehybrid": {"format": variant.format, "backend": variant.backend}}
    if variant.format != "onnx":
        return {"variant_directory": folder, "executor_info": executors}
    ort: dict[str, Any] = {"model_file": PurePosixPath(variant.model_file).relative_to(folder).as_posix()}
    if variant.weights_dir is not None:
        digest = variant.weights_dir.removeprefix(f"{ASSETS}/{ASSET_PREFIX}")
        ort["session_options"] = {_WEIGHTS_OPTION: f"sha256:{digest}"}
    return {
        "variant_directory": folder,
        "ep": "CPUExecutionProvider",
        "device": "cpu",
        "executor_info": {"ort": ort, **executors},
    }


def _package(raw: bytes, where: str) -> Mapping[str, Any]:
    try:
        package = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{where}/{MANIFEST} is no valid JSON: {error}.", COPY_AGAIN) from error
    version = package.get("schema_version") if isinstance(package, dict) else None
    if not isinstance(package, dict) or not isinstance(version, str):
        fix = "Give the folder that edgehybrid export wrote."
        raise BundleError(f"{where}/{MANIFEST} is not the manifest of a model package.", fix)
    if version.split(".")[0] != _PACKAGE_SCHEMA.split(".")[0]:
        what = f"{where} is a model package of schema {version}; this edgehybrid reads {_PACKAGE_SCHEMA}."
        raise BundleError(what, _UPDATE)
    return package


def _section(package: object) -> Mapping[str, Any] | None:
    metadata = package.get("additional_metadata") if isinstance(package, dict) else None
    section = metadata.get("edgehybrid") if isinstance(metadata, dict) else None
    return section if isinstance(section, dict) else None


def _require_same_parts(package: Mapping[str, Any], doc: BundleDoc, where: str) -> None:
    """What ONNX Runtime reads and what we read must be the same files."""
    expected = {s.name: {"variants": {v.name: _package_variant(s.name, v) for v in s.variants}} for s in doc.stages}
    if package.get("components") != expected:
        raise BundleError(f"The two halves of {where}/{MANIFEST} name different stages or variants.", NOT_OURS)
