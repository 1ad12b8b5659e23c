"""The stages of one set of cuts, each in every precision on every back end: written, let through a gate, measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.errors import BackendError, EdgeHybridError, ExportError, ModelError
from edgehybrid.exporters.depth import Cut, slice_chain
from edgehybrid.exporters.formats import FLOAT_FORM, Part, Quantizing, Source, scheme_of, write_float
from edgehybrid.exporters.measure import interleave, open_placed, sqnr_db
from edgehybrid.exporters.model import Component, Graph, locate
from edgehybrid.exporters.placement.paths import Step
from edgehybrid.exporters.placement.whole import USUAL
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.search import Candidate
from edgehybrid.points import REFERENCE
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session
from edgehybrid.tensors import TensorSpec

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]

FORMS = (FLOAT_FORM, "w8-dyn", "w8a8")
"""TFLite forms that stages are written in; further ones rarely differ in time for a stage."""

LEAST_DB, LEAST_FLOAT_DB = 10.0, 40.0
"""So near must a stage come to the float stage, as signal to noise: in any precision, and in float."""

_ROWS, _CHECKED, _SEVERAL = 24, 8, 3  # of the calibration data


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFloat:
    """One stage of the float model.

    Attributes:
        name: Of the stage in the bundle.
        components: Those of the model that lie in it, at least in part; glue is not told.
        graph: The slice.
        session: It, loaded.
        rows: What it reads, of several calibration samples of one row each.
        checks: What the gate runs: some of them, and one batch where the model takes several rows.
    """

    name: str
    components: tuple[Component, ...]
    graph: Graph
    session: Session
    rows: tuple[Feeds, ...]
    checks: tuple[Feeds, ...]

    @property
    def reads(self) -> set[str]:
        """Names of its inputs."""
        return {spec.name for spec in self.session.inputs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What one stage may run as, by option; and what could not be made, with the reason."""

    parts: Mapping[str, Part]
    steps: tuple[Step, ...]
    dropped: tuple[Dropped, ...] = ()


def float_stages(
    base: Candidate, prepared: Prepared, cuts: Sequence[Cut], prefix: str, folder: Path
) -> tuple[StageFloat, ...]:
    """Cut the graph of a float candidate, and see what crosses on calibration data.

    Raises:
        ExportError: It cannot be cut there.
        ModelError: ONNX Runtime refuses a slice.
    """
    stages = []
    seen = [dict(feeds) for feeds in first_feeds(prepared.calibration, _ROWS)]
    most = prepared.calibration.largest_batch
    size = min(_SEVERAL, prepared.calibration.count, _SEVERAL if most is None else most)
    many = dict(first_feeds(prepared.calibration, 1, size)[0]) if size > 1 else None
    for k, part in enumerate(slice_chain(base.graph, cuts), 1):
        name = f"{prefix}-{k}"
        session = _load(part, folder / f"{name}.onnx")
        wanted = [spec.name for spec in session.inputs]
        mine = tuple({n: feeds[n] for n in wanted} for feeds in seen)
        whole = () if many is None else ({n: many[n] for n in wanted},)
        inside = dict.fromkeys(c for c in locate(part, prepared.components).values() if c.family != "glue")
        stages.append(
            StageFloat(
                name=name,
                components=tuple(inside),
                graph=part,
                session=session,
                rows=mine,
                checks=(*mine[:_CHECKED], *whole),
            )
        )
        seen = [feeds | session.run(own) for feeds, own in zip(seen, mine, strict=True)]
        if many is not None:
            many = many | session.run({n: many[n] for n in wanted})
    return tuple(stages)


def onnx_parts(
    stages: Sequence[StageFloat], candidates: Sequence[Candidate], cuts: Sequence[Cut], folder: Path
) -> tuple[list[dict[str, Part]], list[Dropped]]:
    """Slices of whole candidates; those that hand over floats, as the other formats do."""
    found: list[dict[str, Part]] = [{} for _ in stages]
    dropped = []
    for candidate in candidates:
        try:
            slices = slice_chain(candidate.graph, cuts)
        except ExportError as error:
            dropped.append(Dropped(name=f"{candidate.name} in stages", reason=error.what))
            continue
        for k, (stage, graph) in enumerate(zip(stages, slices, strict=True)):
            session = _load(graph, folder / f"{stage.name}-{candidate.name}.onnx")
            if _borders(session) != _borders(stage.session):
                continue  # integers cross: only its own next stage takes them, and that is the uncut candidate
            found[k][candidate.name] = Part(
                stage=stage.name,
                variant=candidate.name,
                backend="onnx",
                format="onnx",
                inputs=stage.session.inputs,
                outputs=stage.session.outputs,
                schemes={c.name: candidate.schemes[c.name] for c in stage.components if c.name in candidate.schemes},
                content=graph.to_bytes(),
                graph=graph,
            )
    return found, dropped


