"""The ONNX Runtime back ends, one for each execution provider. On the CPU nothing is imported before the first load."""

from __future__ import annotations

import importlib.util
from typing import Any

from edgehybrid.errors import BackendError, ModelError
from edgehybrid.runtime.backends.assignment import Assignment, from_subgraphs, refusal
from edgehybrid.runtime.backends.protocol import LoadRequest, Session
from edgehybrid.runtime.backends.providers import CPU_PROVIDER, Offer, Provider, offer_of
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
    """Runs ``.onnx`` variants with ONNX Runtime: on its CPU provider, or on the one that it was made for.

    What another provider took is proved by ONNX Runtime's own record, and refused where it is too little or in too
    many pieces; see ``assignment``.
    """

    def __init__(self, provider: Provider = CPU_PROVIDER) -> None:
        self._provider = provider

    @property
    def name(self) -> str:
        """Key that variants and placements name."""
        return self._provider.key

    @property
    def title(self) -> str:
        """What people call what it computes with."""
        return self._provider.title

    def unavailable(self) -> str | None:
        """Say why it cannot be used here; ``None`` when it can."""
        if self._provider is CPU_PROVIDER:
            return None if importlib.util.find_spec("onnxruntime") else "onnxruntime is not installed"
        return self.offer().problem

    def offer(self) -> Offer:
        """Say what it offers here."""
        return offer_of(self._provider)

    def load(self, request: LoadRequest, /) -> Session:
        """Load a variant, ready to run.

        Args:
            request: The file, its weights, the threads and whether they spin between runs.

        Raises:
            ModelError: The file is missing, damaged, or uses what this onnxruntime lacks.
            BackendError: onnxruntime or the provider is not there, or it took too little of the file.
        """
        if reason := self.unavailable():
            raise BackendError(f"{reason}.", f"It comes with: {self._provider.source}")
        import onnxruntime as ort

        from edgehybrid.runtime.backends.onnx_errors import ORT_ERRORS, load_error, place_error
        from edgehybrid.runtime.backends.onnx_session import OnnxSession

        if not request.model_file.is_file():
            raise ModelError(f"There is no model file {request.model_file}.", "Check the path.")
        try:
            session = self._open(ort, request)
            inputs = tuple(_spec(node, request) for node in session.get_inputs())
            outputs = tuple(_spec(node, request) for node in session.get_outputs())
            assignment = None if self._provider is CPU_PROVIDER else self._assignment(session)
        except ORT_ERRORS as error:
            if self._provider is not CPU_PROVIDER:
                raise place_error(error, request.model_file, self._provider.title) from error
            raise load_error(error, request.model_file, ort.__version__) from error
        if assignment is not None and (why := refusal(assignment)):
            raise BackendError(
                f"{request.model_file} is not run on {self._provider.title}: {why}.", "Use a point on another back end."
            )
        return OnnxSession(session, inputs, outputs, str(request.model_file), self._assignment)

    def _open(self, ort: Any, request: LoadRequest) -> Any:
        options, provider = _options(ort, request), self._provider
        if provider is CPU_PROVIDER:
            return ort.InferenceSession(str(request.model_file), options, providers=[provider.ep])
        recorded = hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")
        if not recorded:  # what cannot be looked up later is demanded now
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        wanted = dict(provider.options(request.threads))
        devices = self.offer().devices
        if devices:
            options.add_provider_for_devices(list(devices), wanted)
            return ort.InferenceSession(str(request.model_file), options)
        chain = [(provider.ep, wanted), CPU_PROVIDER.ep]
        return ort.InferenceSession(str(request.model_file), options, providers=chain)

    def _assignment(self, session: Any) -> Assignment | None:
        """Read the record; ``None`` where this ONNX Runtime keeps none."""
        if not hasattr(session, "get_provider_graph_assignment_info"):
            return None
        pieces = [
            (piece.ep_name, [node.op_type for node in piece.get_nodes()])
            for piece in session.get_provider_graph_assignment_info()
        ]
        provider = self._provider
        return from_subgraphs(provider.title, provider.ep, pieces, compiles=provider.compiles)


def _options(ort: Any, request: LoadRequest) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # An arena keeps the most that it ever needed, and its lock holds up replicas: the heap is as fast without (0048).
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # fatal only: errors reach the caller as exceptions, once
    # A pool that spins burns a core while the app is idle.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if request.spinning else "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # unknown keys do no harm
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
