"""A model that knows easy inputs early: heads of its own after the first and the second of three heavy blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgehybrid.exporters.model import Graph

CLASSES = 5
ROWS = 260


def deep_model(
    zoo: Any, *, heads: tuple[str, ...] = ("first", "second"), twice: bool = False, blocks: int = 3
) -> Graph:
    """``x [batch, 3, 24, 24] -> y [batch, 5]``; each block changes the logits less, so that early ones mostly agree.

    Args:
        zoo: Makes graphs.
        heads: Names of the outputs after the first blocks.
        twice: Whether a block of no use is computed beside: a slower model with the same answers.
        blocks: How many.
    """
    s = zoo.sketch(1)
    y, logits, found = "x", "", []
    for block in range(blocks):
        width, channels = (3, 48)[min(block, 1)], 48
        y = s.op("Relu", s.op("Conv", y, s.weight(channels, width, 3, 3, scale=0.1), s.weight(channels), pads=[1] * 4))
        pooled = s.op("Flatten", s.op("GlobalAveragePool", y))
        new = s.op("Gemm", pooled, s.weight(channels, CLASSES, scale=4.0 * 0.1**block), s.weight(CLASSES, scale=0.1))
        logits = s.op("Add", logits, new) if logits else new
        found.append(logits)
    if twice:
        z = s.op("Conv", y, s.weight(48, 48, 3, 3, scale=0.1), pads=[1] * 4)
        z = s.op("Gemm", s.op("Flatten", s.op("GlobalAveragePool", z)), s.weight(48, CLASSES))
        logits = s.op("Add", logits, s.op("Mul", z, s.constant(0.0)))
    graph = s.close(logits, ["batch", 3, 24, 24], ["batch", CLASSES])
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    for name, value in zip(heads, found, strict=False):
        for node in proto.graph.node:
            for fields in (node.input, node.output):
                fields[:] = [name if item == value else item for item in fields]
        proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", CLASSES]))
    del proto.graph.value_info[:]
    return Graph(proto=proto)


def write_data(zoo: Any, graph: Graph, path: Path) -> Path:
    """Noise of several strengths, so that classes differ in how sure they are; labels are the model's answers."""
    rng = np.random.default_rng(5)
    shift = rng.standard_normal((ROWS, 3, 1, 1)) * 1.5
    x = (rng.standard_normal((ROWS, 3, 24, 24)) + shift).astype(np.float32)
    labels = zoo.run(graph, {"x": x}).argmax(axis=1).astype(np.int64)
    np.savez(path, x=x, labels=labels)
    return path


@pytest.fixture(scope="session")
def early_answers() -> Any:
    """The makers above; test modules cannot import this file."""

    class Makers:
        model = staticmethod(deep_model)
        data = staticmethod(write_data)

    return Makers
