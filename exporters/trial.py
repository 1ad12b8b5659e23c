"""Try the candidates: write them as the bundle will hold them, load them with the engine's own code, measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.data import Samples
from edgehybrid.errors import BackendError, ModelError
from edgehybrid.exporters.formats import MODEL_FILE, TFLITE_FILE, WEIGHTS_FILE, Packed, PlacedFile, pack, part_file
from edgehybrid.exporters.measure import (
    Cache,
    Score,
    Timings,
    interleave,
    machine_key,
    open_placed,
    resident_bytes,
    score_graphs,
)
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.progress import Progress
from edgehybrid.exporters.search import Candidate, Figures
from edgehybrid.points import REFERENCE, Quality
from edgehybrid.quality import Metric, summarize
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session, TfliteBackend

PART_S = 2.0
MIN_ROUNDS, MAX_ROUNDS = 12, 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What measuring needs: where results are kept, who scores, and who is told."""

    cache: Cache
    executor: Executor
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Candidates in a folder, packed and loaded; ``dropped`` are those that the runtime refuses.

    ``timed`` holds the sessions whose latency is measured: those of the twins where there are any. ``removed`` are
    candidates that it went on without: a cascade may still begin with one.
    """

    candidates: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    packed: Packed
    folder: Path
    sessions: Mapping[str, Session]
    timed: Mapping[str, Session]
    removed: tuple[Candidate, ...] = ()

    def model_files(self, name: str) -> list[Path]:
        """Where the models of a candidate lie, in the order of its stages."""
        candidate, place = self.candidate(name), self.folder / name
        if candidate.parts:
            return [part_file(place, part) for part in candidate.parts]
        return [place / (MODEL_FILE if candidate.file is None else TFLITE_FILE)]

    def size_bytes(self, name: str) -> int:
        """What a candidate would take if it were stored apart."""
        candidate = self.candidate(name)
        if candidate.parts:
            return sum(len(part.content) for part in candidate.parts)
        return self.packed.size_bytes[name] if candidate.file is None else len(candidate.file.content)

    def candidate(self, name: str) -> Candidate:
        """The candidate called ``name``."""
        return next(candidate for candidate in self.candidates if candidate.name == name)

    def without(self, dropped: Sequence[Dropped]) -> Trial:
        """Go on without some."""
        names = {item.name for item in dropped}
        kept = tuple(candidate for candidate in self.candidates if candidate.name not in names)
        gone = tuple(candidate for candidate in self.candidates if candidate.name in names)
        return replace(self, candidates=kept, dropped=(*self.dropped, *dropped), removed=(*self.removed, *gone))


def open_trial(candidates: Sequence[Candidate], folder: Path) -> Trial:
    """Pack ``candidates`` into ``folder`` and load each."""
    packed = pack({candidate.name: candidate.graph for candidate in candidates if candidate.file is None})
    (folder / WEIGHTS_FILE).write_bytes(packed.weights)
    sessions: dict[str, Session] = {}
    dropped = []
    for candidate in candidates:
        place = folder / candidate.name
        place.mkdir()
        try:
            sessions[candidate.name] = _open(candidate, packed, place, sessions.get(REFERENCE))
        except (BackendError, ModelError) as error:
            if candidate.name == REFERENCE:
                raise
            what = error.what.replace(f"{place}/", "")  # a folder that nobody finds later
            dropped.append(Dropped(name=candidate.name, reason=f"cannot be loaded: {what}"))
    twins = {c.name: c.twin for c in candidates if c.twin is not None and c.name in sessions}
    loaded = tuple(candidate for candidate in candidates if candidate.name in sessions)
    return Trial(
        candidates=loaded,
        dropped=tuple(dropped),
        packed=packed,
        folder=folder,
        sessions=sessions,
        timed={**sessions, **_open_twins(candidates, twins, folder)},
    )


def _open(candidate: Candidate, packed: Packed, place: Path, reference: Session | None) -> Session:
    """Write one candidate into its folder and load it; a TFLite file takes and gives what the reference does."""
    if candidate.file is None:
        (place / MODEL_FILE).write_bytes(packed.models[candidate.name])
        request = LoadRequest(model_file=place / MODEL_FILE, weights_dir=place.parent, threads=candidate.threads)
        return OnnxBackend().load(request)
    if isinstance(candidate.file, PlacedFile):
        return open_placed(candidate.parts, place)
    (place / TFLITE_FILE).write_bytes(candidate.file.content)
    request = LoadRequest(
        model_file=place / TFLITE_FILE,
        threads=candidate.threads,
        inputs=() if reference is None else reference.inputs,
        outputs=() if reference is None else reference.outputs,
        needs=candidate.file.needs,
    )
    return TfliteBackend().load(request)


def _open_twins(candidates: Sequence[Candidate], twins: Mapping[str, Graph], folder: Path) -> dict[str, Session]:
    """Load what is timed in the place of candidates that are made for another processor."""
    threads = {candidate.name: candidate.threads for candidate in candidates}
    opened = {}
    for name, graph in twins.items():
        file = folder / name / "twin.onnx"
        file.write_bytes(graph.to_bytes())
        opened[name] = OnnxBackend().load(LoadRequest(model_file=file, threads=threads[name]))
    return opened


def score_all(
    trial: Trial, samples: Samples, metric: Metric | None, tools: Tools, *, wanted: int | None = None
) -> dict[str, Score]:
    """Score every candidate on ``wanted`` samples, spread evenly over all of them."""
    count = min(wanted or samples.count, samples.count)
    tools.progress.start(count * len(trial.candidates), "quality")
    graphs = {candidate.name: candidate.to_bytes() for candidate in trial.candidates}
    return score_graphs(
        graphs,
        graphs[REFERENCE],
        samples,
        metric,
        executor=tools.executor,
        cache=tools.cache,
        wanted=count,
        advance=tools.progress.advance,
    )


def affordable(trial: Trial, samples: Samples, cache: Cache, budget_s: float) -> int:
    """How many samples all candidates can be scored on in about ``budget_s``: all, or a power of two, at least 64.

    It is kept, so that the same export counts the same samples again.
    """
    feeds = first_feeds(samples, 1)[0]
    key = ("seconds", *(c.digest for c in trial.candidates), machine_key())

    def measure() -> dict[str, NDArray[np.generic]]:
        runs = {name: (lambda session=session: session.run(feeds)) for name, session in trial.sessions.items()}
        return {"s": interleave(runs, budget_s=0.0, min_rounds=3, warm_up=1).wall_s.min(axis=0)}

    one = float(np.sum(cache.get(key, measure)["s"]))
    most = max(budget_s / max(one, 1e-9), 1.0)
    return samples.count if most >= samples.count else min(max(2 ** int(np.log2(most)), 64), samples.count)


def seconds_alone(prepared: Prepared, cache: Cache) -> float:
    """One inference of the user's graph, roughly; kept, so that the same export plans the same again."""
    graph, feeds = prepared.model.graph, first_feeds(prepared.calibration, 1)[0]

    def measure() -> dict[str, NDArray[np.generic]]:
        session = open_session(graph.proto)
        return {"s": interleave({"": lambda: session.run(None, dict(feeds))}, budget_s=0.0, min_rounds=5).wall_s.min(0)}

    return max(float(cache.get(("seconds alone", graph.digest, machine_key()), measure)["s"][0]), 1e-6)


