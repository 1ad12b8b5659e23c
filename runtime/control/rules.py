"""Rules of the policy: what the app says, the supply and the time of day change."""

from __future__ import annotations

from datetime import time

from msgspec import Struct

from edgehybrid.profiles import Policy, Rule
from edgehybrid.runtime.control.values import Context
from edgehybrid.runtime.telemetry import Snapshot

_HOUR_S, _MINUTE_S = 3600, 60
_URGENT = 4.0  # importance 1 pays four times the price of a joule, 0 a quarter of it


class Effect(Struct, frozen=True, kw_only=True, gc=False):
    """What the rules that hold ask for, together.

    Attributes:
        steps: Points lower.
        late_share: Share of the inputs that may be late.
        max_drop: Quality floor besides the policy's; ``None`` without.
        exit_scalar: Least exit scalar.
        urgency: Times the price of a joule that the inputs are worth.
        why: Names of the rules that ask for steps.
    """

    steps: int
    late_share: float
    max_drop: float | None = None
    exit_scalar: float = 0.0
    urgency: float = 1.0
    why: str = ""


def apply_rules(policy: Policy, snapshot: Snapshot, context: Context, day_s: float | None) -> Effect:
    """Return what holds now. Steps add up, the strictest floor and the largest exit scalar win."""
    background = context.foreground is False and not context.user_waiting and policy.background_steps > 0
    steps, names = (policy.background_steps, ["the app is in the background"]) if background else (0, [])
    late_share, floor, scalar = policy.late_share, None, 0.0
    for rule in policy.rules:
        if not _holds(rule, snapshot, context, day_s):
            continue
        if rule.steps:
            steps += rule.steps
            names.append(f"rule {rule.name!r}")
        late_share = late_share if rule.late_share is None else rule.late_share
        if rule.max_drop is not None:
            floor = rule.max_drop if floor is None else min(floor, rule.max_drop)
        scalar = max(scalar, rule.exit_scalar or 0.0)
    importance = 0.5 if context.importance is None else context.importance
    return Effect(
        steps=steps,
        late_share=late_share,
        max_drop=floor,
        exit_scalar=scalar,
        urgency=_URGENT ** (2.0 * importance - 1.0),
        why=", ".join(names),
    )


def _holds(rule: Rule, snapshot: Snapshot, context: Context, day_s: float | None) -> bool:
    said = {
        **context.hints,
        "foreground": context.foreground,
        "user_waiting": context.user_waiting,
        "charging": snapshot.on_mains,
    }
    if any(said.get(key) != value for key, value in rule.when.items()):
        return False
    importance = context.importance
    if rule.importance_below is not None and not (importance is not None and importance < rule.importance_below):
        return False
    if rule.importance_above is not None and not (importance is not None and importance > rule.importance_above):
        return False
    return rule.between is None or (day_s is not None and _between(rule.between, day_s))


def _between(span: tuple[str, str], day_s: float) -> bool:
    start, end = (_seconds(time.fromisoformat(text)) for text in span)
    return start <= day_s < end if start <= end else day_s >= start or day_s < end


def _seconds(at: time) -> float:
    return at.hour * _HOUR_S + at.minute * _MINUTE_S + at.second
