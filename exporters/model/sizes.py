"""How large every value is in one run: by running the graph, and by shape inference inside of its bodies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgehybrid.exporters.model.bodies import has_bodies
from edgehybrid.exporters.model.graph import Graph
from edgehybrid.exporters.model.probe import trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Shapes, bytes and single numbers of the values that a scope sees.

    Attributes:
        shapes: Value name to shape.
        nbytes: Value name to bytes.
        numbers: Name to value of whatever holds one number: trip counts, conditions.
        nodes: Node name to node of the outer graph, its bodies annotated with shapes.
    """

    shapes: Mapping[str, tuple[int, ...]]
    nbytes: Mapping[str, int]
    numbers: Mapping[str, float]
    nodes: Mapping[str, onnx.NodeProto]

    def inside(self, body: onnx.GraphProto) -> Sizes:
        """Sizes that the nodes of ``body`` see: the outer ones and its own."""
        own = {info.name: shape for info in _infos(body) if (shape := _shape(info)) is not None}
        own |= {tensor.name: tuple(tensor.dims) for tensor in body.initializer}
        kinds = {info.name: info.type.tensor_type.elem_type for info in _infos(body)}
        kinds |= {tensor.name: tensor.data_type for tensor in body.initializer}
        nbytes = {name: math.prod(shape) * _item_bytes(kinds[name]) for name, shape in own.items()}
        return replace(self, shapes={**self.shapes, **own}, nbytes={**self.nbytes, **nbytes})


def find_sizes(graph: Graph, feeds: Mapping[str, NDArray[np.generic]]) -> Sizes:
    """Run ``graph`` once on ``feeds``, unoptimized, and keep the size of every value.

    Raises:
        ModelError: If ``feeds`` do not fit.
    """
    inner = graph.proto.graph
    arrays = {name: np.asarray(array) for name, array in {**feeds, **trace(graph, feeds)}.items()}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inner.initializer}
    nbytes = {tensor.name: math.prod(tensor.dims) * _item_bytes(tensor.data_type) for tensor in inner.initializer}
    plain = [name for name, array in arrays.items() if array.dtype.kind in "fiub"]
    single = [tensor for tensor in inner.initializer if math.prod(tensor.dims) == 1]
    fixed = {t.name: float(numpy_helper.to_array(t).item()) for t in single if t.data_type != onnx.TensorProto.STRING}
    annotated = _annotate(graph.proto, {name: arrays[name] for name in plain}) if has_bodies(graph.proto) else inner
    return Sizes(
        shapes=shapes | {name: array.shape for name, array in arrays.items()},
        nbytes=nbytes | {name: array.nbytes for name, array in arrays.items()},
        numbers=fixed | {name: float(arrays[name].item()) for name in plain if arrays[name].size == 1},
        nodes={node.name: node for node in annotated.node},
    )


def _annotate(proto: onnx.ModelProto, arrays: Mapping[str, NDArray[np.generic]]) -> onnx.GraphProto:
    """Let shape inference fill in the bodies, knowing what the outer graph really computed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    own = {value.name for value in (*copy.graph.input, *copy.graph.output)}
    infos = {
        name: helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    }
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(info for name, info in infos.items() if name not in own)
    for value in (*copy.graph.input, *copy.graph.output):
        if value.name in infos:
            value.CopyFrom(infos[value.name])
    for node in copy.graph.node:
        if node.op_type == "Loop":
            _tell_states(node, infos)
    return onnx.shape_inference.infer_shapes(copy, data_prop=True).graph


def _tell_states(loop: onnx.NodeProto, infos: Mapping[str, onnx.ValueInfoProto]) -> None:
    """Write the shapes of its states into a loop's body: inference does not carry them, since they might grow."""
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    states = len(loop.input) - 2
    for outer, made, inner in zip(loop.input[2:], loop.output[:states], body.input[2:], strict=False):
        if outer in infos and made in infos and infos[outer].type == infos[made].type:
            inner.type.CopyFrom(infos[outer].type)


def _infos(body: onnx.GraphProto) -> Iterable[onnx.ValueInfoProto]:
    return (*body.input, *body.value_info, *body.output)


def _shape(info: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _item_bytes(kind: int) -> int:
    if kind in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return 0
    return int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
