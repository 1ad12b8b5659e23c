from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
