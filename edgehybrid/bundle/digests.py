"""SHA-256 of files, of folders (as ONNX Runtime names shared assets) and of a manifest that contains its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

ZEROS = "0" * 64
_FIELD = b'"manifest_sha256": "%s"'  # unique: inside a JSON string its quotes would be escaped


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_sha256(files: Mapping[str, str]) -> str:
    """Digest of a folder, as ``onnxruntime.ModelPackage.compute_directory_hash`` gives it.

    Args:
        files: Relative path (with ``/``) of every file to its digest, in hex.
    """
    text = "".join(f"{files[path]}  {path}\n" for path in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()


def seal(manifest: bytes) -> bytes:
    """Put the digest of ``manifest`` in the place of the zeros that its own digest field holds."""
    digest = hashlib.sha256(manifest).hexdigest().encode()
    return manifest.replace(_FIELD % ZEROS.encode(), _FIELD % digest)


def is_sealed(manifest: bytes, digest: str) -> bool:
    """Tell whether ``manifest`` is byte for byte what ``seal`` returned; ``digest`` is what its field holds."""
    unsealed = manifest.replace(_FIELD % digest.encode(), _FIELD % ZEROS.encode())
    return hashlib.sha256(unsealed).hexdigest() == digest
