"""Which inputs are run, where the energy does not last for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from edgehybrid.runtime.control import Controller, Observation
from edgehybrid.runtime.execution import falls_to

_MANY = 1 << 14  # that are told to the controller at once; of more only the last


class Duty:
    """Deals the inputs out into those that are run and those that are left out, evenly. Safe from any thread.

    Args:
        clock: The engine's.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._count = clock, count()
        self._skipped: deque[float] = deque(maxlen=_MANY)

    def due(self, duty: float) -> bool:
        """Tell whether the next input is run: of any ``n`` in a row ``duty · n`` are, give or take one."""
        if duty >= 1.0 or falls_to(next(self._count), duty):
            return True
        self._skipped.append(self._clock())
        return False

    def tell(self, controller: Controller) -> None:
        """Tell the controller of inputs that were left out: they came all the same."""
        for _ in range(len(self._skipped)):
            at_s = self._skipped.popleft()
            controller.observe(Observation(at_s=at_s, point="", depth=0, latency_s=0.0, skipped=True))
