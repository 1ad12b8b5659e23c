from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.exporters.measure import sqnr_db
from edgehybrid.exporters.model import Graph, find_components
from edgehybrid.exporters.precision import Setting, Target, calibrate, collect_ranges, quantize, quantize_best, watched
from edgehybrid.exporters.precision.balance import balance
from edgehybrid.exporters.precision.bias import correct_bias

FAMILIES = ("convolution", "attention", "dense", "recurrent", "trees")
STATIC = dict.fromkeys(FAMILIES, "w8a8")


def loud_norm(zoo: Any, seed: int, loud: float = 40.0) -> Graph:
    """A LayerNormalization with one loud channel, read by a product."""
    s = zoo.sketch(seed)
    scale = np.ones(32)
    scale[3] = loud
    y = s.op("LayerNormalization", "x", s.constant(scale), s.weight(32))
    y = s.op("Relu", s.op("Add", s.op("MatMul", y, s.weight(32, 48)), s.weight(48)))
    graph: Graph = s.close(s.op("MatMul", y, s.weight(48, 32)), ["batch", 32], ["batch", 32])
    return graph


def chain(zoo: Any, seed: int) -> Graph:
    """Two convolutions with ReLU between, channels of very different loudness."""
    s = zoo.sketch(seed)
    w = s.rng.standard_normal((8, 3, 3, 3)) * np.geomspace(0.02, 2.0, 8).reshape(-1, 1, 1, 1)
    y = s.op("Relu", s.op("Conv", "x", s.constant(w), s.weight(8, scale=0.05)))
    y = s.op("Conv", y, s.weight(4, 8, 3, 3), s.weight(4))
    graph: Graph = s.close(y, ["batch", 3, 8, 8], ["batch", 4, 4, 4])
    return graph


def likeness(zoo: Any, graph: Graph, reference: Graph) -> float:
    """Signal to noise in dB on data not seen before."""
    feeds = zoo.feeds(reference, 32, 77)
    return float(sqnr_db({"y": zoo.run(graph, feeds)}, {"y": zoo.run(reference, feeds)}))


def data(zoo: Any, graph: Graph) -> Any:
    """Six batches, anew at each call."""

    def batches() -> Iterator[dict[str, Any]]:
        return (zoo.feeds(graph, 16, seed) for seed in range(6))

    return batches


def static(zoo: Any, graph: Graph) -> Graph:
    """Plain ``w8a8``, minmax."""
    ranges = collect_ranges(graph, watched(graph), data(zoo, graph)())
    return quantize(graph, find_components(graph), STATIC, Setting(ranges=ranges)).graph


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(["norm", "chain", "conv", "dense", "attention", "hybrid"]), seed=st.integers(0, 999))
def test_balancing_keeps_the_function(zoo: Any, kind: str, seed: int) -> None:
    """A balanced graph computes what it did, within float rounding; without a place it is the graph itself."""
    makers = {"norm": loud_norm, "chain": chain}
    graph = makers[kind](zoo, seed) if kind in makers else getattr(zoo, kind)(seed)
    found = balance(graph, data(zoo, graph)())

    assert (kind in makers) == (found is not graph)
    assert likeness(zoo, found, graph) >= 90.0


@pytest.mark.parametrize("make", [loud_norm, chain])
def test_balancing_wins_where_a_channel_is_loud(zoo: Any, make: Any) -> None:
    """Loud channels beside silent ones cost dB; balancing wins them back."""
    graph = make(zoo, 3)

    assert likeness(zoo, static(zoo, balance(graph, data(zoo, graph)())), graph) > likeness(
        zoo, static(zoo, graph), graph
    )


def shifted(zoo: Any, kind: str) -> tuple[Graph, Graph]:
    """A graph, and its integers with every range cut in two, which shifts means."""
    graph = zoo.conv(act="relu") if kind == "conv" else zoo.dense(gemm=kind == "gemm")
    ranges = collect_ranges(graph, watched(graph), data(zoo, graph)())
    cut = {name: (low / 2, high / 2) for name, (low, high) in ranges.items()}
    return graph, quantize(graph, find_components(graph), STATIC, Setting(ranges=cut)).graph


@pytest.mark.parametrize("kind", ["conv", "dense", "gemm"])
def test_bias_correction_takes_the_mean_error_out(zoo: Any, kind: str) -> None:
    """Where integers shift the mean of a channel, the bias shifts it back: less is left of the mean error."""
    graph, integers = shifted(zoo, kind)
    corrected = correct_bias(integers, graph, data(zoo, graph))
    feeds = zoo.feeds(graph, 64, 3)
    axes = (0, 2, 3) if kind == "conv" else (0,)
    before, after = (
        np.abs((zoo.run(g, feeds) - zoo.run(graph, feeds)).mean(axis=axes)).mean() for g in (integers, corrected)
    )

    assert after < before


def test_bias_correction_without_a_layer_changes_nothing(zoo: Any) -> None:
    """A graph without static integers comes back as it was."""
    graph = zoo.recurrent()

    assert graph is correct_bias(graph, graph, data(zoo, graph))


@pytest.mark.parametrize("kind", ["conv", "dense", "attention", "hybrid"])
def test_the_best_try_is_kept(zoo: Any, kind: str) -> None:
    """What is kept judged best, and minmax was among the tries."""
    graph = getattr(zoo, kind)(5)
    calibrated = calibrate(graph, data(zoo, graph))
    found = quantize_best(calibrated, find_components(graph), STATIC, Target(), data(zoo, graph))

    assert max(found.sqnr_db, key=lambda how: found.sqnr_db[how]) == found.how
    assert "minmax" in found.sqnr_db
    assert likeness(zoo, found.quantized.graph, graph) >= 26.0


def test_recovery_is_deterministic(zoo: Any) -> None:
    """Equal data, equal bytes."""
    graph = chain(zoo, 1)
    first, second = (
        quantize_best(
            calibrate(graph, data(zoo, graph)), find_components(graph), STATIC, Target(), data(zoo, graph)
        ).quantized.graph.digest
        for _ in "ab"
    )

    assert first == second
