from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.profiles import load_device
from edgehybrid.runtime.control.appraise import Appraised
from edgehybrid.runtime.control.hull import for_energy, for_worth, upper_hull
from edgehybrid.runtime.control.options import Options
from edgehybrid.testing.bundles import make_point

ANY = Options((make_point("max", energy_mj=1.0),), load_device("raspberry-pi-4b"), 1).every[0]
rows = st.lists(
    st.builds(
        lambda worth, energy, i: Appraised(replace(ANY, index=i), worth, energy, 1.0),
        st.floats(0, 1),
        st.floats(1e-3, 1),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=12,
)


@given(rows=rows, shares=st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_no_mix_of_any_options_beats_the_hull(rows: list[Appraised], shares: list[float]) -> None:
    """For the energy of any mixture, the two options on the hull bring at least its quality."""
    total = sum(shares[: len(rows)])
    weights = [s / total if total > 0 else float(i == 0) for i, s in enumerate(shares[: len(rows)])]
    energy = sum(w * row.energy_j for w, row in zip(weights, rows, strict=True))
    worth = sum(w * row.worth for w, row in zip(weights, rows, strict=True))
    mix = for_energy([(1.0, upper_hull(rows))], energy)
    assert mix.energy_j <= energy * (1 + 1e-9) + 1e-9 or not mix.reached
    assert mix.worth >= worth - 1e-6


def test_a_step_that_costs_next_to_nothing_is_taken() -> None:
    """Energies that differ in the last bit are the same energy: the better option serves."""
    poor, good = Appraised(ANY, 0.0, 1e-3, 1.0), Appraised(ANY, 1.0, 1e-3 * (1 + 3e-16), 1.0)
    mix = for_energy([(1.0, upper_hull([poor, good]))], good.energy_j)

    assert 1.0 == pytest.approx(mix.worth)


@given(rows=rows, goal=st.floats(0, 1), more=st.floats(0, 1))
def test_quality_and_energy_rise_together(rows: list[Appraised], goal: float, more: float) -> None:
    """A higher goal never takes less energy; a larger budget never brings less quality."""
    hull = [(1.0, upper_hull(rows))]
    low, high = sorted((goal, more))
    assert for_worth(hull, low).energy_j <= for_worth(hull, high).energy_j + 1e-9
    assert for_energy(hull, low).worth <= for_energy(hull, high).worth + 1e-9


def test_one_price_for_a_joule_in_every_regime() -> None:
    """Where a joule buys more quality it is spent first: the dear regime stays low."""
    low, high = Appraised(ANY, 0.8, 1.0, 1.0), Appraised(ANY, 0.9, 2.0, 1.0)
    dear_low, dear_high = Appraised(ANY, 0.8, 2.0, 1.0), Appraised(ANY, 0.9, 4.0, 1.0)
    calm, dear = upper_hull([low, high]), upper_hull([dear_low, dear_high])
    assert 0.9 == pytest.approx(for_worth([(1.0, calm), (1.0, dear)], 0.85).worth)
    assert dear_low is for_worth([(1.0, dear), (1.0, calm)], 0.85).low
    assert 0.5 == pytest.approx(for_worth([(1.0, dear), (1.0, calm)], 0.875).share)
