"""Tree ensembles as tensors: all trees walk at once, one branch at a time, in the float comparisons of ONNX.

``place`` holds the node at which each tree is. A step looks up that node's feature and threshold, compares, and moves
on; a leaf leads to itself. Small trees have all their nodes compared beforehand, and a step only looks up the next one:
looking up is slow, 17 instructions a number. What comes out are the leaves that ONNX Runtime reaches, bit by bit of the
comparison; only their sum may differ in its last bit, being added in another order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgehybrid.exporters.formats.litert.elementwise import Handler
from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.reductions import reduced
from edgehybrid.exporters.formats.litert.writer import B, Writer

MOST_DEPTH = 24
SCOPE = "trees:"
"""Tensors of trees are called so, because they stay in float: another feature, rounded, would take another branch."""

_LOOKS_ALL, _LOOKS_STEP = 3, 6
"""Operators on all tests at once, and on one node of each tree and step, less the one that both ways need."""

_DTYPES = {"feature": "int32", "threshold": "float32", "yes": "int32", "no": "int32"}

_DOWN = np.float32(-np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """All nodes of all trees in one table, tests before leaves, which lead to themselves; shape ``(nodes,)`` each.

    A test is ``x[feature] <= threshold``; features from ``features`` on are negated: ``x > t`` is ``-x < -t``.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    yes: NDArray[np.int32]
    no: NDArray[np.int32]
    roots: NDArray[np.int32]
    depth: int
    weights: NDArray[np.float32]  # (nodes, targets)
    base: NDArray[np.float32]  # (targets,)
    negated: bool
    tests: int  # nodes that are no leaves


def read_forest(node: Node, features: int, *, kind: str = "target", columns: int) -> Forest:
    """Read a ``TreeEnsembleRegressor``, or a ``TreeEnsembleClassifier``.

    Args:
        node: The node.
        features: Numbers of its input.
        kind: How its attributes call what leaves add to: ``target`` or ``class``.
        columns: How many of those there are.

    Raises:
        ModelError: It uses what the table cannot say.
    """
    had = node.attributes
    _require_plain(node)
    count = len(had["nodes_modes"])
    leaf = np.array([mode == b"LEAF" for mode in had["nodes_modes"]])
    order = np.argsort(leaf, kind="stable")  # the nodes as they stand here: tests first
    own = np.argsort(order)
    keys = zip(had["nodes_treeids"], had["nodes_nodeids"], strict=True)
    place = dict(zip(keys, own.tolist(), strict=True))
    sides = []
    for side in ("nodes_truenodeids", "nodes_falsenodeids"):
        nexts = [place.get(key, -1) for key in zip(had["nodes_treeids"], had[side], strict=True)]
        sides.append(np.where(leaf, own, np.array(nexts))[order])
    trees = had["nodes_treeids"]
    roots = own[[i for i in range(count) if not i or trees[i] != trees[i - 1]]]
    if (sides[0] < 0).any() or (sides[1] < 0).any() or len(set(trees)) != len(roots):
        raise node.refuse("trees whose nodes do not hang together")
    tests = [_test(node, mode, value) for mode, value in zip(had["nodes_modes"], had["nodes_values"], strict=True)]
    flipped = np.array([negate for _, negate in tests])
    weights = np.zeros((count, columns), np.float32)
    for tree, at, target, weight in zip(
        *(had[f"{kind}_{name}"] for name in ("treeids", "nodeids", "ids", "weights")), strict=True
    ):
        weights[place[tree, at], target] += np.float32(weight)
    base = np.array(had.get("base_values") or np.zeros(weights.shape[1]), np.float32)
    return Forest(
        feature=(np.array(had["nodes_featureids"]) + features * flipped)[order].astype(np.int32),
        threshold=np.array([value for value, _ in tests], np.float32)[order],
        yes=sides[0].astype(np.int32),
        no=sides[1].astype(np.int32),
        roots=roots.astype(np.int32),
        depth=_depth(node, sides[0], sides[1], roots),
        weights=weights,
        base=base,
        negated=bool(flipped.any()),
        tests=int(np.count_nonzero(~leaf)),
    )


