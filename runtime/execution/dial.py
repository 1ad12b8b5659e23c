"""The dial: one number that moves every exit threshold, turned beside the hot path and read on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from edgehybrid.points import Exit

_NONE: Mapping[str, float] = MappingProxyType({})

NEVER = float("nan")
"""A threshold that no confidence reaches: nothing compares as at least NaN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where the dial stands. Replaced whole.

    Attributes:
        scalar: Exit scalar, 0 (keeps quality) to 1 (saves energy); ``None`` lets nothing leave early.
        audit_share: Share of the inputs that could leave which run to the end all the same, to be compared.
        audits: Point to a share of its own; 1 switches its exits off and still learns from every input.
    """

    scalar: float | None = 0.0
    audit_share: float = 0.0
    audits: Mapping[str, float] = field(default_factory=lambda: _NONE)

    def share(self, point: str) -> float:
        """Return the share of audits at ``point``, 0 to 1."""
        return self.audits.get(point, self.audit_share)


class Dial:
    """Holds the present setting: one reference, so that runs read it without a lock.

    Turn it from one thread at a time; runs that began before keep the old setting.
    """

    __slots__ = ("setting",)

    def __init__(self, scalar: float | None = 0.0, *, audit_share: float = 0.0) -> None:
        self.setting = Setting(scalar=scalar, audit_share=audit_share)

    def turn(self, scalar: float | None) -> None:
        """Move every threshold to ``scalar``, 0 to 1; ``None`` lets nothing leave early."""
        if scalar != self.setting.scalar:
            self.setting = replace(self.setting, scalar=scalar)

    def audit(self, point: str, share: float | None) -> None:
        """Audit ``share`` of the exits of ``point`` from now on, 0 to 1; ``None`` goes back to the usual share."""
        audits = {name: value for name, value in self.setting.audits.items() if name != point}
        if share is not None:
            audits[point] = share
        if audits != self.setting.audits:
            self.setting = replace(self.setting, audits=audits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A setting as the stages of one point see it.

    Attributes:
        setting: The setting.
        thresholds: By stage the least confidence that answers; ``NEVER`` where there is no exit.
        audit_share: Share of audits, 0 to 1.
    """

    setting: Setting
    thresholds: tuple[float, ...]
    audit_share: float


def turn_to(setting: Setting, point: str, exits: Sequence[Exit | None]) -> Turned:
    """Work out the thresholds of ``point`` under ``setting``; ``exits`` by stage."""
    scalar = setting.scalar
    return Turned(
        setting=setting,
        thresholds=tuple(NEVER if exit_ is None or scalar is None else exit_.threshold(scalar) for exit_ in exits),
        audit_share=setting.share(point),
    )
