"""Transpositions that are dear become two that are cheap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.rewrites import PASSES, Probes, rewrite
from edgehybrid.exporters.rewrites.move_cost import merged, second_ns, step, transpose_ns, two_steps

BOTH = ["merge-layout", "split-transpose"]


def perms(graph: Graph) -> list[list[int]]:
    """Orders of the transpositions, in turn."""
    return [list(node.attribute[0].ints) for node in graph.proto.graph.node if node.op_type == "Transpose"]


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=3, max_size=6), data=st.data())
def test_two_steps_lead_where_one_does(lengths: list[int], data: st.DataObject) -> None:
    """Over each stop the result is that of the one transposition; all stops cost the same by estimate."""
    order = tuple(data.draw(st.permutations(range(len(lengths)))))
    x = np.broadcast_to(np.float32(0), lengths)
    costs = set()
    for between in two_steps(lengths, order):
        costs.add(round(transpose_ns(lengths, between) + second_ns(lengths, between, order), 3))

        assert x.transpose(order).shape == x.transpose(between).transpose(step(between, order)).shape
        assert order == tuple(between[place] for place in step(between, order))

    assert len(costs) <= 1


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
def test_axes_taken_together_move_alike(lengths: list[int], data: st.DataObject) -> None:
    """The coarser axes say the same transposition."""
    order = tuple(data.draw(st.permutations(range(len(lengths)))))
    runs = merged(lengths, order)
    coarse = [length for _, length in sorted(runs)]
    x = np.arange(np.prod(lengths))

    np.testing.assert_array_equal(
        x.reshape(lengths).transpose(order).reshape(-1),
        x.reshape(coarse).transpose([place for place, _ in runs]).reshape(-1),
    )


def test_moving_one_axis_or_whole_blocks_is_cheap() -> None:
    """In the order in which they were measured: blocks, one axis, number by number."""
    blocks = transpose_ns((16, 2, 16, 2, 64), (1, 3, 0, 2, 4))
    one_axis = transpose_ns((1, 64, 32, 32), (0, 2, 3, 1))
    single = transpose_ns((1, 64, 16, 2, 16, 2), (0, 3, 5, 2, 4, 1))

    assert blocks < one_axis < single / 5


def unfolding(zoo: Any, *, channels: int = 64, side: int = 16) -> Graph:
    """MobileViT's tokens of a map in patches of 2 × 2, and the way back."""
    s = zoo.sketch()
    y = s.op("Reshape", s.op("Exp", "x"), s.ints(-1, channels, side, 2, side, 2))
    y = s.op("Reshape", s.op("Transpose", y, perm=[0, 3, 5, 2, 4, 1]), s.ints(-1, side * side, channels))
    y = s.op("Reshape", s.op("Neg", y), s.ints(-1, 2, 2, side, side, channels))
    y = s.op("Reshape", s.op("Transpose", y, perm=[0, 5, 3, 1, 4, 2]), s.ints(-1, channels, 2 * side, 2 * side))
    shape = ["batch", channels, 2 * side, 2 * side]
    graph: Graph = s.close(s.op("Tanh", y), shape, shape)
    return graph


def test_unfolding_moves_the_channels_alone(zoo: Any) -> None:
    """First channels last, as they lie inside convolutions, then blocks; and backwards; merging leaves it so."""
    graph = unfolding(zoo)
    report = rewrite(graph, zoo.probes(graph), BOTH)

    assert [[0, 2, 3, 1], [0, 2, 4, 1, 3, 5], [0, 3, 1, 4, 2, 5], [0, 3, 1, 2]] == perms(report.graph)
    assert 2 == report.applied["split-transpose"]
    assert rewrite(report.graph, zoo.probes(graph), BOTH).graph is report.graph
    for batch in (1, 3):
        feeds = zoo.feeds(graph, batch)
        np.testing.assert_array_equal(zoo.run(graph, feeds), zoo.run(report.graph, feeds))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_any_order_keeps_its_meaning(zoo: Any, seed: int) -> None:
    """Large random transpositions, with or without reshapes around: the same numbers for every batch."""
    rng, s = np.random.default_rng(seed), zoo.sketch(seed)
    lengths = [int(n) for n in rng.permutation([16, 2, 12, 2, 8])]
    order = [0, *(1 + int(i) for i in rng.permutation(5))]
    y = s.op("Transpose", s.op("Reshape", s.op("Exp", "x"), s.ints(-1, *lengths)), perm=order)
    shape = ["batch", *([-1, *lengths][axis] for axis in order[1:])]
    if rng.random() < 0.5:
        y, shape = s.op("Reshape", y, s.ints(-1, 192, 32)), ["batch", 192, 32]
    graph = s.close(s.op("Neg", y), ["batch", 6144], shape)
    result = PASSES["split-transpose"]()(graph, zoo.probes(graph))

    assert (graph is result.graph) == (result.applied == 0)
    for batch in (1, 4):
        feeds = zoo.feeds(graph, batch)
        np.testing.assert_array_equal(zoo.run(graph, feeds), zoo.run(result.graph, feeds))


@pytest.mark.parametrize("why", ["small", "fast", "output"])
def test_what_is_cheap_stays(zoo: Any, why: str) -> None:
    """Few numbers, or an order that is fast as it is: nothing is changed; an output keeps its name and numbers."""
    if why == "fast":
        s = zoo.sketch()
        graph = s.close(s.op("Transpose", s.op("Exp", "x"), perm=[0, 2, 1]), ["batch", 64, 512], ["batch", 512, 64])
    elif why == "small":
        graph = unfolding(zoo, channels=3, side=4)
    else:
        s = zoo.sketch()
        y = s.op("Transpose", s.op("Exp", "x"), perm=[0, 3, 5, 2, 4, 1])
        graph = s.close(y, ["batch", 64, 16, 2, 16, 2], ["batch", 2, 2, 16, 16, 64])
    result = PASSES["split-transpose"]()(graph, zoo.probes(graph))
    feeds = zoo.feeds(graph, 2)

    assert (why == "output") == bool(result.applied)
    np.testing.assert_array_equal(zoo.run(graph, feeds), zoo.run(result.graph, feeds))


def test_without_probes_nothing_is_done(zoo: Any) -> None:
    """What varies with the batch is seen by trying."""
    graph = unfolding(zoo)

    assert PASSES["split-transpose"]()(graph, Probes()).graph is graph