def time_all(trial: Trial, samples: Samples, tools: Tools, *, budget_s: float, seed: int) -> Timings:
    """Time every candidate on one sample, interleaved, while nothing else of ours runs."""
    feeds = first_feeds(samples, 1)[0]
    key = (*(f"{c.name} {(c.twin or c).digest} {c.threads}" for c in trial.candidates), samples.sha256)
    runs = {c.name: (lambda session=trial.timed[c.name]: session.run(feeds)) for c in trial.candidates}
    return time_runs(runs, key, tools, budget_s=budget_s, seed=seed)


def time_runs(
    runs: Mapping[str, Callable[[], object]], key: tuple[str, ...], tools: Tools, *, budget_s: float, seed: int
) -> Timings:
    """Time ``runs``, interleaved.

    It is done in parts of a few seconds, each kept under ``key``, so that an interrupted export takes up where it
    stopped.
    """
    parts = max(round(budget_s / PART_S), 1)
    key = ("latency", *key, str(budget_s), str(seed), machine_key())
    tools.progress.start(100, "latency")
    found = []
    for part in range(parts):

        def measure(part: int = part) -> dict[str, NDArray[np.generic]]:
            timings = interleave(
                runs,
                budget_s=budget_s / parts,
                seed=seed + part,
                min_rounds=-(-MIN_ROUNDS // parts),
                max_rounds=-(-MAX_ROUNDS // parts),
                warm_up=1 if part else 3,
            )
            return {"wall_s": timings.wall_s, "cpu_s": timings.cpu_s}

        found.append(tools.cache.get((*key, str(part)), measure))
        tools.progress.advance(100 * (part + 1) // parts - 100 * part // parts)
    wall, cpu = (np.concatenate([np.asarray(a[of], dtype=np.float64) for a in found]) for of in ("wall_s", "cpu_s"))
    return Timings(names=tuple(runs), wall_s=wall, cpu_s=cpu)


def qualities(trial: Trial, metric: Metric, scores: Mapping[str, Score]) -> dict[str, Quality]:
    """Quality of every candidate against the reference; one with broken outputs gets the reference's."""
    reference = scores[REFERENCE].scores
    return {c.name: summarize(metric, _own(c.name, scores), reference) for c in trial.candidates}


def _own(name: str, scores: Mapping[str, Score]) -> NDArray[np.float64]:
    return (scores[name] if scores[name].finite else scores[REFERENCE]).scores


def figures(
    trial: Trial, scores: Mapping[str, Score], quality: Mapping[str, Quality], timings: Timings, seed: int
) -> dict[str, Figures]:
    """Join what was measured, by candidate."""
    joined = {}
    for candidate in trial.candidates:
        name = candidate.name
        joined[name] = Figures(
            name=name,
            quality=quality[name],
            scores=_own(name, scores),
            sqnr_db=scores[name].sqnr_db,
            wall_s=timings.wall_s[:, timings.column(name)],
            cpu_s=np.maximum(timings.cpu_s[:, timings.column(name)], 1e-9),
            speedup=timings.speedup(name, REFERENCE, seed),
            size_bytes=trial.size_bytes(name),
            finite=scores[name].finite,
        )
    return joined


def memory_of(trial: Trial, names: Sequence[str], prepared: Prepared, tools: Tools) -> dict[str, int]:
    """Resident bytes of the named candidates, each in a fresh process."""
    feeds = first_feeds(prepared.evaluation, 1)[0]
    tools.progress.start(len(names), "memory")
    found = {}
    for name in names:
        candidate = trial.candidate(name)
        key = ("memory", candidate.digest, str(candidate.threads), machine_key())

        def measure(candidate: Candidate = candidate) -> dict[str, NDArray[np.generic]]:
            files = trial.model_files(candidate.name)
            threads = [part.threads for part in candidate.parts] or [candidate.threads]
            grown = resident_bytes(files, trial.folder, feeds, threads, candidate.backends)
            return {"bytes": np.array(grown)}

        found[name] = int(tools.cache.get(key, measure)["bytes"])
        tools.progress.advance()
    return found
