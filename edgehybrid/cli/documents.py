"""The JSON documents of ``--json``, as types; the JSON Schemas in ``docs/reference`` are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from edgehybrid.bundle import BundleInfo, Dropped, MeasuredOn, ModelInfo, StageInfo, Untouched
from edgehybrid.exporters import ModelReport
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.backends import BackendReport
from edgehybrid.runtime.energy import Joules
from edgehybrid.runtime.execution import Switch
from edgehybrid.runtime.telemetry import AcceleratorReport, Snapshot, SourceReport
from edgehybrid.runtime.trial import Latencies, Trial
from edgehybrid.runtime.verification import VariantCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectDocument:
    """``inspect BUNDLE --json``."""

    schema: int
    bundle: BundleInfo
    model: ModelInfo
    stages: tuple[StageInfo, ...]
    points: tuple[OperatingPoint, ...]
    measured_on: MeasuredOn
    untouched: tuple[Untouched, ...]
    dropped: tuple[Dropped, ...]
    disk_bytes: int
    sum_of_variants_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectModelDocument:
    """``inspect MODEL --json``."""

    schema: int
    model: ModelReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuality:
    """Quality of the answers that the engine gave."""

    metric: str
    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """``run --json``."""

    schema: int
    n: int
    quality: RunQuality
    latency_ms: Latencies
    cpu_s: float
    energy_j: Joules
    points: Mapping[str, float]
    depth: Mapping[str, float]
    switches: int
    dropped: int
    late: float | None
    decisions: tuple[Switch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyDocument:
    """``verify --json``."""

    schema: int
    bundle: BundleInfo
    ok: bool
    variants: tuple[VariantCheck, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorDocument:
    """``doctor --json``."""

    schema: int
    device: DeviceProfile
    sources: tuple[SourceReport, ...]
    snapshot: Snapshot
    accelerators: tuple[AcceleratorReport, ...]
    backends: tuple[BackendReport, ...]


DOCUMENTS: Mapping[str, type] = {
    "inspect-bundle": InspectDocument,
    "inspect-model": InspectModelDocument,
    "run": RunDocument,
    "verify": VerifyDocument,
    "doctor": DoctorDocument,
}
"""Name of each JSON Schema in ``docs/reference`` to its type."""


def run_document(trial: Trial) -> RunDocument:
    """Make the document of a trial."""
    quality = trial.quality
    return RunDocument(
        schema=1,
        n=trial.n,
        quality=RunQuality(metric=quality.metric, value=quality.value, ci95=quality.ci95),
        latency_ms=trial.latency_ms,
        cpu_s=trial.cpu_s,
        energy_j=trial.energy_j,
        points=trial.points,
        depth={str(depth): share for depth, share in trial.depth.items()},
        switches=trial.switches,
        dropped=trial.dropped,
        late=trial.late,
        decisions=trial.decisions,
    )


def schema_text(name: str) -> str:
    """Return the JSON Schema of a document, as the file in ``docs/reference`` holds it."""
    return (
        msgspec.json.format(msgspec.json.encode(msgspec.json.schema(DOCUMENTS[name]), order="sorted")).decode() + "\n"
    )


def _cleaned(part: Any) -> Any:
    """Take the indentation out of descriptions; Python 3.13 does it by itself, older ones do not."""
    if isinstance(part, dict):
        return {k: cleandoc(v) if k == "description" and isinstance(v, str) else _cleaned(v) for k, v in part.items()}
    return [_cleaned(item) for item in part] if isinstance(part, list) else part


def write_schemas(folder: Path) -> None:
    """Write every JSON Schema into ``folder``."""
    for name in DOCUMENTS:
        (folder / f"{name}.schema.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path("docs/reference"))
