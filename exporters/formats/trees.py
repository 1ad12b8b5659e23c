"""Tree ensembles as ``TreeEnsemble`` of ai.onnx.ml 5: leaves are weights only, modes and thresholds are tensors.

Two fifths of the bytes of ``TreeEnsembleRegressor``, which spells out a mode and four numbers for each leaf too. ONNX
Runtime brings both into the same form when it loads; the base value, which the new operator lacks, is added after the
sum, as the old one does it: the outputs are the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_DOMAIN, _OPSET = "ai.onnx.ml", 5
_OLD, _NEW = "TreeEnsembleRegressor", "TreeEnsemble"
_MODES = {
    mode: code
    for code, mode in enumerate((b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT", b"BRANCH_EQ", b"BRANCH_NEQ"))
}
_SUM, _NO_TRANSFORM = 1, 0
_REQUIRED = frozenset(
    {
        "n_targets",
        "nodes_falsenodeids",
        "nodes_featureids",
        "nodes_modes",
        "nodes_nodeids",
        "nodes_treeids",
        "nodes_truenodeids",
        "nodes_values",
        "target_ids",
        "target_nodeids",
        "target_treeids",
        "target_weights",
    }
)
_OPTIONAL = frozenset(
    {"aggregate_function", "base_values", "nodes_hitrates", "nodes_missing_value_tracks_true", "post_transform"}
)


def compact_trees(model: onnx.ModelProto) -> int:
    """Write the regression trees of ``model`` in the compact form; return how many ensembles that were.

    All or none: an opset is the model's. Left alone are classifiers, other aggregates than sums, transformed scores,
    leaves with several targets, trees of one leaf, and inputs other than float32.
    """
    nodes = [node for node in model.graph.node if node.domain == _DOMAIN]
    taken = {name for node in model.graph.node for name in node.output} | {t.name for t in model.graph.initializer}
    old = {node.output[0]: _Old(node, taken) for node in nodes if node.op_type == _OLD}
    imports = next((item for item in model.opset_import if item.domain == _DOMAIN), None)
    if not old or imports is None:
        return 0
    if not all(node.op_type == _OLD or _unchanged(node, imports.version) for node in nodes):
        return 0
    floats = _float_values(model)
    if not all(trees.node.input[0] in floats and trees.is_plain() for trees in old.values()):
        return 0
    imports.version = max(imports.version, _OPSET)
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        trees = old.get(node.output[0]) if node.output else None
        kept.extend([node] if trees is None else trees.rewritten())
        if trees is not None and trees.had.get("base_values"):
            base = np.array(trees.had["base_values"], dtype=np.float32)
            model.graph.initializer.append(numpy_helper.from_array(base, trees.base))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return len(old)


class _Old:
    """One ``TreeEnsembleRegressor``, read."""

    def __init__(self, node: onnx.NodeProto, taken: set[str]) -> None:
        self.node = onnx.NodeProto()
        self.node.CopyFrom(node)
        self.total, self.base = f"{node.output[0]}_trees", f"{node.output[0]}_base"
        while {self.total, self.base} & taken:
            self.total, self.base = f"{self.total}_", f"{self.base}_"
        self.had: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        modes = self.had.get("nodes_modes", [])
        self.inner = [index for index, mode in enumerate(modes) if mode != b"LEAF"]
        self.outer = [index for index, mode in enumerate(modes) if mode == b"LEAF"]

    def is_plain(self) -> bool:
        """Whether the new operator can say it, in the same bits."""
        had = self.had
        if not _REQUIRED <= had.keys() <= _REQUIRED | _OPTIONAL or had["n_targets"] < 1:
            return False
        if had.get("aggregate_function", b"SUM") != b"SUM" or had.get("post_transform", b"NONE") != b"NONE":
            return False
        return {*had["nodes_modes"]} <= {*_MODES, b"LEAF"} and self._is_whole()

    def rewritten(self) -> list[onnx.NodeProto]:
        """The new operator, and the sum with the base value if there is one."""
        had, inner = self.had, self.inner
        number = {index: place for place, index in enumerate(inner)}
        leaf = {index: place for place, index in enumerate(self._at(had["target_treeids"], had["target_nodeids"]))}
        made: dict[str, Any] = {"tree_roots": [number[root] for root in self._roots()]}
        for side in ("true", "false"):
            nexts = self._nexts(side)
            made[f"nodes_{side}leafs"] = [int(index in leaf) for index in nexts]
            made[f"nodes_{side}nodeids"] = [leaf[index] if index in leaf else number[index] for index in nexts]
        for name in ("nodes_featureids", "nodes_missing_value_tracks_true"):
            if had.get(name):
                made[name] = [had[name][index] for index in inner]
        splits = np.array([had["nodes_values"][index] for index in inner], dtype=np.float32)
        modes = np.array([_MODES[had["nodes_modes"][index]] for index in inner], dtype=np.uint8)
        weights = np.array(had["target_weights"], dtype=np.float32)
        made |= {"nodes_splits": numpy_helper.from_array(splits), "nodes_modes": numpy_helper.from_array(modes)}
        made |= {"leaf_targetids": had["target_ids"], "leaf_weights": numpy_helper.from_array(weights)}
        made |= {"n_targets": had["n_targets"], "aggregate_function": _SUM, "post_transform": _NO_TRANSFORM}
        (y,), name = self.node.output, self.node.name
        total = self.total if had.get("base_values") else y
        new = helper.make_node(_NEW, [self.node.input[0]], [total], name, domain=_DOMAIN, **made)
        return [new] if total == y else [new, helper.make_node("Add", [total, self.base], [y], f"{name}_base")]

    def _at(self, trees: list[int], nodes: list[int]) -> list[int]:
        """Positions of nodes by tree and number; -1 for none."""
        own = zip(self.had["nodes_treeids"], self.had["nodes_nodeids"], strict=True)
        places = {key: index for index, key in enumerate(own)}
        return [places.get(key, -1) for key in zip(trees, nodes, strict=True)]

    def _nexts(self, side: str) -> list[int]:
        trees, nodes = (
            [self.had[name][index] for index in self.inner] for name in ("nodes_treeids", f"nodes_{side}nodeids")
        )
        return self._at(trees, nodes)

    def _roots(self) -> list[int]:
        trees = self.had["nodes_treeids"]
        return [index for index, tree in enumerate(trees) if not index or trees[index - 1] != tree]

    def _is_whole(self) -> bool:
        """Each tree is one run of nodes and begins at a branch; one way leads to each other; each leaf has a weight."""
        had, roots = self.had, self._roots()
        trees = [had["nodes_treeids"][root] for root in roots]
        reached = sorted([*roots, *self._nexts("true"), *self._nexts("false")])
        leaves = sorted(self._at(had["target_treeids"], had["target_nodeids"]))
        every = list(range(len(had["nodes_modes"])))
        return len({*trees}) == len(trees) and {*roots} <= {*self.inner} and reached == every and leaves == self.outer


def _unchanged(node: onnx.NodeProto, version: int) -> bool:
    """Whether an operator means the same in the new opset."""
    try:
        schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=_OPSET, domain=_DOMAIN)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.since_version <= version and not schema.deprecated)


def _float_values(model: onnx.ModelProto) -> set[str]:
    known = (*model.graph.input, *model.graph.value_info)
    return {item.name for item in known if item.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
