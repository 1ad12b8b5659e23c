"""A loaded TFLite variant: interpreters of fixed shapes, each for one thread at a time, and rows served one by one.

An interpreter is not for several threads at once. They wait in a free list (a deque, whose ``pop`` and ``append`` are
atomic): each run takes its own, and another is opened only when all are busy. All map the same file.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgehybrid.errors import BackendError, DataError, ModelError
from edgehybrid.runtime.backends.assignment import Assignment, from_delegated
from edgehybrid.runtime.backends.feeds import check_feeds
from edgehybrid.runtime.backends.protocol import Array, LoadRequest
from edgehybrid.tensors import TensorSpec

_RUN_ERRORS = (ValueError, RuntimeError, SystemError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One tensor of the file: its name in the signature, and the engine's number for it."""

    name: str
    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class HostedRun:
    """An interpreter, and its own memory as arrays.

    The engine refuses to run while anybody holds an array that it gave out, so that these are made of the addresses:
    they hold as long as the interpreter does and its tensors are not allocated anew, which nobody does here.
    """

    def __init__(self, interpreter: Any, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...], label: str) -> None:
        self._interpreter, self._invoke, self._label = interpreter, interpreter.invoke, label
        self.inputs: Mapping[str, Array] = {slot.name: _memory_of(interpreter, slot) for slot in inputs}
        self.outputs: Mapping[str, Array] = {slot.name: _memory_of(interpreter, slot) for slot in outputs}

    def run(self) -> None:
        """Run on what the inputs hold now.

        Raises:
            BackendError: The engine failed.
        """
        try:
            self._invoke()
        except _RUN_ERRORS as error:
            raise _failed(self._label, error) from error


class TfliteSession:
    """A file of static shapes; an axis that the bundle calls free and that is 1 in the file is served row by row."""

    def __init__(
        self,
        open_interpreter: Callable[[], Any],
        first: Any,
        inputs: tuple[Slot, ...],
        outputs: tuple[Slot, ...],
        request: LoadRequest,
        provider: str = "XNNPACK",
    ) -> None:
        self._first, self._provider = first, provider
        self._open, self._label = open_interpreter, str(request.model_file)
        self._in, self._out = inputs, outputs
        self._inputs = tuple(_declared(slot, request.inputs, self._label) for slot in inputs)
        self._outputs = tuple(_declared(slot, request.outputs, self._label) for slot in outputs)
        symbol = next((n for spec in self._inputs for n in spec.shape if isinstance(n, str)), None)
        self._in_axes = {spec.name: _axis(spec, symbol) for spec in self._inputs}
        self._out_axes = {spec.name: _axis(spec, symbol, first_free=True) for spec in self._outputs}
        self._count = len(inputs)
        self._free: deque[Any] = deque((first,))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` needs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` returns."""
        return self._outputs

    @property
    def assignment(self) -> Assignment | None:
        """What its delegate took, by the engine's list of operators; ``None`` where there is no such list."""
        return read_assignment(self._first, self._provider)

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Run one batch; the arrays returned belong to the caller.

        Raises:
            DataError: An input is missing, unknown, or has a wrong dtype or shape.
            BackendError: The engine failed.
        """
        try:
            for slot in self._in:
                value = feeds[slot.name]
                if value.shape != slot.shape or value.dtype != slot.dtype:
                    return self._run_rows(feeds)
            if len(feeds) != self._count:
                return self._run_rows(feeds)
        except (LookupError, AttributeError, TypeError):  # not a mapping of arrays: let the check say what it is
            return self._run_rows(feeds)
        return self._run_one(feeds)

    def host(self) -> HostedRun:
        """Open a run of the file's own shapes, which others may write into and read from without a copy.

        Raises:
            BackendError: There is no memory for another interpreter.
        """
        try:
            interpreter = self._free.pop()
        except IndexError:
            interpreter = self._another()
        return HostedRun(interpreter, self._in, self._out, self._label)

    def _run_one(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            interpreter = self._free.pop()
        except IndexError:
            interpreter = self._another()
        try:
            for slot in self._in:
                interpreter.set_tensor(slot.index, feeds[slot.name])
            interpreter.invoke()
            return {slot.name: interpreter.get_tensor(slot.index) for slot in self._out}
        except _RUN_ERRORS as error:
            raise _failed(self._label, error) from error
        finally:
            self._free.append(interpreter)

    def _another(self) -> Any:
        try:
            return self._open()
        except _RUN_ERRORS as error:
            raise BackendError(
                f"{self._label} cannot be opened once more: {error}.", "Is there enough free memory?"
            ) from error

    def _run_rows(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Check thoroughly, then run row by row."""
        check_feeds(self._inputs, feeds)
        lengths = {feeds[name].shape[axis] for name, axis in self._in_axes.items() if axis is not None}
        if len(lengths) > 1:
            wanted = ", ".join(spec.describe() for spec in self._inputs)
            raise DataError(f"The inputs have {sorted(lengths)} rows.", f"Pass as many of each: {wanted}.")
        rows = [self._run_one(self._row(feeds, row)) for row in range(lengths.pop() if lengths else 1)]
        if len(rows) == 1:
            return rows[0]
        return {
            name: rows[-1][name] if axis is None else np.concatenate([row[name] for row in rows], axis)
            for name, axis in self._out_axes.items()
        }

    def _row(self, feeds: Mapping[str, Array], row: int) -> dict[str, Array]:
        return {
            name: feeds[name] if axis is None else np.take(feeds[name], [row], axis)
            for name, axis in self._in_axes.items()
        }


