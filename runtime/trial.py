"""Run samples through an engine and keep the books: quality, latency, energy, decisions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgehybrid.data import Samples
from edgehybrid.errors import DataError
from edgehybrid.points import Quality
from edgehybrid.quality import Metric, summarize
from edgehybrid.runtime.energy import Joules
from edgehybrid.runtime.engine import Engine
from edgehybrid.runtime.execution import Plan, Switch
from edgehybrid.runtime.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One inference, and what the device said then; ``at_s`` counts from the first sample on the engine's clock."""

    at_s: float
    point: str
    depth: int
    latency_ms: float
    battery_pct: float | None
    soc_temp_c: float | None
    throttled: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Latencies in milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a run over samples showed.

    Attributes:
        n: Samples that were run.
        quality: Quality of the answers that the engine gave, whatever point gave them.
        latency_ms: Latency of the runs.
        cpu_s: CPU seconds of this process while the samples ran, telemetry and switching included.
        energy_j: Energy of the runs, with its method.
        points: Share of the samples by point.
        depth: Share of the samples by depth.
        switches: How often the point changed.
        dropped: Samples without an answer.
        late: Share of the samples that took longer than the deadline; ``None`` without a deadline.
        decisions: Every switch, with its reason; times count from the first sample.
        moments: One entry a sample.
    """

    n: int
    quality: Quality
    latency_ms: Latencies
    cpu_s: float
    energy_j: Joules
    points: Mapping[str, float]
    depth: Mapping[int, float]
    switches: int
    dropped: int
    late: float | None
    decisions: tuple[Switch, ...]
    moments: tuple[Moment, ...]


def run_trial(
    engine: Engine,
    samples: Samples,
    metric: Metric,
    *,
    before: Callable[[int], float],
    limit: int | None = None,
    reference: Plan | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Trial:
    """Run ``samples`` one by one through ``engine``.

    Args:
        engine: An open engine.
        samples: Checked against the model's inputs.
        metric: How answers are scored.
        before: Called with each sample's number before it runs (it may wait, or move a recorded device on); returns the
            time of the sample on the engine's clock.
        limit: Stop after so many.
        reference: The float model, for metrics that compare with it.
        advance: Told after every sample.

    Raises:
        DataError: There are no samples.
    """
    deadline_s = engine.status().context.deadline_s
    moments: list[Moment] = []
    scores: list[np.ndarray] = []
    start_s: float | None = None
    started_cpu_s = time.process_time()
    offered = 0
    for i, batch in enumerate(samples.batches(1, stop=limit)):
        offered += 1
        at_s = before(i)
        start_s = at_s if start_s is None else start_s
        result = engine.run(batch.feeds)
        truth = reference.run(batch.feeds)[0] if reference is not None and metric.needs_float else None
        scores.append(metric.score(result.outputs, batch.labels, truth))
        moments.append(_moment(engine, result, at_s - start_s))
        advance()
    if start_s is None:
        raise DataError("The data has no samples.", "Give at least one.")
    cpu_s = time.process_time() - started_cpu_s
    return _books(engine, metric, np.concatenate(scores), moments, cpu_s, start_s, offered, deadline_s)


def _moment(engine: Engine, result: Result, at_s: float) -> Moment:
    snapshot = engine.snapshot
    return Moment(
        at_s=at_s,
        point=result.point,
        depth=result.depth,
        latency_ms=result.latency_ms,
        battery_pct=snapshot.battery_pct,
        soc_temp_c=snapshot.soc_temp_c,
        throttled=snapshot.throttled,
    )


def _books(
    engine: Engine,
    metric: Metric,
    scores: np.ndarray,
    moments: list[Moment],
    cpu_s: float,
    start_s: float,
    offered: int,
    deadline_s: float | None,
) -> Trial:
    n = len(moments)
    latency_ms = np.array([m.latency_ms for m in moments])
    p50, p95, p99 = np.percentile(latency_ms, [50, 95, 99]).tolist()
    status = engine.status()
    return Trial(
        n=n,
        quality=summarize(metric, scores, scores),
        latency_ms=Latencies(p50=p50, p95=p95, p99=p99),
        cpu_s=cpu_s,
        energy_j=status.joules,
        points={point: count / n for point, count in Counter(m.point for m in moments).items()},
        depth={depth: count / n for depth, count in Counter(m.depth for m in moments).items()},
        switches=status.switches,
        dropped=offered - n,
        late=None if deadline_s is None else float(np.mean(latency_ms > deadline_s * 1e3)),
        decisions=tuple(
            Switch(at_s=s.at_s - start_s, source=s.source, target=s.target, reason=s.reason, ready_s=s.ready_s)
            for s in engine.journal
        ),
        moments=tuple(moments),
    )
