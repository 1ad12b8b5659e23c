"""A mission whose energy does not last for every input."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.profiles import DutyPolicy, load_device, load_policy
from edgehybrid.runtime import Context, Controller, Snapshot
from edgehybrid.runtime.duty import Duty
from edgehybrid.runtime.simulation import Ambient, Board, Document, Load, Mission, Pack, Random, Scenario, run_study
from edgehybrid.testing.bundles import make_point

POINTS = (
    make_point("fp32", energy_mj=40.0, latency_ms=40.0),
    make_point("max", energy_mj=20.0, latency_ms=20.0),
    make_point("min", energy_mj=8.0, latency_ms=8.0, drop=0.05),
)
ALL, SOME = load_policy("balanced"), replace(load_policy("balanced"), duty=DutyPolicy(least=0.2))


@given(duty=st.floats(0.01, 1.0), n=st.integers(1, 300))
def test_inputs_are_left_out_evenly(duty: float, n: int) -> None:
    """Of any number in a row the share of the duty is run, give or take one."""
    dealer = Duty(lambda: 0.0)
    assert n * duty == pytest.approx(sum(dealer.due(duty) for _ in range(n)), abs=1.0 + 1e-9)


@given(budgets=st.tuples(st.floats(0.0, 60.0), st.floats(0.0, 60.0)))
def test_less_energy_never_runs_more(budgets: tuple[float, float]) -> None:
    """Duty and point together take no more with a smaller budget, and only inputs that must be run are beyond it."""
    spent = []
    for mj in sorted(budgets):
        decision = Controller(POINTS, load_device("raspberry-pi-4b"), SOME).decide(
            Snapshot(at_s=0), Context(hints={"energy_mj": mj})
        )
        assert 0.2 <= decision.duty <= 1.0
        spent.append(decision.duty * decision.numbers["expected_j"])
    assert spent[0] <= spent[1] * (1 + 1e-6)


def test_nothing_is_left_out_unless_the_policy_lets_it() -> None:
    """By default every input is run, however small the budget; with a duty the reason says how many are."""
    none = Context(hints={"energy_mj": 2.0})
    device = load_device("raspberry-pi-4b")
    assert 1.0 == Controller(POINTS, device, ALL).decide(Snapshot(at_s=0), none).duty
    some = Controller(POINTS, device, SOME).decide(Snapshot(at_s=0), none)
    assert 0.2 == some.duty
    assert "20% of inputs are run" in some.reason


def test_a_battery_too_small_for_every_input_lasts() -> None:
    """Half of what the cheapest point takes at full rate: with a duty the board is there at the end."""
    rate_hz, hours, idle_w = 2.0, 1.0, 0.8
    cheapest_j = 8e-3 * 25.0
    doc = Document(
        schema=1,
        device=Board(profile="raspberry-pi-4b", case="fan", slowdown=25.0, idle_w=idle_w),
        ambient=Ambient(celsius=20.0),
        load=Load(rate_hz=rate_hz),
        battery=Pack(capacity_wh=1.04 * hours * (idle_w + 0.5 * rate_hz * cheapest_j), gauge_step_pct=2.0),
        mission=Mission(duration_h=hours, last_until_end=True),
        random=Random(seed=3, runs=2, model_error=0.05),
    )
    scenario = Scenario(name="duty", doc=doc)
    all_, some = (
        run_study(scenario, POINTS, policy, controllers=("edgehybrid",), interval_s=5.0).result("edgehybrid").outcomes
        for policy in (ALL, SOME)
    )
    assert all(o.died_h is not None and o.skipped == 0.0 for o in all_)
    assert all(o.died_h is None and 0.3 < o.skipped < 0.8 for o in some)
    assert min(o.worth for o in some) > 0.0
