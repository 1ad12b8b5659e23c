"""What a precision scheme is: a value that makes some nodes of a graph cheaper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.skip import Skip

Ranges = Mapping[str, tuple[float, float]]
"""Value name to the smallest and largest number it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the device's instructions ask of integers.

    Attributes:
        signed_activations: int8 instead of uint8 activations: Arm multiplies signed by signed.
        weight_max: Largest weight: 127, or 63 where x86 without VNNI adds pairs in saturating 16 bits.
    """

    signed_activations: bool = False
    weight_max: int = 127

    @classmethod
    def of(cls, isa: Iterable[str]) -> Target:
        """Choose for an instruction set, as the device profile names it; empty means an unknown board, so Arm."""
        flags = set(isa)
        if not any(flag.startswith("avx") for flag in flags):
            return cls(signed_activations=True)
        vnni = any("vnni" in flag for flag in flags)
        return cls(weight_max=127 if vnni else 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a scheme may use: the target, and the ranges seen in calibration."""

    target: Target = field(default_factory=Target)
    ranges: Ranges = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeResult:
    """The new graph; ``touched`` are the nodes that became cheaper, ``skipped`` those that could not, and why."""

    graph: Graph
    touched: frozenset[str]
    skipped: tuple[Skip, ...] = ()


class Scheme(Protocol):
    """A precision scheme."""

    name: ClassVar[str]
    needs_ranges: ClassVar[bool]

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:
        """Apply to the named ``nodes`` of ``graph`` what can be applied."""
        ...
