"""One work: every peer's file and every point of ours, judged on the same data and timed in turn."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.export.works import Work
from benchmarks.machine import interleave
from edgehybrid.bundle import Bundle
from edgehybrid.data import Samples, open_data
from edgehybrid.errors import EdgeHybridError
from edgehybrid.exporters import ExportOptions, export, load_model
from edgehybrid.quality import Metric, choose_metric, summarize
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session

Floats = NDArray[np.float64]
FLOAT = "ort"
MAX_DROP = 0.01  # one point; of an error, one hundredth of it
_SHARES = ("accuracy", "agreement")
_CALIBRATION = 200
_FEWEST_RUNS = 5
_ROUND_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Figures of one file.

    ``speedup`` over float ORT: median of paired ratios, with its 95 % interval. ``sqnr_db``: signal to noise of the
    outputs against float, all samples together. ``rounds_s``: mean seconds of a run in each round.
    """

    name: str
    ours: bool
    size_bytes: int
    value: float
    drop: float
    drop_ci95: tuple[float, float]
    within: bool
    latency_ms: float
    speedup: float
    speedup_ci95: tuple[float, float]
    sqnr_db: float
    rounds_s: Floats


def samples_of(work: Work, path: Path) -> Samples:
    """Data of ``work``, checked against its model."""
    return open_data(path).check(load_model(work.model, work.shape).inputs)


def write_calibration(work: Work, path: Path) -> None:
    """Write the calibration inputs as the peers read them: by input name, one row for each sample as it is fed."""
    feeds = [batch.feeds for batch in islice(samples_of(work, work.calibration).batches(1), _CALIBRATION)]
    with path.open("wb") as stream:
        np.savez(stream, **{name: np.stack([row[name] for row in feeds]) for name in feeds[0]})  # type: ignore[arg-type]  # arrays


def write_model(work: Work, path: Path) -> None:
    """Write the model for the peers, with the same lengths of its free axes as we are told.

    Where the default domain is named twice, once stays: some peers refuse such a model.
    """
    proto = onnx.load(work.model)
    opsets = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in proto.opset_import}
    del proto.opset_import[:]
    proto.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items())
    for value in proto.graph.input:
        for dim, length in zip(value.type.tensor_type.shape.dim, work.shape.get(value.name, ()), strict=False):
            if isinstance(length, int):
                dim.dim_value = length
    if work.shape:
        del proto.graph.value_info[:]
    onnx.save(proto, path)


def export_ours(work: Work, out: Path, effort: str) -> Bundle:
    """Export ``work`` as a user would who may lose a point of quality: ``--max-drop 0.01`` where quality is a share."""
    labels = samples_of(work, work.evaluation).label_dtype
    share = labels is not None and labels.kind in "iub" if work.metric is None else work.metric.startswith(_SHARES)
    options = ExportOptions(
        effort=effort,  # type: ignore[arg-type]  # checked there
        metric=work.metric,
        shape=work.shape,
        max_drop=MAX_DROP if share else None,
        overwrite=True,
    )
    made = export(work.model, out, data=work.calibration, eval_data=work.evaluation, options=options)
    if made.bundle is None:
        raise EdgeHybridError(f"{work.name} gave no bundle.", "That was no dry run.")
    return made.bundle


def our_requests(bundle: Bundle) -> Iterator[tuple[str, LoadRequest, int]]:
    """Name, model and size of each point but the reference; points of several stages or without a file are left out."""
    (stage,) = bundle.stages
    for point in bundle.points:
        if point.name != "fp32":
            variant = bundle.variant(stage.name, point.variants[stage.name])
            request = LoadRequest(model_file=bundle.model_path(variant), weights_dir=bundle.weights_dir(variant))
            yield f"edgehybrid {point.name}", request, variant.size_bytes


