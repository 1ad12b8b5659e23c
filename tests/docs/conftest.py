"""What the pages' examples run on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def adds() -> Callable[[float], bytes]:
    """Make a model that adds a number to its input."""

    def make(mark: float) -> bytes:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
        weight = numpy_helper.from_array(np.asarray([mark], np.float32), "mark")
        node = helper.make_node("Add", ["x", "mark"], ["y"])
        graph = helper.make_graph([node], "adds", values[:1], values[1:], [weight])
        model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        data: bytes = model.SerializeToString()
        return data

    return make
