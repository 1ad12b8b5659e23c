"""What the quantizer really made smaller in a file that another converter wrote: it knows some operators, not all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgehybrid.exporters.formats.litert.flat import is_held, read_model

B, T = schema.BuiltinOperator, schema.TensorType

_SMALL = {T.INT8, T.INT4, T.FLOAT16}
_CONVOLUTIONS = {B.CONV_2D, B.CONV_3D, B.CONV_3D_TRANSPOSE, B.DEPTHWISE_CONV_2D, B.TRANSPOSE_CONV}
_PRODUCTS = {B.FULLY_CONNECTED, B.BATCH_MATMUL, B.EMBEDDING_LOOKUP, B.GATHER}


def narrowed(content: bytes) -> tuple[bool, bool]:
    """Tell whether any convolution of a file has weights of fewer bits than floats, and any product of matrices."""
    model = read_model(content)
    found = {code for graph in model.subgraphs for code in _narrow_operators(model, graph)}
    return bool(found & _CONVOLUTIONS), bool(found & _PRODUCTS)


def _narrow_operators(model: Any, graph: Any) -> Iterator[int]:
    codes = [max(entry.builtinCode, entry.deprecatedBuiltinCode) for entry in model.operatorCodes]
    small = {n for n, t in enumerate(graph.tensors) if t.type in _SMALL and is_held(model, t)}
    for operator in graph.operators or ():
        inputs = {int(n) for n in operator.inputs}
        if not small & inputs:
            continue
        if codes[operator.opcodeIndex] == B.DEQUANTIZE:  # it stands before the operators that its weights are of
            small |= {int(n) for n in operator.outputs}
        yield codes[operator.opcodeIndex]
