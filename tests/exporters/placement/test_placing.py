from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid.bundle import Bundle, write_bundle
from edgehybrid.errors import BackendError, RequestError
from edgehybrid.exporters import ExportOptions, Silent
from edgehybrid.exporters.assemble import make_draft, reload_check
from edgehybrid.exporters.chosen import Chosen
from edgehybrid.exporters.depth import find_cuts
from edgehybrid.exporters.formats import PlacedFile, read_placed
from edgehybrid.exporters.measure import Cache, local_pool
from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.placement import place, require_backends
from edgehybrid.exporters.placement.mixing import mixed_candidate
from edgehybrid.exporters.placement.stages import float_stages, onnx_parts, tflite_parts
from edgehybrid.exporters.precision import Target
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.search import Built, Candidate, Workshop
from edgehybrid.exporters.trial import (
    Tools,
    figures,
    memory_of,
    open_trial,
    qualities,
    score_all,
    time_all,
)
from edgehybrid.exporters.workshops import calibrate
from edgehybrid.points import REFERENCE
from edgehybrid.profiles import load_device
from edgehybrid.runtime import Engine
from edgehybrid.runtime.verification import verify

NEEDED = ("ai_edge_quantizer", "onnxruntime_ep_openvino")
KEYS = ("onnx", "tflite", "onnx-openvino")
OPTIONS = ExportOptions(effort="quick", cache=False, max_drop=1.0, budget_s=0.4, backends=KEYS)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    for module in NEEDED:
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


