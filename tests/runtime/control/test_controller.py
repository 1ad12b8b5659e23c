from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgehybrid.errors import RequestError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy, Rule
from edgehybrid.runtime import Context, Controller, Decision, Observation, Snapshot
from edgehybrid.runtime.control import State

BETWEEN = 0.885  # half-way from "low" to "balanced"
Make = Callable[..., Controller]


def test_says_nothing_limits_when_the_device_says_nothing(make_controller: Make) -> None:
    """With every reading None the best optimized point runs, not the reference."""
    decision = make_controller().decide(Snapshot(at_s=0))
    assert ("max", "nothing limits: max", None) == (decision.point, decision.reason, decision.guard)


def test_the_reference_runs_only_when_it_is_alone(make_controller: Make, points: tuple[OperatingPoint, ...]) -> None:
    """Among others it is never chosen; alone it is; with nothing left there is an error."""
    assert "fp32" == make_controller(points=points[:1]).decide(Snapshot(at_s=0)).point
    everything_else = [point.name for point in points[1:]]
    assert "fp32" == make_controller().decide(Snapshot(at_s=0), excluded=everything_else).point
    with pytest.raises(RequestError, match="excluded"):
        make_controller().decide(Snapshot(at_s=0), excluded=["fp32", *everything_else])
    with pytest.raises(RequestError, match="no points"):
        make_controller(points=())


@pytest.mark.parametrize(
    ("pct", "point", "reason"),
    [
        (80, "max", "nothing limits (battery 80 %): max"),
        (60, "max", "nothing limits (battery 60 %): max"),
        (59, "high", "battery 59 % is below 60 %: high"),
        (44, "balanced", "battery 44 % is below 45 %: balanced"),
        (29, "low", "battery 29 % is below 30 %: low"),
        (14, "min", "battery 14 % is below 15 %: min"),
    ],
)
def test_battery_bands(make_controller: Make, pct: float, point: str, reason: str) -> None:
    """The points are spread evenly between the policy's two charges, each with its numbers."""
    decision = make_controller().decide(Snapshot(at_s=0, battery_pct=pct))
    assert (point, reason) == (decision.point, decision.reason)
    assert pct == decision.numbers["battery_pct"]


def test_mains_lifts_the_battery_limit(make_controller: Make) -> None:
    """A nearly empty battery does not matter on mains."""
    decision = make_controller().decide(Snapshot(at_s=0, battery_pct=3, on_mains=True))
    assert ("max", "nothing limits (on mains): max") == (decision.point, decision.reason)


def test_the_reason_names_where_it_came_from(make_controller: Make) -> None:
    """A change says from which point; staying does not."""
    controller = make_controller()
    controller.decide(Snapshot(at_s=0, battery_pct=90))
    assert (
        "battery 34 % is below 45 %: balanced (from max)" == controller.decide(Snapshot(at_s=1, battery_pct=34)).reason
    )
    assert "battery 34 % is below 45 %: balanced" == controller.decide(Snapshot(at_s=2, battery_pct=34)).reason


def test_going_up_waits_for_the_dwell_time(make_controller: Make) -> None:
    """Down at once, up only after the policy's 15 s, and the reason says how long that still is."""
    controller = make_controller()
    controller.decide(Snapshot(at_s=0, battery_pct=90))
    assert "min" == controller.decide(Snapshot(at_s=1, battery_pct=10)).point
    waiting = controller.decide(Snapshot(at_s=6, battery_pct=90))
    assert ("min", 10.0) == (waiting.point, waiting.numbers["dwell_left_s"])
    assert "max is allowed, min stays 10 s more" in waiting.reason
    assert "max" == controller.decide(Snapshot(at_s=16, battery_pct=90)).point


def test_a_change_from_before_a_restart_is_long_ago(
    points: tuple[OperatingPoint, ...], pi: DeviceProfile, policy: Policy
) -> None:
    """A restored state whose clock was ahead of the present one does not hold the engine down."""
    state = State(point="min", since_s=90_000.0)
    assert "max" == Controller(points, pi, policy, state=state).decide(Snapshot(at_s=5)).point


