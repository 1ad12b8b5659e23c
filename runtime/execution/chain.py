"""A chain of stages: run one after the other until an exit is sure enough."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from functools import partial

from edgehybrid.errors import BackendError
from edgehybrid.points import OperatingPoint, Risk
from edgehybrid.runtime.backends import Array, check_feeds
from edgehybrid.runtime.execution.dial import Dial, Turned, turn_to
from edgehybrid.runtime.execution.frames import BoundFrame, Frame, LoadedStage, LooseFrame, Shapes, bind_frame
from edgehybrid.runtime.execution.losses import exit_losses
from edgehybrid.runtime.execution.rows import RowPlan, row_layout, run_rows
from edgehybrid.runtime.execution.traces import Trace
from edgehybrid.tensors import TensorSpec

MAX_SHAPES = 8
"""Input shapes that keep frames of their own; further ones carry arrays from stage to stage."""


class Chain:
    """The stages of a point with several, and its exits. Runs may overlap: each takes a frame of its own.

    Args:
        point: The point; its exits and its promise.
        stages: Its stages, in the order in which they run.
        inputs: Inputs of the model.
        outputs: Names of the outputs of the model.
        dial: Moves the thresholds.
        seed: Of the choice which exits are audited.
    """

    def __init__(
        self,
        point: OperatingPoint,
        stages: Sequence[LoadedStage],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[str],
        dial: Dial,
        *,
        seed: int = 0,
    ) -> None:
        self._point, self._stages, self._inputs, self._outputs = point.name, tuple(stages), tuple(inputs), outputs
        self._depth, self._count = len(stages), len(inputs)
        self._exits = [point.exits.get(stage.name) if stage.exit is not None else None for stage in stages]
        self._dial = dial
        self._turned = turn_to(dial.setting, self._point, self._exits)
        self._random = random.Random(seed).random  # atomic: one call into C
        self._rows = RowPlan(
            stages=self._stages,
            outputs=outputs,
            layout=row_layout(self._stages, self._inputs, outputs),
            random=self._random,
            losses=partial(_losses, risk=point.risk, output=outputs[0]),
        )
        self._free: deque[BoundFrame] = deque()  # of the shapes that ran last
        self._pools: dict[Shapes, deque[BoundFrame] | None] = {}  # None: these shapes cannot be bound

    def run(self, feeds: Mapping[str, Array]) -> Trace:
        """Run the stages on ``feeds``.

        Raises:
            DataError: The feeds do not fit.
            BackendError: A stage failed.
        """
        steps = self.steps(feeds)
        try:
            while True:
                next(steps)
        except StopIteration as end:
            trace: Trace = end.value
            return trace

    def steps(self, feeds: Mapping[str, Array]) -> Generator[None, None, Trace]:
        """Run the same, and stop after every stage that another one follows; what was begun may end in other threads.

        Raises:
            DataError: The feeds do not fit.
            BackendError: A stage failed.
        """
        free = self._free
        try:
            frame = free.pop()
        except IndexError:
            return (yield from self._run_any(feeds))
        try:
            if self._fill(frame, feeds):
                return (yield from self._follow(frame))
        finally:
            free.append(frame)
        return (yield from self._run_any(feeds))

    def _fill(self, frame: BoundFrame, feeds: Mapping[str, Array]) -> bool:
        """Copy ``feeds`` into the frame; tell whether they fit it."""
        try:
            for name, shape, dtype, buffer in frame.inputs:
                value = feeds[name]
                if value.shape != shape or value.dtype != dtype:
                    return False
                buffer[...] = value
            return len(feeds) == self._count
        except (LookupError, AttributeError, TypeError):  # not a mapping of arrays: let the check say what it is
            return False

    def _follow(self, frame: Frame) -> Generator[None, None, Trace]:
        """Run stage after stage, until an exit is sure enough and is not chosen to be audited."""
        turned = self._turned
        if turned.setting is not self._dial.setting:
            turned = self._turn()
        thresholds = turned.thresholds
        scores: tuple[float, ...] = ()
        kept: dict[str, Array] | None = None
        for k, step, read in frame.early:
            step()
            if read is not None and kept is None:
                score = read()
                scores = scores or (score,)
                if score >= thresholds[k]:
                    if self._random() >= turned.audit_share:
                        return frame.answer(k + 1), k + 1, score, (turned, scores, (), None)
                    kept = frame.answer(k + 1)
            yield
        frame.last()
        outputs = frame.answer(self._depth)
        losses = () if kept is None else self._rows.losses(kept, outputs)
        return outputs, self._depth, None, (turned, scores, losses, None)

    def _turn(self) -> Turned:
        self._turned = turned = turn_to(self._dial.setting, self._point, self._exits)
        return turned

    def _run_any(self, feeds: Mapping[str, Array]) -> Generator[None, None, Trace]:
        """Check thoroughly, then run a single input in a frame for its shapes, or a batch row by row."""
        check_feeds(self._inputs, feeds)
        shapes = tuple(feeds[spec.name].shape for spec in self._inputs)
        if shapes[0][:1] not in ((), (1,)) and self._rows.layout.apart:
            return run_rows(self._rows, self._turn(), feeds, shapes[0][0])
        frame, pool = self._bound(shapes)
        if frame is None or pool is None:
            return (yield from self._follow(LooseFrame(self._stages, self._outputs, feeds)))
        for name, _, _, buffer in frame.inputs:
            buffer[...] = feeds[name]
        try:
            trace = yield from self._follow(frame)
        except BackendError:  # some models break the output shapes that they declare; loose tells the true cause
            self._pools[shapes] = None
            return (yield from self._follow(LooseFrame(self._stages, self._outputs, feeds)))
        pool.append(frame)
        self._free = pool
        return trace

    def _bound(self, shapes: Shapes) -> tuple[BoundFrame | None, deque[BoundFrame] | None]:
        """Return a frame for ``shapes`` and the pool that it goes back to; ``None`` where they run loose."""
        known = shapes in self._pools
        if not known and len(self._pools) >= MAX_SHAPES:
            return None, None
        pool = self._pools.get(shapes)
        if known and pool is None:
            return None, None
        try:
            return (pool.pop(), pool) if pool else self._bind(shapes)
        except IndexError:  # another thread was quicker
            return self._bind(shapes)

    def _bind(self, shapes: Shapes) -> tuple[BoundFrame | None, deque[BoundFrame] | None]:
        frame = bind_frame(self._stages, self._inputs, self._outputs, shapes)
        return frame, self._pools.setdefault(shapes, None if frame is None else deque())


def _losses(
    early: Mapping[str, Array], full: Mapping[str, Array], *, risk: Risk | None, output: str
) -> tuple[float, ...]:
    if risk is None:
        return tuple(exit_losses(early, full, output=output, loss="disagreement").tolist())
    return tuple(exit_losses(early, full, output=output, loss=risk.loss, bound=risk.bound).tolist())
