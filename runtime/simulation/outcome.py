"""What a mission came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trail:
    """The mission over time, for pictures; every array has shape ``(samples,)``.

    Attributes:
        at_s: Start of each sample.
        worth: Mean worth of the inputs in it; NaN without inputs.
        power_w: Of the board.
        soc_pct: True charge; NaN on mains.
        gauge_pct: What the gauge showed; NaN on mains.
        temp_c: Of the chip.
        clock: Share of the nominal clock.
        point: Index of the point of the decision; -1 under a script.
    """

    at_s: Floats
    worth: Floats
    power_w: Floats
    soc_pct: Floats
    gauge_pct: Floats
    temp_c: Floats
    clock: Floats
    point: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One controller in one world.

    Attributes:
        inputs: How many came.
        answered: How many were answered, in time or not.
        worth: Mean over all inputs; a late or missing answer counts ``late_quality``.
        late: Share of the inputs that came while the board was alive and were answered late or not at all.
        skipped: Share of them that the controller left out because its policy lets it.
        energy_wh: Of the board.
        ours_j: Of the inferences, above the idle board.
        lost_j: Heat in the battery.
        battery_pct: True charge at the end; ``None`` on mains.
        died_h: When the battery first gave up; ``None`` if it did not.
        throttled: Share of the time.
        max_temp_c: Of the chip.
        switches: Changes of the decided point or pair.
        points: Name to share of the answers.
        depth: Mean number of stages.
        latency_s: Mean service time.
        trail: Over time; ``None`` if not wanted.
    """

    inputs: int
    answered: int
    worth: float
    late: float
    energy_wh: float
    ours_j: float
    lost_j: float
    battery_pct: float | None
    died_h: float | None
    throttled: float
    max_temp_c: float
    switches: int
    points: Mapping[str, float] = field(default_factory=dict)
    depth: float = 1.0
    latency_s: float = 0.0
    skipped: float = 0.0
    trail: Trail | None = field(default=None, repr=False)
