"""Attention with its projections outside, and with coarser keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.exporters.measure import sqnr_db
from edgehybrid.exporters.model import Component, Graph
from edgehybrid.exporters.precision import Quantized, Setting, quantize

WIDTH = 32


def block(tokens: int | str = 64, *, heads: int = 4, scale: float | None = None, mask: bool = False) -> Graph:
    """One fused self-attention of ``tokens`` tokens, 32 wide."""
    rng = np.random.default_rng(heads)
    weights = {"w": 0.2 * rng.standard_normal((WIDTH, 3 * WIDTH)), "b": rng.standard_normal(3 * WIDTH)}
    inputs = ["x", "w", "b", *(["mask"] if mask else [])]
    more: dict[str, Any] = {} if scale is None else {"scale": scale}
    node = helper.make_node("Attention", inputs, ["y"], "attend", domain="com.microsoft", num_heads=heads, **more)
    shape = ["batch", tokens, WIDTH]
    fed = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    fed += [helper.make_tensor_value_info("mask", TensorProto.INT32, ["batch"])] if mask else []
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    fixed = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    proto = helper.make_graph([node], "block", fed, made, fixed)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return Graph(proto=helper.make_model(proto, opset_imports=opsets, ir_version=9))


def convert(graph: Graph, scheme: str) -> Quantized:
    """All of it in ``scheme``."""
    parts = (Component(name="attention-1", family="attention", nodes=("attend",)),)
    return quantize(graph, parts, {"attention": scheme}, Setting())


def likeness(zoo: Any, graph: Graph, other: Graph, x: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """In dB."""
    return float(sqnr_db({"y": zoo.run(other, {"x": x})}, {"y": zoo.run(graph, {"x": x})}))


def ops(graph: Graph) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in graph.proto.graph.node]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999),
    heads=st.sampled_from((1, 2, 4)),
    scale=st.sampled_from((None, 0.3)),
)
def test_projections_outside_keep_the_meaning(zoo: Any, seed: int, heads: int, scale: float | None) -> None:
    """Any number of heads, any scale, any batch: one quantization, three products, one attention."""
    graph = block(heads=heads, scale=scale)
    found = convert(graph, "w8-dyn-mha").graph
    x = np.random.default_rng(seed).standard_normal((1 + seed % 3, 64, WIDTH)).astype(np.float32)

    assert ["DynamicQuantizeLinear", *["MatMulIntegerToFloat"] * 3, "MultiHeadAttention"] == ops(found)
    assert likeness(zoo, graph, found, x) >= 28.0


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999),
    heads=st.sampled_from((1, 2, 4)),
    scale=st.sampled_from((None, 0.3)),
)
def test_coarse_keys_lose_nothing_where_neighbours_are_alike(
    zoo: Any, seed: int, heads: int, scale: float | None
) -> None:
    """Tokens in equal pairs: keys and values averaged over a pair are those of the pair."""
    graph = block(heads=heads, scale=scale)
    x = np.random.default_rng(seed).standard_normal((2, 32, WIDTH)).astype(np.float32).repeat(2, axis=1)

    assert likeness(zoo, graph, convert(graph, "w8-dyn-k2").graph, x) >= 28.0


def test_coarse_keys_lose_more_the_less_neighbours_are_alike(zoo: Any) -> None:
    """It is an approximation, whose loss the search measures."""
    graph, rng = block(), np.random.default_rng(0)
    pairs = rng.standard_normal((4, 32, WIDTH)).astype(np.float32).repeat(2, axis=1)
    noise = rng.standard_normal(pairs.shape).astype(np.float32)
    coarse = convert(graph, "w8-dyn-k2").graph
    found = [likeness(zoo, graph, coarse, pairs + share * noise) for share in (0.0, 0.3, 1.0)]

    assert sorted(found, reverse=True) == found
    assert found[0] > found[2] + 6.0


@pytest.mark.parametrize("tokens", ["tokens", 63, 16])
def test_coarse_keys_want_pairs(tokens: int | str) -> None:
    """An odd, small or unknown number of tokens is left, with the reason."""
    graph = block(tokens)
    found = convert(graph, "w8-dyn-k2")

    assert graph is found.graph
    assert "even number" in found.untouched[0].reason


@pytest.mark.parametrize("scheme", ["w8-dyn-mha", "w8-dyn-k2"])
def test_masked_attention_is_left(scheme: str) -> None:
    """Neither knows what a mask would say of a pair."""
    found = convert(block(mask=True), scheme)

    assert "mask" in found.untouched[0].reason
