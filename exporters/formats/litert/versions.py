"""Versions of operators: what an engine must know to run a file right, from the tensors that the operators see.

An engine that does not know a version refuses the file when it loads it, instead of computing something else. That is
why weights per channel under float activations get version 12 of FULLY_CONNECTED here: tflite-runtime 2.14 takes such
a file at version 5, and gives noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgehybrid.exporters.formats.litert.flat import operator_code, read_model, to_bytes

B, T = schema.BuiltinOperator, schema.TensorType

_INT8, _INT4 = {T.INT8}, {T.INT4}


class _Seen:
    """One operator with its tensors."""

    def __init__(self, operator: Any, tensors: Any) -> None:
        self.options = operator.builtinOptions
        self.inputs = [tensors[i] if i >= 0 else None for i in operator.inputs]
        self.outputs = [tensors[i] for i in operator.outputs]

    def type(self, index: int) -> int | None:
        """Type of an input; ``None`` where it is left out."""
        found = self.inputs[index] if index < len(self.inputs) else None
        return None if found is None else int(found.type)

    @property
    def rank(self) -> int:
        """Most axes of any input."""
        return max((len(t.shape) for t in self.inputs if t is not None and t.shape is not None), default=0)

    @property
    def is_int8(self) -> bool:
        """Whether it takes int8 and gives it."""
        return bool(self.type(0) == T.INT8)

    @property
    def is_hybrid(self) -> bool:
        """Float activations, integer weights."""
        return self.type(0) == T.FLOAT32 and self.type(1) in (T.INT8, T.INT4)

    @property
    def per_channel(self) -> bool:
        """Whether the weights have a scale for each channel."""
        found = self.inputs[1] if len(self.inputs) > 1 else None
        scales = None if found is None or found.quantization is None else found.quantization.scale
        return scales is not None and len(scales) > 1


def _fully_connected(at: _Seen) -> int:
    if at.is_hybrid:
        if at.per_channel:
            return 12
        return 10 if at.type(1) == T.INT4 else 9 if at.options.asymmetricQuantizeInputs else 3
    if at.type(1) == T.INT4:
        return 10
    if at.type(0) == T.INT16:
        return 11
    if at.type(2) is None:
        return 6
    if at.options.keepNumDims:
        return 5
    return 4 if at.is_int8 else 1


def _convolution(at: _Seen) -> int:
    if at.is_hybrid:
        return 7 if at.type(1) == T.INT4 else 5
    return 7 if at.type(1) == T.INT4 else 3 if at.is_int8 else 1


def _depthwise(at: _Seen) -> int:
    if at.is_hybrid:
        return 6
    if at.type(1) == T.INT4:
        return 7
    dilated = at.options.dilationHFactor != 1 or at.options.dilationWFactor != 1
    return 3 if at.is_int8 else 2 if dilated else 1


def _int8(plain: int, quantized: int) -> Callable[[_Seen], int]:
    return lambda at: quantized if at.is_int8 else plain


def _rank5(plain: int, quantized: int, high: int) -> Callable[[_Seen], int]:
    return lambda at: high if at.rank > 4 else quantized if at.is_int8 else plain


def _resize(at: _Seen) -> int:
    return 3 if at.options.halfPixelCenters or at.options.alignCorners else 2 if at.is_int8 else 1


def _transpose_conv(at: _Seen) -> int:
    return 3 if at.type(3) is not None else 2 if at.type(1) == T.INT8 else 1


def _gather(at: _Seen) -> int:
    return 3 if at.type(0) == T.BOOL else 2 if at.is_int8 else 1


_RULES: Mapping[int, Callable[[_Seen], int]] = {
    B.ADD: _int8(1, 2),
    B.ARG_MAX: _int8(1, 2),
    B.ARG_MIN: _int8(1, 2),
    B.AVERAGE_POOL_2D: _int8(1, 2),
    B.BATCH_MATMUL: _int8(1, 2),
    B.BROADCAST_TO: lambda at: 3 if at.type(0) == T.INT16 else 2,
    B.CONCATENATION: _int8(1, 2),
    B.CONV_2D: _convolution,
    B.DEPTHWISE_CONV_2D: _depthwise,
    B.DEPTH_TO_SPACE: _int8(1, 2),
    B.DEQUANTIZE: lambda at: 6 if at.type(0) == T.INT4 else 3 if at.type(0) == T.FLOAT16 else 2 if at.is_int8 else 1,
    B.DIV: lambda at: 2 if at.rank > 4 else 1,
    B.EQUAL: _int8(1, 2),
    B.FULLY_CONNECTED: _fully_connected,
    B.GATHER: _gather,
    B.GELU: _int8(1, 2),
    B.LEAKY_RELU: _int8(1, 2),
    B.LOGISTIC: _int8(1, 2),
    B.LOG_SOFTMAX: _int8(1, 2),
    B.MAXIMUM: _rank5(1, 2, 3),
    B.MAX_POOL_2D: _int8(1, 2),
    B.MEAN: _int8(1, 2),
    B.MINIMUM: _rank5(1, 2, 3),
    B.MUL: _int8(1, 2),
    B.PACK: _int8(1, 2),
    B.PAD: _int8(1, 2),
    B.PADV2: _int8(1, 2),
    B.QUANTIZE: lambda at: 1 if at.type(0) == T.FLOAT32 else 2,
    B.REDUCE_MAX: _int8(1, 2),
    B.REDUCE_MIN: _int8(1, 2),
    B.RELU: _int8(1, 2),
    B.RELU6: _int8(1, 2),
    B.RESIZE_BILINEAR: _resize,
    B.RESIZE_NEAREST_NEIGHBOR: _resize,
    B.RSQRT: _int8(1, 2),
    B.SLICE: _rank5(1, 2, 5),
    B.SOFTMAX: _int8(1, 2),
    B.SPACE_TO_DEPTH: _int8(1, 2),
    B.SPLIT: lambda at: 2 if at.type(1) == T.INT8 else 1,
    B.SQUARED_DIFFERENCE: _int8(1, 2),
    B.STRIDED_SLICE: _rank5(1, 2, 4),
    B.SUB: _rank5(1, 2, 3),
    B.SUM: _int8(1, 2),
    B.TANH: _int8(1, 2),
    B.TILE: _int8(1, 2),
    B.TRANSPOSE: _rank5(1, 2, 4),
    B.TRANSPOSE_CONV: _transpose_conv,
    B.UNPACK: _int8(1, 2),
}
"""By operator; what is not named is of version 1, or keeps a higher one that it has."""


def stamp(content: bytes) -> bytes:
    """Write the version that every operator of a file needs; none is lowered."""
    model = read_model(content)
    graph_codes: dict[tuple[int, int], int] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            had = model.operatorCodes[operator.opcodeIndex]
            code = max(had.builtinCode, had.deprecatedBuiltinCode)
            rule = _RULES.get(code)
            needed = rule(_Seen(operator, graph.tensors)) if rule else 1
            key = (code, max(needed, had.version))
            operator.opcodeIndex = graph_codes.setdefault(key, len(graph_codes))
    model.operatorCodes = [operator_code(code, version) for code, version in graph_codes]
    return to_bytes(model)


def versions(content: bytes) -> dict[str, set[int]]:
    """Operators of a file with their versions, for tests and messages."""
    names = {value: name for name, value in vars(B).items() if isinstance(value, int)}
    found: dict[str, set[int]] = {}
    for had in read_model(content).operatorCodes:
        found.setdefault(names[max(had.builtinCode, had.deprecatedBuiltinCode)], set()).add(int(had.version))
    return found
