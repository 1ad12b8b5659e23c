"""From the chosen candidates to a bundle: points, golden vectors, files, and the last check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import (
    Bundle,
    BundleDraft,
    BundleInfo,
    StageDraft,
    StageInfo,
    VariantDraft,
    VariantInfo,
)
from edgehybrid.errors import ExportError
from edgehybrid.exporters.chains import ChainStage, LoadedChain
from edgehybrid.exporters.chosen import STAGE, Chosen, DeepPoint
from edgehybrid.exporters.formats import MODEL_FILE, TFLITE_FILE, WEIGHTS_FILE, Packed, Part, TfliteFile, pack
from edgehybrid.exporters.measure import PlacedChain, largest_difference, measured_on
from edgehybrid.exporters.model import model_info
from edgehybrid.exporters.precision import IN_FLOATS
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.search import Candidate
from edgehybrid.points import LEVELS, REFERENCE, EnergyMj, LatencyMs, OperatingPoint
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.energy import EnergyModel
from edgehybrid.runtime.execution import load_plan, load_request

__all__ = [
    "STAGE",
    "Chosen",
    "DeepPoint",
    "golden_atol",
    "golden_feeds",
    "make_draft",
    "make_points",
    "mixed_stages",
    "reload_check",
]

GOLDEN_SAMPLES = (4, 2, 1)  # the first whose inputs take no more than the bytes below
GOLDEN_BYTES = 1 << 16
FLOAT_ATOL = 1e-4  # share of the output's range: float sums in another order
INT8_ATOL = 2e-2  # integers round to another neighbour now and then

Array = NDArray[np.generic]


def make_points(chosen: Chosen, prepared: Prepared) -> tuple[OperatingPoint, ...]:
    """Name and fill the operating points."""
    levels = (REFERENCE, *LEVELS.get(len(chosen.names) - 1, ()))
    return tuple(_point(level, name, chosen, prepared) for level, name in zip(levels, chosen.names, strict=True))


def _point(level: str, name: str, chosen: Chosen, prepared: Prepared) -> OperatingPoint:
    if name in chosen.deep:
        return replace(_deep_point(level, name, chosen, prepared), carried=chosen.carried.get(name, ""))
    p50, p95 = (chosen.timings.percentile_ms(name, q) for q in (50.0, 95.0))
    cpu_ms = chosen.timings.cpu_ms(name)
    joules = EnergyModel(prepared.device).inference(cpu_ms * 1e-3, p50 * 1e-3)
    candidate = chosen.trial.candidate(name)
    variants, placement = {STAGE: chosen.guests.get(name, name)}, {STAGE: candidate.backends[0]}
    if len(candidate.parts) > 1:
        variants = {part.stage: part.variant for part in candidate.parts}
        placement = {part.stage: part.backend for part in candidate.parts}
    return OperatingPoint(
        name=level,
        variants=variants,
        quality=chosen.figures[name].quality,
        latency_ms=LatencyMs(p50=p50, p95=p95),
        cpu_ms=cpu_ms,
        energy_mj=EnergyMj(value=joules.value * 1e3, method=joules.method, uncertainty=joules.uncertainty * 1e3),
        size_bytes=chosen.trial.size_bytes(name),
        resident_bytes=chosen.memory[name],
        threads=candidate.threads,
        placement=placement,
        stage_threads={part.stage: part.threads for part in candidate.parts if part.threads != candidate.threads},
        pieces={stage.name: name for stage in chosen.pieces[name].chain.stages} if name in chosen.pieces else {},
        carried=chosen.carried.get(name, ""),
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
        placement={
            stage.name: chosen.trial.candidate(deep.variants[STAGE]).backends[0]
            if stage.name == STAGE
            else stage.backend
            for stage in deep.loaded.chain.stages
        },
    )


def golden_feeds(prepared: Prepared) -> dict[str, Array]:
    """Golden inputs: the first samples of the evaluation data in one batch, or one if the model takes one at a time."""
    most = min(prepared.evaluation.count, prepared.evaluation.largest_batch or max(GOLDEN_SAMPLES))
    one = sum(array.nbytes for array in first_feeds(prepared.evaluation, 1)[0].values())
    return first_feeds(prepared.evaluation, 1, golden_samples(one, most))[0]


def golden_samples(sample_bytes: int, most: int) -> int:
    """How many golden samples there are: at most 4 or ``most``, fewer of a large input.

    An app mostly asks for one input at a time: the self-test on a device must not set how much memory the engine
    needs (docs/decisions/0054).
    """
    return next((size for size in GOLDEN_SAMPLES if size <= most and size * sample_bytes <= GOLDEN_BYTES), 1)


def golden_atol(
    outputs: Mapping[str, Array], schemes: Mapping[str, str], deviation: Mapping[str, float]
) -> dict[str, float]:
    """How far a healthy device may be off, by output.

    Floats differ by the order of sums: 1e-4 of the output's range. Integers may round to the other neighbour where
    two processors' floats differ in the last bit, and what follows amplifies it: 2 % of the range, or half of what
    int8 deviates from float anyway, whichever is more. A damaged weight shows as far more than that.
    """
    is_float = all(set(scheme.split("+")) <= IN_FLOATS for scheme in schemes.values())
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
    graphs |= {_packed_name(loaded, stage): stage.graph for loaded in chosen.chains for stage in _sliced(loaded)}
    parts = (*(part for c in candidates for part in c.parts), *(part for c in chosen.mixed for part in c.parts))
    graphs |= {part.key: part.graph for part in parts if part.graph is not None}
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
        stages=(stage, *_stages(chosen, feeds, packed, shared), *mixed_stages(chosen, feeds, packed, shared)),
        points=make_points(chosen, prepared),
        measured_on=measured_on(prepared.device, seed=seed, data_sha256=digest),
        untouched=chosen.untouched,
        dropped=chosen.dropped,
        gate=chosen.gate,
    )


def _parts(loaded: LoadedChain) -> list[ChainStage]:
    """Stages that are no uncut model."""
    return [stage for stage in loaded.chain.stages if stage.name != STAGE]


def _sliced(loaded: LoadedChain) -> list[ChainStage]:
    """Those of them that are graphs, whose weights are shared."""
    return [stage for stage in _parts(loaded) if stage.part is None]


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
            own = None if stage.name not in drafts else inputs
            variant = _chain_variant(loaded, stage, outputs, packed, bool(shared), own)
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


def _chain_variant(
    loaded: LoadedChain,
    stage: ChainStage,
    outputs: Mapping[str, Array],
    packed: Packed,
    shared: bool,
    golden_inputs: Mapping[str, Array] | None,
) -> VariantDraft:
    if stage.part is not None:
        return _part_variant(stage.part, outputs, packed, shared, {}, golden_inputs=golden_inputs)
    name = _packed_name(loaded, stage)
    schemes = loaded.chain.candidate.schemes if stage.schemes is None else stage.schemes
    return VariantDraft(
        name=loaded.chain.name,
        format="onnx",
        schemes=schemes,
        files={MODEL_FILE: packed.models[name]},
        model_file=MODEL_FILE,
        golden_outputs=outputs,
        golden_atol=golden_atol(outputs, schemes, {}),
        size_bytes=packed.size_bytes[name],
        uses_shared=shared,
        golden_inputs=golden_inputs,
    )


def mixed_stages(
    chosen: Chosen, feeds: Mapping[str, Array], packed: Packed, shared: Mapping[str, bytes]
) -> list[StageDraft]:
    """The stages of candidates on several back ends: equal ones once, however many candidates use them."""
    drafts: dict[str, StageDraft] = {}
    for candidate in chosen.mixed:
        chain = chosen.trial.sessions[candidate.name]
        assert isinstance(chain, PlacedChain)
        values = dict(feeds)
        for part, session in zip(candidate.parts, chain.sessions, strict=True):
            inputs = {spec.name: values[spec.name] for spec in session.inputs}
            outputs = session.run(inputs)
            values |= outputs
            first = drafts.setdefault(
                part.stage,
                StageDraft(
                    name=part.stage,
                    inputs=part.inputs,
                    outputs=part.outputs,
                    golden_inputs=inputs,
                    shared=shared,
                    variants=(),
                ),
            )
            if all(variant.name != part.variant for variant in first.variants):
                own = None if not first.variants else inputs
                variant = _part_variant(part, outputs, packed, bool(shared), {}, golden_inputs=own)
                drafts[part.stage] = replace(first, variants=(*first.variants, variant))
    return list(drafts.values())


def _part_variant(
    part: Part,
    outputs: Mapping[str, Array],
    packed: Packed,
    shared: bool,
    deviation: Mapping[str, float],
    *,
    golden_inputs: Mapping[str, Array] | None = None,
) -> VariantDraft:
    model = MODEL_FILE if part.format == "onnx" else TFLITE_FILE
    content = part.content if part.graph is None else packed.models[part.key]
    return VariantDraft(
        name=part.variant,
        format=part.format,
        schemes=part.schemes,
        files={model: content},
        model_file=model,
        golden_outputs=outputs,
        golden_atol=golden_atol(outputs, part.schemes, deviation),
        size_bytes=len(part.content) if part.graph is None else packed.size_bytes[part.key],
        backend=part.backend,
        uses_shared=shared and part.graph is not None,
        golden_inputs=golden_inputs,
        needs=part.needs,
        writer=part.writer,
    )


def _variant(
    candidate: Candidate, chosen: Chosen, feeds: Mapping[str, Array], packed: Packed, shared: bool
) -> VariantDraft:
    outputs = chosen.trial.sessions[candidate.name].run(feeds)
    deviation = chosen.scores[candidate.name].max_deviation
    if candidate.parts:
        return _part_variant(candidate.parts[0], outputs, packed, shared, deviation)
    lite = candidate.file
    model = MODEL_FILE if lite is None else TFLITE_FILE
    return VariantDraft(
        name=candidate.name,
        format="onnx" if lite is None else "tflite",
        schemes=candidate.schemes,
        files={model: packed.models[candidate.name] if lite is None else lite.content},
        model_file=model,
        golden_outputs=outputs,
        golden_atol=golden_atol(outputs, candidate.schemes, deviation),
        size_bytes=packed.size_bytes[candidate.name] if lite is None else len(lite.content),
        backend=candidate.backends[0],
        uses_shared=shared and lite is None,
        needs=lite.needs if isinstance(lite, TfliteFile) else {},
        writer=lite.writer if isinstance(lite, TfliteFile) else "",
        placed_atol={
            chosen.trial.candidate(guest).backends[0]: _guest_atol(chosen, guest, outputs, feeds)
            for guest, base in chosen.guests.items()
            if base == candidate.name
        },
    )


def _guest_atol(
    chosen: Chosen, guest: str, expected: Mapping[str, Array], feeds: Mapping[str, Array]
) -> dict[str, float]:
    """Tolerance of a file on another back end: its own rounding there, and how far that is from the golden outputs."""
    outputs = chosen.trial.sessions[guest].run(feeds)
    own = golden_atol(outputs, chosen.trial.candidate(guest).schemes, chosen.scores[guest].max_deviation)
    return {name: own[name] + largest_difference(array, expected[name]) for name, array in outputs.items()}


def reload_check(chosen: Chosen) -> Callable[[Path], None]:
    """Return the last check: every emitted file, loaded from the folder, gives what its candidate gave in memory."""
    threads = {(STAGE, name): chosen.trial.candidate(name).threads for name in chosen.uncut}
    for loaded in chosen.chains:
        for stage in _parts(loaded):
            threads[stage.name, loaded.chain.name] = loaded.chain.candidate.threads
    for candidate in chosen.mixed:
        for part in candidate.parts:
            threads[part.stage, part.variant] = part.threads

    def check(folder: Path) -> None:
        bundle = Bundle.open(folder)
        _check_placed(bundle, chosen)
        for stage in bundle.stages:
            for variant in stage.variants:
                _check_variant(bundle, stage, variant, threads[stage.name, variant.name])

    return check


def _check_placed(bundle: Bundle, chosen: Chosen) -> None:
    """Points of several stages on several back ends, or that place a file elsewhere, load as the device will."""
    special = {*chosen.guests, *(candidate.name for candidate in chosen.mixed)}
    if not special:
        return
    for point, name in zip(bundle.points, chosen.names, strict=True):
        if name in special:
            load_plan(bundle, point, ExecutionPolicy(), make_backend)


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
