from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgehybrid.exporters.measure import Ratio
from edgehybrid.exporters.model import find_components
from edgehybrid.exporters.precision import APPROXIMATE, SCHEMES, Target, called
from edgehybrid.exporters.search import Sensitivity, Workshop, alone, proposed, split_large, wholes
from edgehybrid.exporters.search.candidates import Plan
from edgehybrid.exporters.search.sensitivity import choices

CLEAR = Ratio(median=2.0, low=1.9, high=2.1)
UNSURE = Ratio(median=1.1, low=0.9, high=1.3)
ITEM = Sensitivity(component="a", scheme="w8", speedup=CLEAR, sqnr_db=30.0, size_share=0.0)


def test_every_scheme_is_tried_alone_where_there_is_arithmetic(zoo: Any) -> None:
    """Each component with arithmetic meets each scheme that is no other one there, once for each calibration."""
    components = find_components(zoo.hybrid())
    wanted = [c.name for c in components if c.family not in ("glue", "trees")]
    pairs = [(c, s) for c in components for s in SCHEMES if c.name in wanted and s == called(s, c.family) != "fp32"]
    once, twice = alone(components), alone(components, ("minmax", "percentile"))

    assert [f"{component.name}.{scheme}" for component, scheme in pairs] == [plan.name for plan in once]
    assert len(once) == len({plan.name for plan in once})
    assert set(wanted) == {name for plan in once for name in plan.recipe}
    assert {p.name for p in twice} - {p.name for p in once} == {f"{p.name}.percentile" for p in once if p.needs_ranges}


@pytest.mark.parametrize(
    ("change", "cost", "loss"),
    [
        ({}, -0.5, 1e-3),
        ({"speedup": UNSURE}, 0.0, 1e-3),
        ({"size_share": -0.5}, -0.51, 1e-3),
        ({"sqnr_db": 150.0}, -0.5, 0.0),
    ],
)
def test_figures_become_costs_and_losses(change: dict[str, Any], cost: float, loss: float) -> None:
    """Half the time is half the cost; what noise could be counts for nothing; bytes count a little."""
    (choice,) = choices([replace(ITEM, **change)])

    assert pytest.approx([cost, loss]) == [choice.cost, choice.loss]


@pytest.mark.parametrize(("sqnr_db", "offered"), [(25.0, True), (15.0, False)])
def test_an_approximation_has_to_be_like_float(sqnr_db: float, offered: bool) -> None:
    """Averaged keys are proposed only where they measured alike, however fast they are; rounding has no such bound."""
    coarse, rounded = replace(ITEM, scheme="w8-dyn-k2", sqnr_db=sqnr_db), replace(ITEM, sqnr_db=sqnr_db)

    assert offered == bool(choices([coarse]))
    assert choices([rounded])


def test_fixed_mixtures_take_in_a_good_approximation() -> None:
    """Only on components where it alone is faster than all else, and only as many as the noise allows together."""
    fast = Ratio(median=3.0, low=2.9, high=3.1)
    coarse = replace(ITEM, scheme="w8-dyn-k2", speedup=fast, sqnr_db=22.0)
    measured = [
        *(replace(coarse, component=name) for name in ("a", "b")),  # 19 dB together
        replace(coarse, component="c", speedup=CLEAR, sqnr_db=40.0),
        *(replace(ITEM, component=name, scheme="w8-dyn", sqnr_db=40.0) for name in ("a", "b")),
        replace(ITEM, component="c", scheme="w8-dyn", speedup=fast, sqnr_db=40.0),
    ]
    found = [plan for plan in proposed(measured, 4) if plan.name.endswith("+k2")]

    assert "conv-w8a8-int+dense-w8-dyn+w8+k2" in {plan.name for plan in found}
    for plan in found:
        assert {"a": "w8-dyn-k2"} == {name: s for name, s in plan.recipe.items() if name in ("a", "b", "c")}
    assert not [plan for plan in proposed([ITEM], 4) if plan.name.endswith("+k2")]
    assert found == list(proposed(measured, 0))  # a quick export asks for no others


def test_a_quick_survey_looks_at_approximations_only(zoo: Any) -> None:
    """One graph for each component that has one, whatever else there is: seconds, not a minute."""
    components = find_components(zoo.hybrid())
    attention = [component.name for component in components if component.family == "attention"]

    assert attention
    assert [f"{name}.w8-dyn-k2" for name in attention] == [p.name for p in alone(components, schemes=APPROXIMATE)]


def test_proposals_go_from_little_loss_to_little_time() -> None:
    """The first mixtures take the gains that cost no likeness, the last all; what slows down is in none."""
    measured = [
        ITEM,
        replace(ITEM, component="b", sqnr_db=60.0),
        replace(ITEM, component="c", speedup=Ratio(median=0.5, low=0.4, high=0.6)),
    ]
    found = proposed(measured, 4)

    assert [{"b": "w8"}, {"a": "w8", "b": "w8"}] == [plan.recipe for plan in found]
    assert ["mix-1", "mix-2"] == [plan.name for plan in found]
    assert () == proposed(measured, 0) == proposed([], 4)


def test_costly_components_are_cut_and_put_together_again(zoo: Any) -> None:
    """Groups of nodes can have schemes of their own; what the bundle says of the component names them all."""
    graph = zoo.conv(act="relu", channels=48)
    components = find_components(graph)
    (name,) = (c.name for c in components if c.family == "convolution")
    pieces = split_large(graph, components, {name: 1.0}, parts=3)
    nodes = [node for piece in pieces for node in piece.nodes]
    floats = Workshop(
        original=graph,
        best_float=graph,
        components=pieces,
        whole=wholes(components, pieces),
        target=Target(),
        native=Target(),
    )
    built = floats.build(
        [Plan(name="half", recipe={f"{name}.2": "w8"}), Plan(name="all", recipe={"convolution": "w8"})]
    )

    assert [f"{name}.{i}" for i in (1, 2, 3)] == [piece.name for piece in pieces if piece.family == "convolution"]
    assert sorted(n for c in components for n in c.nodes) == sorted(nodes)
    assert components == split_large(graph, components, {name: 0.1}, parts=3)
    assert ["fp32", "fp32+w8", "w8"] == [candidate.schemes[name] for candidate in built.candidates]
    assert {c.name for c in components} == set(built.candidates[1].schemes)
