"""Counting beside the hot path: notes of runs go into the accounts, and to those who watch the exits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from edgehybrid.runtime.accounts import Accounts
from edgehybrid.runtime.execution import ExitWatch, Note, Switch

MANY_NOTES = 1 << 14
"""From so many on, whoever runs counts them, so that memory stays bounded when nobody looks for long."""


class Books:
    """The notes that runs leave, and where they are counted.

    Args:
        accounts: Counters, observations, joules.
        exits: Watches what the exits saw.
        clock: The engine's clock: monotonic, or a simulator's.
        lock: Held by whoever counts.
        changed: Told when exits of a point are switched off or on, or audited otherwise.

    Attributes:
        notes: What is not counted yet.
    """

    def __init__(
        self,
        accounts: Accounts,
        exits: ExitWatch,
        clock: Callable[[], float],
        lock: threading.Lock,
        changed: Callable[[Switch], None],
    ) -> None:
        self.accounts, self.exits = accounts, exits
        self.notes: deque[Note] = deque()
        self._clock, self._lock, self._changed = clock, lock, changed

    def note(self, note: Note) -> None:
        """Take the note of a run, from any thread; never waits."""
        self.notes.append(note)
        if len(self.notes) > MANY_NOTES and self._lock.acquire(blocking=False):
            try:
                self.count()
            finally:
                self._lock.release()

    def count(self) -> None:
        """Move the notes into the accounts; under the lock."""
        notes = self.notes
        batch = [notes.popleft() for _ in range(len(notes))]
        if self._clock is not time.monotonic:  # a simulator's: its inputs came by now
            now = self._clock()
            batch = [(now, *note[1:]) for note in batch]
        self.accounts.add(batch)
        for point, why in self.exits.add(batch):
            self._changed(Switch(at_s=self._clock(), source=point, target=point, reason=why, ready_s=0.0))

    def last(self) -> object:
        """Return another object after every run."""
        try:
            return self.notes[-1]
        except IndexError:  # counted already
            return None
