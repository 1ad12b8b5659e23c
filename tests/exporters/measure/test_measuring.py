from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.exporters.formats import MODEL_FILE, WEIGHTS_FILE, pack
from edgehybrid.exporters.measure import Cache, interleave, largest_difference, paired_ratio, resident_bytes, sqnr_db


def test_every_candidate_runs_once_per_round() -> None:
    """Interleaved means: in each round each candidate once, in an order that changes."""
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "abc"}
    timings = interleave(runs, budget_s=0.0, min_rounds=20)
    rounds = ["".join(order[9:][i : i + 3]) for i in range(0, 60, 3)]

    assert {"abc"} == {"".join(sorted(item)) for item in rounds}
    assert 1 < len(set(rounds))
    assert (20, 3) == timings.wall_s.shape


def test_slower_candidate_is_seen_as_slower() -> None:
    """Twice the work reads as about half the speed, and the interval excludes one."""

    def work(times: int) -> None:
        for _ in range(times):
            sum(range(20_000))

    timings = interleave({"ref": lambda: work(1), "slow": lambda: work(3)}, budget_s=0.0, min_rounds=25)
    gain = timings.speedup("slow", "ref")

    assert gain.low <= gain.median <= gain.high < 1.0


def test_sleep_is_no_cpu_time() -> None:
    """Waiting shows in latency, not in CPU time."""
    timings = interleave({"a": lambda: time.sleep(0.01)}, budget_s=0.0, min_rounds=5)

    assert timings.cpu_ms("a") < 0.5 * timings.percentile_ms("a", 50)


@given(st.floats(0.2, 5.0), st.integers(0, 9))
def test_ratio_of_exact_pairs(factor: float, seed: int) -> None:
    """When every pair has the same ratio, so have median and interval, however the weather changes."""
    weather = np.random.default_rng(seed).uniform(1.0, 3.0, 30)
    ratio = paired_ratio(weather * factor, weather)

    assert [factor] * 3 == pytest.approx([ratio.low, ratio.median, ratio.high])


def test_deviation_measures() -> None:
    """Equal is 150 dB and zero; a NaN that the reference lacks is infinitely wrong; one that it shares is equal."""
    a = np.array([1.0, -2.0, np.nan], dtype=np.float32)

    assert 0.0 == largest_difference(a, a)
    assert np.inf == largest_difference(a, np.array([1.0, -2.0, 3.0], dtype=np.float32))
    assert 150.0 == sqnr_db({"y": a[:2]}, {"y": a[:2]})
    assert 20.0 == pytest.approx(sqnr_db({"y": np.array([1.1])}, {"y": np.array([1.0])}))


def test_cache_computes_once_and_survives_damage(tmp_path: Path) -> None:
    """A key is computed once; a damaged file is computed again; other keys are others."""
    cache, calls = Cache(folder=tmp_path / "c"), []

    def compute() -> dict[str, Any]:
        calls.append(1)
        return {"a": np.array([1.5])}

    assert 1.5 == cache.get(("k",), compute)["a"][0] == cache.get(("k",), compute)["a"][0]
    assert 1 == len(calls)
    next((tmp_path / "c").iterdir()).write_bytes(b"damaged")
    assert 1.5 == cache.get(("k",), compute)["a"][0]
    cache.get(("other",), compute)
    assert 3 == len(calls)


def test_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder, measuring goes on."""
    (tmp_path / "c").write_bytes(b"")

    assert 2.0 == Cache(folder=tmp_path / "c").get(("k",), lambda: {"a": np.array([2.0])})["a"][0]


def test_resident_memory_of_a_larger_model_is_larger(zoo: Any, tmp_path: Path) -> None:
    """Eight MiB of weights show in the resident set of a fresh process."""
    sizes = {}
    for name, width in (("small", 64), ("large", 1024)):
        s = zoo.sketch()
        y = s.op("MatMul", s.op("MatMul", "x", s.weight(width, width)), s.weight(width, width))
        packed = pack({name: s.close(y, ["batch", width], ["batch", width])})
        (tmp_path / name).mkdir()
        (tmp_path / name / WEIGHTS_FILE).write_bytes(packed.weights)
        (tmp_path / name / MODEL_FILE).write_bytes(packed.models[name])
        feeds = {"x": np.zeros((1, width), np.float32)}
        sizes[name] = resident_bytes([tmp_path / name / MODEL_FILE], tmp_path / name, feeds)

    assert sizes["large"] - sizes["small"] > 4 * 2**20
