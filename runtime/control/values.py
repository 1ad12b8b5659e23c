"""What flows into the controller and out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the app said. ``None`` means that it said nothing."""

    deadline_s: float | None = None
    until_s: float | None = None  # end of the mission on the monotonic clock
    foreground: bool | None = None
    user_waiting: bool | None = None
    importance: float | None = None  # 0 to 1
    midnight_s: float | None = None  # the last local midnight on the monotonic clock
    hints: Mapping[str, float | str | bool] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """Return a hint that is a number; ``None`` without."""
        value = self.hints.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one inference cost; depth 0 when the last answer was given again, or when an input was left out."""

    at_s: float
    point: str
    depth: int
    latency_s: float
    energy_j: float | None = None
    threads: int | None = None  # None: as the last decision said
    skipped: bool = False  # nothing ran: the duty left this input out


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The point to run from now on, or a time-share of two, and why.

    Attributes:
        at_s: When it was taken, monotonic clock.
        point: Name of the point.
        alternate: Second point of a time-share; ``None`` without one.
        share: Share of the inputs that ``point`` gets, 0 to 1; the rest goes to ``alternate``.
        threads: Threads of ``point``; ``None``: as it was measured.
        alternate_threads: The same for ``alternate``.
        duty: Share of the inputs that are run at all, 0 to 1; below 1 only where the policy allows it.
        exit_scalar: 0 keeps quality, 1 saves energy; moves every exit threshold. ``None`` lets nothing leave early.
        reason: In words, with the numbers.
        numbers: The figures behind the reason.
        pieces: Whether the points are wanted in pieces, for a pipeline, where they have some.
        guard: Name of the hard guard that forced it; ``None`` when it was a choice.
    """

    at_s: float
    point: str
    reason: str
    alternate: str | None = None
    share: float = 1.0
    threads: int | None = None
    alternate_threads: int | None = None
    duty: float = 1.0
    exit_scalar: float | None = 0.0
    numbers: Mapping[str, float] = field(default_factory=dict)
    guard: str | None = None
    pieces: bool = False