def _require_plain(node: Node) -> None:
    had = node.attributes
    if had.get("aggregate_function", b"SUM") not in (b"SUM", b"AVERAGE"):
        raise node.refuse("its sums are no sums")
    if any(had.get("nodes_missing_value_tracks_true", ())):
        raise node.refuse("missing values take a side of their own")
    if any(name.endswith("_as_tensor") and name != "nodes_hitrates_as_tensor" for name in had):
        raise node.refuse("64-bit thresholds")


def _test(node: Node, mode: bytes, value: float) -> tuple[np.float32, bool]:
    """The threshold of ``<=``, and whether the feature is negated; no number at all fails each test, as in ONNX."""
    t = np.float32(value)
    match mode:
        case b"LEAF":
            return np.float32(0.0), False
        case b"BRANCH_LEQ":
            return t, False
        case b"BRANCH_LT":
            return np.float32(np.nextafter(t, _DOWN)), False
        case b"BRANCH_GTE":
            return -t, True
        case b"BRANCH_GT":
            return np.float32(np.nextafter(-t, _DOWN)), True
        case _:
            raise node.refuse(f"branches of mode {mode.decode()}")


def _depth(node: Node, yes: NDArray[Any], no: NDArray[Any], roots: NDArray[Any]) -> int:
    at, depth = set(roots.tolist()), 0
    while at := {int(n) for i in at if yes[i] != i for n in (yes[i], no[i])}:
        depth += 1
        if depth > MOST_DEPTH:
            raise node.refuse(f"trees deeper than {MOST_DEPTH}")
    return depth


def tree_regressor(writer: Writer, node: Node) -> None:
    """One row walks down all trees; further rows do it one after the other."""
    if node.attributes.get("post_transform", b"NONE") != b"NONE":
        raise node.refuse("its sums are transformed")
    with _scoped(writer):
        total = _sums(writer, node, kind="target", columns=int(node.attributes["n_targets"]))
        writer.give(node.outputs[0], writer.reshape(total, writer.shape(node.outputs[0])))


def tree_classifier(writer: Writer, node: Node) -> None:
    """Three classes or more: the first largest sum names the class; scores are the sums, or their softmax or logistic.

    Of two classes ONNX Runtime makes the second score from the first by rules that hang on signs; they are refused.
    """
    labels, transform = node.attributes.get("classlabels_int64s"), node.attributes.get("post_transform", b"NONE")
    if labels is None:
        raise node.refuse("classes with names of text")
    if len(labels) < 3:
        raise node.refuse(f"{len(labels)} classes")
    if transform not in _TRANSFORMS:
        raise node.refuse(f"scores by {transform.decode()}")
    if not node.attributes.get("base_values") and not _all_spoken_of(node, len(labels)):
        raise node.refuse("a class of which no tree speaks at every leaf: ONNX Runtime never names it without a score")
    with _scoped(writer):
        total = _sums(writer, node, kind="class", columns=len(labels))
        if name := node.outputs[0]:
            axis = writer.const(np.array(1, np.int32))
            options = schema.ArgMaxOptionsT()
            options.outputType = schema.TensorType.INT32
            place = writer.op(B.ARG_MAX, (total, axis), (1,), "int32", options)
            held = writer.const(np.array(labels), "int64", f"{writer.label};classes")
            writer.give(name, writer.reshape(_look(writer, held, place, (1,), "int32"), writer.shape(name), "int32"))
        for name in filter(None, node.outputs[1:]):
            writer.give(name, writer.reshape(_TRANSFORMS[transform](writer, total), writer.shape(name)))


def _all_spoken_of(node: Node, classes: int) -> bool:
    """Whether each row gets a score of each class: some tree adds to it at all of its leaves."""
    had = node.attributes
    modes = zip(had["nodes_treeids"], had["nodes_modes"], strict=True)
    leaves = Counter(tree for tree, mode in modes if mode == b"LEAF")
    entries = set(zip(*(had[f"class_{name}"] for name in ("treeids", "nodeids", "ids")), strict=True))
    spoken = Counter((tree, one) for tree, _, one in entries)
    return {one for (tree, one), count in spoken.items() if count == leaves[tree]} == set(range(classes))


