"""A plan: one operating point, loaded and ready to run."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from itertools import count

from edgehybrid.errors import BackendError
from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.backends import Array, assignment_of
from edgehybrid.runtime.execution.chain import Chain
from edgehybrid.runtime.execution.dial import Dial
from edgehybrid.runtime.execution.frames import LoadedStage
from edgehybrid.runtime.execution.traces import Trace
from edgehybrid.tensors import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Plan:
    """A point whose stages are loaded, warm and tested. Runs may overlap; releasing the last reference frees it.

    Attributes:
        point: The point.
        stages: Its stages, in the order in which they run.
        inputs: What ``run`` needs.
        outputs: Names of the tensors that the model returns.
        dial: Moves the thresholds of its exits.
        turns: Deals runs out to two other plans, which this one stands for; ``None`` for a plan that runs itself.
    """

    point: OperatingPoint
    stages: tuple[LoadedStage, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    dial: Dial = field(default_factory=Dial)
    turns: Turns | None = None
    _chain: Chain | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if len(self.stages) > 1:
            chain = Chain(self.point, self.stages, self.inputs, self.outputs, self.dial)
            object.__setattr__(self, "_chain", chain)

    def placed(self) -> Mapping[str, str]:
        """Say of each stage where it runs: its back end, and which nodes that took, where it can tell."""
        found = {}
        for plan in alone(self):
            for stage in plan.stages:
                proof = assignment_of(stage.session)
                found[stage.name] = stage.backend if proof is None else f"{stage.backend}: {proof.describe()}"
        return found

    @property
    def in_pieces(self) -> bool:
        """Whether it runs the pieces of its point."""
        return bool(self.point.pieces) and self.point.variants == self.point.pieces

    def run(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], int, float | None]:
        """Run the stages on ``feeds``, until an exit is sure enough.

        Returns:
            The model's outputs; the depth: how many stages ran; and the confidence of the exit that answered, 0 to 1,
            ``None`` where no exit did. Of a batch whose rows left at different exits, the deepest and the least sure.

        Raises:
            DataError: The feeds do not fit.
            BackendError: A stage failed.
        """
        return self.trace(feeds)[:3]

    def trace(self, feeds: Mapping[str, Array]) -> Trace:
        """Run as ``run`` does, and tell what the exits saw; what they see is for ``ExitWatch``."""
        if self.turns is not None:
            return self.turns.next().trace(feeds)
        chain = self._chain
        if chain is None:  # nothing to carry from stage to stage: the session checks and returns all
            return self.stages[0].session.run(feeds), 1, None, None
        return chain.run(feeds)

    def steps(self, feeds: Mapping[str, Array]) -> Generator[None, None, Trace]:
        """Run as ``trace`` does, but stop after every stage: each ``next`` runs one, in whatever thread calls it.

        A batch whose rows leave one by one, and a point of one stage, run at once.
        """
        chain = self._chain
        if chain is None:
            return self.trace(feeds)
        return (yield from chain.steps(feeds))


class Turns:
    """Deals runs out to two plans of a time-share, evenly: an error diffusion without state but a counter.

    Run ``i`` goes to ``high`` where ``share · i`` passes a half: of any ``n`` runs in a row it gets ``share · n``, give
    or take one. The counter is one atomic step of the interpreter, so serving threads need no lock.

    Args:
        high: Gets ``share`` of the runs.
        low: Gets the rest.
        share: 0 to 1.
    """

    __slots__ = ("_count", "high", "low", "share")

    def __init__(self, high: Plan, low: Plan, share: float) -> None:
        self.high, self.low, self.share = high, low, share
        self._count = count()

    def next(self) -> Plan:
        """Return the plan of the next run."""
        return self.high if falls_to(next(self._count), self.share) else self.low


def falls_to(number: int, share: float) -> bool:
    """Tell whether turn ``number`` is among the ``share`` of all: of any ``n`` in a row ``share · n``, within one.

    Where ``share · number`` passes a half, which is an error diffusion without a state.
    """
    return int((number + 1) * share + 0.5) > int(number * share + 0.5)


def alone(plan: Plan) -> tuple[Plan, ...]:
    """Return the plans that ``plan`` stands for: itself, or the two of a time-share."""
    return (plan,) if plan.turns is None else (plan.turns.high, plan.turns.low)


def shared(high: Plan, low: Plan, share: float) -> Plan:
    """Return a plan that stands for a time-share of two."""
    return Plan(point=high.point, stages=(), inputs=high.inputs, outputs=high.outputs, turns=Turns(high, low, share))


class ClosedPlan(Plan):
    """What stands in the place of a plan after the engine was closed."""

    __slots__ = ()

    def trace(self, feeds: Mapping[str, Array]) -> Trace:  # noqa: ARG002  # a plan's signature
        """Refuse: there is nothing to run any more."""
        raise BackendError("The engine is closed.", "Run inputs inside its `with` block, or open a new engine.")