def test_a_little_charge_does_not_bring_it_back(make_controller: Make) -> None:
    """Back up only when the hysteresis of 3 % was regained."""
    controller = make_controller()
    assert "high" == controller.decide(Snapshot(at_s=0, battery_pct=59)).point
    held = controller.decide(Snapshot(at_s=100, battery_pct=62))
    assert ("high", "battery 62.0 % is not back above 63 %: high") == (held.point, held.reason)
    assert "max" == controller.decide(Snapshot(at_s=200, battery_pct=63)).point


@pytest.mark.parametrize(("temp", "point"), [(77, "max"), (77.6, "high"), (78.8, "min")])
def test_heat_steps_down_before_throttling(make_controller: Make, temp: float, point: str) -> None:
    """Where nothing tells the watts: from half of the headroom of 5 °C on, and the last point before it is gone."""
    decision = make_controller().decide(Snapshot(at_s=0, soc_temp_c=temp))
    assert point == decision.point
    assert decision.guard is None


def test_heating_up_counts_ahead(make_controller: Make) -> None:
    """A board that heats quickly steps down before it is hot; one that cools does not step further."""
    rising, falling = make_controller(), make_controller()
    for second in range(10):
        hot = rising.decide(Snapshot(at_s=second, soc_temp_c=63.0 + second))
        cool = falling.decide(Snapshot(at_s=second, soc_temp_c=74.0 - second))
    assert "max" != hot.point
    assert "soon" in hot.reason
    assert "max" == cool.point


@pytest.mark.parametrize(
    ("snapshot", "guard", "says"),
    [
        (Snapshot(at_s=0, soc_temp_c=82), "critical-temperature", "82 °C has reached 82 °C"),
        (Snapshot(at_s=0, throttled=True), "throttled", "firmware"),
        (Snapshot(at_s=0, under_voltage=True), "under-voltage", "voltage"),
        (Snapshot(at_s=0, battery_pct=4), "battery-empty", "battery 4 % is below 5 %"),
        (Snapshot(at_s=0, memory_free_mib=20), "memory", "20 MiB"),
        (Snapshot(at_s=0, memory_pressure_pct=40), "memory", "40 %"),
    ],
)
def test_guards_force_the_most_economical_point(
    make_controller: Make, policy: Policy, snapshot: Snapshot, guard: str, says: str
) -> None:
    """Each guard acts at once, below the quality floor too, with its name and its numbers."""
    decision = make_controller(policy=replace(policy, max_drop=0.01)).decide(snapshot)
    assert ("min", guard) == (decision.point, decision.guard)
    assert says in decision.reason


def test_a_guard_keeps_its_hold_for_the_dwell_time(make_controller: Make) -> None:
    """After a guard has let go, the dwell time passes before anything better runs."""
    controller = make_controller()
    for second in range(30):
        controller.decide(Snapshot(at_s=second, under_voltage=True))
    assert "min" == controller.decide(Snapshot(at_s=40)).point
    assert "max" == controller.decide(Snapshot(at_s=44.5)).point


def test_the_quality_floor_holds(make_controller: Make, policy: Policy) -> None:
    """Below the floor nothing is chosen, however empty the battery; the reason mentions the floor."""
    decision = make_controller(policy=replace(policy, max_drop=0.01)).decide(Snapshot(at_s=0, battery_pct=10))
    assert "balanced" == decision.point
    assert "the last above the quality floor" in decision.reason


def test_a_floor_that_nothing_keeps_leaves_the_best(
    make_controller: Make, policy: Policy, points: tuple[OperatingPoint, ...]
) -> None:
    """When every point loses more than allowed, the one that loses least runs."""
    controller = make_controller(points=points[3:], policy=replace(policy, max_drop=0.0))
    assert "balanced" == controller.decide(Snapshot(at_s=0, battery_pct=10)).point


