from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid.exporters.measure import Cache
from edgehybrid.exporters.rewrites import PASSES, Probes
from edgehybrid.exporters.search import BestFloat, best_float


def tried(zoo: Any, graph: Any, probes: Probes | None = None) -> BestFloat:
    """The best float graph, quickly."""
    found = best_float(graph, zoo.probes(graph) if probes is None else probes, [zoo.feeds(graph, 1)], budget_s=0.2)
    assert isinstance(found, BestFloat)
    return found


def test_every_rule_is_named(zoo: Any) -> None:
    """The account holds every rule of the table, with its places; one that found a place has a gain or a reason."""
    best = tried(zoo, zoo.hybrid())
    rules = {rule.name: rule for rule in best.rules}

    assert list(PASSES) == list(rules)
    assert 1 == rules["fuse-attention"].sites
    assert all(rule.gain is not None or rule.reason for rule in best.rules if rule.sites)
    assert "1 site" in rules["fuse-attention"].describe()


def test_what_is_dropped_has_its_reason(zoo: Any) -> None:
    """A rule is kept or has a reason; without a place it is neither."""
    best = tried(zoo, zoo.hybrid())
    lost = {rule.name for rule in best.rules if rule.sites and not rule.kept}

    assert not any(rule.kept for rule in best.rules if not rule.sites)
    if best.report is not None:
        assert lost == {item.name.removeprefix("rewrite ") for item in best.dropped}
        assert not any(best.report.applied.get(name) for name in lost)
    else:
        assert best.dropped


def test_kept_graph_computes_the_same(zoo: Any) -> None:
    """Whatever was kept, the outputs are those of the user's graph."""
    graph = zoo.attention(style="masked")
    best = tried(zoo, graph)
    feeds = zoo.feeds(graph, 3)

    np.testing.assert_allclose(zoo.run(graph, feeds), zoo.run(best.graph, feeds), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["dense", "trees"])
def test_without_any_place_the_graph_is_the_users(zoo: Any, kind: str) -> None:
    """Where no rule but those for tidiness fits, at worst the user's graph comes back, and near misses stay visible."""
    graph = getattr(zoo, kind)()
    best = tried(zoo, graph, Probes())

    assert best.report is not None or graph is best.graph


def test_near_misses_are_kept_even_if_nothing_fits(zoo: Any) -> None:
    """A block that could not be fused is named with its reason."""
    graph = zoo.attention(style="masked")
    best = tried(zoo, graph, Probes())
    misses = {rule.name: rule.near_misses for rule in best.rules}

    assert "more than the batch is free" in misses["fuse-multihead"][0].why


def test_rules_that_stand_in_for_each_other_are_not_both_dropped(zoo: Any) -> None:
    """Two rules join the same transpositions: without either nothing is lost, so that one of them must stay."""
    s = zoo.sketch()
    y = s.op("MatMul", "x", s.weight(32, 32))
    for _ in range(4):
        y = s.op("Transpose", s.op("Transpose", y, perm=[0, 2, 1]), perm=[0, 2, 1])
        y = s.op("Tanh", s.op("MatMul", y, s.weight(32, 32)))
    graph = s.close(y, ["batch", 6, 32], ["batch", 6, 32])
    best = tried(zoo, graph)
    kept = {rule.name: rule.kept for rule in best.rules}

    assert best.report is None or "Transpose" not in {node.op_type for node in best.graph.proto.graph.node}
    assert best.report is None or kept["cancel-pairs"] or kept["merge-layout"] or kept["fold-constants"]


@pytest.mark.parametrize("budget_s", [1e-4, 0.05])
def test_a_second_export_chooses_alike(zoo: Any, tmp_path: Path, budget_s: float) -> None:
    """What was measured, and for which rules there was time, is remembered: the same graph, for the same reasons."""
    graph, cache = zoo.hybrid(), Cache(folder=tmp_path)
    first, second = (
        best_float(graph, zoo.probes(graph), [zoo.feeds(graph, 1)], budget_s=budget_s, cache=cache) for _ in range(2)
    )

    assert first.graph.digest == second.graph.digest
    assert first.rules == second.rules