@contextmanager
def _scoped(writer: Writer) -> Iterator[None]:
    writer.scope = SCOPE
    try:
        yield
    finally:
        writer.scope = ""


def _softmax(writer: Writer, total: int) -> int:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    return writer.op(B.SOFTMAX, (total,), writer.shape_of(total), options=options)


def _logistic(writer: Writer, total: int) -> int:
    return writer.op(B.LOGISTIC, (total,), writer.shape_of(total))


_TRANSFORMS: Mapping[bytes, Callable[[Writer, int], int]] = {
    b"NONE": lambda _, total: total,
    b"SOFTMAX": _softmax,
    b"LOGISTIC": _logistic,
}


def _sums(writer: Writer, node: Node, *, kind: str, columns: int) -> int:
    """What the leaves that a row reaches add up to, and the base values: shape ``(1, columns)``."""
    x = node.inputs[0]
    shape = writer.shape(x)
    if writer.dtype(x) != "float32" or len(shape) != 2 or shape[0] != 1:
        raise node.refuse(f"an input of {writer.dtype(x)}{list(shape)}, not of one row of floats")
    forest = read_forest(node, shape[1], kind=kind, columns=columns)
    table = writer.reshape(writer.read(x), (shape[1],))
    if forest.negated:
        below = writer.op(B.NEG, (table,), (shape[1],))
        options = schema.ConcatenationOptionsT()
        table = writer.op(B.CONCATENATION, (table, below), (2 * shape[1],), options=options)
    leaves = _walk(writer, forest, table)
    scale = 1.0 / len(forest.roots) if node.attributes.get("aggregate_function") == b"AVERAGE" else 1.0
    held = writer.const(forest.weights * np.float32(scale), name=f"{writer.label};leaves")
    found = _look(writer, held, leaves, (len(forest.roots), columns))
    total = reduced(writer, B.SUM, found, [0])
    if forest.base.any():
        operands = (total, writer.const(forest.base[None, :]))
        total = writer.op(B.ADD, operands, (1, columns), options=schema.AddOptionsT())
    return total


def _walk(writer: Writer, forest: Forest, table: int) -> int:
    """Nodes at which the trees end, int32 of shape ``(trees,)``."""
    count, tests = (len(forest.roots),), (forest.tests,)
    parts = {"feature": forest.feature, "threshold": forest.threshold, "yes": forest.yes, "no": forest.no}
    at_once = _LOOKS_ALL * forest.tests <= _LOOKS_STEP * forest.depth * len(forest.roots)
    held = {
        name: writer.const(array[: forest.tests] if at_once else array, name=f"{writer.label};{name}")
        for name, array in parts.items()
    }
    place = writer.const(forest.roots, name=f"{writer.label};roots")
    if not at_once:
        for _ in range(forest.depth):
            found = {name: _look(writer, held[name], place, count, _DTYPES[name]) for name in held}
            place = _follow(writer, table, found, count)
        return place
    if not forest.tests:
        return place
    leaves = writer.const(forest.yes[forest.tests :], name=f"{writer.label};ends")
    after = _follow(writer, table, held, tests)
    after = writer.op(B.CONCATENATION, (after, leaves), forest.yes.shape, "int32", schema.ConcatenationOptionsT())
    for _ in range(forest.depth):
        place = _look(writer, after, place, count, "int32")
    return place


def _follow(writer: Writer, table: int, found: Mapping[str, int], shape: tuple[int, ...]) -> int:
    """Where nodes lead to, given their features, thresholds and followers."""
    value = _look(writer, table, found["feature"], shape)
    test = writer.op(B.LESS_EQUAL, (value, found["threshold"]), shape, "bool", schema.LessEqualOptionsT())
    return writer.op(B.SELECT_V2, (test, found["yes"], found["no"]), shape, "int32", schema.SelectV2OptionsT())


def _look(writer: Writer, table: int, places: int, shape: Sequence[int], dtype: str = "float32") -> int:
    return writer.op(B.GATHER, (table, places), shape, dtype, schema.GatherOptionsT())


HANDLERS: Mapping[str, Handler] = {
    "TreeEnsembleRegressor": tree_regressor,
    "TreeEnsembleClassifier": tree_classifier,
}
