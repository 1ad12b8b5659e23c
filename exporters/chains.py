"""Chains: a candidate cut into stages, loaded as the engine loads it, scored and timed at every depth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import ExitInfo
from edgehybrid.data import Samples
from edgehybrid.exporters.formats import MODEL_FILE, TFLITE_FILE, WEIGHTS_FILE, Part, pack
from edgehybrid.exporters.measure import unmeasured_point
from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.search import Candidate
from edgehybrid.points import Exit
from edgehybrid.quality import Metric
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session, make_backend
from edgehybrid.runtime.execution import LoadedStage, Plan
from edgehybrid.tensors import TensorSpec

Array = NDArray[np.generic]
Float64Array = NDArray[np.float64]
_NEVER = 2.0  # more than any confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStage:
    """One stage of a chain.

    Attributes:
        name: Of the stage.
        graph: The slice; of a stage that is a file of another back end, the float one.
        exit: The head after it.
        schemes: What it is in, where not as the candidate.
        part: The file that runs in the place of ``graph``, with its back end.
    """

    name: str
    graph: Graph
    exit: ExitInfo | None = None
    schemes: Mapping[str, str] | None = None
    part: Part | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what runs, as hex."""
        return self.graph.digest if self.part is None else hashlib.sha256(self.part.content).hexdigest()

    @property
    def backend(self) -> str:
        """Key of the back end that runs it."""
        return "onnx" if self.part is None else self.part.backend

    @property
    def model_file(self) -> str:
        """What its file is called."""
        return TFLITE_FILE if self.part is not None and self.part.format == "tflite" else MODEL_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A candidate in stages; a cascade's last stage is another candidate, whole.

    Attributes:
        name: Of the chain, and of its variants.
        candidate: What its last stage belongs to.
        stages: In the order in which they run; the last one has no exit.
    """

    name: str
    candidate: Candidate
    stages: tuple[ChainStage, ...]

    @property
    def is_cascade(self) -> bool:
        """Whether its last stage is a whole model."""
        return self.stages[-1].graph is self.candidate.graph

    @property
    def exits(self) -> tuple[ExitInfo, ...]:
        """Its exits, in their order."""
        return tuple(stage.exit for stage in self.stages if stage.exit is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deep:
    """What a chain did at every depth with nothing left out.

    Attributes:
        confidence: Of each input at each exit, shape ``(n, exits)``.
        answers: Answer of each input at each depth, first that after one stage: shape ``(n, exits + 1, k)``.
        scores: The metric's score of each of them, shape ``(n, exits + 1)``.
        truth: Answer of the float model as given, shape ``(n, k)``.
    """

    confidence: Float64Array
    answers: Float64Array
    scores: Float64Array
    truth: Float64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedChain:
    """A chain in a folder, loaded; ``size_bytes`` is what each stage would take stored apart."""

    chain: Chain
    folder: Path
    sessions: tuple[Session, ...]
    size_bytes: tuple[int, ...]

    def model_files(self) -> tuple[Path, ...]:
        """Where the models of its stages lie, in their order."""
        return tuple(self.folder / stage.name / stage.model_file for stage in self.chain.stages)

    def run_all(self, feeds: Mapping[str, Array]) -> list[dict[str, Array]]:
        """Run every stage; returns what each gives."""
        values, found = dict(feeds), []
        for session in self.sessions:
            outputs = session.run({spec.name: values[spec.name] for spec in session.inputs})
            values |= outputs
            found.append(outputs)
        return found

    def answers(self, feeds: Mapping[str, Array]) -> tuple[list[dict[str, Array]], list[Array]]:
        """Outputs of the model at every depth, and the confidence of every exit."""
        found = self.run_all(feeds)
        outputs, sure = [], []
        for given, stage in zip(found, self.chain.stages, strict=True):
            if stage.exit is not None:
                outputs.append({name: given[tensor] for name, tensor in stage.exit.outputs.items()})
                sure.append(given[stage.exit.confidence])
        return [*outputs, found[-1]], sure


def load_chain(chain: Chain, folder: Path, threads: int) -> LoadedChain:
    """Write ``chain`` into ``folder`` as the bundle will hold it, and load it.

    Raises:
        ModelError: The runtime refuses a stage.
        BackendError: A back end is not here, or takes too little of its file.
    """
    packed = pack({stage.name: stage.graph for stage in chain.stages if stage.part is None})
    folder.mkdir(parents=True)
    (folder / WEIGHTS_FILE).write_bytes(packed.weights)
    sessions = []
    for stage in chain.stages:
        place = folder / stage.name / stage.model_file
        place.parent.mkdir()
        if (part := stage.part) is None:
            place.write_bytes(packed.models[stage.name])
            sessions.append(OnnxBackend().load(LoadRequest(model_file=place, weights_dir=folder, threads=threads)))
            continue
        place.write_bytes(part.content)
        request = LoadRequest(
            model_file=place, threads=threads, inputs=part.inputs, outputs=part.outputs, needs=part.needs
        )
        sessions.append(make_backend(part.backend).load(request))
    sizes = tuple(
        packed.size_bytes[stage.name] if stage.part is None else len(stage.part.content) for stage in chain.stages
    )
    return LoadedChain(chain=chain, folder=folder, sessions=tuple(sessions), size_bytes=sizes)


def score_chain(
    loaded: LoadedChain,
    reference: Session,
    samples: Samples,
    metric: Metric,
    *,
    wanted: Callable[[int], bool],
    advance: Callable[[int], None] = lambda _: None,
) -> Deep:
    """Run every wanted sample of ``samples`` to every depth.

    Args:
        loaded: The chain.
        reference: The float model as given.
        samples: Data.
        metric: What scores an answer.
        wanted: Asked by the number of each sample.
        advance: Told after each.
    """
    sure, answers, scores, truths = [], [], [], []
    for batch in samples.batches(1):
        if not wanted(batch.start):
            continue
        depths, confidences = loaded.answers(batch.feeds)
        truth = reference.run(batch.feeds)
        sure.append([float(np.asarray(value).reshape(-1)[0]) for value in confidences])
        answers.append([_flat(outputs) for outputs in depths])
        scores.append([float(np.asarray(metric.score(o, batch.labels, truth)).reshape(-1)[0]) for o in depths])
        truths.append(_flat(truth))
        advance(1)
    return Deep(
        confidence=np.array(sure, dtype=np.float64),
        answers=np.array(answers),
        scores=np.array(scores, dtype=np.float64),
        truth=np.array(truths),
    )


def _flat(outputs: Mapping[str, Array]) -> Float64Array:
    return np.asarray(next(iter(outputs.values())), dtype=np.float64).reshape(-1)


def depth_runs(
    loaded: LoadedChain, feeds: Mapping[str, Array], inputs: Sequence[TensorSpec], outputs: Sequence[str]
) -> tuple[Callable[[], object], ...]:
    """One inference to each exit and to the end, through the engine's own plan, whose share of the time counts too."""
    chain = loaded.chain
    runs: list[Callable[[], object]] = []
    early = [stage.name for stage in chain.stages if stage.exit is not None]
    for depth in range(1, len(early) + 2):
        exits = {name: Exit(thresholds=(-1.0 if k + 1 == depth else _NEVER,)) for k, name in enumerate(early)}
        stages = tuple(
            LoadedStage(name=stage.name, session=session, exit=stage.exit, backend=stage.backend)
            for stage, session in zip(chain.stages, loaded.sessions, strict=True)
        )
        point = unmeasured_point(chain.name, {stage.name: chain.name for stage in chain.stages}, exits)
        plan = Plan(point=point, stages=stages, inputs=tuple(inputs), outputs=tuple(outputs))
        runs.append(partial(plan.run, feeds))
    return tuple(runs)


def mixed(wall_s: Sequence[Float64Array], shares: Sequence[float]) -> Float64Array:
    """Mean time of each round when so large shares of the inputs stop at each depth; shape ``(rounds,)``."""
    parts = [share * wall for share, wall in zip(shares, wall_s, strict=True)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)
