"""Whether something takes long, so that it is worth another thread."""

from __future__ import annotations

SLOW_S = 1e-4
"""What takes longer has a thread of its own; that costs about as much: two switches of threads an input."""

_RECENT, _MOST_S = 8, 2 * SLOW_S  # times that the mean goes over, about; and the most that one of them counts for


class Slowness:
    """A mean over the last few times, beside ``SLOW_S``; what was slow has to be twice as fast to be so no more.

    One thread teaches it, any may look.

    Attributes:
        slow: Whether it takes long.
    """

    __slots__ = ("_mean_s", "slow")

    def __init__(self) -> None:
        self._mean_s, self.slow = 0.0, False

    def learn(self, took_s: float) -> bool:
        """Take in a time; tell whether ``slow`` has changed."""
        self._mean_s += (min(took_s, _MOST_S) - self._mean_s) / _RECENT
        before, self.slow = self.slow, self._mean_s > (SLOW_S / 2 if self.slow else SLOW_S)
        return self.slow != before
