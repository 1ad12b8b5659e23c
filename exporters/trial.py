"""Try the candidates: write them as the bundle will hold them, load them with the engine's own code, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.errors import BackendError, ModelError
from edgehybrid.exporters.formats import MODEL_FILE, WEIGHTS_FILE, Packed, pack
from edgehybrid.exporters.measure import Cache, Score, Timings, interleave, machine_key, resident_bytes, score
from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.progress import Progress
from edgehybrid.exporters.search import Candidate, Figures
from edgehybrid.points import REFERENCE
from edgehybrid.quality import summarize
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session

_OUT = "output:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Candidates in a folder, packed and loaded; ``dropped`` are those that the runtime refuses.

    ``timed`` holds the sessions whose latency is measured: those of the twins where there are any.
    """

    candidates: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    packed: Packed
    folder: Path
    sessions: Mapping[str, Session]
    timed: Mapping[str, Session]

    def model_file(self, name: str) -> Path:
        """Where the model of a candidate lies."""
        return self.folder / name / MODEL_FILE

    def candidate(self, name: str) -> Candidate:
        """The candidate called ``name``."""
        return next(candidate for candidate in self.candidates if candidate.name == name)


def open_trial(candidates: Sequence[Candidate], folder: Path) -> Trial:
    """Pack ``candidates`` into ``folder`` and load each."""
    packed = pack({candidate.name: candidate.graph for candidate in candidates})
    (folder / WEIGHTS_FILE).write_bytes(packed.weights)
    sessions: dict[str, Session] = {}
    dropped = []
    for candidate in candidates:
        place = folder / candidate.name
        place.mkdir()
        (place / MODEL_FILE).write_bytes(packed.models[candidate.name])
        request = LoadRequest(model_file=place / MODEL_FILE, weights_dir=folder, threads=candidate.threads)
        try:
            sessions[candidate.name] = OnnxBackend().load(request)
        except (BackendError, ModelError) as error:
            if candidate.name == REFERENCE:
                raise
            dropped.append(Dropped(name=candidate.name, reason=f"cannot be loaded: {error.what}"))
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


def _open_twins(candidates: Sequence[Candidate], twins: Mapping[str, Graph], folder: Path) -> dict[str, Session]:
    """Load what is timed in the place of candidates that are made for another processor."""
    threads = {candidate.name: candidate.threads for candidate in candidates}
    opened = {}
    for name, graph in twins.items():
        file = folder / name / "twin.onnx"
        file.write_bytes(graph.to_bytes())
        opened[name] = OnnxBackend().load(LoadRequest(model_file=file, threads=threads[name]))
    return opened


def score_all(trial: Trial, prepared: Prepared, cache: Cache, progress: Progress) -> dict[str, Score]:
    """Score every candidate on the whole evaluation data."""
    samples, metric = prepared.evaluation, prepared.metric
    reference = trial.sessions[REFERENCE]
    base = trial.candidate(REFERENCE).graph.digest
    progress.start(samples.count * len(trial.candidates), "quality")
    found = {}
    for candidate in trial.candidates:
        session = trial.sessions[candidate.name]
        key = ("quality", candidate.graph.digest, base, samples.sha256, repr(metric), machine_key())

        def measure(session: Session = session) -> dict[str, NDArray[np.generic]]:
            return _arrays(score(session, reference, samples, metric, progress.advance))

        found[candidate.name] = _score(cache.get(key, measure))
    return found


def _arrays(result: Score) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {
        "scores": result.scores,
        "sqnr_db": np.array(result.sqnr_db),
        "finite": np.array(result.finite),
    }
    return arrays | {f"{_OUT}{name}": np.array(value) for name, value in result.max_deviation.items()}


def _score(arrays: Mapping[str, NDArray[np.generic]]) -> Score:
    return Score(
        scores=np.asarray(arrays["scores"], dtype=np.float64),
        sqnr_db=float(arrays["sqnr_db"]),
        finite=bool(arrays["finite"]),
        max_deviation={name.removeprefix(_OUT): float(a) for name, a in arrays.items() if name.startswith(_OUT)},
    )


def time_all(
    trial: Trial, prepared: Prepared, cache: Cache, progress: Progress, *, budget_s: float, seed: int
) -> Timings:
    """Time every candidate on one sample, interleaved."""
    feeds = first_feeds(prepared.evaluation, 1)[0]
    names = tuple(candidate.name for candidate in trial.candidates)
    key = ("latency", *(f"{c.name} {(c.twin or c.graph).digest} {c.threads}" for c in trial.candidates))

    def measure() -> dict[str, NDArray[np.generic]]:
        runs = {name: (lambda session=session: session.run(feeds)) for name, session in trial.timed.items()}
        timings = interleave(runs, budget_s=budget_s, seed=seed, progress=_percent(progress, budget_s))
        return {"wall_s": timings.wall_s, "cpu_s": timings.cpu_s}

    progress.start(100, "latency")
    arrays = cache.get((*key, str(budget_s), str(seed), prepared.evaluation.sha256, machine_key()), measure)
    wall, cpu = (np.asarray(arrays[part], dtype=np.float64) for part in ("wall_s", "cpu_s"))
    return Timings(names=names, wall_s=wall, cpu_s=cpu)


def _percent(progress: Progress, budget_s: float) -> Callable[[int], None]:
    """Advance a task of 100 steps by the share of the budget that has passed."""
    began, shown = time.monotonic(), 0

    def advance(_: int) -> None:
        nonlocal shown
        now = min(int(100 * (time.monotonic() - began) / budget_s), 100)
        progress.advance(now - shown)
        shown = now

    return advance


def figures(
    trial: Trial, prepared: Prepared, scores: Mapping[str, Score], timings: Timings, seed: int
) -> dict[str, Figures]:
    """Join what was measured, by candidate; one with broken outputs has ``finite=False`` and the reference's scores."""
    reference = scores[REFERENCE].scores
    joined = {}
    for candidate in trial.candidates:
        name, result = candidate.name, scores[candidate.name]
        own = result.scores if result.finite and name != REFERENCE else reference
        joined[name] = Figures(
            name=name,
            quality=summarize(prepared.metric, own, reference),
            scores=own,
            sqnr_db=result.sqnr_db,
            wall_s=timings.wall_s[:, timings.column(name)],
            cpu_s=np.maximum(timings.cpu_s[:, timings.column(name)], 1e-9),
            speedup=timings.speedup(name, REFERENCE, seed),
            size_bytes=trial.packed.size_bytes[name],
            finite=result.finite,
        )
    return joined


def memory_of(
    trial: Trial, names: Sequence[str], prepared: Prepared, cache: Cache, progress: Progress
) -> dict[str, int]:
    """Resident bytes of the named candidates, each in a fresh process."""
    feeds = first_feeds(prepared.evaluation, 1)[0]
    progress.start(len(names), "memory")
    found = {}
    for name in names:
        candidate = trial.candidate(name)
        key = ("memory", candidate.graph.digest, str(candidate.threads), machine_key())

        def measure(name: str = name, threads: int = candidate.threads) -> dict[str, NDArray[np.generic]]:
            return {"bytes": np.array(resident_bytes(trial.model_file(name), trial.folder, feeds, threads))}

        found[name] = int(cache.get(key, measure)["bytes"])
        progress.advance()
    return found
