"""Inference engines behind one small protocol."""

from edgehybrid.runtime.backends.assignment import (
    MAX_CPU_SHARE,
    MAX_ISLANDS,
    Assignment,
    Placed,
    assignment_of,
    from_delegated,
    from_subgraphs,
    refusal,
)
from edgehybrid.runtime.backends.feeds import check_feeds
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.protocol import (
    Array,
    Backend,
    Bindable,
    Bound,
    Hosted,
    Hosting,
    LoadRequest,
    Session,
)
from edgehybrid.runtime.backends.registry import BACKENDS, make_backend
from edgehybrid.runtime.backends.survey import BackendReport, survey_backends
from edgehybrid.runtime.backends.tflite import SIGNATURE, TfliteBackend, is_tflite
from edgehybrid.runtime.backends.tflite_engine import LITERT, TFLITE_RUNTIME

__all__ = [
    "BACKENDS",
    "LITERT",
    "MAX_CPU_SHARE",
    "MAX_ISLANDS",
    "SIGNATURE",
    "TFLITE_RUNTIME",
    "Array",
    "Assignment",
    "Backend",
    "BackendReport",
    "Bindable",
    "Bound",
    "Hosted",
    "Hosting",
    "LoadRequest",
    "OnnxBackend",
    "Placed",
    "Session",
    "TfliteBackend",
    "assignment_of",
    "check_feeds",
    "from_delegated",
    "from_subgraphs",
    "is_tflite",
    "make_backend",
    "refusal",
    "survey_backends",
]
