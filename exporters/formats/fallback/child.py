"""What asks litert-torch, in a process of its own: ``python -m edgehybrid.exporters.formats.fallback.child FOLDER``."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgehybrid.errors import EdgeHybridError, ModelError
from edgehybrid.exporters.formats.fallback.order import MODEL, Array, put_refusal, take_order
from edgehybrid.exporters.measure import largest_difference
from edgehybrid.exporters.model import flat_module

SAME: Final = 1e-2
"""Share of an output's range within which two conversions of one model are; other weights are farther apart."""
_MOST = 200


def main(folder: Path) -> int:
    """Convert, or say why not; return the exit code."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _convert(folder)
    except EdgeHybridError as error:
        put_refusal(folder, f"was not asked: {error.what.rstrip('.')}")
    except Exception as error:  # noqa: BLE001  # the last guard of this process: torch, jax and MLIR raise all kinds
        put_refusal(folder, f"refuses the model: {_said(error)}")
    else:
        return 0
    return 1


def _convert(folder: Path) -> None:
    import torch

    order, row, expected = take_order(folder)
    module = flat_module(order.source, order.inputs, order.outputs, order.count)
    tensors = tuple(torch.from_numpy(np.array(array)) for array in row)
    with torch.no_grad():
        _require_same(order.source, module(*tensors), expected)
    import litert_torch

    litert_torch.convert(module, tensors).export(str(folder / MODEL))


def _require_same(source: str, given: Sequence[Any], expected: Sequence[Array]) -> None:
    """Refuse a model that is another one each time it is made: a gate would later say so in figures only.

    Raises:
        ModelError: Its outputs are not those of the ONNX graph that was made of it before.
    """
    for tensor, array in zip(given, expected, strict=True):
        reach = float(np.abs(np.nan_to_num(array.astype(np.float64))).max(initial=0.0)) or 1.0
        if largest_difference(tensor.numpy(), array) > SAME * reach:
            what = f"{source} makes another model each time; seed it (torch.manual_seed), or let it load its weights."
            raise ModelError(what, "A factory is called anew for each conversion.")


def _end_with_parent() -> None:
    """End when the other side of the standard input is gone: the export was killed."""
    while os.read(sys.stdin.fileno(), 1):  # not through its buffer, whose lock this thread would hold for ever
        pass
    os._exit(1)


def _said(error: BaseException) -> str:
    """The first line of what was raised, and its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:_MOST].rstrip('.')}" if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
