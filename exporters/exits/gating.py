"""The gate of a bundle: how little an input may differ from the last one so that its answer is given again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped, GateInfo
from edgehybrid.data import Samples
from edgehybrid.exporters.assemble import Chosen
from edgehybrid.exporters.depth import (
    Refusal,
    answers_differ,
    calibrate_gate,
    disturb,
    pair_distances,
    safe_distance,
    typical_deviations,
)
from edgehybrid.exporters.exits.figures import DELTA
from edgehybrid.exporters.exits.rows import apart, chunks, stacked
from edgehybrid.exporters.exits.task import Task
from edgehybrid.exporters.prepare import Prepared
from edgehybrid.points import REFERENCE
from edgehybrid.runtime.backends import Session
from edgehybrid.runtime.execution import gate_distance, sketch

Array = NDArray[np.generic]
Float64Array = NDArray[np.float64]

GATE = "gate"
"""Name under which a bundle says why it has none."""

EPSILONS = (0.01, 0.02, 0.05)
"""Share of reused answers that may differ: the smallest one that the data proves."""

SAME_VALUE = 0.02
"""Two values are the same answer when they are no further apart than this share of the spread of all."""

_MOST_ROWS = 400  # every pair of them is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Evaluation inputs and disturbed copies of them.

    Attributes:
        answers: To the inputs, shape ``(n, outputs)``.
        others: To the copies.
        distances: Of each input and its copy, shape ``(n,)``.
        sketches: What the gate compares of the inputs, by name, first axis the rows.
    """

    answers: Float64Array
    others: Float64Array
    distances: Float64Array
    sketches: dict[str, Array]


def add_gate(chosen: Chosen, prepared: Prepared, task: Task) -> Chosen:
    """Calibrate the gate on evaluation inputs and disturbed copies of them, as the best point that ships answers."""
    session = chosen.trial.sessions[next((name for name in chosen.names if name != REFERENCE), REFERENCE)]
    samples = prepared.evaluation
    first = stacked(next(chunks(samples, _MOST_ROWS)), samples)
    if why := _unfit(first):
        return replace(chosen, dropped=(*chosen.dropped, Dropped(name=GATE, reason=why)))
    scales = typical_deviations(first)
    found = _calibrate(_pairs(session, samples, scales, task), scales, task)
    if isinstance(found, Refusal):
        return replace(chosen, dropped=(*chosen.dropped, Dropped(name=GATE, reason=found.reason)))
    return replace(chosen, gate=found)


def _unfit(rows: dict[str, Array]) -> str:
    """Why no gate can be calibrated, or nothing."""
    if any(values.dtype.kind not in "fiub" for values in rows.values()):
        return "an input is neither numbers nor flags, so that there is no distance between two"
    if not any(values.dtype.kind == "f" for values in rows.values()):
        return "no input is of floats, so that no mild disturbance of one is known"
    return ""


def _pairs(session: Session, samples: Samples, scales: dict[str, float], task: Task) -> _Pairs:
    """Run some dozen inputs and their copies after the other; no more are in memory."""
    parts = list(_each(session, samples, scales, task))
    return _Pairs(
        answers=np.concatenate([part.answers for part in parts]),
        others=np.concatenate([part.others for part in parts]),
        distances=np.concatenate([part.distances for part in parts]),
        sketches={name: np.concatenate([part.sketches[name] for part in parts]) for name in scales},
    )


def _each(session: Session, samples: Samples, scales: dict[str, float], task: Task) -> Iterator[_Pairs]:
    for number, chunk in enumerate(chunks(samples, min(samples.count, _MOST_ROWS))):
        rows = stacked(chunk, samples)
        copies = disturb(rows, scales, seed=number)
        thin = [sketch(feeds, scales) for feeds in apart(rows, samples)]
        yield _Pairs(
            answers=_answers(session, rows, samples, task.output),
            others=_answers(session, copies, samples, task.output),
            distances=pair_distances(rows, copies, scales, gate_distance),
            sketches={name: np.stack([row[name] for row in thin]) for name in scales},
        )


def _calibrate(pairs: _Pairs, scales: dict[str, float], task: Task) -> GateInfo | Refusal:
    tolerance = SAME_VALUE * task.losses.bound if task.kind == "value" else None
    limit = safe_distance(pairs.sketches, _all_pairs(pairs.answers, tolerance), scales, gate_distance)
    differ = answers_differ(pairs.answers, pairs.others, tolerance=tolerance)
    found: GateInfo | Refusal = Refusal(reason="", samples=None)
    for epsilon in EPSILONS:
        found = calibrate_gate(
            pairs.distances, differ, scales, epsilon=epsilon, delta=DELTA, pairs="disturbed", limit=limit
        )
        if isinstance(found, GateInfo):
            break
    return found


def _answers(session: Session, rows: dict[str, Array], samples: Samples, output: str) -> Float64Array:
    return np.array(
        [np.asarray(session.run(feeds)[output], dtype=np.float64).reshape(-1) for feeds in apart(rows, samples)]
    )


def _all_pairs(answers: Float64Array, tolerance: float | None) -> NDArray[np.bool_]:
    """Whether the answers of each two rows differ."""
    if tolerance is None:
        best = answers.argmax(axis=1)
        return np.asarray(best[:, None] != best[None, :])
    return np.asarray(np.abs(answers[:, None] - answers[None, :]).mean(axis=2) > tolerance)
