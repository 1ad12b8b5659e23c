"""The float file of a model that came from PyTorch, by litert-torch, where our own writer refuses its graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.fallback.adopt import Face, adopt
from edgehybrid.exporters.formats.fallback.installed import Origin
from edgehybrid.exporters.formats.fallback.order import Order, put_order
from edgehybrid.exporters.formats.fallback.process import COMMAND, LIMIT_S, run_converter
from edgehybrid.exporters.formats.litert.versions import stamp
from edgehybrid.exporters.formats.tflite import FLOAT_FORM, Source, TfliteFile, check, needs_of


def write_float_from_torch(
    origin: Origin,
    source: Source,
    folder: Path,
    name: str,
    *,
    command: Sequence[str] = COMMAND,
    limit_s: float = LIMIT_S,
) -> TfliteFile:
    """Let a converter write the float file, bring it to the names of the graph, and let it through the gate.

    Args:
        origin: The PyTorch model.
        source: The ONNX graph that was made of it: what the file must take, give and compute.
        folder: Where files may be written.
        name: Of the converter, with its version.
        command: How it is run; see ``run_converter``.
        limit_s: Seconds after which it is ended.

    Raises:
        ModelError: It refuses or fails, or its file does not compute the same.
    """
    row = source.rows[0]
    place = folder / "converter"
    place.mkdir()
    wanted = [spec.name for spec in source.outputs]
    order = Order(
        source=origin.source,
        inputs=tuple(spec.name for spec in source.inputs),
        outputs=tuple(list(origin.outputs).index(output) for output in wanted),
        count=len(origin.outputs),
    )
    expected = source.reference(row)
    put_order(place, order, row, {output: expected[output] for output in wanted})
    content = run_converter(place, name, command, limit_s)
    inputs = [Face(theirs=f"args_{i}", name=s.name, dtype=s.dtype) for i, s in enumerate(source.inputs)]
    outputs = [Face(theirs=f"output_{i}", name=s.name, dtype=s.dtype) for i, s in enumerate(source.outputs)]
    content = stamp(adopt(content, inputs, outputs, name))
    file = TfliteFile(content=content, needs=needs_of(FLOAT_FORM, name), writer=name)
    try:
        check(file, FLOAT_FORM, source, folder)
    except ModelError as error:
        raise ModelError(f"{name} wrote a file that does not pass: {error.what}", error.fix) from error
    return file
