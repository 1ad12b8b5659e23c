"""The values of a bundle's own section: ``additional_metadata.edgehybrid`` of the manifest.

Plain frozen dataclasses; msgspec validates and codes them at the border (``open`` and ``write``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgehybrid.points import OperatingPoint
from edgehybrid.tensors import TensorSpec

SCHEMA = 2
"""Version of our section. A reader refuses a larger one and reads every smaller one."""

Family = Literal["convolution", "attention", "recurrent", "dense", "trees", "glue"]
Format = Literal["onnx", "tflite"]
Score = Literal["margin", "entropy", "energy", "learnt", "error"]
Head = Literal["fitted", "own", "cascade"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleInfo:
    """Which bundle this is."""

    name: str
    version: str
    created: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentInfo:
    """A connected region of one family; ``time_share`` is measured on the float model, 0 to 1."""

    name: str
    family: Family
    nodes: int
    params: int
    macs: int
    time_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The model as the user gave it."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    components: tuple[ComponentInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantInfo:
    """One stage in one precision and format.

    Attributes:
        name: Unique in its stage.
        format: File format.
        schemes: Component name to precision scheme.
        model_file: Path of the model file, relative to the bundle, with ``/``.
        weights_dir: Folder of its external weights, relative to the bundle; ``None`` when the file holds all.
        golden_file: Golden outputs (npz), relative to the bundle.
        golden_atol: Output name to the largest absolute difference that a healthy device shows on the golden inputs.
        size_bytes: Bytes if it were stored apart: model file and its own weights.
        backend: Key of the back end that runs it, where a point's placement does not name another.
        golden_inputs_file: Golden inputs of its own (npz), where they are not those of the stage: stages cut at a
            quantized tensor take integers.
        needs: Package of an engine to the least version that runs the file right; a package that is not named does not
            run it. Empty: any engine of the back end.
        placed_atol: Other back end that points place it on, to ``golden_atol`` there: they round in another way.
        writer: What wrote the file, with its version, where that was another converter than edgehybrid's own.
    """

    name: str
    format: Format
    schemes: Mapping[str, str]
    model_file: str
    weights_dir: str | None
    golden_file: str
    golden_atol: Mapping[str, float]
    size_bytes: int
    backend: str = "onnx"
    golden_inputs_file: str | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    placed_atol: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    writer: str = ""

    def allowed(self, backend: str | None = None) -> Mapping[str, float]:
        """Output name to the largest golden difference on ``backend``; ``None``: on its own."""
        return self.golden_atol if backend is None else self.placed_atol.get(backend, self.golden_atol)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitInfo:
    """An output head after a stage.

    Attributes:
        outputs: Output of the model to the tensor of the stage that answers in its place.
        confidence: Tensor of the stage, float32 ``(batch,)``: the larger, the surer.
        score: How it is computed: ``margin``, ``entropy``, ``energy``, ``learnt`` or ``error`` (a predicted one).
        head: What answers: ``fitted`` (made by the exporter), ``own`` (trained with the model) or ``cascade`` (a whole
            smaller variant).
        after: Component of the model that the stage ends with.
        cost_share: Share of the whole model's cost up to here, 0 to 1.
        agreement: Share of held-out inputs on which it answers as the full model does; for values, the share of their
            variance that it explains.
        made_of: How a fitted head was made, in words.
    """

    outputs: Mapping[str, str]
    confidence: str
    score: Score
    head: Head
    after: str = ""
    cost_share: float | None = None
    agreement: float | None = None
    made_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInfo:
    """A slice of the graph that runs on its own, or the whole; ``golden_file`` holds its golden inputs (npz).

    ``exit`` is the head after it; ``None`` where it has none. A stage takes inputs of the model and outputs of stages
    before it.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden_file: str
    variants: tuple[VariantInfo, ...]
    exit: ExitInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInfo:
    """When an input barely differs from the last one, so that its answer holds.

    The distance of two inputs is the largest over the inputs of the model of ``mean(|x - last|) / scale``.

    Attributes:
        scales: Input of the model to its typical deviation, from calibration data.
        threshold: Largest distance at which the last answer holds.
        epsilon: Share of reused answers that differ from the true ones, at most, with probability ``1 - delta``.
        delta: Probability that the promise is wrong.
        n: Pairs behind it.
        pairs: ``successive`` rows of the data, or each row with a ``disturbed`` copy of it.
    """

    scales: Mapping[str, float]
    threshold: float
    epsilon: float
    delta: float
    n: int
    pairs: Literal["successive", "disturbed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A candidate that was measured, or could not be built, and is not shipped."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """A component that a scheme left as it was, and why."""

    component: str
    scheme: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredOn:
    """The machine behind the figures."""

    cpu: str
    isa: tuple[str, ...]
    cores: int
    runtime: str  # "onnxruntime 1.32.0"
    profile: str  # device profile whose watts the energy model used
    seed: int = 0
    data_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDoc:
    """Everything that ONNX Runtime does not know about a bundle.

    ``files`` maps every other file of the bundle (relative, with ``/``) to its SHA-256.
    ``manifest_sha256`` is the digest of the manifest's own bytes with this value replaced by 64 zeros.
    """

    schema: int
    bundle: BundleInfo
    model: ModelInfo
    stages: tuple[StageInfo, ...]
    points: tuple[OperatingPoint, ...]  # best quality first; the reference is first of all
    measured_on: MeasuredOn
    untouched: tuple[Untouched, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    gate: GateInfo | None = None
    disk_bytes: int = 0
    sum_of_variants_bytes: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    manifest_sha256: str = "0" * 64
