"""Features for a head: what crosses a cut, pooled by a few cheap nodes that are appended to the stage.

In integers the features come from a ``DequantizeLinear`` of what crosses: a second reader of the float value behind it
would keep ONNX Runtime from fusing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.exporters.depth.moments import (
    append_cells,
    append_moments,
    append_parts,
    append_quarters,
    count_moments,
    grid_of,
    parts_of,
)
from edgehybrid.exporters.model import Graph

POOLINGS: dict[int, tuple[str, ...]] = {
    2: ("flat",),
    3: ("mean-1", "mean-2", "mean+max-1", "mean+max-2", "last-1", "parts-1", "flat"),
    4: ("mean", "mean+max", "quarters", "rows", "grid", "quarters+moments", "grid+moments"),
}
"""By rank of the value, batch included: mean (and largest) over an axis or over space, means of quarters, rows,
parts of an axis or cells of a grid, with the second moments of the cells."""

_MOST_FEATURES = 6144


@dataclass(slots=True)
class Nodes:
    """Nodes that are being appended to a graph."""

    graph: onnx.GraphProto
    prefix: str
    opset: int
    count: int = field(default=0)

    @classmethod
    def of(cls, model: onnx.ModelProto, prefix: str) -> Nodes:
        """For the main graph of ``model``."""
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        return cls(graph=model.graph, prefix=prefix, opset=opset)

    def add(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        """Append a node; returns its output."""
        self.count += 1
        name = output or f"{self.prefix}_{self.count}"
        self.graph.node.append(
            helper.make_node(op, list(inputs), [name], name=f"{self.prefix}_{op}_{self.count}", **attributes)
        )
        return name

    def reduce(self, op: str, value: str, axis: int) -> str:
        """Append a reduction of one axis, which goes; returns its output."""
        if self.opset >= 18:  # axes became an input
            return self.add(op, [value, self.weight(np.array([axis], dtype=np.int64))], keepdims=0)
        return self.add(op, [value], axes=[axis], keepdims=0)

    def weight(self, array: NDArray[np.generic] | np.float32) -> str:
        """Add a constant."""
        self.count += 1
        name = f"{self.prefix}_w{self.count}"
        self.graph.initializer.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name


def crossing_values(stage: Graph, number: int) -> dict[str, tuple[int, ...]]:
    """Tensors ``cut<number>_*`` that ``stage`` gives, with the lengths of all axes but the batch (0 where free)."""
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
        for value in stage.proto.graph.output
        if value.name.startswith(f"cut{number}_")
    }


def poolings(stage: Graph, number: int) -> tuple[str, ...]:
    """Names of the poolings to try for what crosses cut ``number``: one for each value, joined by commas."""
    shapes = list(crossing_values(stage, number).values())
    if not shapes or any(0 in shape for shape in shapes):
        return ()
    offered = [[kind for kind in POOLINGS.get(len(s) + 1, ()) if 0 < size(kind, s) <= _MOST_FEATURES] for s in shapes]
    if not all(offered):
        return ()
    longest = max(len(kinds) for kinds in offered)
    return tuple(",".join(kinds[min(i, len(kinds) - 1)] for kinds in offered) for i in range(longest))


def size(kind: str, shape: Sequence[int]) -> int:
    """Number of features of one value; 0 where the kind does not fit the shape."""
    match kind:
        case "flat":
            return int(np.prod(shape))
        case "mean" | "mean+max":
            return shape[0] * (2 if "max" in kind else 1)
        case "quarters":
            return 4 * shape[0] if shape[1] % 2 == shape[2] % 2 == 0 else 0
        case "rows":
            return shape[0] * shape[1] if shape[1] > 1 else 0
        case "grid":
            return shape[0] * int(np.prod(grid_of(shape))) if shape[1] > 1 or shape[2] > 1 else 0
        case "quarters+moments" | "grid+moments":
            means = size(kind.partition("+")[0], shape)
            return means + count_moments(shape[0]) if means and np.prod(grid_of(shape)) > 1 else 0
        case "parts-1":
            return parts_of(shape[0]) * shape[1] if parts_of(shape[0]) > 1 else 0
        case "mean-1" | "last-1" | "mean+max-1":
            return shape[1] * (2 if "max" in kind else 1)
        case _:
            return shape[0] * (2 if "max" in kind else 1)


def append_features(nodes: Nodes, stage: Graph, number: int, pooling: str) -> str:
    """Append the nodes of ``pooling``; returns the name of the features, float32 ``(batch, k)``."""
    parts = []
    for kind, (name, shape) in zip(pooling.split(","), crossing_values(stage, number).items(), strict=True):
        parts += _pool(nodes, _float(nodes, stage, name), kind, shape)
    return parts[0] if len(parts) == 1 else nodes.add("Concat", parts, axis=1)


def with_features(stage: Graph, number: int, kinds: Sequence[str]) -> Graph:
    """A stage that also gives the features of each pooling, ``features_<i>``: to fit heads on."""
    proto = onnx.ModelProto()
    proto.CopyFrom(stage.proto)
    nodes = Nodes.of(proto, "pool")
    names = [append_features(nodes, stage, number, kind) for kind in kinds]
    for i, name in enumerate(names):
        nodes.add("Identity", [name], f"features_{i}")
    proto.graph.output.extend(
        helper.make_tensor_value_info(f"features_{i}", TensorProto.FLOAT, None) for i in range(len(names))
    )
    return Graph(proto=proto)


def _float(nodes: Nodes, stage: Graph, name: str) -> str:
    info = next(value for value in stage.proto.graph.output if value.name == name)
    if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
        return name
    makers = {output: node for node in stage.proto.graph.node for output in node.output}
    node = makers[name]
    while node.op_type == "Identity":
        node = makers[node.input[0]]
    axis = {a.name: a.i for a in node.attribute if a.name == "axis"}
    return nodes.add("DequantizeLinear", [name, *node.input[1:]], **axis)


def _pool(nodes: Nodes, value: str, kind: str, shape: Sequence[int]) -> list[str]:
    match kind:
        case "flat":
            return [value if len(shape) == 1 else nodes.add("Flatten", [value], axis=1)]
        case "mean":
            return [_flatten(nodes, nodes.add("GlobalAveragePool", [value]))]
        case "mean+max":
            return [_flatten(nodes, nodes.add(op, [value])) for op in ("GlobalAveragePool", "GlobalMaxPool")]
        case "quarters" | "rows" | "grid":
            grid = {"quarters": (2, 2), "rows": (shape[1], 1)}.get(kind) or grid_of(shape)
            return [_flatten(nodes, append_cells(nodes, value, shape, grid))]
        case "grid+moments" | "quarters+moments":
            grid = grid_of(shape)
            cells = append_cells(nodes, value, shape, grid)
            means = _flatten(nodes, cells) if kind.startswith("grid") else _quarters(nodes, value, cells, shape, grid)
            return [means, append_moments(nodes, cells, shape)]
        case "parts-1":
            return [append_parts(nodes, value, shape)]
        case "last-1":
            index = nodes.weight(np.array(shape[0] - 1, dtype=np.int64))
            return [nodes.add("Gather", [value, index], axis=1)]
    axis = int(kind[-1])
    found = [nodes.reduce("ReduceMean", value, axis)]
    return [*found, nodes.reduce("ReduceMax", value, axis)] if "max" in kind else found


def _quarters(nodes: Nodes, value: str, cells: str, shape: Sequence[int], grid: tuple[int, int]) -> str:
    """Means of quarters: of the cells where these make them up, else of the value itself."""
    if grid[0] % 2 == grid[1] % 2 == 0:
        return append_quarters(nodes, cells, shape, grid)
    return _flatten(nodes, append_cells(nodes, value, shape, (2, 2)))


def _flatten(nodes: Nodes, value: str) -> str:
    return nodes.add("Flatten", [value], axis=1)
