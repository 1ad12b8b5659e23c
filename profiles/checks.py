"""Ranges that profiles and policies must keep; each problem in words."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from datetime import time
from itertools import pairwise

from edgehybrid.profiles.schema import DeviceProfile, Policy, Rule


def device_problems(device: DeviceProfile) -> list[str]:
    """Say what is out of range in ``device``; empty when all is well."""
    problems = _not_finite(device, "")
    power, thermal = device.power, device.thermal
    problems += _positive(
        {
            "cpu.cores": device.cpu.cores,
            "cpu.max_mhz": device.cpu.max_mhz,
            "power.idle_w": power.idle_w,
            "memory_mib": device.memory_mib,
            "speed": device.speed,
        }
    )
    if not power.busy_w:
        problems.append("power.busy_w is empty, it needs the watts with one, two, ... cores busy")
    if any(b <= a for a, b in pairwise((power.idle_w, *power.busy_w))):
        problems.append("power.busy_w must rise with each core, from above power.idle_w")
    if len(power.busy_w) > device.cpu.cores:
        problems.append(f"power.busy_w has {len(power.busy_w)} values for {device.cpu.cores} cores")
    if not 0 <= power.uncertainty <= 2:
        problems.append(f"power.uncertainty is {power.uncertainty:g}, it must be 0 to 2 (0.2 means 20 %)")
    if not 0 < thermal.throttle_c < thermal.critical_c <= 150:
        problems.append("thermal must keep 0 < throttle_c < critical_c <= 150")
    if thermal.soft_limit_c is not None and not 0 < thermal.soft_limit_c <= thermal.throttle_c:
        problems.append("thermal.soft_limit_c must be above 0 and not above throttle_c")
    for i, pole in enumerate(thermal.poles):
        problems += _positive({f"thermal.poles[{i}].kelvin": pole.kelvin, f"thermal.poles[{i}].tau_s": pole.tau_s})
    if not device.name.strip():
        problems.append("name is empty")
    return problems


def policy_problems(policy: Policy) -> list[str]:
    """Say what is out of range in ``policy``; empty when all is well."""
    problems = _not_finite(policy, "")
    battery, thermal = policy.battery, policy.thermal
    for name in ("full_above_pct", "least_below_pct", "hysteresis_pct"):
        value = getattr(battery, name)
        if not 0 <= value <= 100:
            problems.append(f"battery.{name} is {value:g}, it must be 0 to 100")
    if battery.least_below_pct > battery.full_above_pct:
        problems.append("battery.least_below_pct must not be above battery.full_above_pct")
    for name, value in (("headroom_c", thermal.headroom_c), ("hysteresis_c", thermal.hysteresis_c)):
        if not 0 <= value <= 50:
            problems.append(f"thermal.{name} is {value:g}, it must be 0 to 50")
    problems += _positive({"switching.interval_s": policy.switching.interval_s})
    problems += _positive({"execution.max_threads": policy.execution.max_threads})
    at_least_zero = {
        "switching.dwell_s": policy.switching.dwell_s,
        "max_drop": policy.max_drop,
        "background_steps": policy.background_steps,
        "min_memory_mib": policy.min_memory_mib,
        "memory.resident_mib": policy.memory.resident_mib,
    }
    problems += [
        f"{name} is {v:g}, it must be at least 0" for name, v in at_least_zero.items() if v is not None and v < 0
    ]
    shares = {"late_share": policy.late_share, "exits.audit_share": policy.exits.audit_share}
    problems += [f"{name} is {v:g}, it must be 0 to 1" for name, v in shares.items() if not 0 <= v <= 1]
    if not 0 < policy.duty.least <= 1:
        problems.append(f"duty.least is {policy.duty.least:g}, it must be above 0 and at most 1")
    problems += _positive({"gate.max_age_s": policy.gate.max_age_s})
    for i, rule in enumerate(policy.rules):
        problems += [f"rules[{i}] ({rule.name}): {problem}" for problem in _rule_problems(rule)]
    if not policy.name.strip():
        problems.append("name is empty")
    return problems


def _rule_problems(rule: Rule) -> list[str]:
    problems = []
    shares = {
        "importance_below": rule.importance_below,
        "importance_above": rule.importance_above,
        "late_share": rule.late_share,
        "exit_scalar": rule.exit_scalar,
    }
    problems += [
        f"{name} is {v:g}, it must be 0 to 1" for name, v in shares.items() if v is not None and not 0 <= v <= 1
    ]
    if rule.steps < 0:
        problems.append(f"steps is {rule.steps}, it must be at least 0")
    if rule.max_drop is not None and rule.max_drop < 0:
        problems.append(f"max_drop is {rule.max_drop:g}, it must be at least 0")
    for text in rule.between or ():
        try:
            time.fromisoformat(text)
        except ValueError:
            problems.append(f'between has {text!r}, write times like "22:00"')
    for key in ("foreground", "user_waiting", "charging"):
        if key in rule.when and not isinstance(rule.when[key], bool):
            problems.append(f"when.{key} must be true or false")
    if not (rule.steps or rule.max_drop is not None or rule.late_share is not None or rule.exit_scalar is not None):
        problems.append("it changes nothing: give steps, max_drop, late_share or exit_scalar")
    return problems


def _positive(values: dict[str, float | None]) -> list[str]:
    return [f"{name} is {v:g}, it must be above 0" for name, v in values.items() if v is not None and v <= 0]


def _not_finite(value: object, at: str) -> list[str]:
    """TOML knows nan and inf; no figure of ours may be either."""
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{at} is {value}, it must be a number"]
    if isinstance(value, tuple):
        return [p for i, item in enumerate(value) for p in _not_finite(item, f"{at}[{i}]")]
    if is_dataclass(value):
        dot = f"{at}." if at else ""
        return [p for f in fields(value) for p in _not_finite(getattr(value, f.name), f"{dot}{f.name}")]
    return []
