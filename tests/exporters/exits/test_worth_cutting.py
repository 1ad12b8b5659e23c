"""Which graphs get exits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgehybrid.exporters.chosen import Chosen
from edgehybrid.exporters.exits.adding import worth_cutting
from edgehybrid.exporters.formats import TfliteFile, pack
from edgehybrid.exporters.measure import Ratio, Timings
from edgehybrid.exporters.search import Candidate, Figures, Plan
from edgehybrid.exporters.trial import Trial
from edgehybrid.points import REFERENCE, Quality


def chosen_of(zoo: Any, wall_s: Mapping[str, float], kept: tuple[str, ...]) -> Chosen:
    """Candidates that take so long; those called ``tflite-...`` are files."""
    graph, lite = zoo.hybrid(), TfliteFile(content=b"file", needs={})
    candidates = tuple(
        Candidate(
            name=name,
            graph=graph,
            plan=Plan(name=name, recipe={}),
            schemes={},
            file=lite if name.startswith("tflite-") else None,
        )
        for name in wall_s
    )
    trial = Trial(candidates=candidates, dropped=(), packed=pack({}), folder=Path(), sessions={}, timed={})
    return Chosen(
        names=kept,
        trial=trial,
        scores={},
        figures={name: figures(name, took) for name, took in wall_s.items()},
        timings=Timings(names=(), wall_s=np.zeros((0, 0)), cpu_s=np.zeros((0, 0))),
        memory={},
        dropped=(),
    )


def figures(name: str, wall_s: float) -> Figures:
    return Figures(
        name=name,
        quality=Quality(metric="accuracy", value=1.0, ci95=(1.0, 1.0), drop=0.0, n=1),
        scores=np.ones(1),
        sqnr_db=50.0,
        wall_s=np.full(3, wall_s),
        cpu_s=np.full(3, wall_s),
        speedup=Ratio(median=1.0, low=1.0, high=1.0),
        size_bytes=1,
    )


def cut_names(zoo: Any, wall_s: Mapping[str, float], *kept: str) -> list[str]:
    return [c.name for c in worth_cutting(chosen_of(zoo, wall_s, (REFERENCE, *kept)))]


def test_the_fastest_point_and_the_best_one(zoo: Any) -> None:
    """The best point too where it is clearly slower; a candidate that is no point only where it is clearly faster."""
    wall = {REFERENCE: 4.0, "w8": 3.0, "w8-dyn": 2.9, "w8a8": 2.0}

    assert ["w8a8", "w8"] == cut_names(zoo, wall, "w8", "w8a8")
    assert ["w8-dyn"] == cut_names(zoo, {**wall, "w8a8": 2.8}, "w8", "w8-dyn")


def test_files_do_not_keep_the_fastest_graph_from_exits(zoo: Any) -> None:
    """Where files took the fast points, or all of them, the fastest graph beside them is cut."""
    wall = {REFERENCE: 4.0, "w8": 3.0, "w8a8": 2.0, "tflite-w8a8": 1.9}

    assert ["w8a8"] == cut_names(zoo, wall, "tflite-w8a8")
    assert ["w8a8", "w8"] == cut_names(zoo, wall, "w8", "tflite-w8a8")


def test_without_a_point_nothing_is_cut(zoo: Any) -> None:
    """Nothing beside the float model: no exits either."""
    assert [] == cut_names(zoo, {REFERENCE: 4.0, "w8": 5.0})
