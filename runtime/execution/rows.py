"""Batches: each row leaves at the exit that is sure of it, and the rest goes on without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.dial import Turned
from edgehybrid.runtime.execution.frames import LoadedStage, answer_tensors
from edgehybrid.runtime.execution.traces import Trace
from edgehybrid.tensors import TensorSpec

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Losses = Callable[[Mapping[str, Array], Mapping[str, Array]], tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """Where the rows of a batch lie.

    Attributes:
        apart: Whether every answer has its rows along the first axis, so that they can come from different depths.
        axes: Tensor to the axis of its rows, ``None`` where all rows share it; ``None`` altogether where rows cannot
            leave the batch: its length is fixed, or some tensor does not say where they lie.
    """

    apart: bool
    axes: Mapping[str, int | None] | None


def row_layout(stages: Sequence[LoadedStage], inputs: Sequence[TensorSpec], outputs: Sequence[str]) -> RowLayout:
    """Find the rows by the first axis of the model's first input: tensors that name the same free axis hold them."""
    batch = inputs[0].shape[0] if inputs[0].shape else None
    specs = {spec.name: spec for spec in inputs}
    specs |= {spec.name: spec for stage in stages for spec in (*stage.session.inputs, *stage.session.outputs)}
    answers = {t for k, s in enumerate(stages) for _, t in answer_tensors(s, outputs, k, len(stages))}
    apart = batch is not None and all(specs[name].shape[:1] == (batch,) for name in answers)
    if not apart or not isinstance(batch, str):
        return RowLayout(apart=apart, axes=None)
    clear = all(_is_clear(spec, batch) for spec in specs.values())
    axes = {name: spec.shape.index(batch) if batch in spec.shape else None for name, spec in specs.items()}
    return RowLayout(apart=True, axes=axes if clear else None)


def _is_clear(spec: TensorSpec, batch: str) -> bool:
    """Whether ``spec`` says where its rows are: on one axis, or nowhere and without any other free axis."""
    return spec.shape.count(batch) == 1 or not any(isinstance(n, str) for n in spec.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlan:
    """What does not change from batch to batch."""

    stages: Sequence[LoadedStage]
    outputs: Sequence[str]
    layout: RowLayout
    random: Callable[[], float]
    losses: Losses


@dataclass(slots=True, kw_only=True)
class _Progress:
    """One batch on its way.

    Attributes:
        left: Numbers of the rows that the present tensors hold, in order.
        depth: By row, the stages that it used.
        gone: Rows that an exit has answered.
        audited: Rows that an exit could have answered, and that go on to be compared.
        early: Answers of exits, by row; empty before the first.
        scores: By row the confidence of the first exit.
        confidence: Lowest confidence of the exits that answered.
    """

    left: Rows
    depth: Rows
    gone: Mask
    audited: Mask
    early: dict[str, Array] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    confidence: float | None = None


def run_rows(plan: RowPlan, turned: Turned, feeds: Mapping[str, Array], rows: int) -> Trace:
    """Run a batch of ``rows`` inputs, at least two; ``plan.layout`` keeps them apart.

    Raises:
        BackendError: A stage failed, or an exit does not give one confidence per row.
    """
    stages, count = plan.stages, len(plan.stages)
    values: dict[str, Array] = dict(feeds)
    batch = _Progress(
        left=np.arange(rows),
        depth=np.full(rows, count),
        gone=np.zeros(rows, np.bool_),
        audited=np.zeros(rows, np.bool_),
    )
    for k, stage in enumerate(stages[:-1]):
        values |= _run(stage, values)
        if stage.exit is None or not _leave(plan, turned, batch, stage, k, values):
            continue
        if batch.gone.all():
            return _finish(batch, batch.early, turned, ())
        if plan.layout.axes is not None:
            values = _without_gone(values, batch, plan.layout.axes, stages[k + 1 :])
    values |= _run(stages[-1], values)
    full = {name: values[name] for name in plan.outputs}
    losses: tuple[float, ...] = ()
    if batch.audited.any():
        of = batch.audited[batch.left]
        early = {name: array[batch.audited] for name, array in batch.early.items()}
        losses = plan.losses(early, {name: array[of] for name, array in full.items()})
    return _finish(batch, _merged(batch, full), turned, losses)


def _run(stage: LoadedStage, values: Mapping[str, Array]) -> dict[str, Array]:
    return stage.session.run({spec.name: values[spec.name] for spec in stage.session.inputs})


def _leave(
    plan: RowPlan, turned: Turned, batch: _Progress, stage: LoadedStage, k: int, values: Mapping[str, Array]
) -> bool:
    """Let the rows go that the exit after stage ``k`` is sure of; tell whether any left."""
    assert stage.exit is not None
    left = batch.left
    scores = values[stage.exit.confidence].reshape(-1).astype(np.float64)
    if len(scores) != len(left):
        raise BackendError(
            f"The exit of stage {stage.name!r} gave {len(scores)} confidences for {len(left)} inputs.",
            "Export the bundle again, or run inputs one by one.",
        )
    batch.scores = batch.scores or tuple(scores.tolist())
    sure = (scores >= turned.thresholds[k]) & ~(batch.gone | batch.audited)[left]
    if not sure.any():
        return False
    chosen = np.zeros(len(left), np.bool_)
    chosen[sure] = [plan.random() < turned.audit_share for _ in range(int(sure.sum()))]
    for name, tensor in stage.exit.outputs.items():
        answer = values[tensor]
        if name not in batch.early:
            batch.early[name] = np.zeros((len(batch.depth), *answer.shape[1:]), answer.dtype)
        batch.early[name][left[sure]] = answer[sure]
    leaving = sure & ~chosen
    batch.audited[left[chosen]] = True
    batch.gone[left[leaving]] = True
    batch.depth[left[leaving]] = k + 1
    if not leaving.any():
        return False
    lowest = float(scores[leaving].min())
    batch.confidence = lowest if batch.confidence is None else min(batch.confidence, lowest)
    return True


def _without_gone(
    values: Mapping[str, Array], batch: _Progress, axes: Mapping[str, int | None], later: Sequence[LoadedStage]
) -> dict[str, Array]:
    """Keep the rows that go on, of the tensors that are still read."""
    stay = np.flatnonzero(~batch.gone[batch.left])
    batch.left = batch.left[stay]
    read = {spec.name for stage in later for spec in stage.session.inputs} & set(values)
    return {
        name: values[name] if (axis := axes[name]) is None else np.take(values[name], stay, axis=axis) for name in read
    }


def _merged(batch: _Progress, full: dict[str, Array]) -> dict[str, Array]:
    """Put the answers of the last stage beside those of exits, each at its row."""
    if not batch.gone.any():
        return full
    here = ~batch.gone[batch.left]
    for name, array in full.items():
        batch.early[name][batch.left[here]] = array[here]
    return batch.early


def _finish(batch: _Progress, outputs: dict[str, Array], turned: Turned, losses: tuple[float, ...]) -> Trace:
    depths, counts = np.unique(batch.depth, return_counts=True)
    by_depth = dict(zip(depths.tolist(), counts.tolist(), strict=True))
    return outputs, max(by_depth), batch.confidence, (turned, batch.scores, losses, by_depth)
