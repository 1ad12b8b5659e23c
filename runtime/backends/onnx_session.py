"""A loaded ONNX variant: memory bound once per input shape, reused by every run.

A binding is a set of numpy buffers that ONNX Runtime reads and writes in place. Bindings wait in a free list (a deque,
whose ``pop`` and ``append`` are atomic), so that several threads run without a lock: each takes its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from edgehybrid.runtime.backends.assignment import Assignment
from edgehybrid.runtime.backends.feeds import check_feeds
from edgehybrid.runtime.backends.onnx_errors import ORT_ERRORS, run_error
from edgehybrid.runtime.backends.protocol import Array
from edgehybrid.tensors import TensorSpec

MAX_SHAPES = 8
"""Input shapes that keep their own buffers; further ones run unbound, so that memory stays bounded."""

Shapes = tuple[tuple[int, ...], ...]


class Binding:
    """Memory for one signature of input shapes, and the run that is tied to it.

    Args:
        session: Of ONNX Runtime.
        label: For messages.
        copies: Whether another provider than the CPU's takes part. Its inputs may lie in memory of its own, where ONNX
            Runtime copies them when they are bound and never again (*measured*: OpenVINO gave the first answer for
            every input): they are bound before each run, which takes 1.2 µs and the copy.
    """

    __slots__ = ("_again", "_execute", "_label", "inputs", "io", "keep", "outputs")

    def __init__(self, session: Any, label: str, *, copies: bool) -> None:
        self.io = session.io_binding()
        self._execute, self._label = session.run_with_iobinding, label
        self._again: list[tuple[str, Any]] | None = [] if copies else None
        self.inputs: list[tuple[str, tuple[int, ...], np.dtype[Any], Array]] = []
        self.outputs: dict[str, Array] = {}
        self.keep: list[Any] = []  # OrtValues: they own the link between buffer and binding

    def run(self) -> None:
        """Run on what the input arrays hold now.

        Raises:
            BackendError: ONNX Runtime failed.
        """
        try:
            self.execute()
        except ORT_ERRORS as error:
            raise run_error(error, self._label) from error

    def execute(self) -> None:
        """Do the same, with ONNX Runtime's own errors."""
        if self._again is not None:
            for name, value in self._again:
                self.io.bind_ortvalue_input(name, value)
        self._execute(self.io)

    def bind_input(self, name: str, buffer: Array) -> None:
        """Read the input ``name`` from ``buffer``."""
        value = self._value(buffer)
        self.io.bind_ortvalue_input(name, value)
        if self._again is not None:
            self._again.append((name, value))
        self.inputs.append((name, buffer.shape, buffer.dtype, buffer))

    def bind_output(self, spec: TensorSpec, buffer: Array) -> None:
        """Write an output into ``buffer``."""
        self.io.bind_ortvalue_output(spec.name, self._value(buffer))
        self.outputs[spec.name] = buffer

    def _value(self, buffer: Array) -> Any:
        value = ort.OrtValue.ortvalue_from_numpy(buffer)  # on the CPU it shares the buffer's memory
        self.keep.append(value)
        return value


