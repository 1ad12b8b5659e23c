from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid.data import Samples, open_data
from edgehybrid.exporters.measure import Cache, Rows, ScoreTask, local_pool, run_task, score_graphs
from edgehybrid.quality import Metric, choose_metric
from edgehybrid.tensors import TensorSpec

OUTPUT = TensorSpec(name="y", dtype="float32", shape=("batch", 32))


class Refusing(Executor):
    """Takes no work: everything must be known already."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002  # protocol
        """Refuse."""
        raise AssertionError("nothing should be scored again")


@pytest.fixture(scope="module")
def graphs(zoo: Any) -> dict[str, bytes]:
    """A reference and two others."""
    return {name: zoo.dense(seed).to_bytes() for name, seed in (("fp32", 0), ("a", 1), ("b", 2))}


@pytest.fixture(scope="module")
def samples(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Forty samples, sorted by label."""
    path = tmp_path_factory.mktemp("tasks") / "d.npz"
    np.savez(path, x=zoo.feeds(zoo.dense(), 40)["x"], labels=np.repeat(np.arange(4), 10))
    return open_data(path).check([TensorSpec(name="x", dtype="float32", shape=("batch", 32))])


@pytest.fixture(scope="module")
def metric() -> Metric:
    """Agreement with float."""
    return choose_metric("agreement", outputs=[OUTPUT], has_labels=True, label_dtype="int64")


@pytest.fixture(params=["threads", "processes"])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Executors of two kinds."""
    if request.param == "threads":
        with local_pool() as threads:
            yield threads
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            yield processes


def test_any_executor_gives_the_same_scores(
    graphs: dict[str, bytes], samples: Samples, metric: Metric, pool: Executor
) -> None:
    """Threads and other processes find what one task in this process finds."""
    rows = Rows(start=0, stop=40, wanted=40, total=40)
    task = ScoreTask(graphs=graphs, reference=graphs["fp32"], samples=samples, metric=metric, rows=rows)
    expected = run_task(pickle.loads(pickle.dumps(task)))  # our own bytes
    found = score_graphs(graphs, graphs["fp32"], samples, metric, executor=pool, cache=Cache(folder=None))

    assert [1.0] * 40 == found["fp32"].scores.tolist()
    for name in graphs:
        assert expected[name].scores.tolist() == found[name].scores.tolist()
        assert pytest.approx(expected[name].sqnr_db) == found[name].sqnr_db
        assert expected[name].max_deviation == found[name].max_deviation


def test_what_is_known_is_not_scored_again(
    graphs: dict[str, bytes], samples: Samples, metric: Metric, tmp_path: Path
) -> None:
    """Kept scores are taken up candidate by candidate; other samples or another metric are other scores."""
    cache = Cache(folder=tmp_path)
    given = (graphs["fp32"], samples, metric)
    two = {name: graphs[name] for name in ("fp32", "a")}
    with local_pool() as pool:
        first = score_graphs(two, *given, executor=pool, cache=cache)
        again = score_graphs(two, *given, executor=Refusing(), cache=cache)
        with pytest.raises(AssertionError, match="again"):
            score_graphs(graphs, *given, executor=Refusing(), cache=cache)
        with pytest.raises(AssertionError, match="again"):
            score_graphs(two, *given, executor=Refusing(), cache=cache, wanted=8)

    assert first["a"].scores.tolist() == again["a"].scores.tolist()


def test_fewer_samples_are_spread_evenly(graphs: dict[str, bytes], samples: Samples) -> None:
    """Where time allows a part only, each stretch of a sorted file is in it."""
    accuracy = choose_metric("accuracy", outputs=[OUTPUT], has_labels=True, label_dtype="int64")
    rows = Rows(start=0, stop=40, wanted=8, total=40)
    chosen = [index for index in range(40) if index in rows]
    with local_pool() as pool:
        found = score_graphs(
            graphs, graphs["fp32"], samples, accuracy, executor=pool, cache=Cache(folder=None), wanted=8
        )

    assert [2] * 4 == np.bincount([index // 10 for index in chosen]).tolist()
    assert 8 == rows.count == len(found["a"].scores) == found["a"].runs
    assert (
        8
        == sum(Rows(start=s, stop=s + 7, wanted=8, total=40).count for s in range(0, 35, 7))
        + Rows(start=35, stop=40, wanted=8, total=40).count
    )
