"""What a joule is worth while nobody knows how many there are."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgehybrid.profiles import load_device
from edgehybrid.runtime.control.appraise import Appraised
from edgehybrid.runtime.control.doubt import expected_price, in_doubt
from edgehybrid.runtime.control.hull import Hull, for_energy, stairs_of, upper_hull
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
    """The price of a budget that is known for sure is the hull's own, and nothing else is run."""
    assume(len(hull) > 1)
    budget_j = hull[0].energy_j + share * (hull[-1].energy_j - hull[0].energy_j)
    sure = for_energy([(1.0, hull)], budget_j)
    assert sure.price == pytest.approx(expected_price(stairs_of([(1.0, hull)]), budget_j, 0.0, 0.0))
    assert sure == in_doubt([(1.0, hull)], budget_j, 0.0, 0.0)


@given(here=HULLS, there=HULLS, mean=st.floats(0.0, 3.0), more=st.floats(0.0, 1.0), sd=st.floats(0.0, 1.0))
def test_a_larger_budget_never_buys_less(here: Hull, there: Hull, mean: float, more: float, sd: float) -> None:
    """A joule gets no dearer, and an input never gets less energy."""
    hulls = [(1.0, here), (0.5, there)]
    scarce, plenty = (expected_price(stairs_of(hulls), j, sd, 0.0) for j in (mean, mean + more))
    assert plenty <= scarce * (1 + 1e-9)
    little, much = (in_doubt(hulls, j, sd, 0.0).energy_j for j in (mean, mean + more))
    assert little <= much * (1 + 1e-9)


@given(hull=HULLS, mean=st.floats(0.0, 3.0), sd=st.floats(0.0, 1.0))
def test_doubt_never_spends_more(hull: Hull, mean: float, sd: float) -> None:
    """What is not known for sure is not spent beyond its even share."""
    assert in_doubt([(1.0, hull)], mean, sd, 0.0).energy_j <= for_energy([(1.0, hull)], mean).energy_j * (1 + 1e-9)


def test_a_flat_step_waits_for_the_day_when_more_is_known() -> None:
    """It is bought with a budget that is known, not with one that may turn out too small for the steep one."""
    known, doubtful = (in_doubt([(1.0, STEEP_THEN_FLAT)], 0.4, sd, 0.0) for sd in (0.0, 0.2))
    assert 0.4 == pytest.approx(known.energy_j)
    assert 0.2 == pytest.approx(doubtful.energy_j)


def test_where_inputs_may_go_unanswered_only_the_cheapest_runs() -> None:
    """One chance in five that even the cheapest option cannot be paid to the end is worth more than any step."""
    dear, cheap = (in_doubt([(1.0, STEEP_THEN_FLAT)], 0.15, 0.05, unanswered) for unanswered in (0.0, 0.79))
    assert 0.1 == pytest.approx(dear.energy_j)
    assert 0.15 == pytest.approx(cheap.energy_j)
