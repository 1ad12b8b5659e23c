from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.rewrites import PASSES, Probes, rewrite

GRAPHS = ("conv", "dense", "attention", "recurrent", "trees", "hybrid")
STYLES = ("packed", "interleaved", "separate", "seq-first", "masked", "cross")


def ops(graph: Graph) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in graph.proto.graph.node]


def same(zoo: Any, a: Graph, b: Graph, seed: int = 0) -> None:
    """Both graphs give the same floats on several batch lengths, but for the order of sums."""
    for batch in (1, 5):
        feeds = zoo.feeds(a, batch, seed)
        np.testing.assert_allclose(zoo.run(b, feeds), zoo.run(a, feeds), rtol=1e-3, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(GRAPHS), seed=st.integers(0, 2**16))
def test_rewrites_keep_the_meaning(zoo: Any, kind: str, seed: int) -> None:
    """All rewrites together change no output of any family by more than rounding."""
    graph = getattr(zoo, kind)(seed)
    same(zoo, graph, rewrite(graph, zoo.probes(graph)).graph, seed)


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(list(PASSES)), kind=st.sampled_from(GRAPHS), seed=st.integers(0, 2**16))
def test_each_rule_keeps_the_meaning(zoo: Any, name: str, kind: str, seed: int) -> None:
    """Each rule alone keeps every output of every family within 1e-4 of its range, or returns the very graph."""
    graph = getattr(zoo, kind)(seed)
    result = PASSES[name]()(graph, zoo.probes(graph))

    assert (graph is result.graph) == (result.applied == 0)
    for batch in (1, 4):
        feeds = zoo.feeds(graph, batch, seed)
        expected = zoo.run(graph, feeds)
        assert np.abs(zoo.run(result.graph, feeds) - expected).max() <= 1e-4 * np.abs(expected).max()


@settings(max_examples=12, deadline=None)
@given(
    style=st.sampled_from(STYLES),
    heads=st.sampled_from([1, 2, 4]),
    size=st.sampled_from([4, 7, 8]),
    seed=st.integers(0, 99),
)
def test_attention_keeps_its_meaning(zoo: Any, style: str, heads: int, size: int, seed: int) -> None:
    """Whatever the style, heads and scale: what is fused computes the same."""
    graph = zoo.attention(seed, style=style, heads=heads, size=size, scale=0.3)
    same(zoo, graph, rewrite(graph, zoo.probes(graph)).graph, seed)


@pytest.mark.parametrize("style", ["packed", "interleaved", "separate", "seq-first"])
def test_self_attention_becomes_one_node(zoo: Any, style: str) -> None:
    """Every style of plain self-attention is fused, and no softmax is left."""
    graph = zoo.attention(style=style)
    report = rewrite(graph, zoo.probes(graph))

    assert 1 == report.applied["fuse-attention"]
    assert 1 == ops(report.graph).count("Attention")
    assert "Softmax" not in ops(report.graph)


@pytest.mark.parametrize(("style", "why"), [("masked", "mask"), ("cross", "different inputs")])
def test_near_miss_has_its_reason(zoo: Any, style: str, why: str) -> None:
    """Attention that one node with its projections cannot be is left alone, and the report says why."""
    graph = zoo.attention(style=style)
    report = rewrite(graph, zoo.probes(graph), ["fuse-attention"])

    assert graph is report.graph
    assert why in report.skipped["fuse-attention"][0].why


@pytest.mark.parametrize("style", ["masked", "cross"])
def test_what_is_left_becomes_multihead(zoo: Any, style: str) -> None:
    """With a mask or another input for the keys, the products stay and the rest is one node."""
    graph = zoo.attention(style=style)
    report = rewrite(graph, zoo.probes(graph))

    assert 1 == report.applied["fuse-multihead"]
    assert "Softmax" not in ops(report.graph)
    same(zoo, graph, report.graph)


def test_without_probes_nothing_is_guessed(zoo: Any) -> None:
    """Rules that must try the graph do nothing when they cannot."""
    report = rewrite(zoo.hybrid(), Probes())

    assert 0 == report.applied["static-shapes"] == report.applied["fuse-attention"]


@pytest.mark.parametrize("name", list(PASSES))
def test_rule_that_does_not_apply_returns_the_very_graph(zoo: Any, name: str) -> None:
    """No site, no change: the same object comes back, not a copy."""
    s = zoo.sketch()
    graph = s.close(s.op("Tanh", s.op("Exp", "x")), ["batch", 4], ["batch", 4])
    graph.proto.graph.node.pop()
    graph.proto.graph.node[-1].output[0] = "y"
    result = PASSES[name]()(graph, zoo.probes(graph))

    assert 0 == result.applied
    assert graph is result.graph


