"""Operating points: what a bundle offers and the controller chooses from.

The field names are those of ``inspect --json``; units are in the names (``ms``, ``mj``, ``bytes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

EnergyMethod = Literal["sensor", "gauge", "model"]
RiskLoss = Literal["error", "disagreement", "deviation"]

REFERENCE = "fp32"
"""Name of the point that runs the user's own float graph; always kept, never optimized."""

HOST_BACKENDS = frozenset({"onnx", "tflite", "onnx-openvino", "onnx-xnnpack", "cpu"})
"""Back ends that compute on the CPU, so that they cannot go away; every other one is taken for an accelerator."""

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
    """Latency of one inference in milliseconds, batch of one, from interleaved runs.

    ``mean`` differs from ``p50`` where inputs take different depths; ``None`` where they do not.
    """

    p50: float
    p95: float
    mean: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyMj:
    """Energy of one inference in millijoules, with where the figure comes from.

    ``uncertainty`` is the half width of a 95 % interval, in millijoules.
    """

    value: float
    method: EnergyMethod
    uncertainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """Where a point may answer early.

    Attributes:
        thresholds: Least confidence that answers, for the exit scalar 0 (keeps quality) to 1 (saves energy): evenly
            spaced, linear in between, never rising.
        quantiles: Confidence of all inputs on calibration data: evenly spaced quantiles from 0 to 1, by which a
            drift is noticed.
    """

    thresholds: tuple[float, ...]
    quantiles: tuple[float, ...] = ()

    def threshold(self, scalar: float) -> float:
        """Return the threshold at ``scalar``, 0 to 1."""
        last = len(self.thresholds) - 1
        place = min(max(scalar, 0.0), 1.0) * last
        below = min(int(place), max(last - 1, 0))
        above = min(below + 1, last)
        share = place - below
        start, end = self.thresholds[below], self.thresholds[above]
        return max(start + share * (end - start), end)  # rounding must not take it below the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """What exits promise: with probability ``1 - delta`` over the calibration data they lose at most ``epsilon``.

    Attributes:
        epsilon: Largest expected loss against the same point at full depth, at the exit scalar 0.
        relaxed_epsilon: The same at the exit scalar 1.
        delta: Probability that the promise is wrong.
        n: Samples behind it.
        loss: What is counted: inputs that only the full model gets right (``error``), inputs that it answers
            otherwise (``disagreement``), or the mean distance to its answer as a share of the spread of its answers
            (``deviation``).
        bound: For a ``deviation`` the distance that counts as 1, as every larger one does: the spread of the full
            model's answers, in the output's unit.
    """

    epsilon: float
    relaxed_epsilon: float
    delta: float
    n: int
    loss: RiskLoss
    bound: float = 1.0

    def at(self, scalar: float) -> float:
        """Return the largest expected loss promised at the exit scalar ``scalar``: linear from 0 to 1."""
        return self.epsilon + min(max(scalar, 0.0), 1.0) * (self.relaxed_epsilon - self.epsilon)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthFigures:
    """What an answer after so many stages costs, and how often it comes.

    Attributes:
        share: Share of the evaluation data at the exit scalar 0.
        relaxed_share: The same at the exit scalar 1.
        latency_ms: Median latency.
        cpu_ms: CPU time over all threads.
    """

    share: float
    relaxed_share: float
    latency_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """The stages to run, each in a variant, with threads and exits, and the measured figures.

    Attributes:
        name: ``fp32`` (the reference), or ``max`` to ``min``.
        variants: Stage name to variant name, in the order in which the stages run.
        quality: Measured quality.
        latency_ms: Measured latency.
        cpu_ms: CPU time of one inference over all threads.
        energy_mj: Energy of one inference.
        size_bytes: Bytes on disk that this point needs (shared weights counted once).
        resident_bytes: Growth of the resident set by loading and running it.
        threads: Intra-op threads it was measured with and runs with; the most of any stage.
        expected_depth: Mean number of stages that an input uses.
        exits: Stage name to its exit; empty without exits.
        risk: What the exits promise; ``None`` without exits.
        depths: Figures by depth, first the answers after one stage; empty without exits.
        relaxed_quality: Quality at the exit scalar 1; ``None`` without exits. ``quality`` is that at 0.
        placement: Stage name to back end; a stage that is not named runs on that of its variant.
        stage_threads: Stage name to its threads, where it measured best with fewer than ``threads``.
        pieces: The same point cut for a pipeline: stage name to variant name, in the order in which they run; empty
            where it is not cut. ``variants`` is what runs otherwise.
        carried: Why it would not have been shipped, had it not been asked for: it is meant for another processor than
            the one that measured these figures. Such a point is not chosen before it was measured on the device.
            Empty for every other.
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
    exits: Mapping[str, Exit] = field(default_factory=dict)
    risk: Risk | None = None
    depths: tuple[DepthFigures, ...] = ()
    relaxed_quality: Quality | None = None
    placement: Mapping[str, str] = field(default_factory=dict)
    pieces: Mapping[str, str] = field(default_factory=dict)
    stage_threads: Mapping[str, int] = field(default_factory=dict)
    carried: str = ""

    def on_threads(self, threads: int) -> OperatingPoint:
        """Return the point on other threads: then all of its stages run on as many."""
        return self if threads == self.threads else replace(self, threads=threads, stage_threads={})

    @property
    def accelerators(self) -> frozenset[str]:
        """Back ends of its placement that may go away; empty for a point that needs nothing but the CPU."""
        return frozenset(self.placement.values()) - HOST_BACKENDS

    @property
    def is_reference(self) -> bool:
        """Whether this is the user's own float graph."""
        return self.name == REFERENCE
