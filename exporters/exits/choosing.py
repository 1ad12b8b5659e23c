"""Which cuts pay: the set whose exits have the least mean time at a loss, as the calibration rows predict it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.depth import Path, fit_path, losses_along, mean_cost
from edgehybrid.exporters.exits.offers import Offer

Float64Array = NDArray[np.float64]

MOST_EXITS = 2
_WORTH = 0.95  # of the time of the uncut model
_ANOTHER_EXIT = 0.02  # must save so much beside the sets with fewer
_PLACES = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Exits as the calibration rows see them: confidences and losses ``(n, exits)``, cost of each depth."""

    confidence: Float64Array
    losses: Float64Array
    costs: tuple[float, ...]

    def path(self) -> Path:
        """The order in which their thresholds fall."""
        return fit_path(self.confidence, self.losses, self.costs)

    def least_cost(self, epsilon: float) -> float:
        """Mean cost where the mean loss reaches ``epsilon``."""
        path, places = self.path(), np.linspace(0.0, 1.0, _PLACES)
        risks = losses_along(path, places, self.confidence, self.losses).mean(axis=0)
        last = float(max(places[risks <= epsilon], default=0.0))
        return mean_cost(path, last, self.confidence, self.costs)


def judged(offers: Sequence[Offer]) -> Judged:
    """Several heads as the exits of one chain, shallowest first; each earlier cut costs what it costs alone."""
    extra, costs = 0.0, []
    for offer in offers:
        costs.append(offer.early + extra)
        extra += max(offer.whole - 1.0, 0.0)
    rising = np.maximum.accumulate([*costs, max(1.0 + extra, *costs)])
    return Judged(
        confidence=np.column_stack([offer.head.confidence for offer in offers]),
        losses=np.column_stack([offer.loss for offer in offers]),
        costs=tuple(rising.tolist()),
    )


def choose_cuts(offers: Sequence[Offer], epsilon: float) -> tuple[Offer, ...]:
    """The cut, or the few, with the least mean cost at a loss of ``epsilon``; none where that saves nothing."""
    best: tuple[Offer, ...] = ()
    least = _WORTH
    for size in range(1, MOST_EXITS + 1):
        found = [(judged(chosen).least_cost(epsilon), chosen) for chosen in combinations(offers, size)]
        if not found:
            break
        cost, chosen = min(found, key=lambda item: item[0])
        if cost < least - (_ANOTHER_EXIT if best else 0.0):
            best, least = chosen, cost
    return best


def choose_sets(offers: Sequence[Offer], epsilons: Sequence[float], *, most: int) -> tuple[tuple[Offer, ...], ...]:
    """The sets to try: the best for each loss, each once, that for the smallest loss first."""
    sets = dict.fromkeys(tuple(choose_cuts(offers, epsilon)) for epsilon in sorted(epsilons))
    return tuple(chosen for chosen in sets if chosen)[:most]
