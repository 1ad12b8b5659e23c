"""Write the variants of a stage as ONNX files that share their weights.

Every tensor of at least 1 KiB goes to one ``weights.bin``, each distinct tensor once, whichever variants use it. The
reference stays as the user gave it. The others lose what nobody reads at run time, and a tensor of theirs that is
made of what is stored already is not stored again: its file computes it when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from edgehybrid.exporters.formats.derive import derivable, insert
from edgehybrid.exporters.formats.lean import strip_notes
from edgehybrid.exporters.formats.store import Store, refer, tensor_array, tensor_bytes
from edgehybrid.exporters.formats.trees import compact_trees
from edgehybrid.exporters.model import Graph
from edgehybrid.points import REFERENCE

MODEL_FILE = "model.onnx"
INLINE_BELOW = 1024  # bytes; a smaller tensor costs more to describe than to repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Model files by variant, and the weights that they share.

    ``size_bytes`` is what a variant would take if it were stored apart: its model file and its own weights.
    """

    models: Mapping[str, bytes]
    weights: bytes
    size_bytes: Mapping[str, int]


def pack(graphs: Mapping[str, Graph]) -> Packed:
    """Move the weights of ``graphs`` (variant name to graph) into one shared file; equal tensors are stored once.

    The variant called ``fp32`` is the reference: nothing of it is left out or rewritten.
    """
    store = Store()
    models, sizes = {}, {}
    for name in sorted(graphs, key=lambda name: name != REFERENCE):  # the user's own tensors come first
        proto = onnx.ModelProto()
        proto.CopyFrom(graphs[name].proto)
        if name != REFERENCE:
            compact_trees(proto)
            strip_notes(proto)
        sizes[name] = _size_apart(proto)
        _move_weights(proto, store, derive=name != REFERENCE)
        models[name] = proto.SerializeToString(deterministic=True)
    return Packed(models=models, weights=bytes(store.data), size_bytes=sizes)


def _size_apart(proto: onnx.ModelProto) -> int:
    alone = onnx.ModelProto()
    alone.CopyFrom(proto)
    own = _move_weights(alone, Store(), derive=False)
    return len(alone.SerializeToString(deterministic=True)) + own


def _move_weights(proto: onnx.ModelProto, store: Store, *, derive: bool) -> int:
    """Make the large tensors of ``proto`` external or derived; return the bytes of the distinct external ones."""
    contents = {tensor.name: tensor_bytes(tensor) for tensor in proto.graph.initializer}
    large = [tensor for tensor in proto.graph.initializer if len(contents[tensor.name]) >= INLINE_BELOW]
    arrays = {tensor.name: tensor_array(tensor, contents[tensor.name]) for tensor in large}
    made = derivable(proto, arrays, store) if derive else {}
    own = set()
    for tensor in large:
        if tensor.name in made:
            continue
        content = contents[tensor.name]
        offset = store.put(content, arrays[tensor.name])
        refer(tensor, tensor.data_type, tuple(tensor.dims), offset, len(content))
        own.add((offset, len(content)))
    insert(proto, made)
    return sum(length for _, length in own)
