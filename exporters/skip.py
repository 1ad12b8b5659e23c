"""What a pass or a scheme left alone, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A place that nearly fitted; ``where`` is a node's name."""

    where: str
    why: str
