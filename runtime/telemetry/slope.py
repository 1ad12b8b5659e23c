"""The slope of a stepped gauge: how fast a battery falls, and how sure that is.

A gauge of 1 % stands still for minutes and then jumps, so two sweeps say nothing. What counts are the moments of its
jumps: between the first and the last of them lies exactly the energy that flowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from edgehybrid.units import JOULES_PER_WH

_APART_S = 5.0  # a fine gauge moves at every sweep: enough points, and no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A moment at which the gauge had just moved to ``wh``."""

    at_s: float
    wh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Jumps of a gauge in one direction, over at most ``window_s``. A value: `push` returns the next one."""

    window_s: float = 1800.0
    last: Edge | None = None  # newest reading
    edges: tuple[Edge, ...] = ()

    def push(self, at_s: float, wh: float) -> Slope:
        """Take in one reading of the gauge."""
        now = Edge(at_s=at_s, wh=wh)
        if self.last is None or at_s <= self.last.at_s:
            return replace(self, last=now, edges=())
        if wh == self.last.wh:
            return self
        edges = (*self.edges, now)
        if len(edges) >= 3 and _sign(edges[-1], edges[-2]) != _sign(edges[-2], edges[-3]):
            edges = edges[-1:]  # it turned round: another regime begins
        elif len(edges) >= 3 and edges[-1].at_s - edges[-3].at_s < _APART_S:
            edges = (*edges[:-2], now)
        while len(edges) > 3 and edges[1].at_s < at_s - self.window_s:
            edges = edges[1:]
        return replace(self, last=now, edges=edges)

    @property
    def direction(self) -> int:
        """``1`` when it falls, ``-1`` when it rises, ``0`` before two jumps the same way after the first."""
        if len(self.edges) < 3:
            return 0
        return 1 if self.edges[-1].wh < self.edges[0].wh else -1

    def watts(self, at_s: float | None = None) -> tuple[float, float] | None:
        """Power out of the battery and its uncertainty (95 %), in W; positive when it discharges.

        ``None`` before the second jump; the first gives the start. The uncertainty is one jump. With ``at_s``, a
        gauge that has stood still for longer than its pace explains lowers the result.
        """
        if len(self.edges) < 2:
            return None
        first, last = self.edges[0], self.edges[-1]
        jump = max(abs(b.wh - a.wh) for a, b in pairwise(self.edges))
        span = last.at_s - first.at_s
        power = (first.wh - last.wh) / span * JOULES_PER_WH
        if at_s is not None and power:
            still = at_s - last.at_s
            ceiling = jump / still * JOULES_PER_WH if still > 0 else float("inf")
            power = max(min(power, ceiling), -ceiling)
        return power, jump / span * JOULES_PER_WH

    @property
    def moved_at_s(self) -> float | None:
        """When it last jumped."""
        return self.edges[-1].at_s if self.edges else None


def _sign(later: Edge, earlier: Edge) -> bool:
    return later.wh < earlier.wh
