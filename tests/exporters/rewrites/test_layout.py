from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.rewrites import PASSES, Probes, rewrite
from edgehybrid.exporters.rewrites.merge_layout import read_digits


def ops(graph: Graph) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in graph.proto.graph.node]


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(2, 4), min_size=1, max_size=5), data=st.data())
def test_digits_rebuild_every_transposition(lengths: list[int], data: st.DataObject) -> None:
    """Whatever order of axes: the digits that are read give the same permutation, in no more axes."""
    order = data.draw(st.permutations(range(len(lengths))))
    positions = np.arange(np.prod(lengths)).reshape(lengths).transpose(order).reshape(-1)
    found = read_digits(positions)

    assert found is not None
    assert len(found[0]) <= len(lengths)
    np.testing.assert_array_equal(
        np.arange(len(positions)).reshape(found[0]).transpose(found[1]).reshape(-1), positions
    )


@pytest.mark.parametrize("positions", [[1, 0, 2, 3], [0, 1, 2, 2], [3, 2, 1, 0]])
def test_what_is_no_transposition_has_no_digits(positions: list[int]) -> None:
    """Other orders are refused."""
    assert read_digits(np.array(positions)) is None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), steps=st.integers(2, 6))
def test_chains_keep_their_meaning_and_never_grow(zoo: Any, seed: int, steps: int) -> None:
    """Random reshapes and transpositions: the same numbers, at most one transposition, no more nodes."""
    rng, s = np.random.default_rng(seed), zoo.sketch(seed)
    y, shape = s.op("Exp", "x"), [-1, 4, 6]
    for _ in range(steps):
        if rng.random() < 0.5:
            order = [0, *(1 + rng.permutation(len(shape) - 1))]
            y, shape = s.op("Transpose", y, perm=[int(i) for i in order]), [shape[i] for i in order]
        else:
            shape = [-1, *[[24], [4, 6], [2, 2, 6], [3, 8], [2, 12], [2, 2, 3, 2]][rng.integers(6)]]
            y = s.op("Reshape", y, s.ints(*shape))
    graph = s.close(s.op("Neg", y), ["batch", 4, 6], ["batch", *shape[1:]])
    result = PASSES["merge-layout"]()(graph, zoo.probes(graph))

    assert ops(result.graph).count("Transpose") <= max(1, ops(graph).count("Transpose") * (not result.applied))
    assert len(ops(result.graph)) <= len(ops(graph))
    assert (graph is result.graph) == (result.applied == 0)
    for batch in (1, 4):
        feeds = zoo.feeds(graph, batch)
        np.testing.assert_array_equal(zoo.run(graph, feeds), zoo.run(result.graph, feeds))


def test_unfolding_is_one_transposition(zoo: Any) -> None:
    """MobileViT's way from a map to tokens: three reshapes and two transpositions become two and one."""
    s = zoo.sketch()
    y = s.op("Transpose", s.op("Reshape", s.op("Exp", "x"), s.ints(-1, 2, 3, 2)), perm=[0, 2, 1, 3])
    y = s.op("Transpose", s.op("Reshape", y, s.ints(-1, 8, 6, 4)), perm=[0, 3, 2, 1])
    graph = s.close(s.op("Neg", s.op("Reshape", y, s.ints(-1, 6, 8))), ["batch", 8, 4, 6], ["tokens", 6, 8])
    report = rewrite(graph, zoo.probes(graph), ["merge-layout"])
    feeds = zoo.feeds(graph, 1)

    assert ["Exp", "Reshape", "Transpose", "Reshape", "Neg"] == ops(report.graph)[:5]
    np.testing.assert_array_equal(zoo.run(graph, feeds), zoo.run(report.graph, feeds))


@pytest.mark.parametrize("between", ["relu", "silu", "bias", "scale", "residual", "product"])
def test_transpositions_meet(zoo: Any, between: str) -> None:
    """Through activations, constants, sums of two transposed values and products of rows they cancel."""
    s = zoo.sketch()
    perm = [1, 0, 2] if between == "product" else [0, 2, 1]
    x = s.op("Exp", "x")
    y = s.op("Transpose", x, perm=perm)
    if between == "relu":
        y = s.op("Relu", y)
    elif between == "silu":
        y = s.op("Mul", y, s.op("Sigmoid", y))
    elif between == "bias":
        y = s.op("Add", y, s.weight(8))
    elif between == "scale":
        y = s.op("Mul", s.constant(2.0), y)
    elif between == "residual":
        y = s.op("Add", y, s.op("Transpose", s.op("Tanh", x), perm=perm))
    else:
        y = s.op("Add", s.op("MatMul", y, s.weight(4, 4)), s.weight(4))
    graph = s.close(s.op("Neg", s.op("Transpose", y, perm=perm)), ["batch", 8, 4], ["batch", 8, 4])
    report = rewrite(graph, Probes(), ["sink-transpose"])
    feeds = zoo.feeds(graph, 3)

    assert "Transpose" not in ops(report.graph)
    np.testing.assert_allclose(zoo.run(report.graph, feeds), zoo.run(graph, feeds), rtol=1e-6)


@pytest.mark.parametrize("obstacle", ["output", "softmax", "reader"])
def test_transposition_stays_where_something_is_in_the_way(zoo: Any, obstacle: str) -> None:
    """A node that works along an axis, or another reader of the transposed value: nothing is changed."""
    s = zoo.sketch()
    y = s.op("Transpose", s.op("Exp", "x"), perm=[0, 2, 1])
    z = s.op("Softmax", y, axis=-1) if obstacle == "softmax" else s.op("Relu", y)
    if obstacle == "reader":
        z = s.op("Add", z, s.op("ReduceSum", y, s.ints(1)))
    end = s.op("Relu", y) if obstacle == "output" else s.op("Transpose", z, perm=[0, 2, 1])
    graph = s.close(end, ["batch", 8, 4], ["batch", None, None])
    result = PASSES["sink-transpose"]()(graph, Probes())

    assert graph is result.graph


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_product_of_flattened_rows_is_unflattened(zoo: Any, op: str) -> None:
    """With the transpositions around it, ``nn.MultiheadAttention``'s last layer is one product."""
    s = zoo.sketch()
    y = s.op("Reshape", s.op("Transpose", s.op("Exp", "x"), perm=[1, 0, 2]), s.ints(-1, 8))
    y = s.op("Gemm", y, s.weight(5, 8), s.weight(5), transB=1) if op == "Gemm" else s.op("MatMul", y, s.weight(8, 5))
    y = s.op("Transpose", s.op("Reshape", y, s.ints(6, -1, 5)), perm=[1, 0, 2])
    graph = s.close(s.op("Neg", y), ["batch", 6, 8], ["batch", 6, 5])
    report = rewrite(graph, zoo.probes(graph), ["unflatten-products", "sink-transpose"])
    feeds = zoo.feeds(graph, 3)

    assert not {"Reshape", "Transpose"} & set(ops(report.graph))
    np.testing.assert_allclose(zoo.run(report.graph, feeds), zoo.run(graph, feeds), rtol=1e-5, atol=1e-6)
