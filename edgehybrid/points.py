"""Operating points: what a bundle offers and the controller chooses from.

The field names are those of ``inspect --json``; units are in the names (``ms``, ``mj``, ``bytes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

EnergyMethod = Literal["sensor", "gauge", "model"]

REFERENCE = "fp32"
"""Name of the point that runs the user's own float graph; always kept, never optimized."""

LEVELS: Mapping[int, tuple[str, ...]] = {
    1: ("max",),
    2: ("max", "min"),
    3: ("max", "balanced", "min"),
    4: ("max", "high", "balanced", "min"),
    5: ("max", "high", "balanced", "low", "min"),
}
"""Names of the points by how many there are, best quality first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Measured quality of a point on evaluation data.

    Attributes:
        metric: ``accuracy``, ``agreement`` (with the float model; used without labels), ``rmse``, ``mae``, ``sqnr_db``
            or a user's own.
        value: Its value over ``n`` samples.
        ci95: 95 % confidence interval of ``value``.
        drop: Loss against the float reference on the same samples, in the metric's unit, positive when worse.
        n: Number of samples.
        drop_ci95: 95 % confidence interval of ``drop``, from the paired samples.
        higher_is_better: Direction of the metric.
    """

    metric: str
    value: float
    ci95: tuple[float, float]
    drop: float
    n: int
    drop_ci95: tuple[float, float] = (0.0, 0.0)
    higher_is_better: bool = True

    @property
    def relative_drop(self) -> float | None:
        """``drop`` as a share of the float reference's value; ``None`` where that is zero."""
        reference = self.value + self.drop if self.higher_is_better else self.value - self.drop
        return self.drop / abs(reference) if reference else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMs:
    """Latency of one inference in milliseconds, batch of one, from interleaved runs."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyMj:
    """Energy of one inference in millijoules, with where the figure comes from.

    ``uncertainty`` is the half width of a 95 % interval, in millijoules.
    """

    value: float
    method: EnergyMethod
    uncertainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A variant for every stage, with threads and exits, and its measured figures.

    Attributes:
        name: ``fp32`` (the reference), or ``max`` to ``min``.
        variants: Stage name to variant name.
        quality: Measured quality.
        latency_ms: Measured latency.
        cpu_ms: CPU time of one inference over all threads.
        energy_mj: Energy of one inference.
        size_bytes: Bytes on disk that this point needs (shared weights counted once).
        resident_bytes: Growth of the resident set by loading and running it.
        threads: Intra-op threads it was measured with and runs with.
        expected_depth: Mean number of stages that an input uses.
        exits: Stage name to confidence threshold; empty without exits.
        placement: Stage name to back end.
    """

    name: str
    variants: Mapping[str, str]
    quality: Quality
    latency_ms: LatencyMs
    cpu_ms: float
    energy_mj: EnergyMj
    size_bytes: int
    resident_bytes: int
    threads: int = 1
    expected_depth: float = 1.0
    exits: Mapping[str, float] = field(default_factory=dict)
    placement: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_reference(self) -> bool:
        """Whether this is the user's own float graph."""
        return self.name == REFERENCE
