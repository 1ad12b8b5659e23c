"""Inference engines behind one small protocol."""

from edgehybrid.runtime.backends.feeds import check_feeds
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.protocol import Array, Backend, Bindable, Bound, LoadRequest, Session
from edgehybrid.runtime.backends.registry import BACKENDS, make_backend
from edgehybrid.runtime.backends.survey import BackendReport, survey_backends

__all__ = [
    "BACKENDS",
    "Array",
    "Backend",
    "BackendReport",
    "Bindable",
    "Bound",
    "LoadRequest",
    "OnnxBackend",
    "Session",
    "check_feeds",
    "make_backend",
    "survey_backends",
]