def test_a_deadline_takes_the_first_point_that_keeps_it(make_controller: Make) -> None:
    """Latencies of the bundle decide at first, with a reserve for what is not yet known; the numbers are told."""
    decision = make_controller().decide(Snapshot(at_s=0), Context(deadline_s=0.022))
    assert "low" == decision.point
    assert "max would keep 22 ms" in decision.reason
    assert decision.numbers["in_time"] >= 0.95


def test_a_deadline_that_nothing_keeps_takes_the_quickest(make_controller: Make) -> None:
    """The quickest point runs and the reason says how often it will be in time."""
    decision = make_controller().decide(Snapshot(at_s=0), Context(deadline_s=0.001))
    assert "min" == decision.point
    assert "no point keeps 1 ms often enough" in decision.reason


def observe(controller: Controller, point: str, latency_s: float, n: int, start_s: float = 0.0) -> None:
    for i in range(n):
        controller.observe(Observation(at_s=start_s + i, point=point, depth=1, latency_s=latency_s))


def test_a_slow_device_is_learned_from_any_point(make_controller: Make) -> None:
    """Runs of one point teach about the others: at three times the latency another point keeps the deadline."""
    controller, context = make_controller(), Context(deadline_s=0.04)
    observe(controller, "max", 0.02, n=5)
    assert ("max", 1) == _chosen(controller.decide(Snapshot(at_s=5), context))
    observe(controller, "max", 0.06, n=20, start_s=6)
    decision = controller.decide(Snapshot(at_s=100), context)
    assert decision.point in ("balanced", "high")
    assert 3.0 == pytest.approx(decision.numbers["slowdown"], rel=0.1)


def _chosen(decision: Decision) -> tuple[str, int | None]:
    return decision.point, decision.threads


def test_threads_are_added_where_the_deadline_asks_for_them(make_controller: Make) -> None:
    """A goal of quality that one thread cannot keep in time is kept with more of them, and only then."""
    controller = make_controller()
    observe(controller, "max", 0.02, n=20)
    goal = {"min_quality": 0.95}
    assert ("max", 1) == _chosen(controller.decide(Snapshot(at_s=30), Context(deadline_s=0.03, hints=goal)))
    hurried = controller.decide(Snapshot(at_s=31), Context(deadline_s=0.018, hints=goal))
    assert "max" == hurried.point
    assert (hurried.threads or 1) > 1


def test_a_quality_goal_is_shared_between_two_points(make_controller: Make) -> None:
    """The mean of the two is the goal, the cheaper gets its part, and the reason names both with their shares."""
    decision = make_controller().decide(Snapshot(at_s=0), Context(hints={"min_quality": BETWEEN}))
    assert ("balanced", "low") == (decision.point, decision.alternate)
    assert BETWEEN == pytest.approx(decision.numbers["expected_worth"])
    assert 0.5 == pytest.approx(decision.share)
    assert "balanced 50%, low 50%" in decision.reason


def test_what_was_missed_is_paid_back(make_controller: Make) -> None:
    """After late answers more is asked of the next inputs, until the mean is the goal again."""
    controller, context = make_controller(), Context(deadline_s=1.0, hints={"min_quality": 0.9})
    before = controller.decide(Snapshot(at_s=0), context)
    for i in range(3):
        controller.observe(Observation(at_s=i, point=before.point, depth=1, latency_s=2.0))
    after = controller.decide(Snapshot(at_s=3), replace(context, deadline_s=100.0))
    assert after.numbers["expected_worth"] > before.numbers["expected_worth"]


def test_two_points_share_only_where_both_fit(make_controller: Make, policy: Policy) -> None:
    """Without room for a second model, or where the policy says so, one point serves: the better one for a goal."""
    goal = Context(hints={"min_quality": BETWEEN})
    full = make_controller().decide(Snapshot(at_s=0, memory_free_mib=64.0), goal)
    never = replace(policy, switching=replace(policy.switching, time_share=False))
    alone = make_controller(policy=never).decide(Snapshot(at_s=0), goal)
    assert ("balanced", None) == (full.point, full.alternate) == (alone.point, alone.alternate)