@pytest.mark.parametrize("name", list(PASSES))
def test_rule_leaves_its_input_alone(zoo: Any, name: str) -> None:
    """A graph is a value: a rule that applies makes another one."""
    graph = zoo.hybrid()
    before = graph.digest
    PASSES[name]()(graph, zoo.probes(graph))

    assert before == graph.digest


def test_batchnorm_is_folded(zoo: Any) -> None:
    """Normalization after a convolution is gone; the numbers stay."""
    graph = zoo.conv(bn=True, act="relu")
    result = PASSES["fold-batchnorm"]()(graph, Probes())

    assert 1 == result.applied
    assert "BatchNormalization" not in ops(result.graph)
    same(zoo, graph, result.graph)


def test_batchnorm_read_twice_is_left(zoo: Any) -> None:
    """A convolution that others read too keeps its normalization."""
    s = zoo.sketch()
    conv = s.op("Conv", "x", s.weight(4, 3, 1, 1))
    norm = s.op("BatchNormalization", conv, *(s.constant(np.ones(4)) for _ in range(4)))
    graph = s.close(s.op("Add", conv, norm), ["batch", 3, 4, 4], ["batch", 4, 4, 4])
    result = PASSES["fold-batchnorm"]()(graph, Probes())

    assert graph is result.graph
    assert "the convolution is read twice" == result.skipped[0].why


@pytest.mark.parametrize("half", ["last", "first", "sum", "divided"])
def test_gelu_becomes_one_node(zoo: Any, half: str) -> None:
    """Wherever the half stands, GELU is fused and computes the same."""
    s = zoo.sketch()
    x = s.op("Add", "x", s.weight(8))
    y = s.op("Add", s.op("Erf", s.op("Div", x, s.constant(2**0.5))), s.constant(1.0))
    if half == "first":
        y = s.op("Mul", s.op("Mul", x, s.constant(0.5)), y)
    elif half == "sum":
        y = s.op("Mul", x, s.op("Mul", y, s.constant(0.5)))
    else:
        y = s.op("Mul", x, y)
        y = s.op("Mul", y, s.constant(0.5)) if half == "last" else s.op("Div", y, s.constant(2.0))
    graph = s.close(y, ["batch", 8], ["batch", 8])
    report = rewrite(graph, Probes())

    assert 1 == report.applied["fuse-gelu"]
    assert ["Add", "Gelu"] == ops(report.graph)
    same(zoo, graph, report.graph)


def test_other_uses_of_erf_are_left(zoo: Any) -> None:
    """A normal distribution is no GELU; the reason is named."""
    s = zoo.sketch()
    y = s.op("Add", s.op("Erf", s.op("Div", s.op("Exp", "x"), s.constant(2**0.5))), s.constant(1.0))
    graph = s.close(s.op("Mul", y, s.constant(0.5)), ["batch", 8], ["batch", 8])
    report = rewrite(graph, Probes(), ["fuse-gelu"])

    assert graph is report.graph
    assert "half" in report.skipped["fuse-gelu"][0].why


def test_transpositions_cancel(zoo: Any) -> None:
    """Two that undo each other go; two that do not become one."""
    s = zoo.sketch()
    y = s.op("Transpose", s.op("Transpose", s.op("Exp", "x"), perm=[0, 2, 1]), perm=[0, 2, 1])
    z = s.op("Transpose", s.op("Transpose", y, perm=[1, 0, 2]), perm=[0, 2, 1])
    graph = s.close(s.op("Tanh", z), [2, 3, 4], [3, 4, 2])
    report = rewrite(graph, Probes(), ["cancel-pairs"])

    assert 1 == ops(report.graph).count("Transpose")
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)}
    np.testing.assert_array_equal(zoo.run(graph, feeds), zoo.run(report.graph, feeds))


def test_noops_go(zoo: Any) -> None:
    """Adding zero, multiplying with one and copying are removed; adding a half stays."""
    s = zoo.sketch()
    y = s.op("Mul", s.op("Add", s.op("Exp", "x"), s.constant(0.0)), s.constant(1.0))
    y = s.op("Identity", s.op("Add", y, s.constant(0.5)))
    graph = s.close(s.op("Tanh", y), ["batch", 4], ["batch", 4])
    report = rewrite(graph, Probes(), ["remove-noops"])

    assert ["Exp", "Add", "Tanh"] == ops(report.graph)
    assert ["y"] == [output.name for output in report.graph.proto.graph.output]


def test_computed_shapes_become_constants(zoo: Any) -> None:
    """A reshape that asks for the batch gets -1, and a state of zeros goes; no Shape is left."""
    graph = zoo.hybrid()
    result = PASSES["static-shapes"]()(graph, zoo.probes(graph))

    assert "Shape" not in ops(result.graph)
    assert "Expand" not in ops(result.graph)
    same(zoo, graph, result.graph)
