"""A plan: one operating point, loaded and ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehybrid.errors import BackendError
from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.backends import Array
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
    """

    point: OperatingPoint
    stages: tuple[LoadedStage, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    dial: Dial = field(default_factory=Dial)
    _chain: Chain | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if len(self.stages) > 1:
            chain = Chain(self.point, self.stages, self.inputs, self.outputs, self.dial)
            object.__setattr__(self, "_chain", chain)

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
        chain = self._chain
        if chain is None:  # nothing to carry from stage to stage: the session checks and returns all
            return self.stages[0].session.run(feeds), 1, None, None
        return chain.run(feeds)


class ClosedPlan(Plan):
    """What stands in the place of a plan after the engine was closed."""

    __slots__ = ()

    def trace(self, feeds: Mapping[str, Array]) -> Trace:  # noqa: ARG002  # a plan's signature
        """Refuse: there is nothing to run any more."""
        raise BackendError("The engine is closed.", "Run inputs inside its `with` block, or open a new engine.")
