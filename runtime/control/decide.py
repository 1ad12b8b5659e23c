"""The decision: a pure function of what is remembered, what the device says and what the app says."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from edgehybrid.runtime.control.evolve import evolve
from edgehybrid.runtime.control.goals import Goals, asked
from edgehybrid.runtime.control.guards import Guard, find_guard
from edgehybrid.runtime.control.hull import Mix
from edgehybrid.runtime.control.known import Known
from edgehybrid.runtime.control.learning import follow
from edgehybrid.runtime.control.limits import Limit, battery_limit, heat_limit
from edgehybrid.runtime.control.prices import Warmth, battery_budget, warmth_of
from edgehybrid.runtime.control.reasons import cause, mixture
from edgehybrid.runtime.control.rules import Effect, apply_rules
from edgehybrid.runtime.control.selection import Choice, Wanted, choose
from edgehybrid.runtime.control.state import State
from edgehybrid.runtime.control.steady import Present, approach, settle
from edgehybrid.runtime.control.values import Context, Decision
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import MIB

_DAY_S = 86_400.0
_FREE = Limit(level=0)


class Asked(Struct, frozen=True, kw_only=True, gc=False):
    """What the app asked for.

    Attributes:
        context: In its own words.
        goals: In numbers.
        late_worth: What a late answer is worth.
    """

    context: Context
    goals: Goals
    late_worth: float


def decide(state: State, known: Known, snapshot: Snapshot, wish: Asked) -> tuple[State, Decision]:
    """Choose what to run from now on.

    Going down happens at once; going back up after a sensor made it go down waits for the policy's dwell time.
    """
    context = wish.context
    day_s = None if context.midnight_s is None else (snapshot.at_s - context.midnight_s) % _DAY_S
    state = follow(state, snapshot, known.device, known.poles, day_s)
    effect = apply_rules(known.policy, snapshot, context, day_s)
    state, limit = _level(state, known, snapshot, context, effect)
    if guard := find_guard(snapshot, known.device, known.policy):
        return _forced(state, known, guard, snapshot)
    budget = battery_budget(state, snapshot, context, day_s)
    warmth = warmth_of(state, known.device, known.poles, known.policy, snapshot)
    goals = asked(state.debt, wish.goals, state.slow.pole)
    wanted = Wanted(
        goals=goals,
        most_j=min((j for j in (budget.most_j, goals.energy_j) if j is not None), default=None),
        doubt_j=budget.doubt_j,
        warmth=warmth,
        deadline_s=context.deadline_s,
        late_share=effect.late_share,
        late_worth=wish.late_worth,
        span=known.span,
        least_duty=known.policy.duty.least,
        skipped_worth=known.skipped_worth(wish.late_worth),
        urgency=effect.urgency,
    )
    menu = known.allowed(limit.level, effect.max_drop, effect.exit_scalar, snapshot.cpu_cores)
    choice = choose(menu, state.slow, known.device.cpu.cores, wanted, state.watts_scale)
    mix = approach(choice, now := _present(state), state.slow.pole)
    held = mix is not choice.mix
    mix = settle(mix, choice.kept, known.options, now, choice.limit)
    choice = evolve(choice, mix=mix if _two_fit(known, mix, snapshot) else mix.single(choice.limit))
    note = f" (not all at once: predictions were wrong of late by {math.sqrt(state.slow.missed):.0%})" if held else ""
    why = cause(choice, limit, budget, warmth, snapshot, context, wish.goals) + note
    numbers = {**limit.numbers, **budget.numbers, **_numbers(state, choice, context, warmth)}
    if choice.duty < 1.0:
        why = f"{why}, so {choice.duty:.0%} of inputs are run"
        numbers["skipped_worth"] = wanted.skipped_worth
    return _settle(state, known, choice.mix, limit, why, numbers, snapshot.at_s, choice.duty)


def _present(state: State) -> Present:
    """Return what runs now."""
    second = None if state.alternate is None else (state.alternate, state.alternate_threads)
    return Present(first=(state.point or "", state.threads), second=second, share=state.share, scalar=state.scalar)


def _level(state: State, known: Known, snapshot: Snapshot, context: Context, effect: Effect) -> tuple[State, Limit]:
    """Ask the concerns that know levels; those that the device or the app says nothing about do not limit."""
    rungs, policy = len(known.ladder.above_floor), known.policy
    battery = heat = _FREE
    planned = context.until_s is not None and snapshot.battery_wh is not None
    if not snapshot.on_mains and snapshot.battery_pct is not None and not planned:
        battery = battery_limit(snapshot.battery_pct, state.battery_level, rungs, policy.battery)
    if snapshot.soc_temp_c is not None:
        trend = snapshot.soc_temp_c - (snapshot.soc_temp_c if state.slow_temp_c is None else state.slow_temp_c)
        thermal = known.device.thermal
        heat = heat_limit(snapshot.soc_temp_c, trend, state.heat_level, rungs, thermal, policy.thermal)
    strictest = heat if heat.level >= battery.level else battery  # the first among equals
    numbers, why, level = {**heat.numbers, **battery.numbers}, strictest.why, strictest.level
    if (steps := min(effect.steps, rungs - 1)) > level:
        why, level = effect.why, steps
    if battery.level != state.battery_level or heat.level != state.heat_level:
        state = evolve(state, battery_level=battery.level, heat_level=heat.level)
    return state, Limit(level=level, why=why, numbers=numbers)


def _two_fit(known: Known, mix: Mix, snapshot: Snapshot) -> bool:
    """Tell whether two points may stay loaded side by side."""
    if mix.low is mix.high:
        return True
    if not known.policy.switching.time_share:
        return False
    free, second = snapshot.memory_free_mib, known.points[mix.low.option.point]
    return free is None or free - second.resident_bytes / MIB >= known.policy.min_memory_mib


def _numbers(state: State, choice: Choice, context: Context, warmth: Warmth | None) -> Mapping[str, float]:
    slow, mix = state.slow, choice.mix
    option = mix.high.option
    numbers = {
        "slowdown": slow.mean,
        "slowdown_sigma": math.sqrt(slow.of(option)[1] + slow.noise(option)) * slow.mean,
        "model_error": math.sqrt(slow.missed),
        "neighbours": slow.others,
        "inputs_per_s": state.arrivals.per_s,
        "price": mix.price,
        "expected_worth": mix.worth,
        "expected_j": mix.energy_j,
    }
    if warmth is not None:
        ahead_c = warmth.ahead_c(mix.energy_j)
        numbers |= {"degree_price": choice.degree_price, "heat_ahead_c": ahead_c, "ambient_c": state.heat.ambient_c}
    if context.deadline_s is not None:
        numbers |= {"deadline_s": context.deadline_s, "in_time": min(mix.low.in_time, mix.high.in_time)}
    return numbers


def _settle(
    state: State, known: Known, mix: Mix, limit: Limit, why: str, numbers: Mapping[str, float], at_s: float, duty: float
) -> tuple[State, Decision]:
    """Turn a choice into a decision, unless the present point has to stay a little longer."""
    high, low = mix.high.option, mix.low.option
    wait_s = _wait_s(state, known, high.point, at_s)
    if wait_s > 0 and state.point is not None:
        reason = f"{why}: {high.point} is allowed, {state.point} stays {wait_s:.0f} s more"
        return _stay(state, reason, {**numbers, "dwell_left_s": wait_s}, at_s)
    two = low is not high
    share = mix.share if two else 1.0
    changed = high.point != state.point
    origin = f" (from {state.point})" if changed and state.point else ""
    ladder = known.ladder
    last = ladder.above_floor != ladder.every and high.point == ladder.above_floor[-1].name and limit.level > 0
    note = ", the last above the quality floor" if last else ""
    scalar = low.scalar if high.scalar is None else high.scalar  # two points with exits share one
    decision = Decision(
        at_s=at_s,
        point=high.point,
        alternate=low.point if two else None,
        share=share,
        threads=high.threads,
        alternate_threads=low.threads if two else None,
        duty=duty,
        exit_scalar=scalar or 0.0,
        reason=f"{why}: {mixture(high, low, share)}{origin}{note}",
        numbers=numbers,
    )
    return _remember(state, decision, at_s if changed else state.since_s, held=limit.level > 0), decision


def _stay(state: State, reason: str, numbers: Mapping[str, float], at_s: float) -> tuple[State, Decision]:
    assert state.point is not None
    decision = Decision(
        at_s=at_s,
        point=state.point,
        threads=state.threads,
        exit_scalar=state.scalar or 0.0,
        reason=reason,
        numbers=numbers,
    )
    return _remember(state, decision, state.since_s, held=state.held), decision


def _forced(state: State, known: Known, guard: Guard, snapshot: Snapshot) -> tuple[State, Decision]:
    option = known.cheapest
    origin = f" (from {state.point})" if state.point not in (None, option.point) else ""
    decision = Decision(
        at_s=snapshot.at_s,
        point=option.point,
        threads=option.threads,
        reason=f"guard {guard.name}: {guard.why}: {option.point}{origin}",
        exit_scalar=1.0,
        guard=guard.name,
    )
    return _remember(state, decision, snapshot.at_s, held=True), decision


def _remember(state: State, decision: Decision, since_s: float | None, *, held: bool) -> State:
    return evolve(
        state,
        point=decision.point,
        alternate=decision.alternate,
        share=decision.share,
        threads=decision.threads,
        alternate_threads=decision.alternate_threads,
        scalar=decision.exit_scalar,
        since_s=since_s,
        held=held,
    )


def _wait_s(state: State, known: Known, wanted: str, at_s: float) -> float:
    """Return how long the present point must stay before going up to ``wanted``; 0 when it need not."""
    if not state.held or state.point not in known.ranks or state.since_s is None:
        return 0.0
    if known.ranks[wanted] >= known.ranks[state.point]:
        return 0.0
    passed = at_s - state.since_s
    if passed < 0:  # remembered from before a restart, whose clock began anew: long ago
        return 0.0
    return max(known.policy.switching.dwell_s / (1.0 - state.slow.pole) - passed, 0.0)