def test_an_accelerator_that_is_gone_takes_its_points_along(
    make_controller: Make, points: tuple[OperatingPoint, ...]
) -> None:
    """Points placed on it are left out while it does not answer, and come back with it."""
    placed = tuple(replace(p, placement={"main": "hailo"}) if p.name in ("max", "high") else p for p in points)
    controller = make_controller(points=placed)
    assert "balanced" == controller.decide(Snapshot(at_s=0, npu_present=False)).point
    assert "max" == controller.decide(Snapshot(at_s=1, npu_present=True)).point


def test_important_inputs_pay_more_for_a_joule(make_controller: Make) -> None:
    """Under a limit of energy, importance moves the choice up, unimportance down; 0.5 changes nothing."""
    limit = Context(hints={"energy_mj": 8.0})
    usual = make_controller().decide(Snapshot(at_s=0), limit)
    worth = {
        i: make_controller().decide(Snapshot(at_s=0), replace(limit, importance=i)).numbers["expected_worth"]
        for i in (0.0, 0.5, 1.0)
    }
    assert worth[0.0] < usual.numbers["expected_worth"] == worth[0.5] < worth[1.0]


def test_rules_of_the_policy_follow_the_app_and_the_clock(make_controller: Make, policy: Policy) -> None:
    """A rule acts while all that it asks for holds: an own key, the supply, the time of day; its name is the reason."""
    night = Rule(name="night", between=("22:00", "06:00"), steps=1)
    quiet = Rule(name="quiet", when={"scene": "empty", "charging": False}, steps=2)
    controller = make_controller(policy=replace(policy, rules=(night, quiet)))
    empty = Context(hints={"scene": "empty"})
    assert "max" == controller.decide(Snapshot(at_s=0), Context()).point
    assert "max" == controller.decide(Snapshot(at_s=1, on_mains=True), empty).point
    decision = controller.decide(Snapshot(at_s=2, on_mains=False), empty)
    assert "balanced" == decision.point
    assert "rule 'quiet'" in decision.reason
    late = make_controller(policy=replace(policy, rules=(night,)))
    assert "high" == late.decide(Snapshot(at_s=23 * 3600.0), Context(midnight_s=0.0)).point
    assert "max" == late.decide(Snapshot(at_s=32 * 3600.0), Context(midnight_s=0.0)).point


def test_unknown_points_teach_nothing(make_controller: Make) -> None:
    """Observations of a point that the bundle does not have change nothing."""
    controller = make_controller()
    before = controller.state
    observe(controller, "turbo", 1.0, n=3)
    assert before == controller.state


def test_the_background_costs_steps(make_controller: Make) -> None:
    """In the background one step lower; not while somebody waits."""
    controller = make_controller()
    assert "high" == controller.decide(Snapshot(at_s=0), Context(foreground=False)).point
    assert "max" == make_controller().decide(Snapshot(at_s=0), Context(foreground=False, user_waiting=True)).point


def test_the_energy_plan_replaces_the_bands(make_controller: Make) -> None:
    """With an end of the mission, a low charge that lasts is enough, and a high one that does not is not."""
    until = Context(until_s=3600.0)
    lasts = Snapshot(at_s=0, battery_pct=20, battery_wh=8.0)
    assert "max" == make_controller().decide(lasts, until).point
    controller = make_controller()
    for i in range(200):  # 20 inferences a second at max: 0.4 W over the idle 2.65 W
        controller.observe(Observation(at_s=i / 20, point="max", depth=1, latency_s=0.02))
    decision = controller.decide(Snapshot(at_s=10, battery_pct=90, battery_wh=2.5), until)
    assert "min" == decision.point
    assert "2.50 Wh for 1 h allow 0 mJ an input; no option is that cheap" in decision.reason


def test_what_the_device_draws_besides_is_measured(make_controller: Make) -> None:
    """With a power reading the plan counts the display and the radio too, not only the idle board."""
    controller, until = make_controller(), Context(until_s=3600.0)
    controller.decide(Snapshot(at_s=0), until)
    observe(controller, "max", 0.02, n=50)
    thirsty = Snapshot(at_s=49, battery_wh=4.0, battery_w=6.0)
    assert "min" == controller.decide(thirsty, until).point
