"""A cascade, from its candidates to the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid import Bundle, Engine
from edgehybrid.bundle import Dropped, write_bundle
from edgehybrid.exporters import ExportOptions, Silent
from edgehybrid.exporters.assemble import Chosen, make_draft, reload_check
from edgehybrid.exporters.exits.adding import find_case
from edgehybrid.exporters.exits.cascading import arm_cascade
from edgehybrid.exporters.exits.case import Case
from edgehybrid.exporters.exits.deepening import Armed, deepen
from edgehybrid.exporters.exporting import _choose
from edgehybrid.exporters.measure import Cache, local_pool
from edgehybrid.exporters.precision import Target
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.search import Built, Candidate, Plan, Workshop
from edgehybrid.exporters.trial import Tools
from edgehybrid.points import REFERENCE

OPTIONS = ExportOptions(effort="quick", budget_s=1.0, cache=False, levels=5, exit_losses=(0.1,), max_drop=0.1)


@pytest.fixture(scope="module")
def case(zoo: Any, early_answers: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A slow reference, the same without useless work, and a small model that is right on easy inputs only."""
    folder = tmp_path_factory.mktemp("cascade")
    slow, large, small = (
        early_answers.model(zoo, heads=(), twice=twice, blocks=blocks)
        for twice, blocks in ((True, 3), (False, 3), (False, 1))
    )
    zoo.save(slow, folder / "model.onnx")
    data = early_answers.data(zoo, slow, folder / "data.npz")
    prepared = prepare(folder / "model.onnx", data, None, OPTIONS)
    schemes = {component.name: REFERENCE for component in prepared.components}
    candidates = [
        Candidate(name=name, graph=graph, plan=Plan(name=name, recipe={}), schemes=schemes)
        for name, graph in ((REFERENCE, prepared.model.graph), ("large", large), ("small", small))
    ]
    with local_pool() as pool:
        tools = Tools(cache=Cache(folder=None), executor=pool, progress=Silent())
        built = Built(candidates=tuple(candidates), dropped=(), untouched=())
        chosen = _choose(built, prepared, OPTIONS, tools, folder)
        workshop = Workshop(
            original=slow, best_float=large, components=prepared.components, target=Target(), native=Target()
        )
        yield find_case(chosen, prepared, workshop, OPTIONS, tools, folder)


def test_it_beats_both_alone(case: Case, tmp_path: Path) -> None:
    """The small one alone loses too much; before the large one it answers most inputs, and the engine runs the two."""
    assert "small" not in case.chosen.names
    armed = arm_cascade(case)
    assert isinstance(armed, Armed)
    chosen = deepen(case.chosen, [armed], case.prepared, case.options, case.tools, max_drop=0.1)
    bundle = _written(chosen, case.prepared, tmp_path / "cascade.bundle")
    point = next(p for p in bundle.points if p.exits)
    whole = next(p for p in bundle.points if p.variants == {"main": "large"})

    assert ["cascade-1", "main"] == list(point.variants)
    assert "cascade" == next(s.exit.head for s in bundle.stages if s.exit is not None)
    assert (point.latency_ms.mean or 0.0) < 0.9 * whole.latency_ms.p50
    assert point.quality.drop <= 0.1
    x = np.load(case.folder / "data.npz")["x"]
    with Engine(bundle, start=point.name, background=False) as engine:
        depths = {engine.run({"x": row[None]}).depth for row in x}
    assert {1, 2} == depths


def test_where_none_is_faster_there_is_none(case: Case) -> None:
    """Without a small candidate the reason names the fastest one and its share of the time."""
    trial = replace(
        case.chosen.trial,
        candidates=tuple(c for c in case.chosen.trial.candidates if c.name == "large"),
        removed=(),
    )
    found = arm_cascade(replace(case, chosen=replace(case.chosen, trial=trial)))

    assert isinstance(found, Dropped)
    assert "no candidate is clearly faster than large" in found.reason


def _written(chosen: Chosen, prepared: Prepared, path: Path) -> Bundle:
    draft = make_draft(chosen, prepared, name=path.name, seed=0)
    return write_bundle(draft, path, before_publish=reload_check(chosen))
