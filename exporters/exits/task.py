"""What a model answers, as far as exits go: classes, or values; or why no exit can be offered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgehybrid.exporters.assemble import Chosen
from edgehybrid.exporters.depth.heads import Kind
from edgehybrid.exporters.exits.figures import Losses
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.points import REFERENCE

_LOOKED_AT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the model answers.

    Attributes:
        output: Its only output.
        kind: ``logits`` or ``probabilities`` of classes, or a ``value``.
        losses: How an early answer is judged.
    """

    output: str
    kind: Kind
    losses: Losses


def find_task(chosen: Chosen, prepared: Prepared) -> Task | str:
    """What the model answers, or why no exit can be offered for it."""
    outputs = prepared.model.outputs
    if len(outputs) != 1:
        return f"the model has {len(outputs)} outputs; exits are made for one: classes, or a value"
    (output,) = outputs
    if output.dtype != "float32":
        return f"{output.name!r} is {output.dtype}; exits are made for classes or values in float32"
    session = chosen.trial.sessions[REFERENCE]
    feeds = first_feeds(prepared.calibration, _LOOKED_AT)
    answers = [np.asarray(session.run(row)[output.name], dtype=np.float64) for row in feeds]
    if any(answer.ndim > 2 or answer.shape[:1] not in ((1,), ()) for answer in answers):
        return (
            f"{output.name!r} has shape {list(answers[0].shape)}: a sequence or a map; exits need one answer an input"
        )
    values = np.stack([answer.reshape(-1) for answer in answers])
    if values.shape[1] == 1:
        spread = float(np.subtract(*np.percentile(values, (95, 5)))) or 1.0
        return Task(output=output.name, kind="value", losses=Losses(kind="deviation", bound=spread))
    probabilities = bool((values >= 0).all() and np.allclose(values.sum(axis=1), 1.0, atol=1e-3))
    labelled = prepared.metric.name == "accuracy"
    return Task(
        output=output.name,
        kind="probabilities" if probabilities else "logits",
        losses=Losses(kind="error" if labelled else "disagreement"),
    )
