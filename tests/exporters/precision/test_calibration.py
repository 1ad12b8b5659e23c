from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.errors import DataError
from edgehybrid.exporters.model import trace
from edgehybrid.exporters.precision import Method, RangeCollector, collect_ranges, watched
from edgehybrid.exporters.precision.calibration import BINS


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), min_size=1, max_size=10))
def test_streamed_range_equals_that_of_all(batches: list[list[float]]) -> None:
    """Minimum and maximum over batches are exactly those of all values together."""
    collector = RangeCollector()
    for batch in batches:
        collector.add(np.array(batch, dtype=np.float32))
    values = np.concatenate([np.array(batch, dtype=np.float32) for batch in batches])

    assert (float(values.min()), float(values.max())) == collector.range("minmax")


@given(seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3))
def test_streamed_percentile_is_within_a_bin(seed: int, scale: float) -> None:
    """The percentile differs from that of all values by at most a bin, though the histogram had to widen."""
    rng = np.random.default_rng(seed)
    batches = [rng.standard_normal(500) * scale * grow for grow in (0.1, 1.0, 3.0)]
    collector = RangeCollector()
    for batch in batches:
        collector.add(batch)
    low, high = collector.range("percentile", share=0.98)
    values = np.concatenate(batches)
    width = 2 * 2 ** np.ceil(np.log2(np.abs(values).max())) / BINS

    assert low == pytest.approx(np.percentile(values, 1, method="inverted_cdf"), abs=1.01 * width)
    assert high == pytest.approx(np.percentile(values, 99, method="inverted_cdf"), abs=1.01 * width)


@given(st.permutations([0, 1, 2, 3]))
def test_order_of_batches_does_not_matter(order: list[int]) -> None:
    """The same batches in another order give the same ranges."""
    batches = [np.full(10, value) for value in (0.0, 1.0, -30.0, 1e-3)]
    ranges = []
    for sequence in (range(4), order):
        collector = RangeCollector()
        for index in sequence:
            collector.add(batches[index])
        ranges.append(collector.range("percentile", share=0.5))

    assert ranges[0] == ranges[1]


def test_what_is_no_number_counts_for_nothing() -> None:
    """NaN and infinity do not widen a range; nothing seen is an empty range."""
    collector = RangeCollector()
    collector.add(np.array([np.nan, np.inf, -np.inf]))

    assert (0.0, 0.0) == collector.range("minmax")


def test_ranges_of_a_graph_equal_full_computation(zoo: Any) -> None:
    """Streaming over batches finds what a run over everything at once finds, for every watched value."""
    graph = zoo.hybrid()
    names = watched(graph)
    feeds = zoo.feeds(graph, 12)
    streamed = collect_ranges(graph, names, [{"x": feeds["x"][i : i + 3]} for i in range(0, 12, 3)])
    full = {**trace(graph, feeds, names), **feeds}

    assert set(names) == set(streamed)
    for name, (low, high) in streamed.items():
        assert float(full[name].min()) == pytest.approx(low, rel=1e-4, abs=1e-5)
        assert float(full[name].max()) == pytest.approx(high, rel=1e-4, abs=1e-5)


def test_memory_is_flat_in_the_number_of_batches(zoo: Any) -> None:
    """Twenty times the batches take no more memory than a tenth above."""
    graph = zoo.conv()
    peaks = []
    for count in (5, 5, 100):  # the first one warms up
        tracemalloc.start()
        collect_ranges(graph, watched(graph), (zoo.feeds(graph, 16, seed) for seed in range(count)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[2] <= 1.1 * peaks[1]


@settings(max_examples=25)
@given(seed=st.integers(0, 999), parts=st.integers(1, 4), method=st.sampled_from(get_args(Method)))
def test_merged_collectors_know_what_one_would(seed: int, parts: int, method: Method) -> None:
    """Collectors of parts, merged, give the range of one that saw everything."""
    rng = np.random.default_rng(seed)
    batches = [rng.standard_normal(40) * 10.0 ** rng.integers(-3, 3) * rng.integers(0, 2) for _ in range(parts + 1)]
    whole, merged = RangeCollector(), RangeCollector()
    for batch in batches:
        whole.add(batch)
        part = RangeCollector()
        part.add(batch)
        merged.merge(part)

    assert whole.range(method) == merged.range(method)


@given(seed=st.integers(0, 999), method=st.sampled_from(["mse", "entropy", "percentile"]))
def test_cutting_stays_inside_what_was_seen(seed: int, method: Method) -> None:
    """No method asks for a range beyond the values (and zero)."""
    collector = RangeCollector()
    collector.add(np.random.default_rng(seed).laplace(size=3000) + seed % 5)
    (low, high), (least, most) = collector.range(method), collector.range("minmax")

    assert min(least, 0.0) <= low < high <= max(most, 0.0)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_an_outlier_is_cut_off(method: Method) -> None:
    """One value ten times as large as all others does not take their integers away; without it little is cut."""
    values = np.random.default_rng(0).uniform(0.0, 1.0, 20_000)
    plain, odd = RangeCollector(), RangeCollector()
    plain.add(values)
    odd.add(np.append(values, 10.0))

    assert 0.95 <= plain.range(method)[1] <= 1.0
    assert odd.range(method)[1] <= 5.0


def test_mse_is_best_in_squared_error() -> None:
    """Among the methods ``mse`` leaves the least squared error."""
    values = np.random.default_rng(0).standard_t(3, 50_000)
    collector = RangeCollector()
    collector.add(values)
    errors = {}
    for method in get_args(Method):
        low, high = collector.range(method)
        step = (high - low) / 255
        errors[method] = float(np.square(np.rint(np.clip(values, low, high) / step) * step - values).mean())

    assert "mse" == min(errors, key=lambda name: errors[name])


_PEAK = """
import resource, sys
import numpy as np
from edgehybrid.exporters.model import Graph, find_components
from edgehybrid.exporters.precision import Target, calibrate, quantize_best
import onnx

graph = Graph(proto=onnx.load(sys.argv[1]))
def batches():
    for seed in range(int(sys.argv[2]) // 20):
        yield {"x": np.random.default_rng(seed).standard_normal((20, 3, 8, 8)).astype(np.float32)}
methods = ("minmax", "percentile", "mse", "entropy")
recipe = {"convolution": "w8a8"}
quantize_best(calibrate(graph, batches, methods), find_components(graph), recipe, Target(), batches)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_peak_memory_of_2000_samples_is_that_of_100(zoo: Any, tmp_path: Path) -> None:
    """A process that calibrates, balances, corrects and judges takes at most a tenth more for 20 times the data."""
    model = zoo.save(zoo.conv(act="relu"), tmp_path / "m.onnx")
    peaks = [
        int(subprocess.run([sys.executable, "-c", _PEAK, model, count], check=True, capture_output=True).stdout)
        for count in ("100", "2000")
    ]

    assert peaks[1] <= 1.1 * peaks[0]


def test_batch_that_does_not_run_is_an_error(zoo: Any) -> None:
    """Data of a wrong shape is named as such."""
    with pytest.raises(DataError, match="does not run"):
        collect_ranges(zoo.dense(), watched(zoo.dense()), [{"x": np.zeros((2, 3), np.float32)}])
