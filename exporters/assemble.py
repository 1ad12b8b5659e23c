"""From the chosen candidates to a bundle: points, golden vectors, files, and the last check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import (
    Bundle,
    BundleDraft,
    BundleInfo,
    Dropped,
    GateInfo,
    StageDraft,
    StageInfo,
    Untouched,
    VariantDraft,
    VariantInfo,
)
from edgehybrid.errors import ExportError
from edgehybrid.exporters.chains import Chain, ChainStage, LoadedChain
from edgehybrid.exporters.formats import MODEL_FILE, TFLITE_FILE, WEIGHTS_FILE, Packed, pack
from edgehybrid.exporters.measure import Score, Timings, largest_difference, measured_on
from edgehybrid.exporters.model import model_info
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.search import Candidate, Figures
from edgehybrid.exporters.trial import Trial
from edgehybrid.points import (
    LEVELS,
    REFERENCE,
    DepthFigures,
    EnergyMj,
    Exit,
    LatencyMs,
    OperatingPoint,
    Quality,
    Risk,
)
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.energy import EnergyModel
from edgehybrid.runtime.execution import load_request

STAGE = "main"
GOLDEN_SAMPLES, FEWER_GOLDEN_SAMPLES = 4, 2  # fewer where four would take more than the bytes below
GOLDEN_BYTES = 1 << 16
FLOAT_ATOL = 1e-4  # share of the output's range: float sums in another order
_FLOATS = frozenset({REFERENCE, "w8", "fp16"})  # what computes in floats, whatever lies on disk
INT8_ATOL = 2e-2  # integers round to another neighbour now and then

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepPoint:
    """A chain under one promise, as it is shipped; what the fields mean is said in ``OperatingPoint``."""

    loaded: LoadedChain
    exits: Mapping[str, Exit]
    risk: Risk
    depths: tuple[DepthFigures, ...]
    latency_ms: LatencyMs
    cpu_ms: float
    relaxed_quality: Quality
    resident_bytes: int

    @property
    def variants(self) -> dict[str, str]:
        """Stage to variant; the last stage of a cascade is the uncut model."""
        chain = self.loaded.chain
        return {stage.name: _variant_name(chain, stage) for stage in chain.stages}

    @property
    def expected_depth(self) -> float:
        """Mean number of stages."""
        return sum((k + 1) * depth.share for k, depth in enumerate(self.depths))


def _variant_name(chain: Chain, stage: ChainStage) -> str:
    return chain.candidate.name if stage.name == STAGE else chain.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Everything measured of the candidates that are shipped, the reference first, then best quality first.

    ``deep`` holds those with exits, ``pieces`` the others once more, cut for pipelines, both by name.
    """

    names: tuple[str, ...]
    trial: Trial
    scores: Mapping[str, Score]
    figures: Mapping[str, Figures]
    timings: Timings
    memory: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    untouched: tuple[Untouched, ...] = ()
    deep: Mapping[str, DeepPoint] = field(default_factory=dict)
    gate: GateInfo | None = None
    pieces: Mapping[str, LoadedChain] = field(default_factory=dict)

    @property
    def uncut(self) -> tuple[str, ...]:
        """Candidates that ship as variants of the uncut model, the reference first."""
        lasts = (point.variants[STAGE] for point in self.deep.values() if STAGE in point.variants)
        return tuple(dict.fromkeys([*(name for name in self.names if name not in self.deep), *lasts]))

    @property
    def chains(self) -> tuple[LoadedChain, ...]:
        """Chains that ship, each once."""
        deep = {point.loaded.chain.name: point.loaded for point in self.deep.values()}
        return (*deep.values(), *(self.pieces[name] for name in self.names if name in self.pieces))


def make_points(chosen: Chosen, prepared: Prepared) -> tuple[OperatingPoint, ...]:
    """Name and fill the operating points."""
    levels = (REFERENCE, *LEVELS.get(len(chosen.names) - 1, ()))
    return tuple(_point(level, name, chosen, prepared) for level, name in zip(levels, chosen.names, strict=True))


def _point(level: str, name: str, chosen: Chosen, prepared: Prepared) -> OperatingPoint:
    if name in chosen.deep:
        return _deep_point(level, name, chosen, prepared)
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
        size_bytes=chosen.trial.size_bytes(name),
        resident_bytes=chosen.memory[name],
        threads=chosen.trial.candidate(name).threads,
        placement={STAGE: chosen.trial.candidate(name).format},
        pieces={stage.name: name for stage in chosen.pieces[name].chain.stages} if name in chosen.pieces else {},
    )


