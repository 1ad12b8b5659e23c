"""Selection: which one or two options serve the goals best, as things are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from edgehybrid.runtime.control.appraise import Appraised, Level, Menu, Row, Terms, appraised, punctual, weigh
from edgehybrid.runtime.control.doubt import in_doubt
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.goals import Goals
from edgehybrid.runtime.control.hull import Hull, Mix, for_worth, hull_of, upper_hull
from edgehybrid.runtime.control.prices import Warmth, cool
from edgehybrid.runtime.control.slowdown import SHARE_TAU_S, Slowdown

_SURE = 3.0  # standard deviations of a budget
_RARE = 0.05  # regimes with a smaller share of the time do not count
_MOST_REGIMES = 3
_FLATTER = 1 / 3
_EQUAL = 1e-3  # of the span of quality: nobody has measured such a difference


class Wanted(Struct, frozen=True, kw_only=True, gc=False):
    """What is to be served.

    Attributes:
        goals: Of the mean, with what is owed.
        most_j: Energy that an input may take, by battery and goal; ``None`` when nothing limits it.
        doubt_j: Standard deviation of what the battery turns out to allow; 0 for a goal.
        warmth: What degrees cost; ``None`` when nobody knows the temperature.
        deadline_s: For each input; ``None`` without.
        late_share: Share of the inputs that may be late.
        late_worth: What a late answer is worth.
        span: Quality between the worst and the best option of the bundle.
        least_duty: Share of the inputs that must be run.
        skipped_worth: Of an input that is not.
        urgency: How much dearer (below 1) or cheaper a joule is for the inputs to come than for the mean.
    """

    goals: Goals
    most_j: float | None
    warmth: Warmth | None
    deadline_s: float | None
    late_share: float
    late_worth: float
    span: float
    doubt_j: float = 0.0
    least_duty: float = 1.0
    skipped_worth: float = 0.0
    urgency: float = 1.0

    @property
    def steep(self) -> float:
        """The span by which flat steps are cut: a battery that only has to last may be spent on flatter ones."""
        return self.span if self.goals.any else self.span * _FLATTER


class Choice(Struct, frozen=True, kw_only=True, gc=False):
    """What was chosen, and what for.

    Attributes:
        mix: One or two options.
        best: The best option without any limit of energy.
        kept: Every option that is in time.
        hull: Those of them that no mix of others beats.
        limit: ``"quality"``, ``"energy"``, ``"heat"`` or nothing: what made it less than the best.
        degree_price: Worth of a degree a minute ahead.
        duty: Share of the inputs that are run.
        hurried: Whether better options were left out because they would be late.
    """

    mix: Mix
    best: Appraised
    kept: Sequence[Appraised]
    hull: Hull
    limit: str = ""
    degree_price: float = 0.0
    duty: float = 1.0
    hurried: Appraised | None = None


def choose(menu: Menu, slow: Slowdown, cores: int, wanted: Wanted, scale: float) -> Choice:
    """Choose from ``menu`` with the slowdown as it is known.

    Without goals the best option; with a limit of energy the best mix within it; with a goal of quality the mix of
    least energy that reaches it, within the limit. Then degrees are paid for.
    """
    terms = Terms(cores, wanted.deadline_s, wanted.late_worth, scale)
    every = weigh(menu, slow, terms)
    rows = punctual(every, wanted.late_share)
    kept = appraised(menu, rows)
    hull = upper_hull(kept, wanted.steep)
    best = _first_of_equals(kept, hull[-1], wanted)
    hurried = None if len(every) == len(rows) else _hurried(menu, every, rows, best)
    mix, limit = _within_goals(menu, slow, terms, wanted, hull, best)
    price = 0.0
    mix, duty = _part_time(hull, mix, wanted) if limit == "energy" else (mix, 1.0)
    if wanted.warmth is not None:
        cooled = cool(hull, mix, wanted.warmth)
        mix, limit = cooled, "heat" if cooled is not mix else limit
        price = wanted.warmth.price(hull, mix.energy_j)
    limit = limit if limit == "heat" or (limit and mix.worth < best.worth) else ""
    return Choice(mix=mix, best=best, kept=kept, hull=hull, limit=limit, degree_price=price, duty=duty, hurried=hurried)


def _part_time(hull: Hull, mix: Mix, wanted: Wanted) -> tuple[Mix, float]:
    """Leave inputs out where even the cheapest option takes too much: the best option for a joule, and its share.

    To leave one out is an option without energy, so the best mix with it lies on the hull's tangent through it.
    """
    most_j, skipped = wanted.most_j, wanted.skipped_worth
    if wanted.least_duty >= 1.0 or most_j is None or hull[0].energy_j <= most_j:
        return mix, 1.0
    one = max(hull, key=lambda a: (a.worth - skipped) / a.energy_j)
    if one.worth <= skipped or most_j < wanted.least_duty * one.energy_j:
        one = hull[0]
    alone = evolve(mix, low=one, high=one, share=0.0)
    return alone, max(most_j / one.energy_j, wanted.least_duty)


def _within_goals(
    menu: Menu, slow: Slowdown, terms: Terms, wanted: Wanted, hull: Hull, best: Appraised
) -> tuple[Mix, str]:
    """Return what serves the goals of the sums, and which of them binds: one price of a joule for all regimes."""
    mix, limit, goal = Mix(low=best, high=best, share=0.0, price=0.0), "", wanted.goals.worth
    sure_j = None if wanted.most_j is None else wanted.most_j - _SURE * wanted.doubt_j
    if goal is None and (sure_j is None or best.energy_j <= sure_j):
        return mix, limit
    hulls = [(1.0, hull), *_elsewhere(menu, slow, terms, wanted)]
    if goal is not None:
        mix, limit = for_worth(hulls, goal), "quality"
    if wanted.most_j is not None and (limit == "" or mix.energy_j > wanted.most_j):
        within = in_doubt(hulls, wanted.most_j, wanted.doubt_j, wanted.skipped_worth)
        if limit == "" or within.energy_j < mix.energy_j:
            mix, limit = within, "energy"
    return _urgent(hull, mix, wanted.urgency), limit


def _elsewhere(menu: Menu, slow: Slowdown, terms: Terms, wanted: Wanted) -> list[tuple[float, Hull]]:
    """Return the hulls of the other regimes, with their time over that of the present one."""
    regimes, now = slow.regimes, str(slow.regime)
    here = regimes.get(now)
    if not regimes or (len(regimes) == 1 and here is not None):
        return []
    fade = math.exp(-slow.stayed_s / SHARE_TAU_S)
    here_s = (here.seen_s * fade if here else 0.0) + slow.stayed_s
    others = sorted([(regime.seen_s * fade, key) for key, regime in regimes.items() if key != now], reverse=True)
    total = sum([seen_s for seen_s, _ in others]) + here_s or 1.0
    found = []
    for seen_s, key in others[: _MOST_REGIMES - 1]:
        regime = regimes[key]
        if seen_s < _RARE * total or regime.visits == 0:
            continue
        rows = weigh(menu, slow, terms, Level(regime.log, regime.spread, float(key)))
        hull = appraised(menu, hull_of(punctual(rows, wanted.late_share), wanted.steep))
        found.append((seen_s / max(here_s, _RARE * total), hull))
    return found


def _first_of_equals(kept: Sequence[Appraised], top: Appraised, wanted: Wanted) -> Appraised:
    """Return the first in the bundle's order of those as good as the best: what nothing limits need not save energy."""
    least = top.worth - _EQUAL * wanted.span
    equals = [one for one in kept if one.worth >= least]
    if len(equals) == 1:
        return equals[0]
    return min(equals, key=lambda one: (one.option.rank, one.option.threads_index > 0, one.energy_j))


def _urgent(hull: Hull, mix: Mix, urgency: float) -> Mix:
    """Choose for inputs that matter more or less than usual: by the price of a joule, over or times their weight."""
    if urgency == 1.0 or mix.price <= 0:
        return mix
    price = mix.price / urgency
    chosen = max(hull, key=lambda one: one.worth - price * one.energy_j)
    return Mix(low=chosen, high=chosen, share=0.0, price=mix.price, reached=mix.reached)


def _hurried(menu: Menu, every: Sequence[Row], kept: Sequence[Row], best: Appraised) -> Appraised | None:
    """Return the best option that would be late too often, if it is better than what is left."""
    late, most = None, best.option.worth
    for row in every:
        worth = menu.options[row[2]].worth
        if worth > most:
            late, most = row, worth
    return None if late is None or late in kept else appraised(menu, [late])[0]
