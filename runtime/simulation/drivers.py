"""What drives the board: a controller, or a script that knows the future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.control import Context, Decision, Observation
from edgehybrid.runtime.simulation.options import Option, make_option
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import clip

DUTY, THREADS = "duty", "threads"
"""Keys in ``Decision.numbers``: share of the inputs that are run at all, and threads of the point."""


class Driver(Protocol):
    """A controller: the engine's own, or a baseline."""

    def decide(self, snapshot: Snapshot, context: Context) -> Decision:
        """Choose what runs from now on."""

    def observe(self, observation: Observation) -> None:
        """Learn from one inference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A choice for every input, made with knowledge of the future.

    ``choice`` holds an index into ``options`` for each input; -1 leaves it unanswered.
    """

    options: tuple[Option, ...]
    choice: Sequence[int]

    def of(self, i: int) -> Option | None:
        """Return what input ``i`` runs with; ``None`` leaves it out."""
        chosen = self.choice[i]
        return None if chosen < 0 else self.options[chosen]


class Shares:
    """Deals inputs out to the two halves of a time-share, evenly, and leaves out what the duty says."""

    def __init__(self, points: Sequence[OperatingPoint]) -> None:
        self._points: Mapping[str, OperatingPoint] = {point.name: point for point in points}
        self._made: dict[tuple[str, float | None, int | None], Option] = {}
        self._first = self._second = self.option(points[0].name, 0.0, None)
        self._share = self._duty = 1.0
        self.skipped_worth: float | None = None  # of what is left out; None: as an answer that is late
        self._owed_share = self._owed_duty = 0.5  # half-way, so that one half is not always the first

    def follow(self, decision: Decision) -> None:
        """Deal by ``decision`` from now on."""
        threads = decision.numbers.get(THREADS)
        count = decision.threads if threads is None else max(int(threads), 1)
        other = decision.alternate_threads if threads is None else count
        scalar = None if decision.exit_scalar is None else round(decision.exit_scalar, 3)
        self._first = self.option(decision.point, scalar, count)
        self._second = self.option(decision.alternate or decision.point, scalar, other if decision.alternate else count)
        self._share = clip(decision.share, 0.0, 1.0) if decision.alternate else 1.0
        self._duty = clip(decision.numbers.get(DUTY, decision.duty), 0.0, 1.0)
        self.skipped_worth = decision.numbers.get("skipped_worth")

    def next(self) -> Option | None:
        """Return what the next input runs with; ``None`` leaves it out."""
        if self._duty < 1.0:
            self._owed_duty += self._duty
            if self._owed_duty < 1.0:
                return None
            self._owed_duty -= 1.0
        if self._share >= 1.0:
            return self._first
        self._owed_share += self._share
        if self._owed_share < 1.0:
            return self._second
        self._owed_share -= 1.0
        return self._first

    def option(self, point: str, scalar: float | None, threads: int | None) -> Option:
        """Return the option, made once."""
        key = point, scalar, threads
        if key not in self._made:
            self._made[key] = make_option(self._points[point], scalar, threads)
        return self._made[key]
