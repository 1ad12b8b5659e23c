"""How sure an answer of classes is that has no features: of an exit of the model's own, or of a whole small model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.depth import LEAST_PROBABILITY, Score, choose_score
from edgehybrid.exporters.exits.case import Case

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """A score that reads answers, and what it says of the calibration inputs.

    Attributes:
        score: The one that ranks failures best.
        confidence: Of each input, shape ``(inputs,)``.
        failure: Whether its answer is another class than that of the full model, 0 or 1: shape ``(inputs,)``.
        agreement: Share of the inputs that it answers as the full model does.
    """

    score: Score
    confidence: Float64Array
    failure: Float64Array
    agreement: float


def how_sure(case: Case, answers: Float64Array, full: Float64Array) -> Sureness:
    """Choose a score for ``answers``; both of shape ``(rows, classes)``. Nothing here was fitted on the rows."""
    logits = np.log(np.maximum(answers, LEAST_PROBABILITY)) if case.task.kind == "probabilities" else answers
    failure = np.asarray(answers.argmax(axis=1) != full.argmax(axis=1), dtype=np.float64)
    rows = case.rows
    found = choose_score(
        logits,
        failure,
        logits,
        rows.groups,
        judged=rows.inputs,
        learn=False,
        energy=case.task.kind == "logits",
        seed=case.options.seed,
    )
    judged = failure[rows.inputs]
    return Sureness(
        score=found.score, confidence=found.confidence, failure=judged, agreement=float(1.0 - judged.mean())
    )