def _deep_point(level: str, name: str, chosen: Chosen, prepared: Prepared) -> OperatingPoint:
    deep = chosen.deep[name]
    wall_ms = deep.latency_ms.mean or deep.latency_ms.p50
    joules = EnergyModel(prepared.device).inference(deep.cpu_ms * 1e-3, wall_ms * 1e-3)
    return OperatingPoint(
        name=level,
        variants=deep.variants,
        quality=chosen.figures[name].quality,
        latency_ms=deep.latency_ms,
        cpu_ms=deep.cpu_ms,
        energy_mj=EnergyMj(value=joules.value * 1e3, method=joules.method, uncertainty=joules.uncertainty * 1e3),
        size_bytes=sum(deep.loaded.size_bytes),
        resident_bytes=deep.resident_bytes,
        threads=deep.loaded.chain.candidate.threads,
        expected_depth=deep.expected_depth,
        exits=deep.exits,
        risk=deep.risk,
        depths=deep.depths,
        relaxed_quality=deep.relaxed_quality,
        placement=dict.fromkeys(deep.variants, "onnx"),
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
    candidates = [chosen.trial.candidate(item) for item in chosen.uncut]
    feeds = golden_feeds(prepared)
    graphs = {candidate.name: candidate.graph for candidate in candidates if candidate.file is None}
    graphs |= {_packed_name(loaded, stage): stage.graph for loaded in chosen.chains for stage in _parts(loaded)}
    packed = pack(graphs)
    shared = {WEIGHTS_FILE: packed.weights} if packed.weights else {}
    stage = StageDraft(
        name=STAGE,
        inputs=prepared.model.inputs,
        outputs=prepared.model.outputs,
        golden_inputs=feeds,
        shared=shared,
        variants=tuple(_variant(candidate, chosen, feeds, packed, bool(shared)) for candidate in candidates),
    )
    stamp = (created or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = f"{prepared.calibration.sha256[:32]}{prepared.evaluation.sha256[:32]}"
    return BundleDraft(
        bundle=BundleInfo(name=name, version="1", created=stamp),
        model=model_info(prepared.report),
        stages=(stage, *_stages(chosen, feeds, packed, shared)),
        points=make_points(chosen, prepared),
        measured_on=measured_on(prepared.device, seed=seed, data_sha256=digest),
        untouched=chosen.untouched,
        dropped=chosen.dropped,
        gate=chosen.gate,
    )


def _parts(loaded: LoadedChain) -> list[ChainStage]:
    """Stages that are no uncut model."""
    return [stage for stage in loaded.chain.stages if stage.name != STAGE]


def _packed_name(loaded: LoadedChain, stage: ChainStage) -> str:
    return f"{loaded.chain.name} {stage.name}"


def _stages(
    chosen: Chosen, feeds: Mapping[str, Array], packed: Packed, shared: Mapping[str, bytes]
) -> list[StageDraft]:
    """The stages of all chains: one stage holds the variants of every chain that has it."""
    drafts: dict[str, StageDraft] = {}
    for loaded in chosen.chains:
        values = dict(feeds)
        for stage, session in zip(loaded.chain.stages, loaded.sessions, strict=True):
            if stage.name == STAGE:
                continue
            inputs = {spec.name: values[spec.name] for spec in session.inputs}
            outputs = session.run(inputs)
            values |= outputs
            name = _packed_name(loaded, stage)
            schemes = loaded.chain.candidate.schemes if stage.schemes is None else stage.schemes
            variant = VariantDraft(
                name=loaded.chain.name,
                format="onnx",
                schemes=schemes,
                files={MODEL_FILE: packed.models[name]},
                model_file=MODEL_FILE,
                golden_outputs=outputs,
                golden_atol=golden_atol(outputs, schemes, {}),
                size_bytes=packed.size_bytes[name],
                uses_shared=bool(shared),
                golden_inputs=None if stage.name not in drafts else inputs,
            )
            if stage.name in drafts:
                first = drafts[stage.name]
                drafts[stage.name] = replace(first, variants=(*first.variants, variant))
                continue
            drafts[stage.name] = StageDraft(
                name=stage.name,
                inputs=session.inputs,
                outputs=session.outputs,
                golden_inputs=inputs,
                shared=shared,
                variants=(variant,),
                exit=stage.exit,
            )
    return list(drafts.values())


def _variant(
    candidate: Candidate, chosen: Chosen, feeds: Mapping[str, Array], packed: Packed, shared: bool
) -> VariantDraft:
    outputs = chosen.trial.sessions[candidate.name].run(feeds)
    if candidate.file is not None:
        return VariantDraft(
            name=candidate.name,
            format="tflite",
            schemes=candidate.schemes,
            files={TFLITE_FILE: candidate.file.content},
            model_file=TFLITE_FILE,
            golden_outputs=outputs,
            golden_atol=golden_atol(outputs, candidate.schemes, chosen.scores[candidate.name].max_deviation),
            size_bytes=len(candidate.file.content),
            backend="tflite",
            uses_shared=False,
            needs=candidate.file.needs,
        )
    return VariantDraft(
        name=candidate.name,
        format="onnx",
        schemes=candidate.schemes,
        files={MODEL_FILE: packed.models[candidate.name]},
        model_file=MODEL_FILE,
        golden_outputs=outputs,
        golden_atol=golden_atol(outputs, candidate.schemes, chosen.scores[candidate.name].max_deviation),
        size_bytes=packed.size_bytes[candidate.name],
        uses_shared=shared,
    )


def reload_check(chosen: Chosen) -> Callable[[Path], None]:
    """Return the last check: every emitted file, loaded from the folder, gives what its candidate gave in memory."""
    threads = {(STAGE, name): chosen.trial.candidate(name).threads for name in chosen.uncut}
    for loaded in chosen.chains:
        for stage in _parts(loaded):
            threads[stage.name, loaded.chain.name] = loaded.chain.candidate.threads

    def check(folder: Path) -> None:
        bundle = Bundle.open(folder)
        for stage in bundle.stages:
            for variant in stage.variants:
                _check_variant(bundle, stage, variant, threads[stage.name, variant.name])

    return check


def _check_variant(bundle: Bundle, stage: StageInfo, variant: VariantInfo, threads: int) -> None:
    request = load_request(bundle, stage, variant, threads=threads)
    expected = bundle.golden_outputs(variant)
    for name, array in make_backend(variant.backend).load(request).run(bundle.golden_inputs(stage, variant)).items():
        error = largest_difference(array, expected[name])
        if error > variant.golden_atol[name]:
            raise ExportError(
                f"The written file of {variant.name!r} differs from the candidate by {error:.3g} in {name!r}.",
                "Nothing was published. Try again; if it stays, report the model.",
            )
