"""Places of a pipeline: each has a queue and a bell of its own; which worker is at which may change."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from edgehybrid.runtime.execution.bell import Bell
from edgehybrid.runtime.execution.parcels import Parcel

T = TypeVar("T")


def popped(queue: deque[Parcel[T]]) -> Parcel[T] | None:
    """Take the first out of a queue that others look at too; ``None`` where there is none."""
    try:
        return queue.popleft() if queue else None
    except IndexError:  # somebody was quicker
        return None


class Places(Generic[T]):
    """Who works where.

    Attributes:
        bells: Of whoever works at each place.
        own: What waits at each.
        of: The place of each worker.
    """

    def __init__(self) -> None:
        self.bells: list[Bell] = []
        self.own: list[deque[Parcel[T]]] = []
        self.of: list[int] = []
        self._swap = threading.Lock()

    def __len__(self) -> int:
        return len(self.bells)

    def add(self) -> tuple[int, Bell]:
        """Have one place and one worker more; returns the number of both, and the bell that the worker sleeps at."""
        bell = Bell()
        self.own.append(deque())
        self.of.append(len(self.of))
        self.bells.append(bell)
        return len(self.of) - 1, bell

    def next(self, place: int) -> Parcel[T] | None:
        """Return what waits at a place the longest, if anything does."""
        return popped(self.own[place])

    def advance(self, worker: int, place: int) -> bool:
        """Let the worker at a place change with whoever is at the next; tell whether it did: not while others do."""
        if not self._swap.acquire(blocking=False):
            return False
        try:
            bells, of = self.bells, self.of
            if of[worker] != place:
                return False
            other = of.index(place + 1)
            bells[place], bells[place + 1] = bells[place + 1], bells[place]
            of[worker], of[other] = place + 1, place
        finally:
            self._swap.release()
        return True
