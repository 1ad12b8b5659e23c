"""Whether an accelerator may serve: pure decisions, the clock is given.

An accelerator that failed is *out* and is tried again after a wait that doubles with every failed probe. A probe is a
load and its golden self-test. One that fails again soon after it came back goes on with the doubled wait, so that a
loose plug does not make the engine flap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
"""Longest wait between probes of one that has served before."""

NEVER_WORKED_WAIT_S = 600.0
"""Longest wait for one that never passed its first load: it may be missing for good."""

RELAPSE_S = 60.0
"""Failing again within this time of coming back counts as the same failure."""

NPU_HOT_C, NPU_COOL_C = 85.0, 75.0
"""Out from the first temperature on (Coral and Hailo lower their clock there or a little later), well at the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Well:
    """It may serve. Goes to Out when it fails; ``wait_s`` is the wait that it would go on with until ``calm_s``."""

    wait_s: float = FIRST_WAIT_S
    calm_s: float = 0.0
    served: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """It may not serve. Goes to Well when a probe passes.

    Attributes:
        why: In words.
        since_s: When it failed.
        due_s: When the next probe is due.
        wait_s: The wait before that probe.
        probes: Probes that failed since.
        served: Whether it ever worked.
        held: Why there is no sense in a probe now (gone from its bus, too hot); empty when there is.
    """

    why: str
    since_s: float
    due_s: float
    wait_s: float
    probes: int = 0
    served: bool = True
    held: str = ""


Health = Well | Out


def fail(health: Health, at_s: float, why: str, *, held: str = "") -> Out:
    """It failed while it served, or telemetry says that it will; one that is out already stays as it is."""
    if isinstance(health, Out):
        return replace(health, held=held) if held else health
    wait_s = health.wait_s if at_s < health.calm_s else FIRST_WAIT_S
    return Out(why=why, since_s=at_s, due_s=at_s + wait_s, wait_s=wait_s, served=health.served, held=held)


def fail_probe(out: Out, at_s: float, why: str) -> Out:
    """A probe failed: wait twice as long."""
    longest = LONGEST_WAIT_S if out.served else NEVER_WORKED_WAIT_S
    wait_s = min(2.0 * out.wait_s, longest)
    return replace(out, why=why, due_s=at_s + wait_s, wait_s=wait_s, probes=out.probes + 1)


def free(out: Out, at_s: float) -> Out:
    """What held probes back is over: the next one is due at once."""
    return replace(out, held="", due_s=at_s) if out.held else out


def pass_probe(out: Out, at_s: float) -> Well:
    """A probe passed: it may serve."""
    return Well(wait_s=min(2.0 * out.wait_s, LONGEST_WAIT_S), calm_s=at_s + RELAPSE_S, served=True)


def is_due(health: Health, at_s: float) -> bool:
    """Tell whether to probe now."""
    return isinstance(health, Out) and not health.held and at_s >= health.due_s


def describe(health: Health, at_s: float) -> str:
    """Say it in words: ``out for 3 s: unplugged; 2 probes failed, the next in 1 s``."""
    if isinstance(health, Well):
        return "well" if health.served else "not used yet"
    after = f"no probe while {health.held}" if health.held else f"the next in {max(health.due_s - at_s, 0.0):.0f} s"
    return f"out for {at_s - health.since_s:.0f} s: {health.why}; {health.probes} probes failed, {after}"


def hold_reason(present: bool | None, temp_c: float | None, *, held: bool) -> str:
    """Say why an accelerator must not serve, by telemetry alone; empty when nothing speaks against it.

    Args:
        present: Whether its node is there; ``None`` when nobody can tell.
        temp_c: Its temperature.
        held: Whether it is held back already: then it has to cool down first.
    """
    if present is False:
        return "it is gone, as its device node says"
    limit_c = NPU_COOL_C if held else NPU_HOT_C
    if temp_c is not None and temp_c >= limit_c:
        return f"its {temp_c:.0f} °C have reached {limit_c:.0f} °C"
    return ""
