"""ONNX Runtime's exceptions in our words, translated once, here.

ONNX Runtime gives each status code its own exception without a common base, and says the cause only in the text.
"""

from __future__ import annotations

import re
from pathlib import Path

from onnxruntime.capi import onnxruntime_pybind11_state as _native

from edgehybrid.errors import BackendError, EdgeHybridError, ModelError

_NAMES = (  # each its own class; which there are depends on the version
    *("EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "ModelLoadCanceled"),
    *("ModelLoaded", "ModelRequiresCompilation", "NoModel", "NoSuchFile", "NotFound", "NotImplemented"),
    "RuntimeException",
)

ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,  # bound runs report every failure as this
    ValueError,  # the Python layer checks names with this
    *(getattr(_native, name) for name in _NAMES if hasattr(_native, name)),
)
"""Everything that ONNX Runtime raises for a model or a run that fails."""

_LACKS_OP = (
    re.compile(r"No Op registered for (?P<op>\S+) with domain_version of (?P<opset>\d+)"),
    re.compile(r"Fatal error: (?:(?P<domain>[\w.\-]*):)?(?P<op>\w+)\(-?\d+\) is not a registered function/op"),
    re.compile(r"Could not find an implementation for (?:(?P<domain>[\w.\-]+)[.:])?(?P<op>\w+)\((?P<opset>\d+)\)"),
)
_NOT_ONNX = ("protobuf parsing failed", "Protobuf parsing failed", "No graph was found")
_WEIGHTS = ("External data path", "External initializer", "external data")
_NEW_OPSET = re.compile(r"Opset (?P<opset>\d+) is under development")


def load_error(error: Exception, model_file: Path, version: str) -> EdgeHybridError:
    """Say why ``model_file`` did not load in onnxruntime ``version``, and what to do."""
    text = _clean(str(error))
    for pattern in _LACKS_OP:
        if found := pattern.search(text):
            return _lacks(found.groupdict(), model_file, version)
    if found := _NEW_OPSET.search(text):
        return ModelError(
            f"{model_file} uses opset {found['opset']}, newer than onnxruntime {version} knows.",
            "Export it with an older opset, or upgrade: pip install -U onnxruntime.",
        )
    if any(mark in text for mark in _NOT_ONNX):
        return ModelError(
            f"{model_file} is not a whole ONNX file: {text}", "Copy or export it again; the file is damaged or empty."
        )
    if any(mark in text for mark in _WEIGHTS):
        return ModelError(
            f"The external weights of {model_file} are missing or cut short: {text}",
            "Put the weight files where they were when the model was saved.",
        )
    return ModelError(
        f"onnxruntime {version} refuses {model_file}: {text}", "Check the model with onnx.checker and export it again."
    )


def place_error(error: Exception, model_file: Path, title: str) -> BackendError:
    """Say why ``model_file`` did not load on a provider other than the CPU's."""
    text = _clean(str(error))
    if "fallback to CPU EP has been explicitly disabled" in text:
        text = "some of its nodes would stay on the CPU, and the whole was asked for"
    return BackendError(f"{title} refuses {model_file}: {text[:500]}", "Use a point on another back end.")


def run_error(error: Exception, label: str) -> BackendError:
    """Say why a run of ``label`` failed."""
    return BackendError(
        f"onnxruntime failed while running {label}: {_clean(str(error))}",
        "Run `edgehybrid verify` on the bundle; if it passes, report this input.",
    )


def _lacks(found: dict[str, str | None], model_file: Path, version: str) -> ModelError:
    domain = found.get("domain") or "ai.onnx"
    opset = f", opset {found['opset']}" if found.get("opset") else ""
    return ModelError(
        f"onnxruntime {version} has no operator {found['op']} (domain {domain}{opset}), which {model_file} uses.",
        "Replace that operator, export with another opset, or use an onnxruntime build that has it.",
    )


def _clean(text: str) -> str:
    """Take off what is only for ONNX Runtime's own developers: codes, source paths, line breaks."""
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(r"/onnxruntime_src/\S+ ", "", text)
    return " ".join(text.split())
