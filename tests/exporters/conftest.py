"""Small float graphs of every family, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.exporters.model import Graph, load_model, open_session
from edgehybrid.exporters.model.load import Model
from edgehybrid.exporters.rewrites import Probes

Array = NDArray[np.generic]


@dataclass
class Sketch:
    """A graph in the making; every method adds a node and returns the name of its output."""

    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def weight(self, *shape: int, scale: float = 0.5) -> str:
        """A constant of normal noise."""
        return self.constant((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def constant(self, array: Any, dtype: type[np.generic] = np.float32) -> str:
        """A constant."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype=dtype), name))
        return name

    def ints(self, *values: int) -> str:
        """A constant vector of int64."""
        return self.constant(values, np.int64)

    def op(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Add a node; returns its first output."""
        names = [f"v{len(self.nodes)}_{i}" if outputs > 1 else f"v{len(self.nodes)}" for i in range(outputs)]
        node = helper.make_node(kind, list(inputs), names, name=f"n{len(self.nodes)}", domain=domain, **attributes)
        self.nodes.append(node)
        return names[0]

    def close(self, y: str, x: Sequence[int | str], out: Sequence[int | str | None], opset: int = 18) -> Graph:
        """Name the output ``y`` and make the graph."""
        self.op("Identity", y)
        self.nodes[-1].output[0] = "y"
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(out))],
            self.weights,
        )
        proto = helper.make_model(graph, opset_imports=imports, ir_version=9)
        return Graph(proto=onnx.shape_inference.infer_shapes(proto))


class Zoo:
    """Graphs by family. All have an input ``x`` whose first axis is the batch, and an output ``y``."""

    sketch = Sketch

    def conv(self, seed: int = 0, *, act: str = "silu", bn: bool = False, channels: int = 8) -> Graph:
        """Two convolutions with a residual sum, a pool, a third."""
        s = Sketch(seed)
        y = s.op("Conv", "x", s.weight(channels, 3, 3, 3), s.weight(channels), pads=[1] * 4)
        if bn:
            one = [s.constant(s.rng.uniform(0.5, 2.0, channels)) for _ in range(2)]
            y = s.op("BatchNormalization", y, one[0], s.weight(channels), s.weight(channels), one[1])
        y = self.activation(s, y, act)
        z = self.activation(s, s.op("Conv", y, s.weight(channels, channels, 1, 1), s.weight(channels)), act)
        y = s.op("Add", y, z)
        y = s.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
        y = s.op("Conv", y, s.weight(4, channels, 3, 3))
        return s.close(y, ["batch", 3, 8, 8], ["batch", 4, 2, 2])

    def activation(self, s: Sketch, y: str, act: str) -> str:
        """Add an activation by name."""
        match act:
            case "silu":
                return s.op("Mul", y, s.op("Sigmoid", y))
            case "relu":
                return s.op("Relu", y)
            case "clip":
                return s.op("Clip", y, s.constant(0.0), s.constant(6.0))
            case _:
                return y

    def dense(self, seed: int = 0, *, gemm: bool = False, hidden: int = 48) -> Graph:
        """Two layers."""
        s = Sketch(seed)
        if gemm:
            y = s.op("Relu", s.op("Gemm", "x", s.weight(hidden, 32), s.weight(hidden), transB=1))
            y = s.op("Gemm", y, s.weight(hidden, 32), s.weight(32))
        else:
            y = s.op("Relu", s.op("Add", s.op("MatMul", "x", s.weight(32, hidden)), s.weight(hidden)))
            y = s.op("Add", s.op("MatMul", y, s.weight(hidden, 32)), s.weight(32))
        return s.close(y, ["batch", 32], ["batch", 32])

    def recurrent(self, seed: int = 0, *, kind: str = "GRU", both: bool = False, hidden: int = 16) -> Graph:
        """One layer, batch first outside."""
        s = Sketch(seed)
        gates, d = {"GRU": 3, "LSTM": 4, "RNN": 1}[kind], 2 if both else 1
        w, r = s.weight(d, gates * hidden, 72, scale=0.3), s.weight(d, gates * hidden, hidden, scale=0.3)
        b = s.weight(d, 2 * gates * hidden, scale=0.1)
        x = s.op("Transpose", "x", perm=[1, 0, 2])
        more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
        direction = "bidirectional" if both else "forward"
        y = s.op(kind, x, w, r, b, hidden_size=hidden, direction=direction, **more)
        y = s.op("Reshape", s.op("Transpose", y, perm=[2, 0, 1, 3]), s.ints(0, 6, d * hidden))
        return s.close(y, ["batch", 6, 72], ["batch", 6, d * hidden])

    def attention(
        self, seed: int = 0, *, style: str = "packed", heads: int = 2, size: int = 8, scale: float = 0.0
    ) -> Graph:
        """One self-attention block (or a near miss) in one of the styles that exporters write."""
        s = Sketch(seed)
        y = self.attend(s, "x", heads, size, style, scale or size**-0.5)
        return s.close(y, ["batch", 6, 32], ["batch", 6, 32])

    def attend(self, s: Sketch, x: str, heads: int, size: int, style: str, scale: float) -> str:
        """Add the block."""
        width = heads * size
        if style == "seq-first":
            q, k, v = self._seq_first(s, x, heads, size)
        elif style in ("packed", "interleaved"):
            q, k, v = self._packed(s, x, heads, size, interleaved=style == "interleaved")
        else:
            other = s.op("Relu", x) if style == "cross" else x
            q, k, v = (self._one(s, source, heads, size) for source in (x, other, x))
        scores = s.op("MatMul", q, s.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = s.op("Mul", scores, s.constant(scale))
        if style == "masked":
            scores = s.op("Add", scores, s.constant(np.triu(np.full((6, 6), -1e9), 1)))
        context = s.op("MatMul", s.op("Softmax", scores, axis=-1), v)
        if style == "seq-first":
            rows = s.op("Reshape", s.op("Transpose", context, perm=[2, 0, 1, 3]), s.ints(-1, width))
            rows = s.op("Gemm", rows, s.weight(width, 32), s.weight(32))
            return s.op("Transpose", s.op("Reshape", rows, s.ints(6, -1, 32)), perm=[1, 0, 2])
        joined = s.op("Reshape", s.op("Transpose", context, perm=[0, 2, 1, 3]), s.ints(-1, 6, width))
        return s.op("Add", s.op("MatMul", joined, s.weight(width, 32)), s.weight(32))

    def _one(self, s: Sketch, x: str, heads: int, size: int) -> str:
        y = s.op("Add", s.op("MatMul", x, s.weight(32, heads * size, scale=0.2)), s.weight(heads * size))
        return s.op("Transpose", s.op("Reshape", y, s.ints(-1, 6, heads, size)), perm=[0, 2, 1, 3])

    def _packed(self, s: Sketch, x: str, heads: int, size: int, *, interleaved: bool) -> list[str]:
        width = heads * size
        y = s.op("Add", s.op("MatMul", x, s.weight(32, 3 * width, scale=0.2)), s.weight(3 * width))
        if interleaved:  # head, then query, key, value inside it: as some vision models do
            y = s.op("Transpose", s.op("Reshape", y, s.ints(-1, 6, heads, 3, size)), perm=[3, 0, 2, 1, 4])
        else:
            y = s.op("Transpose", s.op("Reshape", y, s.ints(-1, 6, 3, heads, size)), perm=[2, 0, 3, 1, 4])
        return [s.op("Gather", y, s.constant(i, np.int64), axis=0) for i in range(3)]

    def _seq_first(self, s: Sketch, x: str, heads: int, size: int) -> list[str]:
        width = heads * size
        x = s.op("Transpose", x, perm=[1, 0, 2])
        y = s.op("Add", s.op("MatMul", x, s.weight(32, 3 * width, scale=0.2)), s.weight(3 * width))
        parts = []
        for i in range(3):
            part = s.op("Slice", y, s.ints(i * width), s.ints((i + 1) * width), s.ints(2))
            part = s.op("Reshape", part, s.ints(6, -1, heads, size))
            parts.append(s.op("Transpose", part, perm=[1, 2, 0, 3]))
        return parts

    def trees(self, seed: int = 0) -> Graph:
        """A dense layer, then one small tree."""
        s = Sketch(seed)
        y = s.op("Relu", s.op("Add", s.op("MatMul", "x", s.weight(32, 32)), s.weight(32)))
        thresholds = [float(v) for v in s.rng.standard_normal(2)]
        y = s.op(
            "TreeEnsembleRegressor",
            y,
            domain="ai.onnx.ml",
            n_targets=1,
            nodes_treeids=[0] * 5,
            nodes_nodeids=[0, 1, 2, 3, 4],
            nodes_featureids=[0, 3, 0, 0, 0],
            nodes_values=[*thresholds, 0.0, 0.0, 0.0],
            nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
            nodes_truenodeids=[1, 3, 0, 0, 0],
            nodes_falsenodeids=[2, 4, 0, 0, 0],
            target_treeids=[0, 0, 0],
            target_nodeids=[2, 3, 4],
            target_ids=[0, 0, 0],
            target_weights=[1.0, 2.0, 3.0],
        )
        return s.close(y, ["batch", 32], ["batch", 1])

    def hybrid(self, seed: int = 0) -> Graph:
        """Convolution, GRU, attention, dense: ``[batch, 1, 12, 16] -> [batch, 5]``; shapes computed in the graph."""
        s = Sketch(seed)
        y = s.op("Conv", "x", s.weight(16, 1, 3, 3), s.weight(16), pads=[1] * 4, strides=[2, 2])
        y = s.op("Conv", self.activation(s, y, "silu"), s.weight(9, 16, 3, 3, scale=0.1), s.weight(9), pads=[1] * 4)
        y = s.op("Transpose", self.activation(s, y, "silu"), perm=[2, 0, 1, 3])
        length = s.op("Slice", s.op("Shape", "x"), s.ints(0), s.ints(1))
        y = s.op("Reshape", y, s.op("Concat", s.ints(6), length, s.ints(72), axis=0))
        zeros = s.op("Expand", s.constant(0.0), s.op("Concat", s.ints(1), length, s.ints(32), axis=0))
        w, r, b = s.weight(1, 96, 72, scale=0.1), s.weight(1, 96, 32, scale=0.1), s.weight(1, 192, scale=0.1)
        y = s.op("GRU", y, w, r, b, "", zeros, hidden_size=32, linear_before_reset=1)
        y = s.op("Transpose", s.op("Squeeze", y, s.ints(1)), perm=[1, 0, 2])
        y = s.op("Add", y, self.attend(s, y, 2, 16, "packed", 0.25))
        y = s.op("Relu", s.op("Add", s.op("MatMul", y, s.weight(32, 64)), s.weight(64)))
        y = s.op("ReduceMean", y, s.ints(1), keepdims=0)
        return s.close(s.op("Gemm", y, s.weight(64, 5), s.weight(5)), ["batch", 1, 12, 16], ["batch", 5])

    def feeds(self, graph: Graph, batch: int = 4, seed: int = 0) -> dict[str, Array]:
        """Normal noise."""
        dims = graph.proto.graph.input[0].type.tensor_type.shape.dim
        shape = [batch, *(dim.dim_value for dim in dims[1:])]
        return {"x": np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}

    def probes(self, graph: Graph) -> Probes:
        """Two batches of different length."""
        return Probes(first=self.feeds(graph, 2, 1), second=self.feeds(graph, 3, 2))

    def run(self, graph: Graph, feeds: dict[str, Array], *, optimize: bool = True) -> Array:
        """The first output."""
        output = open_session(graph.proto, optimize=optimize).run(None, feeds)[0]
        assert isinstance(output, np.ndarray)
        return output

    def save(self, graph: Graph, path: Path) -> Path:
        """Write the file."""
        path.write_bytes(graph.to_bytes())
        return path

    def model(self, graph: Graph, folder: Path) -> Model:
        """Save and load."""
        return load_model(self.save(graph, folder / "model.onnx"))


@pytest.fixture(scope="session")
def zoo() -> Zoo:
    return Zoo()
