"""What a joule is worth while nobody knows how many there are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgehybrid.profiles import load_device
from edgehybrid.runtime.control.appraise import Appraised
from edgehybrid.runtime.control.doubt import expected_price, steeper
from edgehybrid.runtime.control.hull import Hull, for_energy, upper_hull
from edgehybrid.runtime.control.options import Options
from edgehybrid.testing import make_point

OPTION = Options([make_point("max", energy_mj=1.0)], load_device("raspberry-pi-4b"), None).every[0]


def hull_of(*rows: tuple[float, float]) -> Hull:
    """Options of these energies and worths."""
    return [Appraised(OPTION, worth, energy_j, 1.0) for energy_j, worth in rows]


HULLS = st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.1, 1.0)), min_size=1, max_size=6).map(
    lambda rows: upper_hull(hull_of(*rows))
)
STEEP_THEN_FLAT = hull_of((0.1, 0.80), (0.2, 0.90), (0.6, 0.91))


@given(hull=HULLS, share=st.floats(0.01, 0.99))
def test_without_doubt_it_is_the_step_that_is_taken_in_part(hull: Hull, share: float) -> None:
    """The price of a budget that is known for sure is the hull's own."""
    assume(len(hull) > 1)
    budget_j = hull[0].energy_j + share * (hull[-1].energy_j - hull[0].energy_j)
    assert for_energy([(1.0, hull)], budget_j).price == pytest.approx(expected_price([(1.0, hull)], budget_j, 0.0, 0.0))


@given(here=HULLS, there=HULLS, mean=st.floats(0.0, 3.0), more=st.floats(0.0, 1.0), sd=st.floats(0.0, 1.0))
def test_a_larger_budget_never_makes_a_joule_dearer(
    here: Hull, there: Hull, mean: float, more: float, sd: float
) -> None:
    """So that the energy of an input rises with what the battery allows."""
    hulls = [(1.0, here), (0.5, there)]
    scarce, plenty = (expected_price(hulls, j, sd, 0.0) for j in (mean, mean + more))
    assert plenty <= scarce * (1 + 1e-9)


def test_a_flat_step_waits_for_the_day_when_more_is_known() -> None:
    """It is bought with a budget that is known, not with one that may turn out too small for the steep one."""
    known, doubtful = (expected_price([(1.0, STEEP_THEN_FLAT)], 0.4, sd, 0.0) for sd in (0.0, 0.2))
    assert 3 == len(steeper(STEEP_THEN_FLAT, known))
    assert 2 == len(steeper(STEEP_THEN_FLAT, doubtful))


def test_where_inputs_may_go_unanswered_only_the_cheapest_runs() -> None:
    """One chance in five that even the cheapest option cannot be paid to the end is worth more than any step."""
    price = expected_price([(1.0, STEEP_THEN_FLAT)], 0.15, 0.05, 0.0)
    assert 1 == len(steeper(STEEP_THEN_FLAT, price))
    assert 2 == len(steeper(STEEP_THEN_FLAT, expected_price([(1.0, STEEP_THEN_FLAT)], 0.15, 0.05, 0.79)))


@given(hull=HULLS, price=st.floats(0.0, 10.0))
def test_what_is_kept_is_worth_its_price(hull: Hull, price: float) -> None:
    """Every step that stays brings the price; the next one does not."""
    kept = steeper(hull, price)
    assert hull[: len(kept)] == kept
    assert all(b.worth - a.worth >= price * (b.energy_j - a.energy_j) for a, b in pairwise(kept))
    if len(kept) < len(hull):
        a, b = hull[len(kept) - 1 : len(kept) + 1]
        assert b.worth - a.worth < price * (b.energy_j - a.energy_j)
