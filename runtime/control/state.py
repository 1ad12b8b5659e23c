"""The controller's memory: one frozen value that can be kept between runs of the app."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from edgehybrid.errors import RequestError
from edgehybrid.runtime.control.arrivals import Arrivals
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.fuel import Fuel, rested
from edgehybrid.runtime.control.goals import Debt
from edgehybrid.runtime.control.slowdown import Slowdown
from edgehybrid.runtime.control.thermal import Heat


class State(Struct, frozen=True, kw_only=True, gc=False):
    """What the controller remembers between two decisions.

    Attributes:
        slow: How slow the device is.
        arrivals: How often inputs come.
        heat: How warm it gets.
        fuel: What is left in the battery.
        debt: What is owed of the goals of the mean.
        watts_scale: Joules of an inference as the engine's account has them, over the profile's.
        own_s: Core seconds of inferences since the last decision.
        at_s: When that was, monotonic clock.
        point: Point of the last decision.
        alternate: Second point of its time-share.
        share: Share of the inputs that ``point`` got.
        threads: Threads of ``point``.
        alternate_threads: Threads of ``alternate``.
        scalar: Exit scalar of the last decision.
        since_s: When ``point`` was last changed or forced by a guard.
        held: Whether a sensor limited the last decision, so that going up waits for the dwell time.
        battery_level: Level that the battery allowed last, 0 = best quality; for hysteresis, as is the next one.
        heat_level: The same for the temperature.
        slow_temp_c: Temperature behind a ten-second filter; its distance to the real one is the trend.
        temp_at_s: When that was updated.
    """

    slow: Slowdown = field(default_factory=Slowdown)
    arrivals: Arrivals = field(default_factory=Arrivals)
    heat: Heat = field(default_factory=Heat)
    fuel: Fuel = field(default_factory=Fuel)
    debt: Debt = field(default_factory=Debt)
    watts_scale: float = 1.0
    own_s: float = 0.0
    at_s: float | None = None
    point: str | None = None
    alternate: str | None = None
    share: float = 1.0
    threads: int | None = None
    alternate_threads: int | None = None
    scalar: float | None = None
    since_s: float | None = None
    held: bool = False
    battery_level: int = 0
    heat_level: int = 0
    slow_temp_c: float | None = None
    temp_at_s: float | None = None


def lasting(state: State) -> State:
    """Return what of it holds after a restart: nothing that hangs on a clock, which may begin anew, or on a moment."""
    return State(
        slow=evolve(state.slow, at_s=None, stayed_s=0.0, inferences=0),
        arrivals=Arrivals(hours=state.arrivals.hours),
        heat=Heat(gain=state.heat.gain),
        fuel=rested(state.fuel),
        watts_scale=state.watts_scale,
    )


def renewed(state: State) -> State:
    """Return what of it holds for other figures of the points: what is known of the board, not of their pace."""
    return evolve(state, slow=Slowdown(), debt=Debt(), watts_scale=1.0)


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
