"""Bias correction: the mean error that integers make in each channel, taken out again by the bias.

Each layer is judged alone, on the float inputs of the reference, all layers in one run of a graph that holds both: so
that the mean error of a layer before is not paid back twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgehybrid.exporters.model import Graph, open_session

Feeds = Mapping[str, NDArray[np.generic]]
_TWIN = "twin::"
_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    node: onnx.NodeProto
    bias: str  # name of the constant that takes the correction
    step: NDArray[np.float32] | None  # of the bias in integers; ``None`` for a float bias
    rank: int  # of the output of a convolution; 0 for a product


def correct_bias(graph: Graph, reference: Graph, batches: Callable[[], Iterable[Feeds]]) -> Graph:
    """Shift the biases of static int8 layers so that each channel's mean over the data is that of ``reference``.

    Args:
        graph: What a scheme with fixed ranges made of ``reference``.
        reference: The float graph; its values keep their names in ``graph``.
        batches: Calibration data; each call starts anew.

    Returns:
        ``graph`` itself, if it has no such layer with a bias. Nothing is promised about the outputs of the whole:
        compare before you keep it.
    """
    inside = {name for node in reference.proto.graph.node for name in node.output}
    layers = [layer for layer in _layers(graph.proto) if layer.node.output[0] in inside]
    if not layers:
        return graph
    session = open_session(_side_by_side(reference.proto, graph.proto, layers), optimize=False)
    total, count = [np.zeros(1)] * len(layers), 0
    for feeds in batches():
        size = max((len(array) for array in feeds.values() if array.ndim), default=1)
        found = session.run(None, dict(feeds))
        total = [old + size * np.asarray(new, dtype=np.float64) for old, new in zip(total, found, strict=True)]
        count += size
    return _shift(graph, layers, [t / count for t in total]) if count else graph


def _layers(proto: onnx.ModelProto) -> list[_Layer]:
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    makers = {name: node for node in proto.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    layers = []
    for node in proto.graph.node:
        back = makers.get(node.input[1]) if node.op_type in _LAYERS else None
        if back is None or back.op_type != "DequantizeLinear" or back.input[0] not in constants:
            continue
        rank = len(constants[back.input[0]].dims) if node.op_type == "Conv" else 0
        users = readers.get(node.output[0], [])
        maker = makers.get(node.input[2]) if len(node.input) > 2 else None
        if maker is not None and maker.op_type == "DequantizeLinear" and len(readers[maker.input[0]]) == 1:
            step = np.array(numpy_helper.to_array(constants[maker.input[1]]), dtype=np.float32)
            layers.append(_Layer(node=node, bias=maker.input[0], step=step, rank=rank))
        elif node.op_type == "MatMul" and len(users) == 1 and users[0].op_type == "Add":
            bias = next((n for n in users[0].input if n in constants), "")
            width = list(constants[back.input[0]].dims)[-1:]
            if bias and list(constants[bias].dims) == width and len(readers[bias]) == 1:
                layers.append(_Layer(node=node, bias=bias, step=None, rank=0))
    return layers


def _side_by_side(reference: onnx.ModelProto, quantized: onnx.ModelProto, layers: list[_Layer]) -> onnx.ModelProto:
    """``reference`` with an integer twin beside each layer; the outputs are mean float minus mean integer."""
    both = onnx.ModelProto()
    both.CopyFrom(reference)
    del both.graph.output[:]
    del both.graph.value_info[:]
    known = {name for node in reference.graph.node for name in node.output} | {v.name for v in reference.graph.input}
    makers = {name: node for node in quantized.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
    done: set[str] = set()

    def copy(name: str) -> str:
        """The twin of a value; a float value of the reference stands for itself."""
        twin = f"{_TWIN}{name}"
        if name in known or not name:
            return name
        if twin not in done:
            done.add(twin)
            if name in constants:
                tensor = both.graph.initializer.add()
                tensor.CopyFrom(constants[name])
                tensor.name = twin
            else:
                copy_node(makers[name])
        return twin

    def copy_node(node: onnx.NodeProto) -> None:
        inputs = [copy(name) for name in node.input]
        new = both.graph.node.add()
        new.CopyFrom(node)
        new.name = f"{_TWIN}{node.name}"
        del new.input[:], new.output[:]
        new.input.extend(inputs)
        new.output.extend(f"{_TWIN}{name}" for name in node.output)

    for index, layer in enumerate(layers):
        copy_node(layer.node)
        _mean_difference(both, layer, f"{_TWIN}{index}")
    return both


def _mean_difference(both: onnx.ModelProto, layer: _Layer, name: str) -> None:
    opset = next(item.version for item in both.opset_import if item.domain in ("", "ai.onnx"))
    y = layer.node.output[0]
    add = both.graph.node.append
    add(helper.make_node("Sub", [y, f"{_TWIN}{y}"], [f"{name}_d"]))
    last, axes = f"{name}_d", [0, *range(2, layer.rank)]
    if not layer.rank:  # any number of axes before the channels: make it one
        both.graph.initializer.append(numpy_helper.from_array(np.array(_width(both, layer)), f"{name}_shape"))
        add(helper.make_node("Reshape", [last, f"{name}_shape"], [f"{name}_flat"]))
        last, axes = f"{name}_flat", [0]
    if opset >= 18:
        both.graph.initializer.append(numpy_helper.from_array(np.array(axes), f"{name}_axes"))
        add(helper.make_node("ReduceMean", [last, f"{name}_axes"], [f"{name}_mean"], keepdims=0))
    else:
        add(helper.make_node("ReduceMean", [last], [f"{name}_mean"], keepdims=0, axes=axes))
    both.graph.output.append(onnx.ValueInfoProto(name=f"{name}_mean"))


def _width(both: onnx.ModelProto, layer: _Layer) -> list[int]:
    if layer.step is not None:
        return [-1, layer.step.size]
    weights = {tensor.name: tensor for tensor in both.graph.initializer}
    back = next(node for node in both.graph.node if f"{_TWIN}{layer.node.input[1]}" in node.output)
    return [-1, int(weights[back.input[0]].dims[-1])]


def _shift(graph: Graph, layers: list[_Layer], errors: list[NDArray[np.float64]]) -> Graph:
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for layer, error in zip(layers, errors, strict=True):
        tensor = constants[layer.bias]
        old = numpy_helper.to_array(tensor)
        if layer.step is None:
            new = (old + error).astype(np.float32)
        else:
            new = np.clip(old + np.rint(error / layer.step), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        if np.isfinite(error).all():
            tensor.CopyFrom(numpy_helper.from_array(new, layer.bias))
    return Graph(proto=proto)
