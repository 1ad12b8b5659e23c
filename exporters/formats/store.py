"""The shared file of weights as it grows: what lies where, and which stored rows another tensor is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[np.generic]

WEIGHTS_FILE = "weights.bin"
_ALIGN, _ALIGN_LARGE, _LARGE = 64, 4096, 65536
_SAME_ROW = 8  # places that are remembered of a row; more are constant rows, and any of them will do
_MAX_PIECES = 32
_ROW_BYTES = 16  # a shorter row stands in many places by chance
_DTYPES: dict[int, np.dtype[np.generic]] = {
    onnx.TensorProto.FLOAT: np.dtype("<f4"),
    onnx.TensorProto.INT8: np.dtype("i1"),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows ``start`` to ``stop`` along ``axis`` of a stored tensor.

    ``dims`` is the stored tensor's, ``offset`` where it begins.
    """

    offset: int
    dims: tuple[int, ...]
    itemsize: int
    axis: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Layout:
    """A tensor of ``dims`` whose rows along ``axis`` are those of ``pieces``, one after the other."""

    dims: tuple[int, ...]
    axis: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Digests of the rows of one stored tensor along one axis."""

    offset: int
    dims: tuple[int, ...]
    itemsize: int
    axis: int
    keys: tuple[bytes, ...]


class Store:
    """Bytes that grow. It remembers where it has put what, and of which rows that consists."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._places: dict[tuple[int, bytes], int] = {}
        self._unindexed: list[tuple[int, Array]] = []
        self._index: dict[bytes, list[tuple[_Rows, int]]] = {}

    def __contains__(self, content: bytes) -> bool:
        return _content_key(content) in self._places

    def put(self, content: bytes, array: Array | None) -> int:
        """Store ``content`` once; return its offset. ``array`` is what it holds, if its rows may be used elsewhere."""
        key = _content_key(content)
        if key not in self._places:
            align = _ALIGN_LARGE if len(content) >= _LARGE else _ALIGN
            self.data.extend(bytes(-len(self.data) % align))
            self._places[key] = len(self.data)
            self.data.extend(content)
            if array is not None:
                self._unindexed.append((self._places[key], array))
        return self._places[key]

    def layout(self, array: Array) -> Layout | None:
        """Say of which stored rows ``array`` consists, along whichever axis gives the fewest pieces.

        Returns:
            ``None`` if it holds a row that is not stored, or is made of more than 32 pieces.
        """
        self._read_new()
        found = [self._along(array, axis) for axis in _axes(array)]
        best = min((item for item in found if item is not None), key=lambda item: len(item.pieces), default=None)
        return best if best is not None and len(best.pieces) <= _MAX_PIECES else None

    def _along(self, array: Array, axis: int) -> Layout | None:
        moved = np.moveaxis(array, axis, 0)
        if _row_key(moved[0]) not in self._index:
            return None  # the usual case, and cheap
        keys = [_row_key(row) for row in moved]
        pieces: list[Piece] = []
        at = 0
        while at < len(keys):
            options = [(_run(keys, at, rows.keys, first), rows, first) for rows, first in self._index.get(keys[at], ())]
            if not options or len(pieces) == _MAX_PIECES:
                return None
            length, rows, first = max(options, key=lambda option: (option[0], -option[1].axis))
            pieces.append(Piece(rows.offset, rows.dims, rows.itemsize, rows.axis, first, first + length))
            at += length
        return Layout(tuple(array.shape), axis, tuple(pieces))

    def _read_new(self) -> None:
        for offset, array in self._unindexed:
            flat = array.squeeze()
            for axis in _axes(flat):
                keys = tuple(_row_key(row) for row in np.moveaxis(flat, axis, 0))
                rows = _Rows(offset, flat.shape, flat.dtype.itemsize, axis, keys)
                for number, key in enumerate(keys):
                    places = self._index.setdefault(key, [])
                    if len(places) < _SAME_ROW:
                        places.append((rows, number))
        self._unindexed.clear()


def tensor_bytes(tensor: onnx.TensorProto) -> bytes:
    """Content of a tensor in the layout of external data: little endian, without gaps; empty for strings."""
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    if tensor.data_type == onnx.TensorProto.STRING:
        return b""
    return bytes(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name).raw_data)


def tensor_array(tensor: onnx.TensorProto, content: bytes) -> Array | None:
    """``content`` of ``tensor`` as an array; ``None`` unless it is of float32 or int8, of which most weights are."""
    dtype = _DTYPES.get(tensor.data_type)
    return None if dtype is None else np.frombuffer(content, dtype).reshape(tuple(tensor.dims))


def refer(tensor: onnx.TensorProto, dtype: int, dims: tuple[int, ...], offset: int, length: int) -> None:
    """Make ``tensor`` a reference to ``length`` bytes of the weights file."""
    name = tensor.name
    tensor.Clear()
    tensor.name, tensor.data_type = name, dtype
    tensor.dims.extend(dims)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for entry, value in (("location", WEIGHTS_FILE), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=entry, value=value)


def _axes(array: Array) -> list[int]:
    return [axis for axis, size in enumerate(array.shape) if 1 < size <= array.nbytes // _ROW_BYTES]


def _content_key(content: bytes) -> tuple[int, bytes]:
    return len(content), hashlib.sha256(content).digest()


def _row_key(row: Array) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16, person=row.dtype.str.encode()).digest()


def _run(keys: list[bytes], at: int, stored: tuple[bytes, ...], first: int) -> int:
    length = 0
    while at + length < len(keys) and first + length < len(stored) and keys[at + length] == stored[first + length]:
        length += 1
    return length
