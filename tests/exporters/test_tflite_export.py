from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid.bundle import Bundle, write_bundle
from edgehybrid.errors import MissingExtraError, RequestError
from edgehybrid.exporters import ExportOptions, Silent, export
from edgehybrid.exporters.assemble import make_draft, reload_check
from edgehybrid.exporters.chosen import Chosen
from edgehybrid.exporters.formats import TfliteFile
from edgehybrid.exporters.measure import Cache, local_pool
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.search import Built, Candidate, Plan
from edgehybrid.exporters.tflite_candidates import tflite_plans, write_tflite
from edgehybrid.exporters.trial import Tools, figures, memory_of, open_trial, qualities, score_all, time_all
from edgehybrid.points import REFERENCE
from edgehybrid.runtime import Engine
from edgehybrid.runtime.verification import verify

OPTIONS = ExportOptions(effort="quick", cache=False, max_drop=1.0, budget_s=0.5, formats=("onnx", "tflite"))
HERE = find_spec("ai_edge_quantizer") is not None
installed = pytest.mark.skipif(not HERE, reason="the extra export-tflite is not installed")


@pytest.fixture(scope="module")
def given(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Checked inputs of an export of a tiny hybrid."""
    folder = tmp_path_factory.mktemp("tflite")
    graph = zoo.hybrid()
    zoo.save(graph, folder / "model.onnx")
    np.savez(folder / "data.npz", x=zoo.feeds(graph, 40)["x"])
    return prepare(folder / "model.onnx", folder / "data.npz", None, OPTIONS)


def written(given: Prepared, cache: Path | None = None) -> Built:
    """All TFLite files of it."""
    with local_pool() as pool:
        tools = Tools(cache=Cache(folder=cache), executor=pool, progress=Silent())
        return write_tflite(tflite_plans(given.components), given, OPTIONS, tools)


def chosen_all(given: Prepared, lite: Built, folder: Path) -> Chosen:
    """Measure the float model and three TFLite files, and take them all."""
    wanted = ("tflite-fp32", "tflite-w8-dyn", "tflite-conv-w8a8+w8-dyn")
    floats = Candidate(
        name=REFERENCE,
        graph=given.model.graph,
        plan=Plan(name=REFERENCE, recipe={}),
        schemes={c.name: REFERENCE for c in given.components},
    )
    with local_pool() as pool:
        tools = Tools(cache=Cache(folder=None), executor=pool, progress=Silent())
        trial = open_trial((floats, *(c for c in lite.candidates if c.name in wanted)), folder)
        scores = score_all(trial, given.evaluation, given.metric, tools)
        timings = time_all(trial, given.evaluation, tools, budget_s=0.1, seed=0)
        found = figures(trial, scores, qualities(trial, given.metric, scores), timings, 0)
        names = tuple(candidate.name for candidate in trial.candidates)
        memory = memory_of(trial, names, given, tools)
    return Chosen(
        names=names, trial=trial, scores=scores, figures=found, timings=timings, memory=memory, dropped=lite.dropped
    )


@installed
def test_files_are_made_once(given: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated export takes the files that passed the gate before, byte for byte; refusals are found out anew."""
    first = written(given, tmp_path)
    monkeypatch.setattr("edgehybrid.exporters.formats.tflite.check", lambda *_: pytest.fail("written again"))
    kept = {candidate.name: candidate.file for candidate in written(given, tmp_path).candidates if candidate.file}

    assert kept == {candidate.name: candidate.file for candidate in first.candidates if candidate.file}
    assert len(kept) >= 3


@installed
def test_files_become_points_of_the_bundle(given: Prepared, tmp_path: Path) -> None:
    """A TFLite variant is written, verified by its golden vectors and run by the engine with its own back end.

    It takes as many rows as the ONNX variants, under the same names.
    """
    lite = written(given)
    (tmp_path / "trial").mkdir()
    chosen = chosen_all(given, lite, tmp_path / "trial")
    draft = make_draft(chosen, given, name="both", seed=0)
    bundle = write_bundle(draft, tmp_path / "both.bundle", before_publish=reload_check(chosen))
    feeds = {"x": next(iter(given.evaluation.batches(3))).feeds["x"]}

    assert {"onnx", "tflite"} == {variant.format for variant in bundle.doc.stages[0].variants}
    assert all(check.problem is None for check in verify(Bundle.open(bundle.path)))
    with Engine(bundle.path) as engine:
        answers = {}
        for point in bundle.points:
            engine.pin(point.name)
            engine.step(wait=True)
            answers[point.placement["main"]] = engine.run(feeds).outputs["y"]
    for answer in answers.values():
        assert answer.shape == (3, 5)


@installed
def test_every_file_is_a_candidate_or_named(given: Prepared) -> None:
    """No form vanishes: each was written and passed the gate, or is dropped with a reason."""
    lite, todo = written(given), tflite_plans(given.components)
    names = {candidate.name for candidate in lite.candidates}

    assert {plan.name for plan in todo} == names | {item.name for item in lite.dropped}
    assert {"tflite-fp32", "tflite-w8-dyn", "tflite-w8a8"} <= names
    assert all(isinstance(candidate.file, TfliteFile) and candidate.file.needs for candidate in lite.candidates)


@installed
def test_a_model_that_cannot_be_written_stays_in_onnx(given: Prepared) -> None:
    """A second free axis is refused for all forms, each by name, and the first component says why."""
    free = tuple(replace(spec, shape=("batch", "time", *spec.shape[2:])) for spec in given.model.inputs)
    lite = written(replace(given, model=replace(given.model, inputs=free)))

    assert () == lite.candidates
    assert {plan.name for plan in tflite_plans(given.components)} == {item.name for item in lite.dropped}
    assert "batch, time are free" in lite.untouched[0].reason


@pytest.mark.parametrize("formats", [("tflite",), ("onnx", "coreml"), ()])
def test_formats_that_cannot_be(formats: tuple[str, ...]) -> None:
    """ONNX is always one of them: it holds the reference."""
    with pytest.raises(RequestError, match="is not possible"):
        ExportOptions(formats=formats)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.skipif(HERE, reason="the extra export-tflite is installed")
def test_the_extra_is_named_where_it_is_missing(tmp_path: Path) -> None:
    """Asking for TFLite without its extra says how to get it, before anything is read."""
    with pytest.raises(MissingExtraError, match="export-tflite"):
        export(tmp_path / "model.onnx", tmp_path / "out", data=tmp_path / "data.npz", options=OPTIONS)
