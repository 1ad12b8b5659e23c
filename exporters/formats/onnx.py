"""Write the variants of a stage as ONNX files that share their weights.

Every tensor of at least 1 KiB goes to one ``weights.bin``, each distinct tensor once, whichever variants use it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from edgehybrid.exporters.model import Graph

WEIGHTS_FILE = "weights.bin"
MODEL_FILE = "model.onnx"
INLINE_BELOW = 1024  # bytes; a smaller tensor costs more to describe than to repeat
_ALIGN, _ALIGN_LARGE, _LARGE = 64, 4096, 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Model files by variant, and the weights that they share.

    ``size_bytes`` is what a variant would take if it were stored apart: its model file and its own weights.
    """

    models: Mapping[str, bytes]
    weights: bytes
    size_bytes: Mapping[str, int]


def pack(graphs: Mapping[str, Graph]) -> Packed:
    """Move the weights of ``graphs`` (variant name to graph) into one shared file; equal tensors are stored once."""
    store = _Store()
    models, sizes = {}, {}
    for name, graph in graphs.items():
        proto = onnx.ModelProto()
        proto.CopyFrom(graph.proto)
        own = {store.put(tensor) for tensor in proto.graph.initializer if len(tensor_bytes(tensor)) >= INLINE_BELOW}
        models[name] = proto.SerializeToString(deterministic=True)
        sizes[name] = len(models[name]) + sum(length for _, length in own)
    return Packed(models=models, weights=bytes(store.data), size_bytes=sizes)


def tensor_bytes(tensor: onnx.TensorProto) -> bytes:
    """Content of a tensor in the layout of external data: little endian, without gaps."""
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    if tensor.data_type == onnx.TensorProto.STRING:
        return b""
    copy = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name)
    return bytes(copy.raw_data)


class _Store:
    """Bytes that grow; remembers where it has put what."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._places: dict[tuple[int, bytes], int] = {}

    def put(self, tensor: onnx.TensorProto) -> tuple[int, int]:
        """Make ``tensor`` external; returns its offset and length."""
        content = tensor_bytes(tensor)
        key = (len(content), hashlib.sha256(content).digest())
        if key not in self._places:
            align = _ALIGN_LARGE if len(content) >= _LARGE else _ALIGN
            self.data.extend(bytes(-len(self.data) % align))
            self._places[key] = len(self.data)
            self.data.extend(content)
        offset = self._places[key]
        name, dtype, dims = tensor.name, tensor.data_type, list(tensor.dims)
        tensor.Clear()
        tensor.name, tensor.data_type = name, dtype
        tensor.dims.extend(dims)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for entry, value in (("location", WEIGHTS_FILE), ("offset", str(offset)), ("length", str(len(content)))):
            tensor.external_data.add(key=entry, value=value)
        return offset, len(content)
