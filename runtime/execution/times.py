"""Where the time of a stream goes, so that it can be told what limits it."""

from __future__ import annotations

import time
from dataclasses import dataclass

_now = time.monotonic


@dataclass(slots=True, kw_only=True, eq=False)
class Times:
    """Counted by the threads of a stream, each its own fields.

    Attributes:
        given: Results that were taken.
        starved_s: Time spent waiting for the source.
        awaited_s: Time that whoever takes the results waited for them.
        before_s: Time of the app's work before a run.
        after_s: Time of its work after one.
        taker_s: Time from a result to the wish for the next.
        asking_s: Since when the source has not answered; ``None`` while it is not asked.
        awaiting_s: Since when a result is waited for; ``None`` while nobody waits.
    """

    given: int = 0
    starved_s: float = 0.0
    awaited_s: float = 0.0
    before_s: float = 0.0
    after_s: float = 0.0
    taker_s: float = 0.0
    asking_s: float | None = None
    awaiting_s: float | None = None

    def ask(self) -> float:
        """The source is asked; returns when that was."""
        self.asking_s = now_s = _now()
        return now_s

    def answered(self) -> float:
        """It has answered; returns when that was."""
        now_s = _now()
        if self.asking_s is not None:
            self.starved_s += now_s - self.asking_s
            self.asking_s = None
        return now_s

    def wait(self) -> None:
        """A result is waited for."""
        self.awaiting_s = _now()

    def came(self) -> None:
        """It has come."""
        if self.awaiting_s is not None:
            self.awaited_s += _now() - self.awaiting_s
            self.awaiting_s = None

    def so_far(self) -> tuple[int, float, float, float]:
        """Return results, seconds starved, seconds awaited and seconds of the app's own; waits under way included."""
        now_s, asking_s, awaiting_s = _now(), self.asking_s, self.awaiting_s
        starved_s = self.starved_s + (0.0 if asking_s is None else now_s - asking_s)
        awaited_s = self.awaited_s + (0.0 if awaiting_s is None else now_s - awaiting_s)
        return self.given, starved_s, awaited_s, self.before_s + self.after_s + self.taker_s
