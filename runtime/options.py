"""What an app may say to the engine, checked and turned into values."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from edgehybrid.bundle import Bundle
from edgehybrid.errors import EdgeHybridError, RequestError
from edgehybrid.profiles import DeviceProfile, ExitsPolicy, detect_device, load_device
from edgehybrid.runtime.control import Context, Decision, Until, seconds_until
from edgehybrid.runtime.execution import Request


class Keep(enum.Enum):
    """Marks an argument that was not given."""

    KEEP = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What the app chose by hand: a point, how early inputs may leave, or neither."""

    point: str | None = None
    exit_scalar: float | Keep | None = Keep.KEEP

    def scalar(self, exits: ExitsPolicy, decision: Decision) -> float | None:
        """Return the exit scalar to run with: the app's, or what the decision says where the policy allows exits."""
        if not isinstance(self.exit_scalar, Keep):
            return self.exit_scalar
        return decision.exit_scalar if exits.enabled else None

    def settle(self, decision: Decision, excluded: Mapping[str, str], present: Callable[[], str]) -> Decision:
        """Return the decision with the app's own point, if it chose one.

        Args:
            decision: Of the controller.
            excluded: Points that do not run here, with the reason.
            present: Tells which point serves.
        """
        point = self.point
        if point is None:
            return decision
        alone = replace(decision, guard=None, alternate=None, share=1.0, duty=1.0, threads=None, alternate_threads=None)
        if point in excluded:
            stays = present()
            why = f"pinned to {point}, which cannot run here ({excluded[point]}): {stays} stays"
            return replace(alone, point=stays, reason=why)
        return replace(alone, point=point, reason=f"pinned to {point} by the app")


def make_pin(point: str | None, exit_scalar: float | Keep | None, bundle: Bundle, excluded: Mapping[str, str]) -> Pin:
    """Check a pin.

    Raises:
        RequestError: There is no such point, it does not work on this device, or ``exit_scalar`` is out of range.
    """
    if isinstance(exit_scalar, int | float) and not 0 <= exit_scalar <= 1:
        raise RequestError(f"exit_scalar={exit_scalar:g} is out of range.", "Pass 0 to 1, or None.")
    if point is not None:
        bundle.point(point)
        if point in excluded:
            raise RequestError(f"{point} cannot run here: {excluded[point]}", "Pin another point.")
    return Pin(point=point, exit_scalar=exit_scalar)


def as_request(decision: Decision) -> Request:
    """Turn a decision into a wish for the activator."""
    return Request(
        point=decision.point,
        reason=decision.reason,
        threads=decision.threads,
        alternate=decision.alternate,
        alternate_threads=decision.alternate_threads,
        share=decision.share,
        pieces=decision.pieces,
    )


def first_context(deadline_ms: float | None, until: Until | None, clock: Callable[[], float]) -> Context:
    """Make the context that an engine starts with.

    Raises:
        RequestError: ``deadline_ms`` or ``until`` cannot be.
    """
    now = datetime.now()
    since_midnight = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    return Context(
        deadline_s=_deadline_s(deadline_ms), until_s=_until_s(until, clock), midnight_s=clock() - since_midnight
    )


def next_context(
    old: Context,
    clock: Callable[[], float],
    *,
    foreground: bool | Keep | None,
    user_waiting: bool | Keep | None,
    importance: float | Keep | None,
    deadline_ms: float | Keep | None,
    until: Until | Keep | None,
    hints: Mapping[str, float | str | bool],
) -> Context:
    """Change what was said; the rest stays.

    Raises:
        RequestError: A value is out of its range.
    """
    if isinstance(importance, int | float) and not 0 <= importance <= 1:
        raise RequestError(f"importance={importance:g} is out of range.", "Pass 0 to 1, or None.")
    return Context(
        deadline_s=old.deadline_s if isinstance(deadline_ms, Keep) else _deadline_s(deadline_ms),
        until_s=old.until_s if isinstance(until, Keep) else _until_s(until, clock),
        foreground=old.foreground if isinstance(foreground, Keep) else foreground,
        user_waiting=old.user_waiting if isinstance(user_waiting, Keep) else user_waiting,
        importance=old.importance if isinstance(importance, Keep) else importance,
        midnight_s=old.midnight_s,
        hints={**old.hints, **hints},
    )


def check_goals(hints: Mapping[str, object], metric: str) -> None:
    """Refuse a quality that a share cannot have; percent are mostly meant, and would be taken for out of reach.

    Raises:
        RequestError: ``min_quality`` is no share, and ``metric`` is one.
    """
    goal = hints.get("min_quality")
    share = metric.startswith(("accuracy", "agreement"))
    if share and isinstance(goal, int | float) and not 0 <= goal <= 1:
        raise RequestError(f"min_quality={goal:g} is no share, and {metric} is one.", "Pass 0 to 1: 0.93 for 93 %.")


def find_device(device: DeviceProfile | str | os.PathLike[str] | None, root: str | os.PathLike[str]) -> DeviceProfile:
    """Return the profile that was given or named, or recognise the board."""
    if isinstance(device, DeviceProfile):
        return device
    return detect_device(root) if device is None else load_device(device)


def words(error: Exception) -> str:
    """Say what an error says; a foreign one with its kind."""
    return str(error) if isinstance(error, EdgeHybridError) else f"{type(error).__name__}: {error}"


def _deadline_s(deadline_ms: float | None) -> float | None:
    if deadline_ms is not None and not deadline_ms > 0:
        raise RequestError(f"deadline_ms={deadline_ms:g} cannot be kept.", "Pass more than 0, or None.")
    return None if deadline_ms is None else deadline_ms / 1e3


def _until_s(until: Until | None, clock: Callable[[], float]) -> float | None:
    return None if until is None else clock() + seconds_until(until, datetime.now().astimezone())
