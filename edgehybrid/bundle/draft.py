"""What the exporter hands over to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle.schema import (
    BundleInfo,
    Dropped,
    ExitInfo,
    Format,
    GateInfo,
    MeasuredOn,
    ModelInfo,
    Untouched,
)
from edgehybrid.points import OperatingPoint
from edgehybrid.tensors import TensorSpec

Array = NDArray[np.generic]
Content = bytes | Path
"""The bytes of a file, or a file to copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantDraft:
    """One stage in one precision and format.

    Attributes:
        name: Unique in its stage; becomes a folder.
        format: File format.
        schemes: Component name to precision scheme.
        files: Path inside the variant's folder (with ``/``) to content.
        model_file: Which of ``files`` is the model.
        golden_outputs: Output name to what a healthy run on the stage's golden inputs gives.
        golden_atol: Output name to the largest absolute difference that a healthy device shows.
        size_bytes: Bytes if it were stored apart: model file and its own weights.
        backend: Key of the back end that runs it.
        uses_shared: Whether its external weights lie in the stage's shared files; if not, beside the model file.
        golden_inputs: Its own golden inputs, where they are not those of the stage.
        needs: Package of an engine to the least version that runs the file right; empty: any.
        placed_atol: Other back end that points place it on, to ``golden_atol`` there.
        writer: What wrote the file, where that was another converter than edgehybrid's own.
    """

    name: str
    format: Format
    schemes: Mapping[str, str]
    files: Mapping[str, Content]
    model_file: str
    golden_outputs: Mapping[str, Array]
    golden_atol: Mapping[str, float]
    size_bytes: int
    backend: str = "onnx"
    uses_shared: bool = True
    golden_inputs: Mapping[str, Array] | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    placed_atol: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    writer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDraft:
    """A slice of the graph that runs on its own.

    Attributes:
        name: Unique in the bundle; becomes a folder.
        inputs: Its inputs.
        outputs: Its outputs.
        golden_inputs: Input name to array, as a back end takes it.
        variants: At least one.
        shared: Files that the variants share, written once: path (with ``/``) to content.
        exit: The head after it.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden_inputs: Mapping[str, Array]
    variants: tuple[VariantDraft, ...]
    shared: Mapping[str, Content] = field(default_factory=dict)
    exit: ExitInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDraft:
    """A bundle that is still in memory; ``points`` best quality first, the reference first of all."""

    bundle: BundleInfo
    model: ModelInfo
    stages: tuple[StageDraft, ...]
    points: tuple[OperatingPoint, ...]
    measured_on: MeasuredOn
    untouched: tuple[Untouched, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    gate: GateInfo | None = None
