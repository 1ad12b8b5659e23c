"""The cheapest ways through the stages of a model: pure decisions on measured costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage in one precision on one back end, with its threads.

    ``cost_s`` was measured alone, layout changes at its ends with it.
    """

    option: str
    backend: str
    cost_s: float
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A step for every stage; ``cost_s`` holds the borders too."""

    steps: tuple[Step, ...]
    cost_s: float

    @property
    def backends(self) -> frozenset[str]:
        """Back ends on the way."""
        return frozenset(step.backend for step in self.steps)


Border = Callable[[int, str, str], float]
"""Stage before it, back end before it, back end behind it: seconds that the hand-over takes."""


def cheapest(stages: Sequence[Sequence[Step]], border_s: Border, most: int) -> tuple[Way, ...]:
    """Return the ``most`` cheapest ways, the cheapest first.

    Args:
        stages: The steps that each stage may take.
        border_s: Cost of a hand-over.
        most: How many.
    """
    return tuple(_reach(stages, border_s, most)[:most])


def _reach(stages: Sequence[Sequence[Step]], border_s: Border, most: int) -> list[Way]:
    """Dynamic programming over stages and back ends; the cheapest way first.

    What comes behind a border depends on the back end before it only, so that of all ways that reach a stage on one
    back end the ``most`` cheapest are enough: of those over several back ends, and of those over one.
    """
    reached = _best([Way(steps=(step,), cost_s=step.cost_s) for step in (stages[0] if stages else ())], most)
    for k, options in enumerate(stages[1:]):
        longer = [
            Way(
                steps=(*way.steps, step),
                cost_s=way.cost_s + border_s(k, way.steps[-1].backend, step.backend) + step.cost_s,
            )
            for way in reached
            for step in options
        ]
        reached = _best(longer, most)
    return sorted(reached, key=lambda way: way.cost_s)


def _best(ways: Sequence[Way], most: int) -> list[Way]:
    """Of those that end on the same back end, and have the same number of back ends so far, the cheapest few."""
    by_end: dict[tuple[str, bool], list[Way]] = {}
    for way in sorted(ways, key=lambda way: way.cost_s):
        mates = by_end.setdefault((way.steps[-1].backend, len(way.backends) > 1), [])
        if len(mates) < most:
            mates.append(way)
    return [way for mates in by_end.values() for way in mates]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """Ways over several back ends that are worth measuring whole, and why others are not."""

    ways: tuple[Way, ...]
    why_not: str = ""


WORTH = 1.1
"""A way over several back ends is measured whole if it promises at most this much of the best way on one."""


def pick(stages: Sequence[Sequence[Step]], border_s: Border, most: int) -> Picked:
    """Return the mixed ways that promise enough beside the best way on a single back end."""
    ways = _reach(stages, border_s, most)
    alone = [way for way in ways if len(way.backends) == 1]
    mixed = [way for way in ways if len(way.backends) > 1]
    if not mixed:
        return Picked(ways=(), why_not="only one back end can run its stages")
    best_alone = min((way.cost_s for way in alone), default=float("inf"))
    worth = tuple(way for way in mixed if way.cost_s <= WORTH * best_alone)[:most]
    if worth:
        return Picked(ways=worth)
    best = mixed[0]
    words = " + ".join(step.option for step in best.steps)
    return Picked(
        ways=(),
        why_not=f"the best mixture, {words}, promises {best.cost_s * 1e3:.3g} ms; "
        f"on one back end the same stages take {best_alone * 1e3:.3g} ms",
    )
