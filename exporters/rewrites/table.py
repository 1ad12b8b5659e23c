"""The table of rewrites, and the loop that applies it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.rewrites.cancel_pairs import CancelPairs
from edgehybrid.exporters.rewrites.divide_by_root import DivideByRoot
from edgehybrid.exporters.rewrites.fold_batchnorm import FoldBatchNorm
from edgehybrid.exporters.rewrites.fold_constants import FoldConstants
from edgehybrid.exporters.rewrites.fuse_activations import FuseActivations
from edgehybrid.exporters.rewrites.fuse_attention import FuseAttention
from edgehybrid.exporters.rewrites.fuse_gelu import FuseGelu
from edgehybrid.exporters.rewrites.fuse_multihead import FuseMultiHead
from edgehybrid.exporters.rewrites.merge_layout import MergeLayout
from edgehybrid.exporters.rewrites.protocol import Pass, Probes
from edgehybrid.exporters.rewrites.remove_noops import RemoveNoops
from edgehybrid.exporters.rewrites.sink_transpose import SinkTranspose
from edgehybrid.exporters.rewrites.split_transpose import SplitTranspose
from edgehybrid.exporters.rewrites.static_shapes import StaticShapes
from edgehybrid.exporters.rewrites.sum_before_norm import SumBeforeNorm
from edgehybrid.exporters.rewrites.unflatten_products import UnflattenProducts
from edgehybrid.exporters.skip import Skip

PASSES: Mapping[str, type[Pass]] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            FoldConstants,
            StaticShapes,
            RemoveNoops,
            FoldBatchNorm,
            FuseAttention,
            FuseMultiHead,
            FuseGelu,
            FuseActivations,
            DivideByRoot,
            UnflattenProducts,
            SinkTranspose,
            CancelPairs,
            MergeLayout,
            SplitTranspose,
            SumBeforeNorm,
        )
    }
)
"""Every rewrite by name, in the order in which they run."""

_ROUNDS = 3  # one rule makes room for another; three rounds have always been enough


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteReport:
    """A rewritten graph; ``applied`` counts sites by rule, ``skipped`` holds the near misses of the last round."""

    graph: Graph
    applied: Mapping[str, int]
    skipped: Mapping[str, tuple[Skip, ...]]


def rewrite(graph: Graph, probes: Probes, names: Sequence[str] | None = None) -> RewriteReport:
    """Apply the rules ``names`` (all by default) until nothing changes any more."""
    rules = [PASSES[name]() for name in (PASSES if names is None else names)]
    applied: Counter[str] = Counter()
    skipped: dict[str, tuple[Skip, ...]] = {}
    for _ in range(_ROUNDS):
        before = graph
        for rule in rules:
            result = rule(graph, probes)
            graph = result.graph
            applied[rule.name] += result.applied
            skipped[rule.name] = result.skipped
        if graph is before:
            break
    return RewriteReport(graph=graph, applied=dict(applied), skipped={k: v for k, v in skipped.items() if v})
