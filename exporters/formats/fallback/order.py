"""What the converter's process is asked for, and what it answers: files in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import npz_bytes, read_npz

Array = NDArray[np.generic]

MODEL, SAID = "model.tflite", "said.txt"
_ORDER, _TENSORS, _REFUSAL = "order.json", "tensors.npz", "refusal.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One conversion.

    Attributes:
        source: The PyTorch model, as the user named it.
        inputs: Inputs of the ONNX graph that was made of it, in their order.
        outputs: Which of the tensors that the model gives are wanted.
        count: How many it gives.
    """

    source: str
    inputs: tuple[str, ...]
    outputs: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no file."""

    what: str


def put_order(folder: Path, order: Order, row: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Write an order: the row whose shapes the file will have, and what the ONNX graph gives for it, both in order."""
    (folder / _ORDER).write_bytes(msgspec.json.encode(order))
    arrays = {f"in{i}": row[name] for i, name in enumerate(order.inputs)}
    arrays |= {f"out{i}": array for i, array in enumerate(expected.values())}
    (folder / _TENSORS).write_bytes(npz_bytes(arrays))


def take_order(folder: Path) -> tuple[Order, list[Array], list[Array]]:
    """Read an order: with its row and what is expected of it."""
    order = msgspec.json.decode((folder / _ORDER).read_bytes(), type=Order)
    arrays = read_npz(folder / _TENSORS)
    row = [arrays[f"in{i}"] for i in range(len(order.inputs))]
    return order, row, [arrays[f"out{i}"] for i in range(len(order.outputs))]


def put_refusal(folder: Path, what: str) -> None:
    """Say why there is no file."""
    (folder / _REFUSAL).write_bytes(msgspec.json.encode(Refusal(what=what)))


def take_refusal(folder: Path) -> str | None:
    """Why there is no file; ``None`` where nothing was said, or nothing that can be read."""
    try:
        return msgspec.json.decode((folder / _REFUSAL).read_bytes(), type=Refusal).what
    except (OSError, msgspec.MsgspecError):
        return None
