"""``.npz`` files: written with the same bytes each time, read row by row."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgehybrid.errors import DataError

Array = NDArray[np.generic]

_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError)
"""What zipfile and numpy raise on damage; RuntimeError is zipfile's word for an encrypted member."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
_SAVE_AGAIN = "Save it again with np.savez(path, name=array, ...)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One array of a file: its dtype, the shape of one row, and how many rows it has."""

    dtype: np.dtype[np.generic]
    row: tuple[int, ...]
    rows: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.row)


def npz_bytes(arrays: Mapping[str, Array], *, compress: bool = False) -> bytes:
    """Write ``arrays`` as an ``.npz``: equal arrays give equal bytes (sorted, fixed times).

    Args:
        arrays: What to write.
        compress: Deflate each array; the bytes are then those of this zlib, and no member can be read row by row fast.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compresslevel=9) as archive:
        for name in sorted(arrays):
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.create_system, info.external_attr = 3, 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
            member = io.BytesIO()
            npy.write_array(member, np.asarray(arrays[name], order="C"), version=(1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def read_npz(path: Path) -> dict[str, Array]:
    """Read a small ``.npz`` whole.

    Raises:
        DataError: It cannot be read, or holds pickled objects.
    """
    with _translated(path), zipfile.ZipFile(path) as archive:
        arrays = {}
        for member in archive.namelist():
            with archive.open(member) as stream:
                arrays[member.removesuffix(".npy")] = npy.read_array(stream, allow_pickle=False)
        return arrays


@dataclass(frozen=True)
class NpzSource:
    """An ``.npz`` on disk; ``columns`` come from the headers alone."""

    path: Path
    columns: Mapping[str, Column]

    @classmethod
    def open(cls, path: Path) -> NpzSource:
        """Read the headers of ``path``.

        Raises:
            DataError: Not an ``.npz``, damaged, or with arrays that cannot be streamed.
        """
        with _translated(path), zipfile.ZipFile(path) as archive:
            columns = {}
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                with archive.open(member) as stream:
                    columns[name] = _read_header(stream, name, path)
        return cls(path, columns)

    @cached_property
    def sha256(self) -> str:
        """Digest of the file's bytes, in hex."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def chunks(self, names: tuple[str, ...], *, start: int, size: int) -> Iterator[dict[str, Array]]:
        """Yield ``size`` rows at a time from row ``start`` on; the last chunk may be shorter."""
        rows = min(self.columns[name].rows for name in names)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_translated(self.path))
            archive = stack.enter_context(zipfile.ZipFile(self.path))
            streams = {name: stack.enter_context(self._open_at(archive, name, start)) for name in names}
            for first in range(start, rows, size):
                count = min(size, rows - first)
                yield {name: self._read(streams[name], name, count) for name in names}
            for stream in streams.values():
                stream.read(1)  # zipfile compares the checksum only when it meets the end

    def _open_at(self, archive: zipfile.ZipFile, name: str, start: int) -> IO[bytes]:
        stream = archive.open(f"{name}.npy" if f"{name}.npy" in archive.NameToInfo else name)
        column = _read_header(stream, name, self.path)
        if column.row_bytes * start:
            stream.seek(column.row_bytes * start, io.SEEK_CUR)
        return stream

    def _read(self, stream: IO[bytes], name: str, count: int) -> Array:
        column = self.columns[name]
        raw = stream.read(column.row_bytes * count)
        if len(raw) != column.row_bytes * count:
            raise DataError(f"{self.path} ends in the middle of {name!r}.", "Copy the file again; it is truncated.")
        return np.frombuffer(bytearray(raw), column.dtype).reshape(count, *column.row)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.", "Give the path of an .npz file, or module:function.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder.", "Give the path of an .npz file.") from error
    except PermissionError as error:
        raise DataError(f"{path} may not be read.", f"Run: chmod u+r {path}") from error
    except _UNREADABLE as error:
        why = str(error) or type(error).__name__
        raise DataError(
            f"{path} is no readable .npz file ({why}).",
            "Copy it again, or save it with np.savez(path, name=array, ...).",
        ) from error


def _read_header(stream: IO[bytes], name: str, path: Path) -> Column:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(stream)
    else:
        raise DataError(f"{name!r} in {path} has npy format {version}.", "Save it as a plain array of numbers.")
    if dtype.hasobject or dtype.names is not None:
        raise DataError(
            f"{name!r} in {path} holds Python objects or records; these are never read, as they could run code.",
            f"Save it as a plain array of numbers: {name} = np.asarray({name}, dtype=np.float32).",
        )
    if not shape:
        raise DataError(f"{name!r} in {path} is a single number.", "The first axis must be the samples.")
    if fortran and len(shape) > 1:
        raise DataError(
            f"{name!r} in {path} is in Fortran order, so its samples cannot be streamed.",
            f"Save np.ascontiguousarray({name}).",
        )
    return Column(dtype=dtype, row=tuple(shape[1:]), rows=shape[0])