def judge(
    work: Work, peers: Mapping[str, Path], bundle: Bundle | None, *, rounds: int
) -> tuple[tuple[Judged, ...], dict[str, str]]:
    """Load everything in this process, one thread, without spinning; score, then time in turn.

    Returns:
        The figures; and by name why a file does not run.
    """
    found = [(name, LoadRequest(model_file=path), path.stat().st_size) for name, path in peers.items()]
    if bundle is not None:
        found += list(our_requests(bundle))
    sizes = {name: size for name, _, size in found}
    evaluation = samples_of(work, work.evaluation)
    first = next(evaluation.batches(1)).feeds
    sessions: dict[str, Session] = {}
    failed: dict[str, str] = {}
    for name, request, _ in found:
        try:
            session = OnnxBackend().load(request)
            session.run(first)
            sessions[name] = session
        except EdgeHybridError as error:
            failed[name] = f"does not run: {error.what[:300]}"
    metric, scores, noise = _scores(work, sessions, evaluation)
    times = _times(sessions, first, rounds)
    judged = (_judged(name, metric, scores, times, sizes[name], noise[name].db) for name in sessions)
    return tuple(judged), failed


class _Noise:
    """Signal to noise of all float outputs."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def add(self, outputs: Mapping[str, NDArray[np.generic]], expected: Mapping[str, NDArray[np.generic]]) -> None:
        """Take one sample in."""
        for name, array in expected.items():
            if array.dtype.kind == "f":
                wanted, got = array.astype(np.float64), outputs[name].astype(np.float64)
                self._signal += float(np.square(wanted).sum())
                self._noise += float(np.square(got - wanted).sum())

    @property
    def db(self) -> float:
        """In dB; equal outputs give 150."""
        return 10 * math.log10(self._signal / self._noise) if self._noise and self._signal else 150.0


def _scores(
    work: Work, sessions: Mapping[str, Session], samples: Samples
) -> tuple[Metric, dict[str, Floats], dict[str, _Noise]]:
    outputs = sessions[FLOAT].outputs
    labels = samples.has_labels, samples.label_dtype
    metric = choose_metric(work.metric, outputs=outputs, has_labels=labels[0], label_dtype=labels[1])
    scores: dict[str, list[Floats]] = {name: [] for name in sessions}
    noise = {name: _Noise() for name in sessions}
    for batch in samples.batches(1):
        expected = sessions[FLOAT].run(batch.feeds)
        for name, session in sessions.items():
            got = expected if name == FLOAT else session.run(batch.feeds)
            scores[name].append(np.atleast_1d(metric.score(got, batch.labels, expected)))
            noise[name].add(got, expected)
    return metric, {name: np.concatenate(rows) for name, rows in scores.items()}, noise


def _times(
    sessions: Mapping[str, Session], feeds: Mapping[str, NDArray[np.generic]], rounds: int
) -> Mapping[str, Floats]:
    return interleave(
        {name: (lambda session=session: session.run(feeds)) for name, session in sessions.items()},  # type: ignore[misc]  # bound now
        rounds=rounds,
        runs=_runs(sessions[FLOAT], feeds),
    )


def _runs(session: Session, feeds: Mapping[str, NDArray[np.generic]]) -> int:
    """Runs of each file in a round: as many as the float model does in some milliseconds, at least five."""
    started = time.perf_counter()
    for _ in range(_FEWEST_RUNS):
        session.run(feeds)
    return max(_FEWEST_RUNS, int(_ROUND_S / (time.perf_counter() - started) * _FEWEST_RUNS))


def _judged(
    name: str, metric: Metric, scores: Mapping[str, Floats], times: Mapping[str, Floats], size_bytes: int, db: float
) -> Judged:
    quality = summarize(metric, scores[name], scores[FLOAT])
    limit = MAX_DROP if metric.aggregate == "share" else MAX_DROP * abs(quality.value)
    low, middle, high = paired_ratio(times[FLOAT], times[name])
    return Judged(
        name=name,
        ours=name.startswith("edgehybrid"),
        size_bytes=size_bytes,
        value=quality.value,
        drop=quality.drop,
        drop_ci95=quality.drop_ci95 or (0.0, 0.0),
        within=quality.drop <= limit + 1e-9,
        latency_ms=float(np.median(times[name])) * 1e3,
        speedup=middle,
        speedup_ci95=(low, high),
        sqnr_db=db,
        rounds_s=times[name],
    )


def paired_ratio(first: Floats, second: Floats, *, seed: int = 0) -> tuple[float, float, float]:
    """Median of ``first / second``, round by round, between the ends of its 95 % bootstrap interval."""
    ratios = first / second
    draws = np.random.default_rng(seed).integers(0, len(ratios), (2000, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    return float(low), float(np.median(ratios)), float(high)
