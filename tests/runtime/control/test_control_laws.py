from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import RequestError
from edgehybrid.points import DepthFigures, OperatingPoint
from edgehybrid.profiles import Policy, load_device, load_policy
from edgehybrid.runtime import Context, Controller, Decision, Observation, Snapshot
from edgehybrid.runtime.control import State, load_state, save_state
from edgehybrid.testing.bundles import make_point

DEVICE = load_device("raspberry-pi-4b")
POLICY = load_policy("balanced")


def maybe(strategy: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | strategy


def leaving(point: OperatingPoint, relaxed: float, loss: float) -> OperatingPoint:
    """Give a point an exit half-way: a third of the inputs leave there, or more at the exit scalar 1 at a loss."""
    ms, quality = point.latency_ms.p50, point.quality
    return replace(
        point,
        depths=(
            DepthFigures(share=1 / 3, relaxed_share=relaxed, latency_ms=ms / 2, cpu_ms=ms / 2),
            DepthFigures(share=2 / 3, relaxed_share=1 - relaxed, latency_ms=ms, cpu_ms=ms),
        ),
        relaxed_quality=replace(quality, value=quality.value - loss),
    )


@st.composite
def bundles(draw: st.DrawFn) -> tuple[OperatingPoint, ...]:
    """The reference and one to five points, some with exits; less energy is not always quicker, nor worse."""
    energies = draw(st.lists(st.floats(0.1, 100), min_size=1, max_size=5))
    points = [
        make_point(f"p{i}", energy_mj=energy, latency_ms=draw(st.floats(0.1, 100)), drop=draw(st.floats(-0.01, 0.1)))
        for i, energy in enumerate(sorted(energies, reverse=True))
    ]
    exits = draw(st.lists(st.booleans(), min_size=len(points), max_size=len(points)))
    return (
        make_point("fp32", energy_mj=200, latency_ms=100),
        *(
            leaving(point, draw(st.floats(0.34, 0.9)), draw(st.floats(0, 0.05))) if exit_ else point
            for point, exit_ in zip(points, exits, strict=True)
        ),
    )


snapshots = st.builds(
    Snapshot,
    at_s=st.just(0.0),
    battery_pct=maybe(st.floats(0, 100)),
    battery_wh=maybe(st.floats(0, 50)),
    battery_w=maybe(st.floats(0, 10)),
    on_mains=st.none() | st.booleans(),
    soc_temp_c=maybe(st.floats(-20, 100)),
    throttled=st.none() | st.booleans(),
    under_voltage=st.none() | st.booleans(),
    memory_pressure_pct=maybe(st.floats(0, 100)),
    memory_free_mib=maybe(st.floats(0, 4000)),
)
contexts = st.builds(
    Context,
    deadline_s=maybe(st.floats(1e-4, 1)),
    until_s=maybe(st.floats(100, 1e5)),
    foreground=st.none() | st.booleans(),
    user_waiting=st.none() | st.booleans(),
)
policies = st.builds(lambda drop: replace(POLICY, max_drop=drop), maybe(st.floats(0, 0.1)))


@st.composite
def lived(draw: st.DrawFn) -> Controller:
    """A controller with a past: it has decided and observed, so that its state can be anything that occurs."""
    points = draw(bundles())
    controller = Controller(points, DEVICE, draw(policies))
    for second in range(draw(st.integers(0, 6))):
        decision = controller.decide(replace(draw(snapshots), at_s=-100.0 + 10 * second), draw(contexts))
        latency_s = draw(st.floats(1e-4, 1))
        controller.observe(Observation(at_s=-99.0 + second, point=decision.point, depth=1, latency_s=latency_s))
    return controller


def twin(controller: Controller) -> Controller:
    """The same controller in the same state."""
    return Controller(controller._points, controller._device, controller._policy, state=controller.state)


def energy(controller: Controller, decision: Decision) -> float:
    """Mean energy of an input by the bundle, over both halves of a time-share."""
    halves = [(decision.point, decision.threads, decision.share)]
    if decision.alternate is not None:
        halves.append((decision.alternate, decision.alternate_threads, 1.0 - decision.share))
    total = 0.0
    for point, threads, share in halves:
        option = controller._options.find(point, threads, decision.exit_scalar)
        assert option is not None
        total += share * option.energy_j
    return total


def no_more(controller: Controller, worse: Decision, better: Decision) -> bool:
    return energy(controller, worse) <= energy(controller, better) * (1 + 1e-6)


@given(controller=lived(), snapshot=snapshots, context=contexts, less=st.floats(0, 1))
def test_less_battery_never_picks_a_more_expensive_point(
    controller: Controller, snapshot: Snapshot, context: Context, less: float
) -> None:
    """From the same state, with all else equal."""
    worse = replace(
        snapshot,
        battery_pct=None if snapshot.battery_pct is None else snapshot.battery_pct * less,
        battery_wh=None if snapshot.battery_wh is None else snapshot.battery_wh * less,
    )
    other = twin(controller)
    assert no_more(controller, other.decide(worse, context), controller.decide(snapshot, context))


@given(controller=lived(), snapshot=snapshots, context=contexts, more=st.floats(0, 80))
def test_hotter_never_picks_a_more_expensive_point(
    controller: Controller, snapshot: Snapshot, context: Context, more: float
) -> None:
    """From the same state, with all else equal."""
    worse = replace(snapshot, soc_temp_c=None if snapshot.soc_temp_c is None else snapshot.soc_temp_c + more)
    other = twin(controller)
    assert no_more(controller, other.decide(worse, context), controller.decide(snapshot, context))


@given(
    controller=lived(), snapshot=snapshots, context=contexts, budgets=st.tuples(st.floats(0, 200), st.floats(0, 200))
)
def test_a_smaller_budget_never_picks_a_more_expensive_point(
    controller: Controller, snapshot: Snapshot, context: Context, budgets: tuple[float, float]
) -> None:
    """From the same state, with all else equal: less energy for an input never makes it take more."""
    small, large = (replace(context, hints={"energy_mj": mj}) for mj in sorted(budgets))
    other = twin(controller)
    assert no_more(controller, other.decide(snapshot, small), controller.decide(snapshot, large))


@given(controller=lived(), snapshot=snapshots, context=contexts, tighter=st.floats(0.01, 1))
def test_a_tighter_deadline_never_promises_better_answers(
    controller: Controller, snapshot: Snapshot, context: Context, tighter: float
) -> None:
    """Threads may make it dearer, but what is expected of an input, late answers counted, never rises."""
    calm = replace(snapshot, battery_pct=None, battery_wh=None, soc_temp_c=None)
    worse = replace(context, deadline_s=tighter * (context.deadline_s or 1.0))
    loose, tight = controller.decide(calm, context), twin(controller).decide(calm, worse)
    if not (loose.guard or tight.guard or "dwell_left_s" in loose.numbers or "dwell_left_s" in tight.numbers):
        assert tight.numbers["expected_worth"] <= loose.numbers["expected_worth"] + 0.05 + 1e-9


@given(controller=lived(), snapshot=snapshots, context=contexts)
def test_the_floor_is_broken_only_by_a_guard(controller: Controller, snapshot: Snapshot, context: Context) -> None:
    """A point that loses more than allowed runs only when a guard says so, or when all lose more."""
    optimized = [point for point in controller._points if not point.is_reference]
    floor = controller._policy.max_drop
    kept = [point.name for point in optimized if floor is None or point.quality.drop <= floor]
    decision = twin(controller).decide(snapshot, context)
    waits = "dwell_left_s" in decision.numbers  # after a guard
    assert decision.guard or waits or not kept or decision.point in kept
    assert "fp32" != decision.point


@given(controller=lived(), snapshot=snapshots, context=contexts)
def test_every_decision_has_its_reason(controller: Controller, snapshot: Snapshot, context: Context) -> None:
    """The reason names the point, and the guard if there is one; the numbers are numbers."""
    decision = controller.decide(snapshot, context)
    assert decision.point in decision.reason
    assert decision.guard is None or decision.guard in decision.reason
    assert all(isinstance(value, float | int) for value in decision.numbers.values())


@given(controller=lived(), snapshot=snapshots, context=contexts)
def test_a_restored_state_goes_on_alike(controller: Controller, snapshot: Snapshot, context: Context) -> None:
    """Saved and restored, a controller is in the same state and takes the same decision."""
    state = load_state(save_state(controller.state))
    assert controller.state == state
    other = Controller(controller._points, controller._device, controller._policy, state=state)
    assert controller.decide(snapshot, context) == other.decide(snapshot, context)


@given(raw=st.binary(max_size=40))
def test_garbage_is_no_state(raw: bytes) -> None:
    """What is no saved state is refused with our error, or is an empty object: a fresh state."""
    try:
        state = load_state(raw)
    except RequestError:
        return
    assert State() == state


def five() -> tuple[OperatingPoint, ...]:
    return tuple(make_point(f"p{i}", energy_mj=10.0 - i, latency_ms=10.0 - i) for i in range(5))


def switches(points: list[str]) -> int:
    return sum(a != b for a, b in pairwise(points))


@given(centre=st.floats(10, 70), noise=st.lists(st.floats(-1, 1), min_size=50, max_size=100))
def test_a_noisy_gauge_does_not_oscillate(centre: float, noise: list[float]) -> None:
    """Noise smaller than the hysteresis moves the point at most once down each step, never up again."""
    controller = Controller(five(), DEVICE, POLICY)
    amplitude = POLICY.battery.hysteresis_pct / 2.01
    chosen = [
        controller.decide(Snapshot(at_s=60.0 * i, battery_pct=centre + amplitude * n)).point
        for i, n in enumerate(noise)
    ]
    assert chosen == sorted(chosen)


@given(centre=st.floats(60, 79), noise=st.lists(st.floats(-1, 1), min_size=50, max_size=100))
def test_a_noisy_sensor_does_not_oscillate(centre: float, noise: list[float]) -> None:
    """A sensor that jumps by a degree around a threshold moves the point down at most, never to and fro."""
    controller = Controller(five(), DEVICE, POLICY)
    chosen = [controller.decide(Snapshot(at_s=2.0 * i, soc_temp_c=centre + n)).point for i, n in enumerate(noise)]
    assert chosen == sorted(chosen)


@given(readings=st.lists(snapshots, min_size=20, max_size=60))
def test_going_up_is_bounded_by_the_dwell_time(readings: list[Snapshot]) -> None:
    """Whatever the device says, even at random, the engine goes up at most once per dwell time."""
    controller = Controller(five(), DEVICE, POLICY)
    chosen = [controller.decide(replace(now, at_s=2.0 * i)).point for i, now in enumerate(readings)]
    ups = sum(b < a for a, b in pairwise(chosen))
    assert ups <= 2.0 * len(readings) / POLICY.switching.dwell_s + 1


@pytest.mark.parametrize("policy", [POLICY, load_policy("performance"), load_policy("battery-saver")])
def test_every_shipped_policy_reaches_both_ends(policy: Policy) -> None:
    """Full and cool runs the best point, empty runs the last, under each policy."""
    controller = Controller(five(), DEVICE, policy)
    assert "p0" == controller.decide(Snapshot(at_s=0, battery_pct=100, soc_temp_c=30)).point
    assert (
        "p4"
        == controller.decide(Snapshot(at_s=1e4, battery_pct=policy.battery.least_below_pct - 0.1, soc_temp_c=30)).point
    )
