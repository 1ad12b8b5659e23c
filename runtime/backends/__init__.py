"""Inference engines behind one small protocol."""

from edgehybrid.runtime.backends.feeds import check_feeds
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.protocol import Array, Backend, Bindable, Bound, LoadRequest, Session
from edgehybrid.runtime.backends.registry import BACKENDS, make_backend
from edgehybrid.runtime.backends.survey import BackendReport, survey_backends
from edgehybrid.runtime.backends.tflite import SIGNATURE, TfliteBackend

__all__ = [
    "BACKENDS",
    "SIGNATURE",
    "Array",
    "Backend",
    "BackendReport",
    "Bindable",
    "Bound",
    "LoadRequest",
    "OnnxBackend",
    "Session",
    "TfliteBackend",
    "check_feeds",
    "make_backend",
    "survey_backends",
]
