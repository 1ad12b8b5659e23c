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
from edgehybrid.exporters.delivery import Pushed
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.backends import BackendReport
from edgehybrid.runtime.bench import Table
from edgehybrid.runtime.energy import Joules
from edgehybrid.runtime.execution import Switch
from edgehybrid.runtime.simulation import CONTROLLERS, Figure, Result, Study, figure
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
class SimulatedController:
    """One controller over all runs of a scenario; each figure is a mean with a 95 % interval over the runs.

    Attributes:
        name: Of the controller.
        what: What it does.
        quality: Mean over all inputs; late and missing answers count as the scenario says.
        late: Share of inputs answered late or not at all while the board was alive.
        energy_wh: Of the whole board.
        inference_mj: Above the idle board, per input.
        battery_pct: True charge at the end; ``None`` on mains.
        lasted: Share of the runs in which the battery reached the end; ``None`` on mains.
        died_h: When it did not; ``None`` if it always did.
        throttled: Share of the time.
        max_temp_c: Hottest moment of each run.
        switches: Changes of the decided point or pair.
        lost: Quality below the oracle's; positive is worse.
        more_energy: Energy of the inferences over the oracle's, less one; ``None`` where the oracle needs none.
        points: Name to share of the answers.
    """

    name: str
    what: str
    quality: Figure
    late: Figure
    energy_wh: Figure
    inference_mj: Figure
    battery_pct: Figure | None
    lasted: float | None
    died_h: Figure | None
    throttled: Figure
    max_temp_c: Figure
    switches: Figure
    lost: Figure
    more_energy: Figure | None
    points: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateDocument:
    """``simulate --json``."""

    schema: int
    scenario: str
    title: str
    policy: str
    metric: str
    runs: int
    duration_h: float
    controllers: tuple[SimulatedController, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyDocument:
    """``verify --json``."""

    schema: int
    bundle: BundleInfo
    ok: bool
    variants: tuple[VariantCheck, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchDocument:
    """``bench --json``.

    Attributes:
        schema: Version of this document.
        bundle: What was measured.
        figures: What came out.
        shipped_ms: Point to its median latency in the bundle, at full depth.
        file: Where it is kept; ``None`` if it is not.
    """

    schema: int
    bundle: BundleInfo
    figures: Table
    shipped_ms: Mapping[str, float]
    file: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushDocument:
    """``push --json``; ``bench`` is what ``edgehybrid bench`` printed there."""

    schema: int
    host: str
    pushed: Pushed
    bench: str | None


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
    "simulate": SimulateDocument,
    "verify": VerifyDocument,
    "bench": BenchDocument,
    "push": PushDocument,
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


def simulate_document(study: Study, *, policy: str) -> SimulateDocument:
    """Make the document of a study."""
    doc = study.scenario.doc
    return SimulateDocument(
        schema=1,
        scenario=study.scenario.name,
        title=doc.title,
        policy=policy,
        metric=study.metric,
        runs=len(study.results[0].outcomes),
        duration_h=doc.mission.duration_h,
        controllers=tuple(_simulated(study, result) for result in study.results),
    )


def _simulated(study: Study, result: Result) -> SimulatedController:
    outcomes = result.outcomes
    charges = [o.battery_pct for o in outcomes if o.battery_pct is not None]
    died = [o.died_h for o in outcomes if o.died_h is not None]
    more = [value for value in result.more_energy if value is not None]
    names = {name for o in outcomes for name in o.points}
    answered = sum(o.answered for o in outcomes)
    return SimulatedController(
        name=result.name,
        what=CONTROLLERS[result.name],
        quality=figure([study.shown(o.worth) for o in outcomes]),
        late=figure([o.late for o in outcomes]),
        energy_wh=figure([o.energy_wh for o in outcomes]),
        inference_mj=figure([1e3 * o.ours_j / max(o.inputs, 1) for o in outcomes]),
        battery_pct=figure(charges) if charges else None,
        lasted=1 - len(died) / len(outcomes) if charges else None,
        died_h=figure(died) if died else None,
        throttled=figure([o.throttled for o in outcomes]),
        max_temp_c=figure([o.max_temp_c for o in outcomes]),
        switches=figure([o.switches for o in outcomes]),
        lost=figure(result.lost),
        more_energy=figure(more) if more else None,
        points={name: sum(o.points.get(name, 0.0) * o.answered for o in outcomes) / answered for name in sorted(names)},
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
