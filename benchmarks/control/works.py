"""What is controlled: measured points of the keyword spotter, and a made family with a clear price of quality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgehybrid.points import EnergyMj, LatencyMs, OperatingPoint, Quality

_MEASURED = Path(__file__).parent / "keyword_spotter.points.json"
_LADDER = (  # name, ms, accuracy
    ("fp32", 60.0, 0.950),
    ("max", 36.0, 0.945),
    ("high", 22.0, 0.925),
    ("low", 13.0, 0.885),
    ("min", 8.0, 0.800),
)
_WATTS = 0.86


class _Inspected(msgspec.Struct):
    points: tuple[OperatingPoint, ...]


def works() -> Mapping[str, tuple[OperatingPoint, ...]]:
    """Return the works by name.

    The keyword spotter's points are what ``inspect --json`` printed after the export of its README, with ``--exits
    auto``. The other samples are no work for a controller: four of the camera classifier's points are right on every
    row that measures them, the remaining-life monitor's hardly differ in quality or energy.
    """
    return {
        "family": tuple(_made(*figures) for figures in _LADDER),
        "keyword_spotter": msgspec.json.decode(_MEASURED.read_bytes(), type=_Inspected).points,
    }


def _made(name: str, latency_ms: float, accuracy: float) -> OperatingPoint:
    """Make a point of the family: each is 1.65 times as quick as the one before, and gives up more."""
    energy = latency_ms * _WATTS
    return OperatingPoint(
        name=name,
        variants={"main": name},
        quality=Quality(
            metric="accuracy",
            value=accuracy,
            ci95=(accuracy - 0.01, accuracy + 0.01),
            drop=_LADDER[0][2] - accuracy,
            n=2000,
        ),
        latency_ms=LatencyMs(p50=latency_ms, p95=latency_ms * 1.1),
        cpu_ms=latency_ms,
        energy_mj=EnergyMj(value=energy, method="model", uncertainty=0.2 * energy),
        size_bytes=1_000_000,
        resident_bytes=2_000_000,
    )
