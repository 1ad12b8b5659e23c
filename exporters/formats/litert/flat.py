"""A TFLite file as it grows: tensors, constants (each once), operators; and the bytes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgehybrid.errors import ModelError
from edgehybrid.runtime.backends import SIGNATURE

Array = NDArray[Any]

IDENTIFIER = b"TFL3"
_TYPES: Mapping[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "bool": schema.TensorType.BOOL,
}


class Flat:
    """One graph under construction."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first is empty, by convention
        self._codes: dict[int, int] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self._names: set[str] = set()
        self.maker: dict[int, Any] = {}  # tensor to the operator that an activation could be fused into
        self.arrays: dict[int, Array] = {}  # what the constants hold
        self.used: set[int] = set()

    def tensor(self, name: str, shape: Sequence[int], dtype: str) -> int:
        """Add a tensor that is computed; return its number."""
        if dtype not in _TYPES:
            raise ModelError(f"TFLite: {name!r} is of {dtype}, which cannot be written.", "Its variants stay in ONNX.")
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = self._free(name), [int(n) for n in shape], _TYPES[dtype]
        tensor.buffer = 0
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array: Array, name: str) -> int:
        """Add a constant, or return the one that holds the same."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            number = self.tensor(name, array.shape, array.dtype.name)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(key[2], np.uint8)
            self._buffers.append(buffer)
            self.tensors[number].buffer = len(self._buffers) - 1
            self._constants[key] = number
            self.arrays[number] = array
        return self._constants[key]

    def add(self, code: int, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> Any:
        """Add an operator; the kind of its options follows from their class."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            operator.builtinOptions = options
        self.operators.append(operator)
        self.used.update(inputs)
        for number in outputs:
            self.maker[number] = operator
        return operator

    def finish(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """Close the graph: one signature with these names; what nobody reads is left out."""
        inputs, outputs = self._prune(inputs, outputs)
        subgraph = schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs, signature.outputs = signature_side(inputs), signature_side(outputs)
        model = schema.ModelT()
        model.version, model.description = 3, "edgehybrid"
        model.operatorCodes = [operator_code(code, 1) for code in self._codes]
        model.subgraphs, model.buffers, model.signatureDefs = [subgraph], self._buffers, [signature]
        return to_bytes(model)

    def _prune(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
        """Drop operators and tensors that no output needs; number the tensors anew."""
        needed, kept = set(outputs.values()), []
        for operator in reversed(self.operators):
            if needed & set(operator.outputs):
                needed |= set(operator.inputs)
                kept.append(operator)
        self.operators = kept[::-1]
        held = sorted(({*inputs.values(), *needed} | {n for o in kept for n in o.outputs}) - {-1})
        number = {old: new for new, old in enumerate(held)} | {-1: -1}
        self.tensors = [self.tensors[old] for old in held]
        for operator in kept:
            operator.inputs = [number[n] for n in operator.inputs]
            operator.outputs = [number[n] for n in operator.outputs]
        sides = ({name: number[tensor] for name, tensor in side.items()} for side in (inputs, outputs))
        first, second = sides
        return first, second

    def _free(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._names:
            number += 1
            candidate = f"{name};{number}"
        self._names.add(candidate)
        return candidate


def to_bytes(model: Any) -> bytes:
    """Serialize a model of the schema's object API."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def read_model(content: bytes) -> Any:
    """Read a file into the schema's object API; weights that lie behind the flatbuffer come into it."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def operator_code(code: int, version: int) -> Any:
    """An entry of the table of operators."""
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.version = code, version
    entry.deprecatedBuiltinCode = min(code, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    return entry


def is_held(model: Any, tensor: Any) -> bool:
    """Whether the file holds the values of a tensor: a constant."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def signature_side(tensors: Mapping[str, int]) -> list[Any]:
    """One side of a signature: names and numbers of tensors."""
    found = []
    for name, number in tensors.items():
        item = schema.TensorMapT()
        item.name, item.tensorIndex = name, number
        found.append(item)
    return found
