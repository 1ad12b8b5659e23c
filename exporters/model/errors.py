"""What ONNX Runtime raises."""

from __future__ import annotations

from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

ORT_ERRORS = (
    ort_state.Fail,
    ort_state.InvalidGraph,
    ort_state.InvalidArgument,
    ort_state.InvalidProtobuf,
    ort_state.NoSuchFile,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    ort_state.EPFail,
)
