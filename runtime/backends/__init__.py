"""Inference engines behind one small protocol."""

from edgehybrid.runtime.backends.arena import shrink
from edgehybrid.runtime.backends.feeds import check_feeds
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.protocol import Array, Backend, Bindable, Bound, LoadRequest, Session
from edgehybrid.runtime.backends.registry import BACKENDS, make_backend
from edgehybrid.runtime.backends.survey import BackendReport, survey_backends
from edgehybrid.runtime.backends.tflite import SIGNATURE, TfliteBackend, is_tflite
from edgehybrid.runtime.backends.tflite_engine import LITERT, TFLITE_RUNTIME

__all__ = [
    "BACKENDS",
    "LITERT",
    "SIGNATURE",
    "TFLITE_RUNTIME",
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
    "is_tflite",
    "make_backend",
    "shrink",
    "survey_backends",
]
