"""An accelerator that comes and goes: a real back end by another name, to be unplugged, heated, occupied, corrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends import Array, Backend, LoadRequest, OnnxBackend, Session
from edgehybrid.tensors import TensorSpec

Garbage = Literal["nan", "constant", "stuck", "noise"]


@dataclass(kw_only=True)
class Accelerator:
    """Runs what ``backend`` runs, as long as it is plugged in, cool and free.

    Give it to ``Engine(backends={"npu": Accelerator(name="npu")})``, with a bundle whose points are placed there. All
    methods may be called from any thread, at any time. Sessions that were loaded before it was unplugged stay dead
    after it is plugged in again, as handles of a USB device do.

    Attributes:
        backend: What computes.
        name: Key that placements name.
        speed_up: An input that it has seen before is answered in so much less time than ``backend`` took, from
            memory, asleep: as an accelerator does that leaves the CPU alone. 1 computes every time.
        loads: Loads that were tried: the first ones, and every probe.
        runs: Runs that were answered.
    """

    backend: Backend = field(default_factory=OnnxBackend)
    name: str = "npu"
    speed_up: float = 1.0
    loads: int = 0
    runs: int = 0
    _age: int = 0  # counts how often it was unplugged
    _problem: str | None = None
    _garbage: Garbage | None = None
    _slow_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _free: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin well."""
        self._free.set()

    def unplug(self) -> None:
        """Take it away: loads fail, and so does every session, for good."""
        with self._lock:
            self._problem, self._age = "the device is gone", self._age + 1
        self._free.set()

    def occupy(self) -> None:
        """Let another process have it: loads and runs fail until ``plug``."""
        with self._lock:
            self._problem = "the device is busy: another process holds it"

    def overheat(self, slow_s: float = 0.0) -> None:
        """Let it get too hot: every run takes ``slow_s`` longer, or, if that is 0, fails."""
        with self._lock:
            self._slow_s = slow_s
            self._problem = None if slow_s > 0 else "the device has shut down: too hot"

    def hang(self) -> None:
        """Let every run wait, without an error, until ``plug`` or ``unplug``."""
        self._free.clear()

    def corrupt(self, how: Garbage = "nan") -> None:
        """Let it answer garbage: not finite, one value everywhere, the first answer for ever, or with noise."""
        with self._lock:
            self._garbage = how

    def plug(self) -> None:
        """Make all well again; what was loaded before ``unplug`` stays dead."""
        with self._lock:
            self._problem, self._garbage, self._slow_s = None, None, 0.0
        self._free.set()

    def unavailable(self) -> str | None:
        """Say why it cannot be used now; ``None`` when it can."""
        return self._problem

    def load(self, request: LoadRequest, /) -> Session:
        """Load a variant with the back end behind it.

        Raises:
            BackendError: It is gone, busy or too hot.
        """
        with self._lock:
            self.loads += 1
            age = self._age
        self._require_well(age)
        return _Session(self, self.backend.load(request), age)

    def _require_well(self, age: int) -> None:
        problem = self._problem or (None if age == self._age else "the device was unplugged since it was loaded")
        if problem is not None:
            raise BackendError(f"{self.name}: {problem}.", "Plug it in again.")


class _Session:
    """A session that dies with its accelerator."""

    def __init__(self, owner: Accelerator, inner: Session, age: int) -> None:
        self._owner, self._inner, self._age = owner, inner, age
        self._seen: dict[bytes, tuple[float, dict[str, Array]]] = {}
        self._stuck: dict[str, Array] | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` needs."""
        return self._inner.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` returns."""
        return self._inner.outputs

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Run one batch, if it is well before and after.

        Raises:
            DataError: The feeds do not fit.
            BackendError: It is gone, busy or too hot.
        """
        owner = self._owner
        owner._require_well(self._age)
        owner._free.wait()
        outputs = self._answer(feeds)
        if owner._slow_s > 0:
            time.sleep(owner._slow_s)
        owner._require_well(self._age)  # pulled out in the middle of the run
        with owner._lock:
            owner.runs += 1
        return self._spoil(outputs)

    def _answer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if self._owner.speed_up <= 1.0:
            return self._inner.run(feeds)
        key = b"".join(np.ascontiguousarray(array).tobytes() for array in feeds.values())
        if key in self._seen:
            took_s, outputs = self._seen[key]
            time.sleep(took_s / self._owner.speed_up)
        else:
            started = time.perf_counter()
            outputs = self._inner.run(feeds)
            self._seen[key] = time.perf_counter() - started, outputs
        return {name: array.copy() for name, array in outputs.items()}

    def _spoil(self, outputs: dict[str, Array]) -> dict[str, Array]:
        match self._owner._garbage:
            case None:
                self._stuck = None
                return outputs
            case "nan":
                return {name: np.full_like(array, np.nan) for name, array in outputs.items()}
            case "constant":
                return {name: np.zeros_like(array) for name, array in outputs.items()}
            case "stuck":
                self._stuck = self._stuck or outputs
                return {name: array.copy() for name, array in self._stuck.items()}
            case "noise":
                return {name: array + np.ones_like(array) for name, array in outputs.items()}
