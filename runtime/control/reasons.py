"""Decisions in words."""

from __future__ import annotations

import math

from edgehybrid.runtime.control.goals import Goals
from edgehybrid.runtime.control.limits import Limit
from edgehybrid.runtime.control.options import Option
from edgehybrid.runtime.control.prices import Budget, Warmth
from edgehybrid.runtime.control.selection import Choice
from edgehybrid.runtime.control.values import Context
from edgehybrid.runtime.telemetry import Snapshot

_NEAR = 1.01


def cause(
    choice: Choice,
    limit: Limit,
    budget: Budget,
    warmth: Warmth | None,
    snapshot: Snapshot,
    context: Context,
    goals: Goals,
) -> str:
    """Say what made the decision what it is."""
    deadline_s, mix = context.deadline_s, choice.mix
    if choice.limit == "heat" and warmth is not None:
        return _warm(choice, warmth)
    if choice.limit:
        return _goal(choice, budget, goals)
    if deadline_s is not None and choice.hurried is not None:
        ms, share = f"{deadline_s * 1e3:.3g} ms", min(mix.low.in_time, mix.high.in_time)
        if mix.low is mix.high and share < 0.5:
            return f"no point keeps {ms} often enough, the quickest in {_under(share)} of inputs"
        late = choice.hurried
        return f"{late.option.point} would keep {ms} in {_under(late.in_time)} of inputs"
    if limit.why:
        return limit.why
    seen = []
    if snapshot.on_mains:
        seen.append("on mains")
    elif snapshot.battery_pct is not None:
        seen.append(f"battery {snapshot.battery_pct:.0f} %")
    if snapshot.soc_temp_c is not None:
        seen.append(f"{snapshot.soc_temp_c:.0f} °C")
    return f"nothing limits ({', '.join(seen)})" if seen else "nothing limits"


def _warm(choice: Choice, warmth: Warmth) -> str:
    ahead_c = warmth.ahead_c(choice.mix.energy_j)
    if warmth.rest_c >= warmth.dearest_c:
        return f"{warmth.now_c:.4g} °C: also without inferences {warmth.rest_c:.4g} °C a minute ahead"
    return f"{warmth.now_c:.4g} °C, {ahead_c:.4g} °C in a minute: no dearer point is worth that heat"


def _goal(choice: Choice, budget: Budget, goals: Goals) -> str:
    mix = choice.mix
    if choice.limit == "quality":
        word = "reached" if mix.reached else "out of reach"
        return f"quality goal {abs(goals.worth or 0.0):.4g}, {word} at {1e3 * mix.energy_j:.3g} mJ an input"
    if not budget.why or budget.most_j is None:
        return f"energy goal {1e3 * (goals.energy_j or 0.0):.3g} mJ an input"
    return budget.why if mix.energy_j <= budget.most_j * _NEAR else f"{budget.why}; no option is that cheap"


def mixture(high: Option, low: Option, share: float) -> str:
    """Name one option, or two with their shares."""
    if high is low:
        return high.point
    a, b = high.point, low.point
    if a == b and high.threads != low.threads:
        a, b = f"{a} on {high.threads} threads", f"on {low.threads}"
    return f"{a} {share:.0%}, {b} {1 - share:.0%}"


def _under(share: float) -> str:
    """Show a share without rounding it up to what it does not reach."""
    return f"{math.floor(share * 1000) / 10:g} %"
