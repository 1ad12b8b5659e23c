"""What a variant's file need not hold: notes of the tool that made the model.

Inferred shapes stay, though many could be inferred again: without those of the keyword spotter ONNX Runtime no longer
joined a sum with its norm, and gave other bits.
"""

from __future__ import annotations

import onnx

_NOTES = "pkg.torch."  # of torch.onnx; other properties may be the app's, which can read them at run time


def strip_notes(model: onnx.ModelProto) -> None:
    """Remove doc strings and notes on nodes from ``model``; names, shapes and what it computes stay."""
    kept = [prop for prop in model.metadata_props if not prop.key.startswith(_NOTES)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    _strip(model.graph)
    for function in model.functions:
        for node in function.node:
            _strip_node(node)


def _strip(graph: onnx.GraphProto) -> None:
    graph.ClearField("doc_string")
    del graph.metadata_props[:]
    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.ClearField("doc_string")
        del item.metadata_props[:]
    for node in graph.node:
        _strip_node(node)


def _strip_node(node: onnx.NodeProto) -> None:
    node.ClearField("doc_string")
    del node.metadata_props[:]
    for attribute in node.attribute:
        attribute.ClearField("doc_string")
        if attribute.type == onnx.AttributeProto.GRAPH:
            _strip(attribute.g)
        for graph in attribute.graphs:
            _strip(graph)
