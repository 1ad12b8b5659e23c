"""Optional parts: say how to get them before they are missed."""

from __future__ import annotations

from importlib.util import find_spec

from edgehybrid.errors import MissingExtraError


def require_export() -> None:
    """Refuse when what the workstation half needs is not installed.

    Raises:
        MissingExtraError: Names the package, and the extra that brings it.
    """
    for package in ("onnx", "onnx_ir", "onnxscript", "scipy"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "export")
