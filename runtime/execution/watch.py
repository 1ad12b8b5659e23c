"""The watch over exits: audits and confidences in, exits off and on again out. Runs beside the hot path."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.execution.dial import Dial, Turned
from edgehybrid.runtime.execution.drift import (
    ALPHA,
    Bets,
    Ranks,
    begin_anew,
    bet_on_change,
    bet_on_less,
    bet_on_more,
    make_ranks,
)
from edgehybrid.runtime.execution.ledger import Note

_MOST_RANKS = 256  # confidences of one round that are ranked: which, does not depend on what they are


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How the exits of one point do.

    Attributes:
        on: Whether they answer.
        reason: Why they are as they are.
        audit_share: Share of the exits that is audited now; 1 while they are off.
        audits: Audits so far.
        loss: Mean loss of the audits, 0 to 1; ``None`` before the first.
        bound: Expected loss of an input that is allowed at the present exit scalar, 0 to 1.
        evidence: That the expected loss is larger (while off: that it is not); decides from ``1 / ALPHA`` on.
        change: Evidence that confidences do not come as they did when the bundle was made.
    """

    on: bool
    reason: str
    audit_share: float
    audits: int
    loss: float | None
    bound: float
    evidence: float
    change: float


@dataclass(slots=True, kw_only=True)
class _Watched:
    """One point's state."""

    ranks: Ranks | None
    on: bool = True
    reason: str = "the exits keep their promise, as far as audits show"
    bets: Bets = field(default_factory=Bets)
    audits: int = 0
    lost: float = 0.0


class ExitWatch:
    """Learns from the notes of runs, and turns the dial. Not for several threads at once.

    Args:
        points: The points of the bundle; those with exits and a promise are watched.
        dial: Where exits are switched off and on.
        seed: Of the random breaking of ties.
    """

    def __init__(self, points: Iterable[OperatingPoint], dial: Dial, *, seed: int = 0) -> None:
        self._points = {point.name: point for point in points if point.exits and point.risk is not None}
        self._watched = {name: _begin(point) for name, point in self._points.items()}
        self._dial, self._random = dial, random.Random(seed).random

    def add(self, notes: Sequence[Note]) -> list[tuple[str, str]]:
        """Learn from runs, oldest first.

        Returns:
            What changed: point, and why in words.
        """
        seen = [(note[1], *note[4][:3]) for note in notes if note[4] is not None and note[1] in self._points]
        events = []
        for (point, _), group in groupby(seen, lambda one: (one[0], id(one[1]))):
            same = list(group)
            scores = [score for one in same for score in one[2]]
            losses = [loss for one in same for loss in one[3]]
            if why := self._learn(point, same[0][1], scores, losses):
                events.append((point, why))
        return events

    def reports(self) -> Mapping[str, ExitReport]:
        """Say how the exits of each watched point do."""
        return {name: self._report(name, watched) for name, watched in self._watched.items()}

    def _report(self, name: str, watched: _Watched) -> ExitReport:
        return ExitReport(
            on=watched.on,
            reason=watched.reason,
            audit_share=self._dial.setting.share(name),
            audits=watched.audits,
            loss=watched.lost / watched.audits if watched.audits else None,
            bound=allowed_loss(self._points[name], self._dial.setting.scalar or 0.0),
            evidence=watched.bets.evidence,
            change=watched.ranks.evidence if watched.ranks is not None else 1.0,
        )

    def _learn(self, name: str, turned: Turned, scores: Sequence[float], losses: Sequence[float]) -> str | None:
        """Learn from runs under one setting; say what changed."""
        watched = self._watched[name]
        watched.audits += len(losses)
        watched.lost += sum(losses)
        changed = self._rank(watched, scores)
        share, scalar = turned.audit_share, turned.setting.scalar
        bound = 1.0 if scalar is None else allowed_loss(self._points[name], scalar)
        if not watched.on:
            return self._learn_off(name, watched, len(scores), losses, bound) if share >= 1 > bound else None
        if share > 0 and bound < 1:
            watched.bets = bet_on_more(watched.bets, inputs=len(scores), losses=losses, share=share, bound=bound)
            if watched.bets.evidence >= 1 / ALPHA:
                mean = watched.lost / watched.audits
                why = f"{watched.audits} audits lose {mean:.1%} on average, {bound:.1%} of all inputs may be lost"
                return self._switch_off(name, watched, why)
        if changed:
            return self._switch_off(name, watched, "confidences have changed; on again once audits show no loss")
        return None

    def _learn_off(
        self, name: str, watched: _Watched, inputs: int, losses: Sequence[float], bound: float
    ) -> str | None:
        """Every exit is an audit: switch on again once they prove that they lose little enough."""
        watched.bets = bet_on_less(watched.bets, inputs=inputs, losses=losses, bound=bound)
        if watched.bets.evidence < 1 / ALPHA:
            return None
        watched.on, watched.bets = True, Bets()
        watched.reason = f"exits on again: audits prove that at most {bound:.1%} of all inputs are lost"
        self._dial.audit(name, None)
        return watched.reason

    def _switch_off(self, name: str, watched: _Watched, why: str) -> str:
        watched.on, watched.bets = False, Bets()
        watched.reason = f"exits off: {why}"
        self._dial.audit(name, 1.0)
        return watched.reason

    def _rank(self, watched: _Watched, scores: Sequence[float]) -> bool:
        """Tell whether confidences have changed; then what comes from now on is the new normal."""
        if watched.ranks is None:
            return False
        watched.ranks = bet_on_change(watched.ranks, scores[-_MOST_RANKS:], self._random)
        if watched.ranks.evidence < 1 / ALPHA:
            return False
        watched.ranks = begin_anew(watched.ranks)
        return True


def _begin(point: OperatingPoint) -> _Watched:
    first = next(iter(point.exits.values()))
    assert point.risk is not None
    return _Watched(ranks=make_ranks(first.quantiles, point.risk.n))


def allowed_loss(point: OperatingPoint, scalar: float) -> float:
    """Return the loss of audits that ``point`` may show at ``scalar``, as a mean over all inputs, 0 to 1.

    What was promised, where an audit measures just that. Without labels an ``error`` cannot be told from another
    answer: other answers that are no error come only where the full model is wrong itself. So its share of wrong
    answers is added, at the far end of its interval; where the metric does not tell it, the promise again, or 2 %.
    """
    risk = point.risk
    if risk is None:
        return 1.0
    promised = risk.at(scalar)
    if risk.loss != "error":
        return promised
    if point.quality.metric == "accuracy":
        return min(promised + 1.0 - point.quality.ci95[0], 1.0)
    return min(promised + max(promised, 0.02), 1.0)
