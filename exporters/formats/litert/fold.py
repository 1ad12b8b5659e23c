"""A graph made ready to be written: shapes fixed, constants folded, every value's shape and dtype seen in a run."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgehybrid.errors import ModelError
from edgehybrid.exporters.model import ORT_ERRORS, Graph, trace
from edgehybrid.exporters.rewrites import Probes, rewrite

Array = NDArray[Any]

_REWRITES = ("fuse-gelu",)  # what has an operator of its own in TFLite
_MAX_ERROR = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One ONNX operator; an input that is left out is the empty string."""

    op: str
    name: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def input(self, index: int) -> str:
        """Name of an input; empty where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def refuse(self, why: str) -> ModelError:
        """The error that names this node: operator and place."""
        kind = f"{self.domain}.{self.op}" if self.domain else self.op
        return ModelError(f"TFLite: {kind} {self.name!r}: {why}.", "Its variants stay in ONNX.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A graph of fixed shapes.

    Attributes:
        nodes: In order; what is known beforehand is in ``constants`` instead.
        inputs: Of the graph, in its order.
        outputs: Of the graph, in its order.
        values: Every value to what it was in one run: its shape and dtype hold for all runs.
        constants: Names of those that never change.
        readers: Value to how often it is read; the graph's own output counts.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Array]
    constants: frozenset[str]
    readers: Mapping[str, int]


def fold(graph: Graph, feeds: Mapping[str, Array]) -> Folded:
    """Fix the shapes of ``graph`` to those of ``feeds`` and fold what follows from them.

    Raises:
        ModelError: ONNX Runtime refuses it with these shapes.
    """
    proto = _folded(rewrite(graph, Probes(), _REWRITES).graph.proto, feeds)
    initializers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    inputs = tuple(value.name for value in proto.graph.input if value.name not in initializers)
    outputs = tuple(value.name for value in proto.graph.output)
    computed = [name for node in proto.graph.node for name in node.output if name]
    values = {**initializers, **feeds, **trace(Graph(proto=proto), feeds, computed)}
    constants, nodes = _constant(proto, set(initializers))
    readers: dict[str, int] = dict.fromkeys(values, 0)
    for name in (*(name for node in nodes for name in node.inputs if name), *outputs):
        readers[name] = readers.get(name, 0) + 1
    return Folded(
        nodes=tuple(nodes),
        inputs=inputs,
        outputs=outputs,
        values=values,
        constants=frozenset(constants),
        readers=readers,
    )


def _folded(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> onnx.ModelProto:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    for value in fixed.graph.input:
        if value.name in feeds:
            dims = value.type.tensor_type.shape
            dims.ClearField("dim")
            for length in feeds[value.name].shape:
                dims.dim.add().dim_value = length
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        place = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(place)
        try:
            ort.InferenceSession(fixed.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            text = " ".join(str(error).split())[:_MAX_ERROR]
            raise ModelError(f"TFLite: fixed shapes do not fit the model: {text}.", "Give --shape.") from error
        return onnx.load_model_from_string(place.read_bytes())


def _constant(proto: onnx.ModelProto, known: set[str]) -> tuple[set[str], list[Node]]:
    """Names known beforehand, with what ONNX Runtime leaves: shapes of values that have one; and the other nodes."""
    nodes = []
    for node in _nodes(proto):
        computable = not any(isinstance(value, onnx.GraphProto) for value in node.attributes.values())
        if node.op in ("Shape", "Size", "Constant") or (
            computable and node.inputs and all(name in known for name in node.inputs if name)
        ):
            known |= set(node.outputs)
        else:
            nodes.append(node)
    return known, nodes


def _nodes(proto: onnx.ModelProto) -> Iterator[Node]:
    for index, node in enumerate(proto.graph.node):
        yield Node(
            op=node.op_type,
            name=node.name or f"{node.op_type}_{index}",
            domain="" if node.domain == "ai.onnx" else node.domain,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes={item.name: onnx.helper.get_attribute_value(item) for item in node.attribute},
        )


def is_scalar(array: Array) -> bool:
    """Whether there is one number."""
    return math.prod(array.shape) == 1
