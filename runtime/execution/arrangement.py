"""Arrangements: how the inputs of a stream are spread over cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Literal

from edgehybrid.errors import RequestError

Mode = Literal["single", "pipeline", "replicas", "threads"]
_AGAIN = 16  # inputs until a division is thought over
_MEMORY = 64  # inputs that a load is a mean of, about
MODES: tuple[Mode, ...] = ("single", "pipeline", "replicas", "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """How the inputs of a stream are spread over cores.

    Attributes:
        mode: ``single``: one after the other, in the thread of whoever takes the results. ``pipeline``: each worker has
            stages of its own, so that successive inputs overlap. ``replicas``: each worker runs whole inputs.
            ``threads``: one worker, whose model runs on several threads.
        workers: Cores that it uses.
        ahead: Inputs that may be taken from the source beyond those at work: they wait in queues.
        lanes: Inputs that are at work at the same time.
        in_flight: Most inputs that are taken from the source and whose results are not yet taken.
    """

    mode: Mode = "single"
    workers: int = 1
    ahead: int = 2
    lanes: int = field(init=False, repr=False, compare=False)
    in_flight: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise RequestError(f"There is no arrangement {self.mode!r}.", f"Use one of {', '.join(MODES)}.")
        if self.workers < 1 or self.ahead < 0 or (self.mode == "single" and self.workers != 1):
            raise RequestError(
                f"{self.mode} cannot have {self.workers} workers and {self.ahead} inputs ahead.",
                "Pass at least 1 worker (single: just 1), and at least 0 ahead.",
            )

        lanes = 1 if self.mode == "threads" else self.workers
        object.__setattr__(self, "lanes", lanes)  # not properties: they are read several times an input
        object.__setattr__(self, "in_flight", 1 if self.mode == "single" else lanes + self.ahead)

    @property
    def threads(self) -> int:
        """Threads of each run of a model."""
        return self.workers if self.mode == "threads" else 1

    def __str__(self) -> str:
        return self.mode if self.mode == "single" else f"{self.mode} on {self.workers} cores"


def balance(loads: Sequence[float], groups: int) -> tuple[int, ...]:
    """Divide a chain into at most ``groups`` pieces such that the heaviest is as light as can be.

    Args:
        loads: Of each stage, in their order; in any unit.
        groups: Pieces wanted.

    Returns:
        Stages before each cut, ascending: ``(2,)`` means that the second piece begins with the third stage.
    """
    count = len(loads)
    if groups <= 1 or count <= 1:
        return ()

    def heaviest(borders: tuple[int, ...]) -> float:
        return max(sum(loads[a:b]) for a, b in pairwise((0, *borders, count)))

    return min(combinations(range(1, count), min(groups, count) - 1), key=heaviest)


class Borders:
    """Where a chain is handed from worker to worker: learned from the time that its stages take.

    One thread asks while others tell: each figure is assigned whole, and the next inputs mend what a race has lost.
    """

    __slots__ = ("_borders", "_loads", "_seen")

    def __init__(self, stages: int) -> None:
        self._loads = [0.0] * stages
        self._seen = 0
        self._borders: tuple[int, int, tuple[int, ...]] = (0, -_AGAIN, ())  # groups, when, what

    def learn(self, busy_s: Sequence[float]) -> None:
        """Take in the seconds that an input spent in each stage; those that it did not reach took none."""
        share = 1.0 / min(self._seen + 1, _MEMORY)
        for k, load in enumerate(self._loads):
            self._loads[k] = load + share * ((busy_s[k] if k < len(busy_s) else 0.0) - load)
        self._seen += 1

    def of(self, groups: int) -> tuple[int, ...]:
        """Return the stages before each hand-over between ``groups`` workers."""
        known, when, borders = self._borders
        if known != groups or self._seen - when >= _AGAIN:
            borders = balance(self._loads if self._seen else [1.0] * len(self._loads), groups)
            self._borders = (groups, self._seen, borders)
        return borders
