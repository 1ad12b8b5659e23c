"""What joules and degrees cost, and how the price becomes what runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.points import DepthFigures, OperatingPoint
from edgehybrid.profiles import load_device, load_policy
from edgehybrid.runtime import Context, Controller, Observation, Snapshot
from edgehybrid.runtime.control.appraise import Appraised
from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.goals import Debt
from edgehybrid.runtime.control.hull import Hull, Mix, at_energy, upper_hull
from edgehybrid.runtime.control.options import Options
from edgehybrid.runtime.control.prices import Warmth, cool
from edgehybrid.runtime.control.slowdown import Slowdown
from edgehybrid.testing.bundles import make_point

DEVICE, POLICY = load_device("raspberry-pi-4b"), load_policy("balanced")
ANY = Options((make_point("max", energy_mj=1.0),), DEVICE, 1).every[0]
DOUBT = 1.3  # what not to know the board's speed adds to the energies that are expected at first
WARMTH = Warmth(now_c=70.0, rest_c=70.0, kelvin_per_j=2.0, free_c=75.0, dearest_c=77.5)
rows = st.lists(
    st.builds(lambda worth, energy: Appraised(ANY, worth, energy, 1.0), st.floats(0, 1), st.floats(0.1, 8)),
    min_size=1,
    max_size=8,
)


def best(hull: Hull) -> Mix:
    return Mix(low=hull[-1], high=hull[-1], share=0.0, price=0.0)


@given(rows=rows, rest_c=st.floats(20, 90), more=st.floats(0, 3))
def test_hotter_takes_less_and_never_jumps_back(rows: list[Appraised], rest_c: float, more: float) -> None:
    """The warmer it will be without us, the less energy an input gets, by no more than the heat that it saves."""
    hull = upper_hull(rows)
    cold, hot = (cool(hull, best(hull), evolve(WARMTH, rest_c=c)) for c in (rest_c, rest_c + more))
    assert hot.energy_j <= cold.energy_j + 1e-9
    assert hot.energy_j >= min(cold.energy_j - more / WARMTH.kelvin_per_j, hull[0].energy_j) - 1e-9


@given(rows=rows, rest_c=st.floats(20, 77))
def test_no_degree_is_used_beyond_the_dearest(rows: list[Appraised], rest_c: float) -> None:
    """What runs stays below the temperature where a degree is worth the steepest step, if the least option does."""
    hull = upper_hull(rows)
    warmth = evolve(WARMTH, rest_c=rest_c)
    mix = cool(hull, best(hull), warmth)
    assert warmth.ahead_c(mix.energy_j) <= max(warmth.dearest_c, warmth.ahead_c(hull[0].energy_j)) + 1e-6


def test_valuable_joules_get_the_last_degrees() -> None:
    """A step that brings much is taken nearer to the limit than one that brings little; below it degrees are free."""
    steep = upper_hull([Appraised(ANY, w, e, 1.0) for w, e in ((0.5, 1.0), (0.9, 2.0), (0.91, 4.0))])
    ahead = [evolve(WARMTH, rest_c=c).ahead_c(cool(steep, best(steep), evolve(WARMTH, rest_c=c)).energy_j)
             for c in (60.0, 70.0, 72.5, 75.0)]  # fmt: skip
    assert [68.0, 75.03125, 76.5, 77.5] == pytest.approx(ahead, abs=0.06)
    assert 0.0 == WARMTH.price(steep, 2.0) < WARMTH.price(steep, 3.0) <= WARMTH.price(steep, 99.0)


@given(rows=rows, rest_c=st.floats(20, 90), dear=st.floats(0.1, 12))
def test_degrees_that_cost_nothing_move_nothing(rows: list[Appraised], rest_c: float, dear: float) -> None:
    """The first of equals may take more than the best of the hull, and runs on while it is cool; then it gives way."""
    hull = upper_hull(rows)
    one = evolve(hull[-1], energy_j=dear)
    mix, warmth = Mix(low=one, high=one, share=0.0, price=0.0), evolve(WARMTH, rest_c=rest_c)
    free = warmth.ahead_c(dear) <= warmth.free_c
    assert (cool(hull, mix, warmth) is mix) or not free
    assert cool(hull, mix, warmth).energy_j <= dear


def early() -> tuple[OperatingPoint, ...]:
    """One point whose exits give up two points of quality for a third of the energy."""
    point = make_point("p", energy_mj=9.0, latency_ms=9.0)
    depths = (
        DepthFigures(share=0.2, relaxed_share=0.8, latency_ms=3.0, cpu_ms=3.0),
        DepthFigures(share=0.8, relaxed_share=0.2, latency_ms=9.0, cpu_ms=9.0),
    )
    relaxed = replace(point.quality, value=point.quality.value - 0.02)
    return make_point("fp32", energy_mj=20.0), replace(point, depths=depths, relaxed_quality=relaxed)


def test_the_price_moves_the_thresholds_continuously() -> None:
    """A little less energy moves the exit scalar a little up; the point stays, nothing is loaded."""
    controller = Controller(early(), DEVICE, POLICY)
    ends = [option.energy_j for option in controller._options.every if option.point == "p" and not option.threads_index]
    low, high = 1e3 * min(ends), 1e3 * max(ends)
    budgets = [(low + (high - low) * k / 20) * DOUBT for k in range(21)]
    decisions = [
        Controller(early(), DEVICE, POLICY).decide(Snapshot(at_s=0), Context(hints={"energy_mj": mj})) for mj in budgets
    ]
    scalars = [decision.exit_scalar or 0.0 for decision in decisions]

    assert all(("p", None) == (decision.point, decision.alternate) for decision in decisions)
    assert scalars == sorted(scalars, reverse=True)
    assert max(a - b for a, b in pairwise(scalars)) < 0.1
    assert any(0.0 < scalar < 1.0 for scalar in scalars)


@pytest.mark.parametrize(("floor", "scalar"), [(0.0, 0.0), (0.01, 0.5), (0.02, 1.0), (0.5, 1.0)])
def test_exits_go_no_further_than_the_floor(floor: float, scalar: float) -> None:
    """Under the smallest budget the thresholds stop where the policy's largest drop begins."""
    controller = Controller(early(), DEVICE, replace(POLICY, max_drop=floor))
    decision = controller.decide(Snapshot(at_s=0), Context(hints={"energy_mj": 0.0}))

    assert scalar == pytest.approx(decision.exit_scalar, abs=0.002)


