"""A back end without an engine behind it: settable latency, outputs and failures, to try an app's behaviour."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends import Array, LoadRequest, check_feeds
from edgehybrid.tensors import TensorSpec

Function = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(kw_only=True)
class Behaviour:
    """How one variant behaves; change it at any time.

    Attributes:
        latency_s: How long a run takes; it sleeps, as an engine that works outside of Python would.
        load_s: How long loading takes.
        outputs: From feeds to outputs; ``None`` gives zeros of the declared shapes, free axes of length 1.
        fails_on_load: Message of a load that fails; ``None`` loads.
        fails_on_run: Message of runs that fail; ``None`` runs.
    """

    latency_s: float = 0.0
    load_s: float = 0.0
    outputs: Function | None = None
    fails_on_load: str | None = None
    fails_on_run: str | None = None


class FakeSession:
    """A loaded variant of ``FakeBackend``."""

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], behaviour: Behaviour) -> None:
        self._inputs, self._outputs, self._behaviour = inputs, outputs, behaviour

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` needs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` returns."""
        return self._outputs

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Do what the behaviour says.

        Raises:
            DataError: The feeds do not fit.
            BackendError: The behaviour fails on run.
        """
        check_feeds(self._inputs, feeds)
        if self._behaviour.latency_s > 0:
            time.sleep(self._behaviour.latency_s)
        if self._behaviour.fails_on_run is not None:
            raise BackendError(self._behaviour.fails_on_run, "This is a fake: clear fails_on_run.")
        if self._behaviour.outputs is not None:
            return self._behaviour.outputs(feeds)
        return {
            spec.name: np.zeros([n if isinstance(n, int) else 1 for n in spec.shape], spec.dtype)
            for spec in self._outputs
        }


@dataclass(kw_only=True)
class FakeBackend:
    """A back end whose variants behave as told, by the stem of their model file.

    Attributes:
        inputs: Inputs of every variant.
        outputs: Outputs of every variant.
        behaviours: Model file stem to behaviour; others get the default one.
        name: Key that variants name.
        loaded: Every request that was loaded, in order.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    name: str = "onnx"
    loaded: list[LoadRequest] = field(default_factory=list)

    def unavailable(self) -> str | None:
        """It can be used everywhere."""
        return None

    def load(self, request: LoadRequest, /) -> FakeSession:
        """Load a variant, ready to run.

        Raises:
            BackendError: The behaviour fails on load.
        """
        behaviour = self.behaviours.setdefault(request.model_file.stem, Behaviour())
        time.sleep(behaviour.load_s)
        if behaviour.fails_on_load is not None:
            raise BackendError(behaviour.fails_on_load, "This is a fake: clear fails_on_load.")
        self.loaded.append(request)
        return FakeSession(self.inputs, self.outputs, behaviour)
