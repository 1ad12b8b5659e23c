"""The ONNX Runtime back end, on the CPU. Nothing of onnxruntime is imported before the first load."""

from __future__ import annotations

import importlib.util
from typing import Any

from edgehybrid.errors import BackendError, ModelError
from edgehybrid.runtime.backends import arena
from edgehybrid.runtime.backends.protocol import LoadRequest, Session
from edgehybrid.tensors import TensorSpec

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


class OnnxBackend:
    """Runs ``.onnx`` variants with ONNX Runtime's CPU provider."""

    @property
    def name(self) -> str:
        """Key that variants name in ``VariantInfo.backend``."""
        return "onnx"

    def unavailable(self) -> str | None:
        """Say why it cannot be used here; ``None`` when it can."""
        return None if importlib.util.find_spec("onnxruntime") else "onnxruntime is not installed"

    def load(self, request: LoadRequest, /) -> Session:
        """Load a variant, ready to run.

        Args:
            request: The file, its weights, the threads and whether they spin between runs.

        Raises:
            ModelError: The file is missing, damaged, or uses what this onnxruntime lacks.
            BackendError: onnxruntime is not installed.
        """
        if reason := self.unavailable():
            raise BackendError(f"{reason}.", "Run: pip install onnxruntime")
        import onnxruntime as ort

        from edgehybrid.runtime.backends.onnx_errors import ORT_ERRORS, load_error
        from edgehybrid.runtime.backends.onnx_session import OnnxSession

        if not request.model_file.is_file():
            raise ModelError(f"There is no model file {request.model_file}.", "Check the path.")
        options = _options(ort, request)
        try:
            session = ort.InferenceSession(str(request.model_file), options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            raise load_error(error, request.model_file, ort.__version__) from error
        inputs = tuple(_spec(node, request) for node in session.get_inputs())
        outputs = tuple(_spec(node, request) for node in session.get_outputs())
        return OnnxSession(session, inputs, outputs, str(request.model_file))


def _options(ort: Any, request: LoadRequest) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    arena.share(ort, options)
    options.log_severity_level = 4  # fatal only: errors reach the caller as exceptions, once
    # A pool that spins burns a core while the app is idle.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if request.spinning else "0")
    if request.weights_dir is not None:
        folder = str(request.weights_dir)
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return options


def _spec(node: Any, request: LoadRequest) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise ModelError(
            f"{node.name!r} of {request.model_file} is a {node.type}; only plain tensors can be read and written.",
            "Export the model with tensor inputs and outputs (for tree ensembles: without ZipMap).",
        )
    shape = tuple(
        size
        if isinstance(size, int) and size >= 0
        else size
        if isinstance(size, str) and size
        else f"{node.name}_{axis}"
        for axis, size in enumerate(node.shape)
    )
    return TensorSpec(name=node.name, dtype=dtype, shape=shape)
