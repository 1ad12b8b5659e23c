"""Make the small graphs beside this file: one model per style in which exporters write.

It needs torch, onnxscript, scikit-learn and skl2onnx. The styles of tf2onnx and PaddlePaddle are written by hand.
Run: ``python tests/exporters/model/graphs/make_graphs.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx  # type: ignore[import-not-found]  # only whoever makes the graphs needs it
from sklearn.ensemble import RandomForestRegressor
from torch import nn

HERE = Path(__file__).parent


class Net(nn.Module):  # type: ignore[misc]  # torch may be absent
    """Convolution, LSTM, attention, dense: ``[batch, 4, 12] -> [batch, 3]``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)
        self.bn = nn.BatchNorm1d(8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute."""
        y = torch.relu(self.bn(self.conv(x))).transpose(1, 2)
        y = self.lstm(y)[0]
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.head(y.mean(dim=1))


def save(proto: onnx.ModelProto, name: str) -> None:
    """Write without traces of this computer."""
    for node in proto.graph.node:
        del node.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    proto.doc_string = ""
    onnx.checker.check_model(proto)
    (HERE / name).write_bytes(proto.SerializeToString())


def from_torch() -> None:
    """Both exporters of torch, of one net."""
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(2, 4, 12)
    for parameter in net.parameters():  # equal biases would be stored once
        nn.init.normal_(parameter, std=0.3)
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(net, (x,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    save(program.model_proto, "torch_dynamo.onnx")
    torch.onnx.export(
        net, (x,), str(HERE / "torch_script.onnx"), dynamo=False, opset_version=17, input_names=["x"],
        dynamic_axes={"x": {0: "batch"}},
    )  # fmt: skip
    save(onnx.load(HERE / "torch_script.onnx"), "torch_script.onnx")


def from_sklearn() -> None:
    """A forest, in the default domain's company."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5)).astype(np.float32)
    forest = RandomForestRegressor(3, max_depth=3, random_state=0).fit(x, x[:, 0] * x[:, 1])
    save(to_onnx(forest, x[:1], target_opset={"": 15, "ai.onnx.ml": 3}), "skl_forest.onnx")


class Hand:
    """Builds a graph node by node."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int) -> str:
        """A weight of noise."""
        return self.constant(name, (self.rng.standard_normal(shape) * 0.3).astype(np.float32))

    def constant(self, name: str, array: Any) -> str:
        """A weight of these numbers."""
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node, named as its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output.split(":")[0], **attributes))
        return output

    def save(self, name: str, x: list[Any], y: list[Any], opset: int, producer: str) -> None:
        """Close and write."""
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x:0", x), ("y:0", y))]
        graph = helper.make_graph(self.nodes, "g", values[:1], values[1:], self.weights)
        imports = [helper.make_opsetid("", opset)]
        save(helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name=producer), name)


def like_tf2onnx() -> None:
    """Channels last outside, transposed around each convolution; a dense layer of MatMul and Add."""
    h = Hand()
    y = h.op("Transpose", ["x:0"], "model/conv/Conv2D__6:0", perm=[0, 3, 1, 2])
    y = h.op("Conv", [y, h.weight("k", 6, 3, 3, 3), h.weight("b", 6)], "model/conv/BiasAdd:0", pads=[1] * 4)
    y = h.op("Relu", [y], "model/conv/Relu:0")
    y = h.op("Transpose", [y], "model/conv/BiasAdd__8:0", perm=[0, 2, 3, 1])
    y = h.op("ReduceMean", [y], "model/pool/Mean:0", axes=[1, 2], keepdims=0)
    y = h.op("MatMul", [y, h.weight("w", 6, 4)], "model/dense/MatMul:0")
    y = h.op("Add", [y, h.weight("c", 4)], "model/dense/BiasAdd:0")
    h.op("Softmax", [y], "y:0", axis=-1)
    h.save("like_tf2onnx.onnx", ["unk__1", 8, 8, 3], ["unk__1", 4], 13, "tf2onnx")


def like_paddle() -> None:
    """Weights as Constant nodes, scale by Mul and Add, attention over MatMul with a Scale node."""
    h = Hand()

    def constant(name: str, *shape: int) -> str:
        tensor = numpy_helper.from_array((h.rng.standard_normal(shape) * 0.3).astype(np.float32), name)
        return h.op("Constant", [], name, value=tensor)

    def shape(name: str, *dims: int) -> str:
        return h.op("Constant", [], name, value=numpy_helper.from_array(np.array(dims, np.int64), name))

    def project(source: str, name: str) -> str:
        y = h.op("MatMul", [source, constant(f"{name}.w_0", 8, 8)], f"{name}.tmp_0")
        y = h.op("Add", [y, constant(f"{name}.b_0", 8)], f"{name}.tmp_1")
        y = h.op("Reshape", [y, shape(f"{name}.shape", 0, 0, 2, 4)], f"{name}.reshape")
        return h.op("Transpose", [y], f"{name}.transpose", perm=[0, 2, 1, 3])

    y = h.op("Conv", ["x:0", constant("conv2d_0.w_0", 8, 4, 3)], "conv2d_0.tmp_0", pads=[1, 1])
    y = h.op("Add", [y, constant("conv2d_0.b_0", 1, 8, 1)], "conv2d_0.tmp_1")
    y = h.op("HardSwish", [y], "hardswish_0.tmp_0")
    y = h.op("Transpose", [y], "transpose_0.tmp_0", perm=[0, 2, 1])
    q, k, v = (project(y, f"linear_{i}") for i in range(3))
    q = h.op(
        "Mul",
        [q, h.op("Constant", [], "scale", value=numpy_helper.from_array(np.array(0.5, np.float32)))],
        "scale_0.tmp_0",
    )
    scores = h.op("MatMul", [q, h.op("Transpose", [k], "k_t", perm=[0, 1, 3, 2])], "matmul_v2_0.tmp_0")
    z = h.op("MatMul", [h.op("Softmax", [scores], "softmax_0.tmp_0", axis=-1), v], "matmul_v2_1.tmp_0")
    z = h.op("Transpose", [z], "transpose_4.tmp_0", perm=[0, 2, 1, 3])
    z = h.op("Reshape", [z, shape("join", 0, 0, 8)], "reshape_4.tmp_0")
    z = h.op("MatMul", [z, constant("linear_3.w_0", 8, 8)], "linear_3.tmp_0")
    z = h.op("Add", [z, constant("linear_3.b_0", 8)], "linear_3.tmp_1")
    h.op("Identity", [h.op("Add", [y, z], "tmp_0")], "y:0")
    h.save("like_paddle.onnx", ["p2o.DynamicDimension.0", 4, 6], ["p2o.DynamicDimension.0", 6, 8], 14, "PaddlePaddle")


if __name__ == "__main__":
    from_torch()
    from_sklearn()
    like_tf2onnx()
    like_paddle()
