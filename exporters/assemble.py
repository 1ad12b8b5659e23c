"""From the chosen candidates to a bundle: points, golden vectors, files, and the last check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Bundle, BundleDraft, BundleInfo, Dropped, StageDraft, Untouched, VariantDraft
from edgehybrid.errors import ExportError
from edgehybrid.exporters.formats import MODEL_FILE, WEIGHTS_FILE, pack
from edgehybrid.exporters.measure import Score, Timings, largest_difference, measured_on
from edgehybrid.exporters.model import model_info
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.search import Candidate, Figures
from edgehybrid.exporters.trial import Trial
from edgehybrid.points import LEVELS, REFERENCE, EnergyMj, LatencyMs, OperatingPoint
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session
from edgehybrid.runtime.energy import EnergyModel

STAGE = "main"
GOLDEN_SAMPLES, FEWER_GOLDEN_SAMPLES = 4, 2  # fewer where four would take more than the bytes below
GOLDEN_BYTES = 1 << 16
FLOAT_ATOL = 1e-4  # share of the output's range: float sums in another order
_FLOATS = frozenset({REFERENCE, "w8", "fp16"})  # what computes in floats, whatever lies on disk
INT8_ATOL = 2e-2  # integers round to another neighbour now and then

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Everything measured of the candidates that are shipped, the reference first, then best quality first."""

    names: tuple[str, ...]
    trial: Trial
    scores: Mapping[str, Score]
    figures: Mapping[str, Figures]
    timings: Timings
    memory: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    untouched: tuple[Untouched, ...] = ()


def make_points(chosen: Chosen, prepared: Prepared) -> tuple[OperatingPoint, ...]:
    """Name and fill the operating points."""
    levels = (REFERENCE, *LEVELS.get(len(chosen.names) - 1, ()))
    return tuple(_point(level, name, chosen, prepared) for level, name in zip(levels, chosen.names, strict=True))


def _point(level: str, name: str, chosen: Chosen, prepared: Prepared) -> OperatingPoint:
    p50, p95 = (chosen.timings.percentile_ms(name, q) for q in (50.0, 95.0))
    cpu_ms = chosen.timings.cpu_ms(name)
    joules = EnergyModel(prepared.device).inference(cpu_ms * 1e-3, p50 * 1e-3)
    return OperatingPoint(
        name=level,
        variants={STAGE: name},
        quality=chosen.figures[name].quality,
        latency_ms=LatencyMs(p50=p50, p95=p95),
        cpu_ms=cpu_ms,
        energy_mj=EnergyMj(value=joules.value * 1e3, method=joules.method, uncertainty=joules.uncertainty * 1e3),
        size_bytes=chosen.trial.packed.size_bytes[name],
        resident_bytes=chosen.memory[name],
        threads=chosen.trial.candidate(name).threads,
        placement={STAGE: "onnx"},
    )


def golden_feeds(prepared: Prepared) -> dict[str, Array]:
    """Golden inputs: the first samples of the evaluation data in one batch, or one if the model takes one at a time."""
    size = min(GOLDEN_SAMPLES, prepared.evaluation.count, prepared.evaluation.largest_batch or GOLDEN_SAMPLES)
    feeds = first_feeds(prepared.evaluation, 1, size)[0]
    if size <= FEWER_GOLDEN_SAMPLES or sum(array.nbytes for array in feeds.values()) <= GOLDEN_BYTES:
        return feeds
    return first_feeds(prepared.evaluation, 1, FEWER_GOLDEN_SAMPLES)[0]


def golden_atol(
    outputs: Mapping[str, Array], schemes: Mapping[str, str], deviation: Mapping[str, float]
) -> dict[str, float]:
    """How far a healthy device may be off, by output.

    Floats differ by the order of sums: 1e-4 of the output's range. Integers may round to the other neighbour where
    two processors' floats differ in the last bit, and what follows amplifies it: 2 % of the range, or half of what
    int8 deviates from float anyway, whichever is more. A damaged weight shows as far more than that.
    """
    is_float = all(set(scheme.split("+")) <= _FLOATS for scheme in schemes.values())
    allowed = {}
    for name, array in outputs.items():
        reach = float(np.abs(np.nan_to_num(array.astype(np.float64))).max(initial=0.0)) or 1.0
        allowed[name] = FLOAT_ATOL * reach if is_float else max(INT8_ATOL * reach, 0.5 * deviation.get(name, 0.0))
    return allowed


def make_draft(
    chosen: Chosen, prepared: Prepared, *, name: str, seed: int, created: datetime | None = None
) -> BundleDraft:
    """Bring everything into the bundle's shape; only the chosen variants' weights are packed."""
    candidates = [chosen.trial.candidate(item) for item in chosen.names]
    feeds = golden_feeds(prepared)
    packed = pack({candidate.name: candidate.graph for candidate in candidates})
    stage = StageDraft(
        name=STAGE,
        inputs=prepared.model.inputs,
        outputs=prepared.model.outputs,
        golden_inputs=feeds,
        shared={WEIGHTS_FILE: packed.weights} if packed.weights else {},
        variants=tuple(
            _variant(
                candidate,
                chosen,
                feeds,
                packed.models[candidate.name],
                packed.size_bytes[candidate.name],
                bool(packed.weights),
            )
            for candidate in candidates
        ),
    )
    stamp = (created or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = f"{prepared.calibration.sha256[:32]}{prepared.evaluation.sha256[:32]}"
    return BundleDraft(
        bundle=BundleInfo(name=name, version="1", created=stamp),
        model=model_info(prepared.report),
        stages=(stage,),
        points=make_points(chosen, prepared),
        measured_on=measured_on(prepared.device, seed=seed, data_sha256=digest),
        untouched=chosen.untouched,
        dropped=chosen.dropped,
    )


def _variant(
    candidate: Candidate, chosen: Chosen, feeds: Mapping[str, Array], model: bytes, size: int, shared: bool
) -> VariantDraft:
    outputs = chosen.trial.sessions[candidate.name].run(feeds)
    return VariantDraft(
        name=candidate.name,
        format="onnx",
        schemes=candidate.schemes,
        files={MODEL_FILE: model},
        model_file=MODEL_FILE,
        golden_outputs=outputs,
        golden_atol=golden_atol(outputs, candidate.schemes, chosen.scores[candidate.name].max_deviation),
        size_bytes=size,
        uses_shared=shared,
    )


def reload_check(chosen: Chosen, feeds: Mapping[str, Array]) -> Callable[[Path], None]:
    """Return the last check: every emitted file, loaded from the folder, gives what its candidate gave in memory."""

    def check(folder: Path) -> None:
        bundle = Bundle.open(folder)
        for variant in bundle.doc.stages[0].variants:
            session = _load(bundle, variant.name, chosen)
            expected = chosen.trial.sessions[variant.name].run(feeds)
            for name, array in session.run(feeds).items():
                error = largest_difference(array, expected[name])
                if error > variant.golden_atol[name]:
                    raise ExportError(
                        f"The written file of {variant.name!r} differs from the candidate by {error:.3g} in {name!r}.",
                        "Nothing was published. Try again; if it stays, report the model.",
                    )

    return check


def _load(bundle: Bundle, name: str, chosen: Chosen) -> Session:
    variant = next(item for item in bundle.doc.stages[0].variants if item.name == name)
    weights = None if variant.weights_dir is None else bundle.path / variant.weights_dir
    threads = chosen.trial.candidate(name).threads
    request = LoadRequest(model_file=bundle.path / variant.model_file, weights_dir=weights, threads=threads)
    return OnnxBackend().load(request)
