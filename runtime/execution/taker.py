"""Whoever takes the results of a stream, as its workers see it: it may run inputs too, sleep, or be with the app."""

from __future__ import annotations

import time

from edgehybrid.runtime.execution.slowness import SLOW_S, Slowness

_now = time.monotonic


class Taker:
    """Where the thread that takes the results is. It alone writes, except that whoever wakes it says so.

    Who sleeps has looked for work once more after saying so; who hands work over has laid it down before looking here.
    So nothing is left lying, whatever the order.

    Attributes:
        helps: Whether it looks for inputs to run before it sleeps.
        naps: Whether it sleeps, or is about to, and would run an input.
    """

    __slots__ = ("_left_s", "_slowness", "helps", "naps")

    def __init__(self) -> None:
        self.helps = self.naps = False
        self._left_s: float | None = None
        self._slowness = Slowness()

    @property
    def away(self) -> bool:
        """Whether it usually is with the app for longer than a switch of threads takes."""
        return self._slowness.slow

    @property
    def serves(self) -> bool:
        """Whether an input that waits for it is run soon: it is at work or asleep, or has just gone to the app."""
        left_s = self._left_s
        return self.helps and (left_s is None or _now() - left_s < SLOW_S)

    def leave(self) -> None:
        """It goes to the app, with a result, and runs nothing meanwhile."""
        self.naps = False
        self._left_s = _now()

    def come_back(self) -> tuple[float, bool]:
        """It wants the next result; returns the seconds that it was away, and whether ``away`` has changed."""
        took_s = 0.0 if self._left_s is None else _now() - self._left_s
        self._left_s = None
        return took_s, self._slowness.learn(took_s)
