"""Frames: what one run through a chain of stages works in.

A bound frame owns the memory of every stage, tied together so that a stage writes where the next one reads: nothing
that crosses from stage to stage is copied, and only the answer is, at the end; engines that keep their own memory
(LiteRT) are written to and read from in place. A loose frame carries arrays from session to session; for back ends that
cannot be bound, and for shapes that are not known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgehybrid.bundle import ExitInfo
from edgehybrid.runtime.backends import Array, Bindable, Hosted, Hosting, Session
from edgehybrid.tensors import TensorSpec

Shapes = tuple[tuple[int, ...], ...]
Step = tuple[int, Callable[[], object], Callable[[], float] | None]
"""Its number, what runs the stage, what reads the confidence of its exit (``None`` without one)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedStage:
    """A stage in the variant that the point chose, on ``backend``; ``exit`` where the point may answer after it."""

    name: str
    session: Session
    exit: ExitInfo | None = None
    backend: str = "onnx"


class Frame(Protocol):
    """One run of a single input; not for several threads at once."""

    early: Sequence[Step]  # every stage but the last, in order
    last: Callable[[], object]

    def answer(self, depth: int, /) -> dict[str, Array]:
        """Return the outputs of the model after ``depth`` stages; they belong to the caller."""
        ...


class BoundFrame:
    """A frame whose stages are tied together in memory; used again and again."""

    __slots__ = ("_answers", "early", "inputs", "last")

    def __init__(
        self,
        inputs: Sequence[tuple[str, tuple[int, ...], np.dtype[Any], Array]],
        steps: Sequence[Step],
        answers: Sequence[Mapping[str, Array]],
    ) -> None:
        self.inputs = inputs  # name, shape, dtype and buffer
        self.early: Sequence[Step] = tuple(steps[:-1])
        self.last = steps[-1][1]
        self._answers = answers

    def answer(self, depth: int, /) -> dict[str, Array]:
        """Copy the answer out."""
        return {name: buffer.copy() for name, buffer in self._answers[depth - 1].items()}


def bind_frame(
    stages: Sequence[LoadedStage], inputs: Sequence[TensorSpec], outputs: Sequence[str], shapes: Shapes
) -> BoundFrame | None:
    """Tie ``stages`` together for inputs of these shapes.

    Returns:
        The frame; ``None`` where a stage cannot be bound, or the shapes of what it writes are not known beforehand.

    Raises:
        DataError: A stage does not take what those before it give.
        BackendError: A stage refuses.
    """
    hosted = {k: stage.session.host() for k, stage in enumerate(stages) if isinstance(stage.session, Hosting)}
    wanted: dict[str, Array] = {}  # tensors that a stage reads from memory of its own
    for host in hosted.values():
        wanted = {**host.inputs, **wanted}
    buffers: dict[str, Array] = {
        spec.name: wanted[spec.name] if spec.name in wanted else np.zeros(shape, spec.dtype)
        for spec, shape in zip(inputs, shapes, strict=True)
    }
    if any(buffers[spec.name].shape != shape for spec, shape in zip(inputs, shapes, strict=True)):
        return None  # files of fixed shapes: other ones run loose
    taken = [(name, buffer.shape, buffer.dtype, buffer) for name, buffer in buffers.items()]
    steps: list[Step] = []
    answers: list[Mapping[str, Array]] = []
    for k, stage in enumerate(stages):
        bound = _tie(stage.session, hosted.get(k), buffers, wanted)
        if bound is None:
            return None
        run, written = bound
        buffers = {**buffers, **written}
        read = None
        if stage.exit is not None:
            confidence = buffers[stage.exit.confidence]
            if confidence.size != 1:
                return None
            read = confidence.item
        steps.append((k, run, read))
        answers.append({name: buffers[tensor] for name, tensor in answer_tensors(stage, outputs, k, len(stages))})
    return BoundFrame(taken, steps, answers)


def _tie(
    session: Session, host: Hosted | None, buffers: Mapping[str, Array], wanted: Mapping[str, Array]
) -> tuple[Callable[[], object], Mapping[str, Array]] | None:
    """Tie one stage to what those before it write; return what runs it, and where it writes."""
    if host is None:
        if not isinstance(session, Bindable):
            return None
        into = {spec.name: wanted[spec.name] for spec in session.outputs if spec.name in wanted}
        bound = session.bind({spec.name: buffers[spec.name] for spec in session.inputs}, into)
        return None if bound is None else (bound.run, bound.outputs)
    pairs = [(mine, buffers[name]) for name, mine in host.inputs.items() if buffers[name] is not mine]
    if any(mine.shape != other.shape or mine.dtype != other.dtype for mine, other in pairs):
        return None
    if not pairs:
        return host.run, host.outputs

    def run() -> None:  # two engines that both keep their own memory: one copy
        for mine, other in pairs:
            mine[...] = other
        host.run()

    return run, host.outputs


def answer_tensors(stage: LoadedStage, outputs: Sequence[str], k: int, count: int) -> list[tuple[str, str]]:
    """Return output of the model and tensor that answers for it after stage ``k`` of ``count``."""
    if k == count - 1:
        return [(name, name) for name in outputs]
    return [] if stage.exit is None else [(name, stage.exit.outputs[name]) for name in outputs]


class LooseFrame:
    """A frame that carries arrays from session to session; for one run."""

    __slots__ = ("_outputs", "_stages", "_values", "early", "last")

    def __init__(self, stages: Sequence[LoadedStage], outputs: Sequence[str], feeds: Mapping[str, Array]) -> None:
        self._stages, self._outputs, self._values = stages, outputs, dict(feeds)
        self.early: Sequence[Step] = tuple(self._step(k, stage) for k, stage in enumerate(stages[:-1]))
        self.last = self._runner(stages[-1].session)

    def answer(self, depth: int, /) -> dict[str, Array]:
        """Hand the answer out; sessions give their outputs away."""
        pairs = answer_tensors(self._stages[depth - 1], self._outputs, depth - 1, len(self._stages))
        return {name: self._values[tensor] for name, tensor in pairs}

    def _step(self, k: int, stage: LoadedStage) -> Step:
        run = self._runner(stage.session)
        if stage.exit is None:
            return k, run, None
        values, name = self._values, stage.exit.confidence
        return k, run, lambda: float(values[name].min())  # of a batch that stays together, the least sure row

    def _runner(self, session: Session) -> Callable[[], object]:
        values = self._values
        return lambda: values.update(session.run({spec.name: values[spec.name] for spec in session.inputs}))