def tflite_parts(stage: StageFloat, graph: Graph, folder: Path) -> tuple[dict[str, Part], list[Dropped]]:
    """The stage as TFLite files, each through the parity gate against the float stage."""
    source = Source(
        graph=graph,
        inputs=stage.session.inputs,
        outputs=stage.session.outputs,
        rows=stage.rows,
        checks=stage.checks,
        reference=stage.session.run,
    )
    parts: dict[str, Part] = {}
    dropped = []
    place = folder / stage.name
    place.mkdir()
    try:
        floats = write_float(source, place)
    except ModelError as error:
        return {}, [Dropped(name=f"tflite {stage.name}", reason=error.what)]
    quantized = Quantizing(floats, source, place)
    for form in FORMS:
        name = f"tflite-{form}"
        try:
            file = floats if form == FLOAT_FORM else quantized(form)
        except ModelError as error:
            dropped.append(Dropped(name=f"{name} {stage.name}", reason=error.what))
            continue
        parts[name] = Part(
            stage=stage.name,
            variant=name,
            backend="tflite",
            format="tflite",
            inputs=stage.session.inputs,
            outputs=stage.session.outputs,
            schemes={c.name: scheme_of(form, c.family) for c in stage.components},
            needs=file.needs,
            content=file.content,
        )
    return parts, dropped


def elsewhere(parts: Mapping[str, Part], keys: Sequence[str]) -> Iterator[tuple[str, Part]]:
    """The same files on the further back ends of their format."""
    for key in keys:
        if key in USUAL:
            continue
        for name, part in parts.items():
            if part.format == key.partition("-")[0] and name != REFERENCE:
                variant = f"{name}@{key}"
                yield (
                    variant,
                    Part(
                        stage=part.stage,
                        variant=variant,
                        backend=key,
                        format=part.format,
                        inputs=part.inputs,
                        outputs=part.outputs,
                        schemes=part.schemes,
                        needs=part.needs,
                        content=part.content,
                        graph=part.graph,
                    ),
                )


def measure(
    stage: StageFloat, parts: Mapping[str, Part], folder: Path, *, budget_s: float, threads: Sequence[int], seed: int
) -> Offered:
    """Load every option of a stage, check it against the float stage, and time all of them, interleaved.

    Args:
        stage: The stage.
        parts: Its files, each for a back end.
        folder: Where they are written.
        budget_s: Seconds for timing.
        threads: Numbers of threads, each tried with each file.
        seed: Of the order.
    """
    parts = {name + on_threads(n): replace(part, threads=n) for n in threads for name, part in parts.items()}
    sessions: dict[str, Session] = {}
    dropped = []
    for name, part in parts.items():
        place = folder / f"{stage.name} {name}"
        place.mkdir()
        try:
            session = open_placed((part,), place)
            if why := _strays(session, stage, part):
                raise BackendError(why, "It is left out.")
        except EdgeHybridError as error:
            dropped.append(Dropped(name=f"{name} {stage.name}", reason=error.what.replace(str(place), "the folder")))
            continue
        sessions[name] = session
    if not sessions:
        return Offered(parts={}, steps=(), dropped=tuple(dropped))
    feeds = stage.rows[0]
    runs = {name: (lambda session=session: session.run(feeds)) for name, session in sessions.items()}
    wall_s = np.median(interleave(runs, budget_s=budget_s, seed=seed).wall_s, axis=0)
    steps = tuple(
        Step(option=name, backend=parts[name].backend, cost_s=float(cost), threads=parts[name].threads)
        for name, cost in zip(sessions, wall_s, strict=True)
    )
    return Offered(parts={name: parts[name] for name in sessions}, steps=steps, dropped=tuple(dropped))


def on_threads(threads: int) -> str:
    """What the name of an option or candidate ends with."""
    return f"-{threads}t" if threads > 1 else ""


def _strays(session: Session, stage: StageFloat, part: Part) -> str:
    """Say how far a stage is from the float one, if that is too far."""
    noise = [sqnr_db(session.run(feeds), stage.session.run(feeds)) for feeds in stage.checks]
    is_float = set(part.schemes.values()) <= {REFERENCE}
    mean, least = float(np.mean(noise)), LEAST_FLOAT_DB if is_float else LEAST_DB
    return "" if mean >= least else f"{mean:.1f} dB beside the float stage; below {least:g} it is garbage"


def _borders(session: Session) -> tuple[tuple[tuple[str, str], ...], ...]:
    def names(specs: Sequence[TensorSpec]) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((spec.name, spec.dtype) for spec in specs))

    return names(session.inputs), names(session.outputs)


def _load(graph: Graph, file: Path) -> Session:
    file.write_bytes(graph.to_bytes())
    return OnnxBackend().load(LoadRequest(model_file=file))
