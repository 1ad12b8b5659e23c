"""A plan: one operating point, loaded and ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgehybrid.errors import BackendError
from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.backends import Array, Session, check_feeds
from edgehybrid.tensors import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedStage:
    """A stage in the variant that the point chose."""

    name: str
    session: Session


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Plan:
    """A point whose stages are loaded, warm and tested. Runs may overlap; releasing the last reference frees it.

    Attributes:
        point: The point.
        stages: Its stages, in the order in which they run.
        inputs: What ``run`` needs.
        outputs: Names of the tensors that the model returns.
    """

    point: OperatingPoint
    stages: tuple[LoadedStage, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]

    def run(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], int]:
        """Run the stages on ``feeds``.

        Returns:
            The model's outputs, and the depth: how many stages ran.

        Raises:
            DataError: The feeds do not fit.
            BackendError: A stage failed.
        """
        stages = self.stages
        if len(stages) == 1:  # nothing to carry from stage to stage: the session checks and returns all
            return stages[0].session.run(feeds), 1
        check_feeds(self.inputs, feeds)
        values = dict(feeds)
        for stage in stages:
            values |= stage.session.run({spec.name: values[spec.name] for spec in stage.session.inputs})
        return {name: values[name] for name in self.outputs}, len(stages)


class ClosedPlan(Plan):
    """What stands in the place of a plan after the engine was closed."""

    __slots__ = ()

    def run(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], int]:  # noqa: ARG002  # a plan's signature
        """Refuse: there is nothing to run any more."""
        raise BackendError("The engine is closed.", "Run inputs inside its `with` block, or open a new engine.")