@given(errors=st.lists(st.floats(-3, 3), max_size=30))
def test_the_pole_is_a_share(errors: list[float]) -> None:
    """However wrong the predictions were, changes are held back by less than all."""
    assert 0.0 <= Slowdown(missed=sum(e * e for e in errors) / max(len(errors), 1)).pole < 1.0


def test_wrong_predictions_make_smaller_steps() -> None:
    """After latencies that nobody could foresee the way up to a larger budget is taken in parts, down at once."""
    points = tuple(
        make_point(f"p{i}", energy_mj=10.0 - 2 * i, latency_ms=10.0 - 2 * i, drop=0.02 * i) for i in range(4)
    )
    calm, wild = Controller(points, DEVICE, POLICY), Controller(points, DEVICE, POLICY)
    for controller, factors in ((calm, (1.0,) * 20), (wild, (0.2, 5.0) * 10)):
        for i, factor in enumerate(factors):
            controller.decide(Snapshot(at_s=float(i)), Context(hints={"energy_mj": 5.0}))
            controller.observe(Observation(at_s=i + 0.5, point="p3", depth=1, latency_s=4e-3 * factor))
    assert 0.0 == calm.state.slow.pole < 0.3 < wild.state.slow.pole
    calm, wild = (Controller(points, DEVICE, POLICY, state=evolve(c.state, debt=Debt())) for c in (calm, wild))
    before = wild.decide(Snapshot(at_s=21.0), Context(hints={"energy_mj": 0.0})).numbers
    wished_j = 2.0 * before["expected_j"]
    up = wild.decide(Snapshot(at_s=22.0), Context(hints={"energy_mj": 1e3 * wished_j}))
    assert before["expected_j"] < up.numbers["expected_j"] < 0.95 * wished_j
    assert "wrong of late" in up.reason
    down = wild.decide(Snapshot(at_s=23.0), Context(hints={"energy_mj": 0.0}))
    assert before["expected_j"] == pytest.approx(down.numbers["expected_j"])


def test_a_pair_does_not_come_and_go() -> None:
    """Budgets that sway around a point by a little keep the same two options; only their shares move."""
    points = tuple(
        make_point(f"p{i}", energy_mj=10.0 - 2 * i, latency_ms=10.0 - 2 * i, drop=0.02 * i) for i in range(4)
    )
    controller = Controller(points, DEVICE, POLICY)
    energies = sorted({1e3 * o.energy_j for o in controller._options.every if not o.threads_index})
    level = Controller(points, DEVICE, POLICY).decide(Snapshot(at_s=0), Context(hints={"energy_mj": energies[2]}))
    scale = energies[2] / (1e3 * level.numbers["expected_j"])  # the doubt of the slowdown makes all dearer
    pairs = []
    for i in range(40):
        context = Context(hints={"energy_mj": energies[2] * scale * (1.0 + 0.005 * (-1) ** i)})
        decision = controller.decide(Snapshot(at_s=float(i)), context)
        pairs.append((decision.point, decision.alternate))
    assert sum(a != b for a, b in pairwise(pairs)) <= 1


def test_both_halves_of_a_pair_share_one_dial() -> None:
    """Two points with exits never wish for two settings: what is promised is what runs."""
    points = (*early(), replace(early()[1], name="q", energy_mj=replace(early()[1].energy_mj, value=4.0)))
    controller = Controller(points, DEVICE, POLICY)
    for mj in range(1, 30):
        controller.decide(Snapshot(at_s=float(mj)), Context(hints={"energy_mj": mj / 2}))
        decision = controller.decide(Snapshot(at_s=float(mj)), Context(hints={"energy_mj": mj / 2}))
        halves = [(decision.point, decision.share), (decision.alternate or decision.point, 1.0 - decision.share)]
        options = [controller._options.find(name, None, decision.exit_scalar) for name, _ in halves]
        told = sum(share * option.worth for (_, share), option in zip(halves, options, strict=True) if option)
        assert told == pytest.approx(decision.numbers["expected_worth"], abs=2e-3)


def test_a_mix_at_an_energy_takes_it() -> None:
    """Between the ends of the hull the two neighbours take exactly what is asked."""
    hull = upper_hull([Appraised(ANY, w, e, 1.0) for w, e in ((0.5, 1.0), (0.9, 2.0), (0.91, 4.0))])
    assert [1.0, 1.5, 3.0, 4.0] == pytest.approx([at_energy(hull, e).energy_j for e in (0.2, 1.5, 3.0, 9.0)])
