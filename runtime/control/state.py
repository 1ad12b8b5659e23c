"""The controller's memory: one frozen value that can be kept between runs of the app."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from edgehybrid.errors import RequestError
from edgehybrid.runtime.control.estimators import Learned


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the controller remembers between two decisions.

    Attributes:
        learned: What inferences taught.
        point: Point of the last decision.
        since_s: When it was last changed or forced by a guard, monotonic clock.
        battery_level: Level that the battery allowed last, 0 = best quality; for hysteresis, as are the next three.
        plan_level: The same for the energy plan.
        heat_level: The same for the temperature.
        deadline_level: The same for the deadline.
        slow_temp_c: Temperature behind a ten-second filter; its distance to the real one is the trend.
        temp_at_s: When that was updated.
    """

    learned: Learned = field(default_factory=Learned)
    point: str | None = None
    since_s: float | None = None
    battery_level: int = 0
    plan_level: int = 0
    heat_level: int = 0
    deadline_level: int = 0
    slow_temp_c: float | None = None
    temp_at_s: float | None = None


def save_state(state: State) -> bytes:
    """Write ``state`` as JSON."""
    return msgspec.json.encode(state)


def load_state(raw: bytes) -> State:
    """Read what ``save_state`` wrote.

    Raises:
        RequestError: It is no such JSON.
    """
    try:
        return msgspec.json.decode(raw, type=State)
    except msgspec.DecodeError as error:
        raise RequestError(f"This is no saved controller state: {error}.", "Start without it.") from error
