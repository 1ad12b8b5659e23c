"""Scoring as tasks: each is a picklable value with a key from its content, run by any ``concurrent.futures`` executor.

A task carries its graphs as bytes, so that a worker on another machine needs only the data at the same path.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import Samples
from edgehybrid.exporters.formats.placed import is_placed, read_placed
from edgehybrid.exporters.measure.cache import Cache
from edgehybrid.exporters.measure.machine import machine_key
from edgehybrid.exporters.measure.placed import open_placed
from edgehybrid.exporters.measure.scoring import Rows, Score, join_scores, score
from edgehybrid.quality import Metric
from edgehybrid.runtime.backends import LoadRequest, Session, is_tflite, make_backend

CANDIDATES_PER_TASK = 4  # they share the runs of the reference
ROWS_PER_TASK = 4096
_OUT = "output:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTask:
    """Score some candidates on some rows.

    Attributes:
        graphs: Candidate name to serialized model, weights inside.
        reference: The float model, serialized.
        samples: Data.
        metric: What gives the scores; ``None`` for likeness to float only.
        rows: Which rows.
    """

    graphs: Mapping[str, bytes]
    reference: bytes
    samples: Samples
    metric: Metric | None
    rows: Rows

    def key(self, name: str) -> tuple[str, ...]:
        """What the score of the candidate ``name`` depends on."""
        digests = (hashlib.sha256(content).hexdigest() for content in (self.graphs[name], self.reference))
        return ("score", *digests, self.samples.sha256, repr(self.metric), repr(self.rows), machine_key())


def run_task(task: ScoreTask, stop: Callable[[], bool] | None = None) -> dict[str, Score]:
    """Do ``task``: the function that a worker runs."""
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        reference = _load(task.reference, Path(folder) / "reference.onnx")
        sessions = {
            name: reference if content == task.reference else _load(content, Path(folder) / f"{index}.onnx")
            for index, (name, content) in enumerate(task.graphs.items())
        }
        return score(sessions, reference, task.samples, task.metric, task.rows, stop)


def _load(content: bytes, file: Path) -> Session:
    if is_placed(content):
        file.mkdir()
        return open_placed(read_placed(content), file)
    file.write_bytes(content)
    return make_backend("tflite" if is_tflite(content) else "onnx").load(LoadRequest(model_file=file, threads=1))


@contextmanager
def local_pool() -> Iterator[Executor]:
    """Threads, one for each core: ONNX Runtime computes outside of Python's lock, and nothing is copied."""
    with ThreadPoolExecutor(max_workers=max(os.cpu_count() or 1, 1), thread_name_prefix="edgehybrid") as pool:
        yield pool


def score_graphs(
    graphs: Mapping[str, bytes],
    reference: bytes,
    samples: Samples,
    metric: Metric | None,
    *,
    executor: Executor,
    cache: Cache,
    wanted: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Score]:
    """Score every graph on ``wanted`` samples, spread evenly over all; what the cache holds is not scored again.

    Every part is kept as soon as it is done, so that an interrupted export takes up where it stopped.
    """
    total = samples.count
    slices = [
        Rows(start=start, stop=min(start + ROWS_PER_TASK, total), wanted=min(wanted or total, total), total=total)
        for start in range(0, total, ROWS_PER_TASK)
    ]
    found: dict[tuple[str, int], Score] = {}
    tasks: list[tuple[int, ScoreTask]] = []
    for index, rows in enumerate(slices):
        whole = ScoreTask(graphs=graphs, reference=reference, samples=samples, metric=metric, rows=rows)
        missing = []
        for name in graphs:
            if (kept := cache.look(whole.key(name))) is None:
                missing.append(name)
                continue
            found[name, index] = _from_arrays(kept)
            if advance is not None:
                advance(rows.count)
        for first in range(0, len(missing), CANDIDATES_PER_TASK):
            names = missing[first : first + CANDIDATES_PER_TASK]
            part = {name: graphs[name] for name in names}
            task = ScoreTask(graphs=part, reference=reference, samples=samples, metric=metric, rows=rows)
            tasks.append((index, task))
    for index, task, scores in _run(tasks, executor):
        for name, result in scores.items():
            cache.keep(task.key(name), _arrays(result))
            found[name, index] = result
            if advance is not None:
                advance(task.rows.count)
    return {name: join_scores([found[name, index] for index in range(len(slices))]) for name in graphs}


def _run(
    tasks: Sequence[tuple[int, ScoreTask]], executor: Executor
) -> Iterator[tuple[int, ScoreTask, dict[str, Score]]]:
    """Yield results as they come; when the caller leaves early, what has not begun never does."""
    halt = threading.Event()
    local = isinstance(executor, ThreadPoolExecutor)  # an event reaches threads only
    futures: dict[Future[dict[str, Score]], tuple[int, ScoreTask]] = {
        (executor.submit(run_task, task, halt.is_set) if local else executor.submit(run_task, task)): (index, task)
        for index, task in tasks
    }
    try:
        for future in as_completed(futures):
            index, task = futures[future]
            yield index, task, future.result()
    finally:
        halt.set()
        for future in futures:
            future.cancel()


def _arrays(result: Score) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {
        "scores": result.scores,
        "sqnr_db": np.array(result.sqnr_db),
        "finite": np.array(result.finite),
        "runs": np.array(result.runs),
    }
    return arrays | {f"{_OUT}{name}": np.array(value) for name, value in result.max_deviation.items()}


def _from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Score:
    return Score(
        scores=np.asarray(arrays["scores"], dtype=np.float64),
        sqnr_db=float(arrays["sqnr_db"]),
        finite=bool(arrays["finite"]),
        runs=int(arrays["runs"]),
        max_deviation={name.removeprefix(_OUT): float(a) for name, a in arrays.items() if name.startswith(_OUT)},
    )
