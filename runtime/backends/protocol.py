"""What the runtime asks of an inference engine: load a variant, run it, say what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from edgehybrid.tensors import TensorSpec

Array = NDArray[Any]  # any dtype: which one, TensorSpec says at run time


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """A model file and how to run it.

    Attributes:
        model_file: The file.
        weights_dir: Holds its external weights.
        threads: Intra-op threads.
        spinning: Whether they wait busily between runs.
        inputs: What the bundle says of its inputs: an engine of static shapes learns from it which axes are free, and
            serves them row by row. Empty: what the file says holds.
        outputs: The same of its outputs.
        needs: Package of the engine to the least version that runs the file right; empty: any engine, any version.
    """

    model_file: Path
    weights_dir: Path | None = None
    threads: int = 1
    spinning: bool = False
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)


class Session(Protocol):
    """A loaded variant. ``run`` may be called from several threads at once."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` needs."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` returns."""
        ...

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Run one batch; the arrays returned belong to the caller."""
        ...


class Bound(Protocol):
    """A run tied to its memory: it reads the arrays that it was bound to and writes those that it holds."""

    @property
    def outputs(self) -> Mapping[str, Array]:
        """Where ``run`` leaves its results: the same arrays each time."""
        ...

    def run(self) -> None:
        """Run once, on what the bound inputs hold now. Not for several threads at once."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """A session that can also work in place, so that one stage writes where the next one reads."""

    def bind(self, inputs: Mapping[str, Array], /, outputs: Mapping[str, Array] | None = None) -> Bound | None:
        """Tie a run to these very arrays, and let it write into ``outputs`` where they are given.

        Returns:
            ``None`` where the shapes of the inputs do not tell those of the outputs, or tell others than are given.
        """
        ...


class Hosted(Bound, Protocol):
    """A run in memory of the engine's own: what comes before it writes there, what comes after it reads there."""

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Where ``run`` reads: the same arrays each time."""
        ...


@runtime_checkable
class Hosting(Protocol):
    """A session whose engine keeps its inputs and outputs in memory of its own, and lets others at it."""

    def host(self) -> Hosted:
        """Open a run of the file's own shapes, for one thread at a time."""
        ...


class Backend(Protocol):
    """An inference engine."""

    @property
    def name(self) -> str:
        """Key that variants name in ``VariantInfo.backend``."""
        ...

    def unavailable(self) -> str | None:
        """Say why it cannot be used here; ``None`` when it can."""
        ...

    def load(self, request: LoadRequest, /) -> Session:
        """Load a variant, ready to run."""
        ...