class OnnxSession:
    """An ``InferenceSession`` whose inputs and outputs are bound once per shape."""

    def __init__(
        self,
        session: Any,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        label: str,
        prove: Callable[[Any], Assignment | None] = lambda _: None,
    ) -> None:
        self._session, self._prove = session, prove
        self._copies = session.get_providers() != ["CPUExecutionProvider"]
        self._execute = None if self._copies else session.run_with_iobinding
        self._inputs, self._outputs, self._label = inputs, outputs, label
        self._count = len(inputs)
        self._free: deque[Binding] = deque()  # of the shapes that ran last
        self._pools: dict[Shapes, deque[Binding] | None] = {}  # None: these shapes cannot be bound

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
        """Where its nodes run, as ONNX Runtime recorded it; read when asked for, which takes 0.3 ms for 200 nodes."""
        return self._prove(self._session)

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Run one batch; the arrays returned belong to the caller.

        Raises:
            DataError: An input is missing, unknown, or has a wrong dtype or shape.
            BackendError: ONNX Runtime failed.
        """
        free = self._free
        try:
            binding = free.pop()
        except IndexError:
            return self._run_any(feeds)
        try:
            for name, shape, dtype, buffer in binding.inputs:
                value = feeds[name]
                if value.shape != shape or value.dtype != dtype:
                    return self._run_any(feeds)
                buffer[...] = value
            if len(feeds) != self._count:
                return self._run_any(feeds)
            if self._execute is None:
                binding.execute()
            else:
                self._execute(binding.io)
            return {name: buffer.copy() for name, buffer in binding.outputs.items()}
        except (LookupError, AttributeError, TypeError):  # not a mapping of arrays: let the check say what it is
            return self._run_any(feeds)
        except ORT_ERRORS as error:
            raise run_error(error, self._label) from error
        finally:
            free.append(binding)

    def bind(self, inputs: Mapping[str, Array], /, outputs: Mapping[str, Array] | None = None) -> Binding | None:
        """Tie a run to these very arrays, which must be contiguous; what it returns holds the arrays of the outputs.

        Args:
            inputs: Input name to array.
            outputs: Output name to the array to write into; new arrays for those that are not named.

        Returns:
            ``None`` where the shapes of the inputs do not tell those of the outputs, or tell others than are given.

        Raises:
            DataError: An input is missing, unknown, or has a wrong dtype or shape.
            BackendError: ONNX Runtime refuses it.
        """
        check_feeds(self._inputs, inputs)
        shapes = self._output_shapes(tuple(inputs[spec.name].shape for spec in self._inputs))
        given = outputs or {}
        if shapes is None:
            return None
        for spec, shape in zip(self._outputs, shapes, strict=True):
            array = given.get(spec.name)
            if array is not None and (array.shape != shape or array.dtype != spec.dtype):
                return None
        try:
            return self._bind_to(inputs, shapes, given)
        except ORT_ERRORS as error:
            raise run_error(error, self._label) from error

    def _run_any(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Check thoroughly, then run with a binding for these shapes, or unbound."""
        check_feeds(self._inputs, feeds)
        shapes = tuple(feeds[spec.name].shape for spec in self._inputs)
        pool = self._pool(shapes)
        if pool is None:
            return self._run_unbound(feeds)
        try:
            binding = pool.pop()
        except IndexError:
            binding = self._bind(shapes)
        try:
            outputs = self._run_bound(binding, feeds)
        except ORT_ERRORS:  # some models break the output shapes that they declare; unbound tells the true cause
            self._pools[shapes] = None
            return self._run_unbound(feeds)
        pool.append(binding)
        self._free = pool
        return outputs

    def _run_bound(self, binding: Binding, feeds: Mapping[str, Array]) -> dict[str, Array]:
        for name, _, _, buffer in binding.inputs:
            buffer[...] = feeds[name]
        binding.execute()
        return {name: buffer.copy() for name, buffer in binding.outputs.items()}

    def _run_unbound(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            results = self._session.run(None, dict(feeds))
        except ORT_ERRORS as error:
            raise run_error(error, self._label) from error
        return {spec.name: value for spec, value in zip(self._outputs, results, strict=True)}

    def _pool(self, shapes: Shapes) -> deque[Binding] | None:
        """Return the free list for ``shapes``; ``None`` when they run unbound."""
        if shapes in self._pools:
            return self._pools[shapes]
        if len(self._pools) >= MAX_SHAPES:
            return None
        pool: deque[Binding] | None = deque() if self._output_shapes(shapes) else None
        return self._pools.setdefault(shapes, pool)

    def _output_shapes(self, shapes: Shapes) -> Shapes | None:
        """Return the shapes of the outputs if the input shapes tell them."""
        axes: dict[str, int] = {}
        for spec, shape in zip(self._inputs, shapes, strict=True):
            for want, length in zip(spec.shape, shape, strict=True):
                if isinstance(want, str) and axes.setdefault(want, length) != length:
                    return None
        resolved = [tuple(axes.get(n, -1) if isinstance(n, str) else n for n in spec.shape) for spec in self._outputs]
        known = all(n >= 0 for shape in resolved for n in shape)
        plain = all(spec.dtype != "object" for spec in (*self._inputs, *self._outputs))
        return tuple(resolved) if known and plain else None

    def _bind(self, shapes: Shapes) -> Binding:
        buffers = {spec.name: np.zeros(shape, spec.dtype) for spec, shape in zip(self._inputs, shapes, strict=True)}
        return self._bind_to(buffers, self._output_shapes(shapes) or (), {})

    def _bind_to(self, inputs: Mapping[str, Array], shapes: Shapes, outputs: Mapping[str, Array]) -> Binding:
        binding = Binding(self._session, self._label, copies=self._copies)
        for spec in self._inputs:
            binding.bind_input(spec.name, inputs[spec.name])
        for spec, shape in zip(self._outputs, shapes, strict=True):
            buffer = outputs.get(spec.name)
            binding.bind_output(spec, np.zeros(shape, spec.dtype) if buffer is None else buffer)
        return binding
