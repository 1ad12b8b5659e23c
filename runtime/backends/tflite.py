"""The TFLite back ends: on the CPU (XNNPACK), or through a delegate. No engine is imported before the first load."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgehybrid.errors import BackendError, ModelError
from edgehybrid.runtime.backends.assignment import Assignment, refusal
from edgehybrid.runtime.backends.delegates import Delegate, missing_delegate, open_delegate
from edgehybrid.runtime.backends.notices import without_notice
from edgehybrid.runtime.backends.protocol import LoadRequest, Session
from edgehybrid.runtime.backends.tflite_engine import Engine, find_engine, missing_engine, require_engine
from edgehybrid.runtime.backends.tflite_session import Slot, TfliteSession, read_assignment

SIGNATURE = "serving_default"
_LOAD_ERRORS = (ValueError, RuntimeError, SystemError)  # what the engines raise for a file that they cannot run


class TfliteBackend:
    """Runs ``.tflite`` variants with LiteRT, or with tflite-runtime where that is what the board has.

    With a delegate, what it took is read from the engine's list of operators; without that list nothing is claimed:
    the file is refused.
    """

    def __init__(self, delegate: Delegate | None = None) -> None:
        self._delegate = delegate

    @property
    def name(self) -> str:
        """Key that variants and placements name."""
        return "tflite" if self._delegate is None else self._delegate.key

    @property
    def title(self) -> str:
        """What people call what it computes with."""
        return "XNNPACK" if self._delegate is None else self._delegate.title  # built in, on unless switched off

    def unavailable(self) -> str | None:
        """Say why it cannot be used here; ``None`` when it can."""
        return missing_engine() if self._delegate is None else missing_delegate(self._delegate)

    def load(self, request: LoadRequest, /) -> Session:
        """Load a variant, ready to run.

        Args:
            request: The file, its threads, what the bundle says of its tensors, and the engine that it needs.

        Raises:
            ModelError: The file is missing, damaged, or uses what this engine lacks.
            BackendError: There is no engine or delegate here, one that would compute the file wrongly, or a delegate
                that took too little of it.
        """
        if self._delegate is not None and (why := missing_delegate(self._delegate)):
            raise BackendError(f"{why}.", "Use a point on another back end.")
        engine = find_engine()
        if not request.model_file.is_file():
            raise ModelError(f"There is no model file {request.model_file}.", "Check the path.")
        require_engine(engine, request.needs, str(request.model_file))

        def open_interpreter() -> Any:
            with without_notice():
                interpreter = engine.interpreter(
                    model_path=str(request.model_file), num_threads=request.threads, **self._options(engine, request)
                )
                interpreter.allocate_tensors()
            return interpreter

        try:
            interpreter = open_interpreter()
            inputs, outputs = _slots(interpreter)
        except _LOAD_ERRORS as error:
            raise ModelError(
                f"{engine.package} {engine.version} cannot load {request.model_file}: {_clean(error)}.",
                "Copy the bundle again; if it stays, update the engine or use another point.",
            ) from error
        if self._delegate is not None:
            _require_taken(read_assignment(interpreter, self._delegate.title), self._delegate, request)
        return TfliteSession(open_interpreter, interpreter, inputs, outputs, request, self.title)

    def _options(self, engine: Engine, request: LoadRequest) -> dict[str, Any]:
        """With a delegate the built-in one stays off: what was delegated, our one took."""
        if self._delegate is None:
            return {}
        module = engine.module
        resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        delegate = open_delegate(module, self._delegate, request.threads)
        return {"experimental_delegates": [delegate], "experimental_op_resolver_type": resolver}


def _require_taken(found: Assignment | None, delegate: Delegate, request: LoadRequest) -> None:
    why = "this engine does not tell what its delegate took" if found is None else refusal(found)
    if why is not None:
        raise BackendError(
            f"{request.model_file} is not run on {delegate.title}: {why}.", "Use a point on another back end."
        )


def is_tflite(content: bytes) -> bool:
    """Tell whether ``content`` is a TFLite file."""
    return content[4:8] == b"TFL3"


def _slots(interpreter: Any) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """Inputs and outputs by the names of the signature, or of the tensors in a file without signatures."""
    signatures = interpreter.get_signature_list()
    if not signatures:
        details = interpreter.get_input_details(), interpreter.get_output_details()
        named = [{detail["name"]: detail for detail in side} for side in details]
    else:
        runner = interpreter.get_signature_runner(SIGNATURE if SIGNATURE in signatures else next(iter(signatures)))
        named = [runner.get_input_details(), runner.get_output_details()]
    first, second = (tuple(_slot(name, detail) for name, detail in side.items()) for side in named)
    return first, second


def _slot(name: str, detail: Any) -> Slot:
    shape = tuple(int(n) for n in detail["shape"])
    return Slot(name=name, index=int(detail["index"]), shape=shape, dtype=np.dtype(detail["dtype"]))


def _clean(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
