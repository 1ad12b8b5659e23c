"""Raise a model's operator set, where no operator in it changes its meaning."""

from __future__ import annotations

import onnx
import onnx_ir as ir

CHANGED = frozenset({"AveragePool", "DFT", "GridSample", "GroupNormalization", "Resize"})
"""What became of them between operator sets 18 and 23 is more than new types, or defaults that are the old meaning."""

_FROM = 18
_IR_VERSION = 11  # that of operator set 23


def raise_opset(model: ir.Model, wanted: int = 23) -> bool:
    """Let ``model`` speak operator set ``wanted`` (at most 23), if that changes nothing; says whether it does now."""
    now = model.graph.opset_imports.get("", 0)
    if now >= wanted:
        return True
    if now < _FROM or any(not _same(node, now, wanted) for node in ir.traversal.RecursiveGraphIterator(model.graph)):
        return False
    model.graph.opset_imports[""] = wanted
    model.ir_version = max(model.ir_version or 0, _IR_VERSION)
    return True


def _same(node: ir.Node, now: int, wanted: int) -> bool:
    if node.domain:
        return True
    try:
        versions = {onnx.defs.get_schema(node.op_type, version, "").since_version for version in (now, wanted)}
    except onnx.defs.SchemaError:
        return False
    return len(versions) == 1 or node.op_type not in CHANGED