def _failed(label: str, error: Exception) -> BackendError:
    said = " ".join(str(error).split())[:300]
    return BackendError(f"{label} failed: {said}.", "Try another point; if it stays, report the model.")


def _memory_of(interpreter: Any, slot: Slot) -> Array:
    """The engine's memory of a tensor, as an array that the engine does not know of."""
    address = interpreter.tensor(slot.index)().__array_interface__["data"][0]
    size = int(np.prod(slot.shape, dtype=np.int64)) * slot.dtype.itemsize
    memory = (ctypes.c_char * size).from_address(address)
    return np.ndarray(slot.shape, slot.dtype, memoryview(memory).cast("B"))


def read_assignment(interpreter: Any, provider: str) -> Assignment | None:
    """What a delegate took of a file; ``None`` where this engine does not list its operators."""
    listed = getattr(interpreter, "_get_ops_details", None)  # not public, and the only way to know
    return None if listed is None else from_delegated(provider, listed())


def _declared(slot: Slot, specs: tuple[TensorSpec, ...], label: str) -> TensorSpec:
    """What the bundle says of a tensor, where the file agrees; else what the file says."""
    spec = next((spec for spec in specs if spec.name == slot.name), None)
    if spec is None:
        return TensorSpec(name=slot.name, dtype=slot.dtype.name, shape=slot.shape)
    fits = len(spec.shape) == len(slot.shape) and spec.dtype == slot.dtype.name
    if not fits or any(isinstance(n, int) and n != size for n, size in zip(spec.shape, slot.shape, strict=True)):
        own = f"{slot.dtype.name}{list(slot.shape)}"
        raise ModelError(f"{label} has {slot.name!r} as {own}, not as {spec.describe()}.", "Export the bundle again.")
    shape = tuple(n if size == 1 else size for n, size in zip(spec.shape, slot.shape, strict=True))
    return TensorSpec(name=slot.name, dtype=spec.dtype, shape=shape)


def _axis(spec: TensorSpec, symbol: str | None, *, first_free: bool = False) -> int | None:
    """Which axis counts the rows: the one called ``symbol``, or a free first axis of an output by another name."""
    if symbol is None:
        return None
    if symbol in spec.shape:
        return spec.shape.index(symbol)
    return 0 if first_free and spec.shape and isinstance(spec.shape[0], str) else None
