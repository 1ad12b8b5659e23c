"""A file that another converter wrote, brought to the names, the dtypes and the signature of the ONNX graph."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.litert.flat import is_held, operator_code, read_model, signature_side, to_bytes
from edgehybrid.runtime.backends import SIGNATURE, is_tflite

B, T = schema.BuiltinOperator, schema.TensorType

_TYPES: dict[str, int] = {
    "float32": T.FLOAT32,
    "int32": T.INT32,
    "int64": T.INT64,
    "bool": T.BOOL,
    "uint8": T.UINT8,
    "int8": T.INT8,
}
_DAMAGED = (struct.error, LookupError, TypeError, ValueError, AttributeError)  # what flatbuffers raises for garbage


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One tensor at the border of a file.

    Attributes:
        theirs: Its name in the signature that the converter wrote.
        name: Its name in the ONNX graph.
        dtype: Its dtype there.
    """

    theirs: str
    name: str
    dtype: str


def adopt(content: bytes, inputs: Sequence[Face], outputs: Sequence[Face], writer: str) -> bytes:
    """Give a file the face of an ONNX graph.

    64-bit integers that the converter made narrow are so inside only. Every output gets a tensor of its own.

    Args:
        content: The file.
        inputs: All inputs of the graph.
        outputs: All outputs of the graph.
        writer: What wrote the file; noted in it.

    Raises:
        ModelError: It is no TFLite file, lacks a tensor, has one of another dtype, or an operator that no engine has.
    """
    if not is_tflite(content):
        raise ModelError(f"{writer} wrote no TFLite file.", "Its variants stay in ONNX.")
    try:
        edited = _Edited(read_model(content), writer)
        edited.require_builtin()
        edited.name_all(inputs, outputs)
        return to_bytes(edited.model)
    except _DAMAGED as error:
        raise ModelError(
            f"{writer} wrote a damaged file ({type(error).__name__}).", "Its variants stay in ONNX."
        ) from error


class _Edited:
    """The file in the schema's object API, while it is changed."""

    def __init__(self, model: Any, writer: str) -> None:
        self.model, self._writer = model, writer
        self._signature = model.signatureDefs[0]
        self._graph = model.subgraphs[self._signature.subgraphIndex]
        self._graph.operators = list(self._graph.operators or ())
        self._graph.inputs, self._graph.outputs = list(self._graph.inputs), list(self._graph.outputs)
        model.description = f"edgehybrid, written by {writer}"

    def require_builtin(self) -> None:
        """Refuse custom operators: engines lack their code."""
        custom = sorted({code.customCode.decode() for code in self.model.operatorCodes if code.customCode})
        if custom:
            raise self._refusal(f"its file needs {', '.join(custom)}, which the engines lack")

    def name_all(self, inputs: Sequence[Face], outputs: Sequence[Face]) -> None:
        """Name what goes in and what comes out; one signature."""
        taken = {face.name for face in (*inputs, *outputs)}
        for tensor in self._graph.tensors:
            name = tensor.name.decode() if tensor.name else ""
            tensor.name = f"{name};inner" if name in taken else name
        first = self._numbers(self._signature.inputs, inputs)
        last = self._numbers(self._signature.outputs, outputs)
        entered = {face.name: self._enter(face, number) for face, number in zip(inputs, first, strict=True)}
        apart = {*entered.values(), *(n for n in last if is_held(self.model, self._graph.tensors[n]))}
        left: dict[str, int] = {}
        for face, number in zip(outputs, last, strict=True):
            left[face.name] = self._leave(face, number, apart | set(left.values()))
        self._graph.inputs, self._graph.outputs = list(entered.values()), list(left.values())
        self._signature.signatureKey = SIGNATURE
        self._signature.inputs, self._signature.outputs = signature_side(entered), signature_side(left)
        self.model.signatureDefs = [self._signature]

    def _numbers(self, side: Any, faces: Sequence[Face]) -> list[int]:
        there = {item.name.decode(): int(item.tensorIndex) for item in side or ()}
        missing = [face.name for face in faces if face.theirs not in there]
        if missing:
            raise self._refusal(f"its file lacks {', '.join(missing)}")
        return [there[face.theirs] for face in faces]

    def _enter(self, face: Face, number: int) -> int:
        tensor = self._graph.tensors[number]
        wanted = self._wanted(face, tensor)
        if tensor.type == wanted:
            tensor.name = face.name
            return number
        tensor.name = f"{face.name};narrow"
        outer = self._like(tensor, face.name, wanted)
        self._graph.operators.insert(0, self._cast(outer, number))
        return outer

    def _leave(self, face: Face, number: int, apart: set[int]) -> int:
        tensor = self._graph.tensors[number]
        wanted = self._wanted(face, tensor)
        if tensor.type != wanted:
            outer = self._like(tensor, face.name, wanted)
            self._graph.operators.append(self._cast(number, outer))
            return outer
        if number in apart:
            outer = self._like(tensor, face.name, wanted)
            self._graph.operators.append(self._copy(number, outer))
            return outer
        tensor.name = face.name
        return number

    def _wanted(self, face: Face, tensor: Any) -> int:
        wanted = _TYPES.get(face.dtype)
        if wanted is None or (tensor.type != wanted and (wanted, tensor.type) != (T.INT64, T.INT32)):
            names = {value: name for name, value in vars(T).items() if isinstance(value, int)}
            raise self._refusal(f"its file has {face.name!r} as {names[tensor.type].lower()}, not {face.dtype}")
        return wanted

    def _like(self, tensor: Any, name: str, dtype: int) -> int:
        other = schema.TensorT()
        other.name, other.shape, other.type, other.buffer = name, list(tensor.shape), dtype, 0
        self._graph.tensors.append(other)
        return len(self._graph.tensors) - 1

    def _cast(self, source: int, target: int) -> Any:
        options = schema.CastOptionsT()
        options.inDataType, options.outDataType = (self._graph.tensors[n].type for n in (source, target))
        return self._operator(B.CAST, [source], target, schema.BuiltinOptions.CastOptions, options)

    def _copy(self, source: int, target: int) -> Any:
        options = schema.ReshapeOptionsT()
        options.newShape = list(self._graph.tensors[source].shape)
        return self._operator(B.RESHAPE, [source], target, schema.BuiltinOptions.ReshapeOptions, options)

    def _operator(self, code: int, inputs: list[int], output: int, kind: int, options: Any) -> Any:
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.model.operatorCodes.append(operator_code(code, 1))
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        return operator

    def _refusal(self, why: str) -> ModelError:
        return ModelError(f"{self._writer}: {why}.", "Its variants stay in ONNX.")
