"""Load an ONNX file, and refuse at once what could not be exported later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnx.inliner import inline_local_functions

from edgehybrid.errors import ModelError
from edgehybrid.exporters.model.bodies import fold_branches
from edgehybrid.exporters.model.errors import ORT_ERRORS
from edgehybrid.exporters.model.external import load_external
from edgehybrid.exporters.model.graph import Graph
from edgehybrid.exporters.model.torch_source import is_torch, torch_bytes, torch_name
from edgehybrid.tensors import TensorSpec

MIN_OPSET = 13
MAX_BYTES = 2**31 - 1  # protobuf's own limit
_REEXPORT = "Export it again from the training framework, or check it with onnx.checker."
_TORCH = 'Weights alone are no model. In PyTorch: torch.onnx.export(model, example, "model.onnx", dynamo=True).'
_KERAS = 'In Keras: model.export("model.onnx", format="onnx").'
_FROM = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".safetensors"), _TORCH),
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS),
    ".tflite": "Go back to the model that it was made from: export writes TFLite files itself (--formats onnx,tflite).",
    ".pb": "Run: python -m tf2onnx.convert --saved-model FOLDER --output model.onnx",
    ".pkl": "For scikit-learn: skl2onnx.to_onnx(model, x[:1], options={'zipmap': False}).",
    ".npz": "That is data; give the model first, and this file with --data.",
}
_LACKS = (
    re.compile(r"No Op registered for (?P<op>\w+)"),
    re.compile(r"Could not find an implementation for (?P<op>[\w.:]+)"),
    re.compile(r"(?P<op>[\w.:]+)\(?-?\d*\)? is not a registered function/op"),
    re.compile(r"No schema registered for operator (?P<op>[\w.:]+)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as the user gave it: float, checked, loadable.

    ``inputs`` leaves out what has a default; a string in a shape is a free axis. ``opset``: the default domain's.
    ``from_torch``: whether ``path`` names a PyTorch model, from which the graph was made.
    """

    name: str
    path: Path
    graph: Graph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int
    overrides: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    from_torch: bool = False


def load_model(path: str | Path, shapes: Mapping[str, tuple[int | str, ...]] | None = None) -> Model:
    """Load ``path``.

    Args:
        path: ONNX file, opset 13 or later, external data in its own folder; or, with PyTorch installed, an exported
            program (``.pt2``) or ``module:factory``, see ``torch_bytes``.
        shapes: Input name to the shape to use instead of the file's; a string names a free axis.

    Returns:
        The model, with functions inlined and a name for every node.

    Raises:
        ModelError: If there is no such file, or nothing that ONNX Runtime could run.
        MissingExtraError: If it is a PyTorch model, and PyTorch is not installed.
        RequestError: If there is no such factory, or it returns something else.
    """
    source, path = str(path), Path(path)
    from_torch = is_torch(source)
    proto = _proto(torch_bytes(source), path) if from_torch else _parse(path)
    load_external(proto, path)
    opset = _opset(proto, path)
    _check(proto, path)
    if proto.functions:
        proto = inline_local_functions(proto)
    _override(proto, shapes or {}, path)
    skip = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_spec(value, path) for value in proto.graph.input if value.name not in skip)
    proto = fold_branches(proto, inputs)
    _name_nodes(proto.graph)
    _try_runtime(proto, path)
    return Model(
        name=torch_name(source) if from_torch else path.stem,
        path=path,
        graph=Graph(proto=proto),
        inputs=inputs,
        outputs=tuple(_spec(value, path) for value in proto.graph.output),
        opset=opset,
        overrides=dict(shapes or {}),
        from_torch=from_torch,
    )


def _parse(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ModelError(f"{path} is a folder.", "Name the .onnx file in it.")
        if size == 0:
            raise ModelError(f"{path} is empty.", _REEXPORT)
        if size > MAX_BYTES:
            raise ModelError(f"{path} is larger than 2 GiB.", "Such a model is no edge model; split or shrink it.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"There is no model file {path}.", "Check the path.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    return _proto(content, path)


def _proto(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise _foreign(path, "is no ONNX file, or a truncated one") from error
    if not proto.graph.node and not proto.graph.output:
        raise _foreign(path, "holds no graph")
    return proto


def _foreign(path: Path, what: str) -> ModelError:
    """Say how a file of another framework becomes one of ONNX."""
    return ModelError(f"{path} {what}.", _FROM.get(path.suffix.lower(), _REEXPORT))


def _opset(proto: onnx.ModelProto, path: Path) -> int:
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    opset = max(versions, default=0)
    ml_only = not versions and any(entry.domain == "ai.onnx.ml" for entry in proto.opset_import)
    if opset < MIN_OPSET and not ml_only:
        raise ModelError(
            f"{path} uses opset {opset}; {MIN_OPSET} is the oldest that works.",
            f"Export it with a newer opset, or use onnx.version_converter.convert_version(model, {MIN_OPSET}).",
        )
    return opset


def _check(proto: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(proto, full_check=False)
    except onnx.checker.ValidationError as error:
        raise _refusal(path, str(error)) from error
    if not proto.graph.output or not proto.graph.node:
        raise ModelError(f"{path} computes nothing.", _REEXPORT)


def _try_runtime(proto: onnx.ModelProto, path: Path) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except ORT_ERRORS as error:
        raise _refusal(path, str(error)) from error


def _refusal(path: Path, text: str) -> ModelError:
    for pattern in _LACKS:
        if found := pattern.search(text):
            op = found["op"].rstrip("(")
            return ModelError(
                f"{path} uses the operator {op}, which ONNX Runtime lacks.",
                "Export the model with standard operators, or replace that layer.",
            )
    return ModelError(f"{path} is not a valid model: {text.strip().splitlines()[0]}.", _REEXPORT)


def _override(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int | str, ...]], path: Path) -> None:
    by_name = {value.name: value for value in proto.graph.input}
    for name, shape in shapes.items():
        if name not in by_name:
            raise ModelError(f"{path} has no input {name!r}.", f"It has: {', '.join(by_name)}.")
        tensor = by_name[name].type.tensor_type
        if tensor.HasField("shape") and len(tensor.shape.dim) != len(shape):
            raise ModelError(
                f"Input {name!r} of {path} has {len(tensor.shape.dim)} axes, not {len(shape)}.",
                "Give one length per axis.",
            )
        tensor.shape.ClearField("dim")
        for length in shape:
            dim = tensor.shape.dim.add()
            if isinstance(length, int):
                dim.dim_value = length
            else:
                dim.dim_param = length
    if shapes:
        del proto.graph.value_info[:]


def _name_nodes(graph: onnx.GraphProto) -> None:
    taken = {node.name for node in graph.node}
    seen: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in seen:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
        seen.add(node.name)


def _spec(value: onnx.ValueInfoProto, path: Path) -> TensorSpec:
    if not value.type.HasField("tensor_type"):
        raise ModelError(
            f"{value.name!r} of {path} is no tensor (a sequence or a map).",
            "Export it with tensors only; for sklearn use zipmap=False.",
        )
    tensor = value.type.tensor_type
    if tensor.elem_type == onnx.TensorProto.STRING:
        raise ModelError(f"{value.name!r} of {path} holds strings.", "Turn strings into numbers outside of the model.")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else (dim.dim_param or f"{value.name}_{axis}")
        for axis, dim in enumerate(tensor.shape.dim)
    )
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