@pytest.fixture(scope="module")
def prepared(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Checked inputs of an export of a tiny hybrid."""
    folder = tmp_path_factory.mktemp("placing")
    graph = zoo.hybrid()
    zoo.save(graph, folder / "model.onnx")
    np.savez(folder / "data.npz", x=zoo.feeds(graph, 40)["x"])
    return prepare(folder / "model.onnx", folder / "data.npz", None, OPTIONS)


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    with local_pool() as pool:
        yield Tools(cache=Cache(folder=None), executor=pool, progress=Silent())


@pytest.fixture(scope="module")
def workshop(prepared: Prepared, tools: Tools) -> Workshop:
    """It makes candidates from the float model, and from the same again as if it had been rewritten."""
    native = Target.of(prepared.device.cpu.isa)
    graph = prepared.model.graph
    return Workshop(
        original=graph,
        best_float=Graph(proto=graph.proto),
        components=prepared.components,
        target=native,
        native=native,
        ranges={"minmax": calibrate(graph, prepared, "minmax", tools.cache)},
    )


@pytest.fixture(scope="module")
def floats(workshop: Workshop) -> Built:
    """The float model, twice."""
    return workshop.build(())


@pytest.fixture(scope="module")
def placed(floats: Built, prepared: Prepared, workshop: Workshop, tools: Tools) -> Built:
    """With everything that may compete for a place."""
    return place(replace(floats), prepared, workshop, OPTIONS, tools)


def chosen_of(built: Built, names: tuple[str, ...], prepared: Prepared, tools: Tools, folder: Path) -> Chosen:
    """Measure some candidates, and take them all."""
    trial = open_trial([c for c in built.candidates if c.name in names], folder)
    scores = score_all(trial, prepared.evaluation, prepared.metric, tools)
    timings = time_all(trial, prepared.evaluation, tools, budget_s=0.1, seed=0)
    found = figures(trial, scores, qualities(trial, prepared.metric, scores), timings, 0)
    memory = memory_of(trial, names, prepared, tools)
    return Chosen(
        names=names, trial=trial, scores=scores, figures=found, timings=timings, memory=memory, dropped=built.dropped
    )


def test_chains_over_several_back_ends_compete(placed: Built) -> None:
    """Every stage was measured everywhere; what promises enough is a candidate, the rest is named with its reason."""
    mixed = [c for c in placed.candidates if len(c.parts) > 1]
    said = [item for item in placed.dropped if item.name == "mixed"]

    assert mixed or said
    for candidate in mixed:
        assert len(set(candidate.backends)) > 1
        assert isinstance(candidate.file, PlacedFile)
        again = read_placed(candidate.file.content)
        assert [p.content for p in candidate.parts] == [p.content for p in again]
        assert [(p.backend, p.threads, p.inputs) for p in candidate.parts] == [
            (p.backend, p.threads, p.inputs) for p in again
        ]


def test_a_mixed_chain_becomes_a_point(floats: Built, prepared: Prepared, tools: Tools, tmp_path: Path) -> None:
    """A chain over two engines is written, verified, loaded by the engine, and gives what the float model gives."""
    mixed = "mixed-by-hand"
    built = replace(floats, candidates=(*floats.candidates, by_hand(mixed, floats, prepared, tmp_path)))
    (tmp_path / "trial").mkdir()
    chosen = chosen_of(built, (REFERENCE, mixed), prepared, tools, tmp_path / "trial")
    draft = make_draft(chosen, prepared, name="mixed", seed=0)
    bundle = write_bundle(draft, tmp_path / "mixed.bundle", before_publish=reload_check(chosen))

    point = bundle.points[1]
    assert {"onnx", "tflite"} == set(point.placement.values())
    assert list(point.variants) == list(point.placement)
    assert (2, {next(iter(point.variants)): 1}) == (point.threads, dict(point.stage_threads))
    assert {} == point.on_threads(1).stage_threads  # asked for another number, all of its stages have it
    assert all(check.problem is None for check in verify(Bundle.open(bundle.path)))
    feeds = {"x": next(iter(prepared.evaluation.batches(3))).feeds["x"]}
    with Engine(bundle.path, background=False) as engine:
        answers = []
        for name in (REFERENCE, point.name):
            engine.pin(name)
            engine.step(wait=True)
            answers.append(engine.run(feeds).outputs["y"])
            placed = engine.status().placement
    reach = np.abs(answers[0]).max()
    np.testing.assert_allclose(answers[0], answers[1], atol=0.1 * reach)
    assert any(text.startswith("tflite: XNNPACK ") for text in placed.values())


def by_hand(name: str, floats: Built, prepared: Prepared, folder: Path) -> Candidate:
    """The first stage in LiteRT, the second in ONNX Runtime on two threads, whatever is faster."""
    base = floats.candidates[0]
    cut = min(find_cuts(base.graph, prepared.components, prepared.probes).cuts, key=lambda cut: cut.overhead)
    stages = float_stages(base, prepared, [cut], "placed1", folder)
    onnx, _ = onnx_parts(stages, [base], [cut], folder)
    lite, refused = tflite_parts(stages[0], stages[0].graph, folder)
    assert [] == refused
    return mixed_candidate(name, [lite["tflite-w8-dyn"], replace(onnx[1][REFERENCE], threads=2)], prepared)


def test_one_file_serves_two_back_ends(placed: Built, prepared: Prepared, tools: Tools, tmp_path: Path) -> None:
    """Where the file ships anyway, the point on the other back end only places it: one variant, two tolerances."""
    names = {c.name for c in placed.candidates}
    base = next(c.name for c in placed.candidates if not c.parts and f"{c.name}@onnx-openvino" in names)
    names_ = (REFERENCE, base, f"{base}@onnx-openvino")
    (tmp_path / "trial").mkdir()
    chosen = chosen_of(placed, names_, prepared, tools, tmp_path / "trial")
    draft = make_draft(chosen, prepared, name="two", seed=0)
    bundle = write_bundle(draft, tmp_path / "two.bundle", before_publish=reload_check(chosen))

    assert {"main": base} == bundle.points[1].variants == bundle.points[2].variants
    assert {"main": "onnx-openvino"} == bundle.points[2].placement
    assert {"onnx-openvino"} == set(bundle.variant("main", base).placed_atol)
    assert all(check.problem is None for check in verify(bundle))


def test_what_cannot_be_placed_is_said(floats: Built, prepared: Prepared, workshop: Workshop, tools: Tools) -> None:
    """For another board, on one back end alone: nothing is placed in silence."""
    assert floats == place(floats, prepared, workshop, replace(OPTIONS, backends=()), tools)

    arm = replace(prepared, device=load_device("raspberry-pi-4b"))
    (said,) = place(floats, arm, workshop, OPTIONS, tools).dropped
    assert "cannot be measured on this machine" in said.reason
    (said,) = place(floats, prepared, workshop, replace(OPTIONS, backends=("onnx",)), tools).dropped
    assert "only one back end" in said.reason


def test_back_ends_are_checked_before_long_work() -> None:
    """An unknown key, and one that is not here, each with its reason."""
    with pytest.raises(RequestError, match="'abacus' cannot be made"):
        require_backends(("abacus",))
    with pytest.raises(BackendError, match="has no QNNExecutionProvider"):
        require_backends(("onnx-qnn",))
