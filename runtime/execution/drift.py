"""Tests that may be looked at after every input: do exits still keep their promise, are inputs still what they were?

Both are wealth of bets against a hypothesis: under it no bet gains on average, so that wealth ever reaches
``1 / alpha`` with probability ``alpha`` at most (Ville 1939), however long one looks. The stakes are laid one after the
other, the ``k``-th of size ``1 / ((k + 1) (k + 2))``, each when what was staked before is lost: long good years do not
make the test deaf, and all stakes together are 1.

- Risk: betting on the mean of bounded values (Waudby-Smith and Ramdas, "Estimating means of bounded random variables
  by betting", JRSS B 86, 2024). Only audits show a loss, so that each counts as many times as audits are rare.
- Confidences: a conformal test martingale with the simple jumper (Vovk, Petej, Nouretdinov, Ahlberg, Carlsson,
  Gammerman, "Retrain or not retrain: conformal test martingales for change-point detection", COPA 2021).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

ALPHA = 0.01
"""Probability of a false alarm, over all time."""

_RISK_TIMES = (2.0, 4.0, 8.0, 16.0)  # how far the risk may have risen: each is bet on with a fourth of the wealth
_BOLDNESS = (0.9, 0.5, 0.25, 0.1)  # shares of the largest bet that cannot lose everything, when betting that it is low
_JUMP = 0.01  # Vovk's rate of changing sides
_SIDES = (-1.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bets:
    """Wealth spread over four ways to bet, each with what is staked and how many stakes were laid."""

    pots: tuple[float, ...] = (0.0,) * 4
    stakes: tuple[int, ...] = (0,) * 4

    @property
    def evidence(self) -> float:
        """Wealth that began as 1; at most ``1 / alpha`` with probability ``1 - alpha`` under the hypothesis."""
        kept = sum(pot + 1.0 / (laid + 1) for pot, laid in zip(self.pots, self.stakes, strict=True))
        return kept / len(self.pots)


def _play(bets: Bets, gains: Sequence[float]) -> Bets:
    """Lay stakes where the last are lost, then multiply each pot by ``exp(gain)``."""
    pots, stakes = [], []
    for pot, laid, gain in zip(bets.pots, bets.stakes, gains, strict=True):
        stake = 1.0 / ((laid + 1) * (laid + 2))
        lost = pot < stake
        pots.append((pot + stake if lost else pot) * math.exp(min(gain, 700.0)))
        stakes.append(laid + lost)
    return Bets(pots=tuple(pots), stakes=tuple(stakes))


def bet_on_more(bets: Bets, *, inputs: int, losses: Sequence[float], share: float, bound: float) -> Bets:
    """Bet against "the expected loss of an input is at most ``bound``".

    Args:
        bets: The bets so far.
        inputs: Inputs since, those that ran to the end by themselves too.
        losses: What the audited ones among them lost, 0 to 1 each.
        share: Share of the exits that was audited, chosen beforehand and at random: above 0, at most 1.
        bound: Largest expected loss, above 0, below 1.

    Returns:
        The bets after: an audited loss counts ``1 / share`` times, so that its mean over all inputs is the risk.
    """
    rises = [min(times, 1.0 / bound) - 1.0 for times in _RISK_TIMES]
    gains = []
    for rise in rises:
        size = share * rise  # the best size where an input loses all or nothing and the risk has risen so much
        gain = (inputs - len(losses)) * math.log1p(-size * bound)
        gains.append(gain + sum(math.log1p(size * (loss / share - bound)) for loss in losses))
    return _play(bets, gains)


def bet_on_less(bets: Bets, *, inputs: int, losses: Sequence[float], bound: float) -> Bets:
    """Bet against "the expected loss of an input is above ``bound``" while every exit is audited."""
    gains = []
    for boldness in _BOLDNESS:
        size = boldness / (1.0 - bound)
        gain = (inputs - len(losses)) * math.log1p(size * bound)
        gains.append(gain + sum(math.log1p(size * (bound - loss)) for loss in losses))
    return _play(bets, gains)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Evidence against "confidences come as on the calibration data".

    A confidence falls into one of the bins between the calibration's quantiles. The chance of a bin is its share of all
    confidences so far, the calibration's included (Polya's urn, which is what ranks among exchangeable values obey),
    so that a calibration of few samples raises no false alarm.

    Attributes:
        edges: Quantiles of the calibration data, rising.
        counts: By bin the confidences so far, the calibration's included.
        pots: By side what is staked.
        laid: Stakes laid.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    pots: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))
    laid: int = 0

    @property
    def evidence(self) -> float:
        """Wealth that began as 1."""
        return sum(self.pots) + 1.0 / (self.laid + 1)


def make_ranks(quantiles: Sequence[float], n: int) -> Ranks | None:
    """Begin with the quantiles of ``n`` confidences; ``None`` where they make fewer than two bins."""
    bins = len(quantiles) - 1
    return Ranks(edges=tuple(quantiles), counts=(n / bins,) * bins) if bins >= 2 and n > 0 else None


def bet_on_change(ranks: Ranks, confidences: Sequence[float], random: Callable[[], float]) -> Ranks:
    """Bet on each of ``confidences`` in turn; what is not a number ranks lowest. ``random`` breaks ties, 0 to 1."""
    counts, pots, laid = list(ranks.counts), list(ranks.pots), ranks.laid
    total = sum(counts)
    for confidence in confidences:
        stake = 1.0 / ((laid + 1) * (laid + 2))
        if sum(pots) < stake:
            pots, laid = [pot + stake / 3 for pot in pots], laid + 1
        place = _bin(ranks.edges, confidence, random)
        counts[place] += 1.0  # a value ranks among those so far and itself
        total += 1.0
        rank = (sum(counts[:place]) + random() * counts[place]) / total
        moved = _JUMP * sum(pots) / 3
        pots = [((1 - _JUMP) * pot + moved) * (1 + side * (rank - 0.5)) for pot, side in zip(pots, _SIDES, strict=True)]
    return replace(ranks, counts=tuple(counts), pots=(pots[0], pots[1], pots[2]), laid=laid)


def begin_anew(ranks: Ranks) -> Ranks:
    """Take what comes from now on as normal: ranks are among later confidences only, nothing is staked."""
    return replace(ranks, counts=(0.0,) * len(ranks.counts), pots=(0.0, 0.0, 0.0), laid=0)


def _bin(edges: Sequence[float], confidence: float, random: Callable[[], float]) -> int:
    """Return the bin of ``confidence``; any of those that it lies between, where edges coincide."""
    if math.isnan(confidence):
        return 0
    last = len(edges) - 2
    first = min(max(bisect_left(edges, confidence) - 1, 0), last)
    end = min(max(bisect_right(edges, confidence) - 1, 0), last)
    return first + int(random() * (end - first + 1))
