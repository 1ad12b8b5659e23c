"""External data: read it only from inside the model's own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from onnx.external_data_helper import load_external_data_for_model

from edgehybrid.errors import ModelError

_FIX = "Keep the weights beside the model file, and save it again with onnx.save(..., save_as_external_data=True)."


def load_external(proto: onnx.ModelProto, path: Path) -> None:
    """Bring every external tensor of ``proto`` into memory.

    Raises:
        ModelError: If a file is missing, too short, or outside the model's folder (absolute, ``..``, or by a link).
    """
    folder = path.resolve().parent
    found = False
    for tensor in _tensors(proto.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            found = True
            _check(tensor, folder, path)
    if not found:
        return
    try:
        load_external_data_for_model(proto, str(folder))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"The external weights of {path} cannot be read: {error}.", _FIX) from error


def _check(tensor: onnx.TensorProto, folder: Path, path: Path) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    posix = PurePosixPath(location)
    outside = posix.is_absolute() or PureWindowsPath(location).is_absolute() or ".." in posix.parts or "\\" in location
    if not location or outside:
        raise ModelError(f"The weights {tensor.name!r} of {path} point outside its folder: {location!r}.", _FIX)
    file = folder / location
    if not file.exists():
        raise ModelError(f"The weights file {file} of {path} is missing.", _FIX)
    if not file.resolve().is_relative_to(folder):
        raise ModelError(f"The weights file {file} is a link that leaves the model's folder.", _FIX)
    try:
        end = int(entries.get("offset", "0")) + int(entries.get("length", "0"))
    except ValueError as error:
        raise ModelError(f"The weights {tensor.name!r} of {path} have no sensible offset.", _FIX) from error
    if end > file.stat().st_size:
        raise ModelError(f"The weights file {file} is too short: {end} bytes are needed.", _FIX)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for inner in attribute.graphs:
                yield from _tensors(inner)
