from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.exporters.depth import find_cuts
from edgehybrid.exporters.model import find_components, trace
from edgehybrid.exporters.rewrites import Probes, rewrite

KINDS = ("conv", "dense", "attention", "recurrent", "trees", "hybrid")


@settings(max_examples=20)
@given(kind=st.sampled_from(KINDS), fused=st.booleans(), seed=st.integers(0, 999))
def test_rows_can_leave(chains: Any, zoo: Any, kind: str, fused: bool, seed: int) -> None:
    """What crosses has the batch as its first axis: a row alone gives the same row."""
    graph = chains.deep(kind, seed)
    graph = rewrite(graph, zoo.probes(graph)).graph if fused else graph
    found = chains.cuts(graph)
    feeds = zoo.feeds(graph, 4, seed)
    names = [value.value for cut in found.cuts for value in cut.values]
    whole, alone = trace(graph, feeds, names), trace(graph, {"x": feeds["x"][2:3]}, names)

    assert found.cuts or kind in ("trees", "recurrent")  # a tree costs next to nothing; recurrent is time-major
    for cut in found.cuts:
        assert 0.05 <= cut.share <= 0.9
        for value in cut.values:
            assert ("batch", *whole[value.value].shape[1:]) == value.shape
            np.testing.assert_allclose(alone[value.value][0], whole[value.value][2], rtol=1e-4, atol=1e-5)


def test_time_major_values_are_not_offered(chains: Any) -> None:
    """Between a transposition and a recurrent layer the first axis is time: a skip says so."""
    graph = chains.deep("recurrent")
    found = chains.cuts(graph)
    after = {value.node: value.shape for cut in found.cuts for value in cut.values}

    assert all(("batch", 6, 16) == shape for shape in after.values())
    assert any(
        "n1" == skip.where and "its first axis is not the batch: shape (6, 1, 2, 16) for a batch of 2" == skip.why
        for skip in found.skipped
    )


def test_no_cut_inside_of_a_fusion(chains: Any) -> None:
    """A convolution keeps its activation, a product its bias, a residual sum its sides."""
    graph = chains.deep("conv", 0)
    readers = {name: node.op_type for node in graph.proto.graph.node for name in node.input}
    offered = {value.value for cut in chains.cuts(graph).cuts for value in cut.values}

    assert offered
    assert not {"Sigmoid", "Mul", "Relu"} & {readers[name] for name in offered}


def test_cheap_ones_come_first_and_far_apart(chains: Any, zoo: Any) -> None:
    """At most as many as asked for, by estimated overhead, each with another share of the cost before it."""
    graph = chains.deep("hybrid")
    few = find_cuts(graph, find_components(graph), zoo.probes(graph), most=2).cuts
    all_cuts = chains.cuts(graph).cuts
    shares = sorted(cut.share for cut in all_cuts)

    assert 1 <= len(few) <= 2
    assert len(few) < len(all_cuts) <= 8
    assert all(b - a >= 0.02 for a, b in pairwise(shares))
    assert {"convolution-1"} <= {cut.component for cut in all_cuts}


def test_costs_given_count(chains: Any, zoo: Any) -> None:
    """With measured times of nodes, the share is that of the time."""
    graph = chains.deep("dense")
    names = [node.name for node in graph.proto.graph.node]
    costs = dict.fromkeys(names, 0.0) | {names[0]: 1.0, names[-2]: 3.0}
    cuts = find_cuts(graph, find_components(graph), zoo.probes(graph), costs=costs).cuts

    assert {0.25} == {cut.share for cut in cuts}


def test_a_fixed_batch_cannot_be_left(chains: Any, zoo: Any) -> None:
    """A model that takes three samples at once is not cut; one that takes a single sample is."""
    graph = chains.deep("dense")
    three = Probes(first=zoo.feeds(graph, 3, 0), second=zoo.feeds(graph, 3, 1))
    one = Probes(first=zoo.feeds(graph, 1, 0), second=zoo.feeds(graph, 1, 1))
    refused = chains.cuts(graph, three)

    assert () == refused.cuts
    assert "the model takes 3 samples at once, so that none can leave alone" == refused.skipped[0].why
    assert {1} == {value.shape[0] for cut in chains.cuts(graph, one).cuts for value in cut.values}


def test_rows_that_hang_on_each_other(chains: Any, zoo: Any) -> None:
    """A mean over the batch is no place where a row could leave."""
    s = zoo.sketch(0)
    y = s.op("Relu", s.op("MatMul", "x", s.weight(32, 32)))
    order = s.op("CumSum", y, s.constant(0, np.int64))
    graph = s.close(s.op("MatMul", order, s.weight(32, 32)), ["batch", 32], ["batch", 32])

    assert ["its rows hang on each other"] == [skip.why for skip in chains.cuts(graph).skipped if skip.where == "n2"]


def test_no_cut_inside_of_an_attention_block(chains: Any) -> None:
    """Where the block is still a dozen nodes, none of the values in it crosses: fused, they would be gone."""
    graph = chains.deep("attention")
    inside = {node for c in find_components(graph) if c.family == "attention" for node in c.nodes}
    cuts = chains.cuts(graph).cuts

    assert cuts
    assert not inside & {value.node for cut in cuts for value in cut.values}


def test_without_probes_nothing_is_known(chains: Any) -> None:
    """No inputs to try: no cut, with the reason."""
    graph = chains.deep("dense")
    found = find_cuts(graph, find_components(graph), Probes())

    assert () == found.cuts
    assert "without inputs of two lengths no axis is known" == found.skipped[0].why
