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

_PAIRED = 6  # offers among which pairs are tried
_WORTH = 0.95  # of the time of the uncut model
_PAYS_CLEARLY = 0.8
_ANOTHER_EXIT = 0.02  # must save so much beside the sets with fewer
_PLACES = 65
_FREE = 0.03  # so much more may a run to full depth take; what is beyond counts as if every input paid it


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Exits as rows see them that fitted no threshold: confidences and losses ``(n, exits)``, cost of each depth."""

    confidence: Float64Array
    losses: Float64Array
    costs: tuple[float, ...]

    def path(self) -> Path:
        """The order in which their thresholds fall."""
        return fit_path(self.confidence, self.losses, self.costs)

    def least_costs(self, epsilons: Sequence[float]) -> list[float]:
        """Mean cost where the mean loss reaches each of ``epsilons``."""
        path, places = self.path(), np.linspace(0.0, 1.0, _PLACES)
        risks = losses_along(path, places, self.confidence, self.losses).mean(axis=0)
        lasts = [float(max(places[risks <= epsilon], default=0.0)) for epsilon in epsilons]
        dear = max(self.costs[-1] - 1.0 - _FREE, 0.0)
        return [mean_cost(path, last, self.confidence, self.costs) + dear for last in lasts]


def judged(offers: Sequence[Offer], rows: NDArray[np.int64] | None = None) -> Judged:
    """Several heads as the exits of one chain, shallowest first; each earlier cut costs what it costs alone.

    Args:
        offers: The heads.
        rows: Places of the rows to look at; all without.
    """
    extra, costs = 0.0, []
    for offer in offers:
        costs.append(offer.early + extra)
        extra += max(offer.whole - 1.0, 0.0)
    rising = np.maximum.accumulate([*costs, max(1.0 + extra, *costs)])
    chosen = slice(None) if rows is None else rows
    return Judged(
        confidence=np.column_stack([offer.head.all_confidence[chosen] for offer in offers]),
        losses=np.column_stack([offer.losses[chosen] for offer in offers]),
        costs=tuple(rising.tolist()),
    )


def choose_cuts(
    offers: Sequence[Offer], epsilons: Sequence[float], rows: NDArray[np.int64] | None = None
) -> list[tuple[Offer, ...]]:
    """For each of ``epsilons`` the heads with the least mean cost, at most one a cut; none where that saves nothing.

    A second exit is tried between the offers that are best alone.
    """
    single = [((offer,), judged([offer], rows).least_costs(epsilons)) for offer in offers]
    single.sort(key=lambda item: min(item[1]))
    near = [chosen[0] for chosen, _ in single[:_PAIRED]]
    pairs = [tuple(sorted(pair, key=lambda offer: offer.early)) for pair in combinations(near, 2)]
    double = [
        (pair, judged(pair, rows).least_costs(epsilons)) for pair in pairs if len({o.cut.name for o in pair}) == 2
    ]
    return [_cheapest(single, double, number) for number in range(len(epsilons))]


def _cheapest(
    single: Sequence[tuple[tuple[Offer, ...], list[float]]],
    double: Sequence[tuple[tuple[Offer, ...], list[float]]],
    number: int,
) -> tuple[Offer, ...]:
    best: tuple[Offer, ...] = ()
    least = _WORTH
    for found in (single, double):
        for chosen, costs in sorted(found, key=lambda item: item[1][number])[:1]:
            if costs[number] < least - (_ANOTHER_EXIT if best else 0.0):
                best, least = chosen, costs[number]
    return best


def choose_sets(
    offers: Sequence[Offer], epsilons: Sequence[float], inputs: NDArray[np.int64], *, most: int
) -> tuple[tuple[Offer, ...], ...]:
    """The sets to try, each once: the best for each loss, over inputs with their variations, and over inputs alone.

    Inputs that are easy for the model (it may have been trained on them) flatter early exits; their variations, which
    fail more often, tell better what new inputs will do. Neither tells how much more new inputs fail: half of the sets
    are single later cuts, the surest first. Which of the sets holds more is seen on the evaluation data.
    """
    ordered = sorted(epsilons)
    careful, plain = (choose_cuts(offers, ordered, rows) for rows in (None, inputs))
    fast = [chosen for both in zip(careful, plain, strict=True) for chosen in both if chosen]
    fast = list(dict.fromkeys(fast))[: (most + 1) // 2]
    return tuple(dict.fromkeys([*fast, *_surer(offers, ordered)]))[:most] if fast else ()


def _surer(offers: Sequence[Offer], epsilons: Sequence[float]) -> list[tuple[Offer, ...]]:
    """The best head of each cut that pays clearly, if no other is both surer and cheaper; the surest first."""
    best: dict[str, tuple[Offer, list[float]]] = {}
    for offer in offers:
        costs = judged([offer]).least_costs(epsilons)
        if offer.cut.name not in best or sum(costs) < sum(best[offer.cut.name][1]):
            best[offer.cut.name] = offer, costs
    found = [(float(o.losses.mean()), costs[-1], o) for o, costs in best.values() if costs[-1] < _PAYS_CLEARLY]
    found.sort(key=lambda item: item[:2])
    return [(offer,) for loss, cost, offer in found if not any(a < loss and b <= cost for a, b, _ in found)]
