from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid.exporters import ExportOptions
from edgehybrid.exporters.depth import Cut, crossing_names, find_cuts
from edgehybrid.exporters.formats import Part
from edgehybrid.exporters.measure import Cache, sqnr_db
from edgehybrid.exporters.model import open_session
from edgehybrid.exporters.placement.mixtures import mixture_parts
from edgehybrid.exporters.placement.stages import StageFloat, float_stages, onnx_parts
from edgehybrid.exporters.precision import Target
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.search import Built, Plan, Workshop, plans
from edgehybrid.exporters.workshops import calibrate

OPTIONS = ExportOptions(effort="quick", cache=False)


@pytest.fixture(scope="module")
def prepared(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Checked inputs of an export of a tiny hybrid."""
    folder = tmp_path_factory.mktemp("mixtures")
    graph = zoo.hybrid()
    zoo.save(graph, folder / "model.onnx")
    np.savez(folder / "data.npz", x=zoo.feeds(graph, 40)["x"])
    return prepare(folder / "model.onnx", folder / "data.npz", None, OPTIONS)


@pytest.fixture(scope="module")
def workshop(prepared: Prepared) -> Workshop:
    graph, native = prepared.model.graph, Target.of(prepared.device.cpu.isa)
    ranges = calibrate(graph, prepared, "minmax", Cache(folder=None))
    return Workshop(
        original=graph,
        best_float=graph,
        components=prepared.components,
        target=native,
        native=native,
        ranges={"minmax": ranges},
    )


@pytest.fixture(scope="module")
def built(workshop: Workshop, prepared: Prepared) -> Built:
    """What the search tried, and one mixture that it proposed last."""
    proposed = Plan(name="mix-1", recipe={"convolution": "w8a8-int", "dense": "w8"})
    return workshop.build((*plans(prepared.components, "quick"), proposed))


@pytest.fixture
def cut(workshop: Workshop, prepared: Prepared) -> Cut:
    return min(find_cuts(workshop.best_float, prepared.components, prepared.probes).cuts, key=lambda cut: cut.overhead)


def _stages(built: Built, prepared: Prepared, cut: Cut, folder: Path) -> tuple[StageFloat, ...]:
    return float_stages(built.candidates[0], prepared, [cut], "placed1", folder)


def _made(built: Built, stages: tuple[StageFloat, ...], cut: Cut, folder: Path) -> list[dict[str, Part]]:
    plain = [c for c in built.candidates if c.name in ("fp32", "w8-dyn", "w8a8")]
    return onnx_parts(stages, plain, [cut], folder)[0]


def test_stages_come_in_the_mixtures_of_the_whole(
    built: Built, workshop: Workshop, prepared: Prepared, cut: Cut, tmp_path: Path
) -> None:
    """Each computes otherwise than what is there, takes and gives floats under the stage's names, and is like it."""
    stages = _stages(built, prepared, cut, tmp_path)
    made = _made(built, stages, cut, tmp_path)
    every = [
        mixture_parts(stage, built.candidates, workshop, [cut], made=there, most=9)
        for stage, there in zip(stages, made, strict=True)
    ]

    assert any(every)
    for stage, there, parts in zip(stages, made, every, strict=True):
        digests = [part.graph.digest for part in (*there.values(), *parts.values()) if part.graph is not None]
        assert len(digests) == len(set(digests))
        for part in parts.values():
            assert part.graph is not None
            session = open_session(part.graph.proto)
            assert stage.reads == {node.name for node in session.get_inputs()}
            assert {"tensor(float)"} == {node.type for node in (*session.get_inputs(), *session.get_outputs())}
            assert {component.name for component in stage.components} == set(part.schemes)
            answers = dict(
                zip(
                    [node.name for node in session.get_outputs()],
                    session.run(None, dict(stage.rows[0])),
                    strict=True,
                )
            )
            assert sqnr_db(answers, stage.session.run(stage.rows[0])) > 10.0


def test_static_integers_end_inside_their_stage(
    built: Built, workshop: Workshop, prepared: Prepared, cut: Cut, tmp_path: Path
) -> None:
    """A slice of an integer candidate that hands over integers is no form; the mixture made of the slice is one."""
    first, *_ = stages = _stages(built, prepared, cut, tmp_path)
    made, *_ = _made(built, stages, cut, tmp_path)
    parts = mixture_parts(first, built.candidates, workshop, [cut], made=made, most=9)

    assert "w8a8" not in made
    assert any(set(part.schemes.values()) & {"w8a8", "w8a8-int"} for part in parts.values())


def test_as_many_as_were_asked_for(
    built: Built, workshop: Workshop, prepared: Prepared, cut: Cut, tmp_path: Path
) -> None:
    """What the search proposed last comes first; storage alone is no other way to compute."""
    first, *_ = _stages(built, prepared, cut, tmp_path)

    def some(most: int) -> list[str]:
        return list(mixture_parts(first, built.candidates, workshop, [cut], made={}, most=most))

    assert [] == some(0)
    assert some(9)[:1] == some(1)
    assert not {"w8", "fp32"} & set(some(9))


def test_what_crosses_keeps_its_first_name(workshop: Workshop, prepared: Prepared) -> None:
    """Names in the stages lead back to the values of the graph, each to one, whatever the order of the cuts."""
    cuts = find_cuts(workshop.best_float, prepared.components, prepared.probes).cuts[:2]
    names = crossing_names(cuts)

    assert names == crossing_names(list(reversed(cuts)))
    assert {crossing.value for cut in cuts for crossing in cut.values} == set(names.values())
    assert len(names) == len(set(names.values()))
    assert crossing_names([replace(cut) for cut in cuts]) == names
