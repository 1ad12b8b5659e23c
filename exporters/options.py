"""What can be asked of an export, and its TOML recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgehybrid.bundle import Format
from edgehybrid.data import DEFAULT_LABELS
from edgehybrid.errors import OutputError, RequestError
from edgehybrid.points import LEVELS

Effort = Literal["quick", "standard", "thorough"]
Exits = Literal["auto", "none"] | tuple[str, ...]
AUTO_EXITS, NO_EXITS = "auto", "none"
RECIPE_SCHEMA = 1
MOST_STAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Options of an export; the defaults are what most want.

    Attributes:
        metric: How quality is measured; ``None`` chooses by labels and outputs. See ``quality.choose_metric``.
        labels_key: Array of the data that holds the labels.
        max_drop: Largest loss of quality against float, in the metric's unit; ``None``: 0.05 of a share, a tenth of an
            error, 15 dB of signal to noise.
        levels: Most points beside the reference, 1 to 5.
        device: Name or file of a device profile; ``None``: this machine. Sets the kind of integers and the watts.
        effort: How long to measure, and how many mixtures to try.
        budget_s: Seconds for timing all candidates; ``None``: by the effort (8, 30 or 90). The survey's go with it.
        threads: Intra-op threads of every candidate.
        seed: Of everything that is drawn: the split of the data, the order of runs, resampling.
        calibration: Share of the rows of ``data`` that calibrate when there is no evaluation data of its own.
        dry_run: Only plan.
        overwrite: Replace a bundle that is there.
        exits: ``auto`` fits heads where they pay, ``none`` makes none; or names of outputs that the model was trained
            with to answer early, in place of its final one.
        exit_losses: What the exits may lose against full depth at most, one or several: shares of the inputs; for
            outputs that are values, shares of the spread of the outputs. Each holds with probability 0.9.
        stages: Pieces that every point is also cut into, for pipelines over several cores; 1: none.
        gate: Whether to calibrate how little inputs may differ so that the last answer is given again.
        formats: Formats of the variants: ``onnx`` always, ``tflite`` beside it where that measures better.
        keep: Names of candidates (shell patterns) that are meant for another processor than this one: they ship if
            their outputs are good enough, however slow they are here. The runtime chooses none of them before ``bench``
            has measured it on the device.
        backends: Keys of the back ends to place the model and its stages on, by measurement; empty: every variant
            whole, on the usual back end of its format.
        shape: Input name to shape, instead of the model's own; a string is a free axis.
        cache: Keep measurements by content in the user's cache folder.
    """

    metric: str | None = None
    labels_key: str = DEFAULT_LABELS
    max_drop: float | None = None
    levels: int = 4
    device: str | None = None
    effort: Effort = "standard"
    budget_s: float | None = None
    threads: int = 1
    seed: int = 0
    calibration: float = 0.3
    dry_run: bool = False
    overwrite: bool = False
    exits: Exits = "none"
    exit_losses: tuple[float, ...] = (0.01, 0.02, 0.05)
    stages: int = 1
    gate: bool = True
    formats: tuple[Format, ...] = ("onnx",)
    keep: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    shape: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    cache: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            RequestError: A value is out of its range.
        """
        if self.levels not in LEVELS:
            raise RequestError(f"--levels {self.levels} is not possible.", f"Choose {min(LEVELS)} to {max(LEVELS)}.")
        if self.threads < 1:
            raise RequestError(f"{self.threads} threads cannot run anything.", "Choose 1 or more.")
        if self.max_drop is not None and not self.max_drop >= 0:
            raise RequestError(f"A largest loss of {self.max_drop} is not possible.", "Give 0 or more.")
        if not 0.0 < self.calibration < 1.0:
            raise RequestError(f"{self.calibration} is no share of the data.", "Give a number between 0 and 1.")
        if self.budget_s is not None and not self.budget_s > 0:
            raise RequestError(f"Nothing can be measured in {self.budget_s} s.", "Give more than 0.")
        if isinstance(self.exits, str) and self.exits not in (AUTO_EXITS, NO_EXITS):
            raise RequestError(f"There are no exits {self.exits!r}.", "Choose auto, none, or a tuple of output names.")
        if not self.exits:
            raise RequestError("No exits were named.", "Choose auto, none, or name outputs of the model.")
        if not self.exit_losses or not all(loss > 0.0 for loss in self.exit_losses):
            raise RequestError("An exit that may lose nothing can never be proved.", "Give losses above 0, as 0.01.")
        self._require_forms()
        if self.effort not in ("quick", "standard", "thorough"):
            raise RequestError(f"There is no effort {self.effort!r}.", "Choose quick, standard or thorough.")

    def _require_forms(self) -> None:
        if not 1 <= self.stages <= MOST_STAGES:
            raise RequestError(f"--stages {self.stages} is not possible.", f"Choose 1 to {MOST_STAGES}.")
        if not self.wants_tflite and any(name.startswith("tflite") for name in self.keep):
            raise RequestError("--keep names a TFLite candidate, and none is made.", "Add --formats onnx,tflite.")
        if "onnx" not in self.formats or not set(self.formats) <= {"onnx", "tflite"}:
            raise RequestError(f"--formats {','.join(self.formats)} is not possible.", "Choose onnx, or onnx,tflite.")

    @property
    def wants_tflite(self) -> bool:
        """Whether TFLite files are to be written."""
        return "tflite" in self.formats or any(key.partition("-")[0] == "tflite" for key in self.backends)

    @property
    def budget(self) -> Budget:
        """Seconds for each part of the search."""
        usual = BUDGETS[self.effort]
        if self.budget_s is None:
            return usual
        scale = self.budget_s / usual.timing_s
        return replace(
            usual,
            timing_s=self.budget_s,
            survey_s=usual.survey_s * scale,
            quality_s=max(usual.quality_s, usual.quality_s * scale),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an effort allows.

    Attributes:
        timing_s: For timing all candidates, interleaved.
        survey_s: For timing each scheme on each component alone.
        quality_s: For running all candidates over the evaluation data; where that is not enough, fewer samples count.
        proposals: Most mixtures that the survey proposes; 0: it looks at approximations only, which the fixed mixtures
            take in where they are good.
        parts: Groups of nodes that a costly component is cut into.
        fits: Most candidates whose quality is won back by trying calibrations, balancing and bias correction.
    """

    timing_s: float
    survey_s: float
    quality_s: float
    proposals: int
    parts: int = 1
    fits: int = 0


BUDGETS: Mapping[Effort, Budget] = {
    "quick": Budget(timing_s=8.0, survey_s=4.0, quality_s=15.0, proposals=0),
    "standard": Budget(timing_s=30.0, survey_s=40.0, quality_s=60.0, proposals=8, parts=3, fits=3),
    "thorough": Budget(timing_s=90.0, survey_s=150.0, quality_s=600.0, proposals=12, parts=6, fits=8),
}
"""By effort; a whole export takes up to twice the sum."""

_NOT_IN_RECIPE = frozenset({"dry_run", "overwrite", "cache"})  # they belong to one call, not to the model


def save_recipe(options: ExportOptions, path: str | Path) -> None:
    """Write ``options`` as a TOML recipe; equal options give equal bytes.

    Raises:
        OutputError: If it cannot be written.
    """
    values = {
        name: value for name, value in asdict(options).items() if name not in _NOT_IN_RECIPE and value is not None
    }
    if not values["shape"]:
        del values["shape"]
    lines = ["# edgehybrid export --recipe THIS.toml", f"schema = {RECIPE_SCHEMA}"]
    shapes = values.pop("shape", {})
    lines += [f"{name} = {_toml(value)}" for name, value in values.items()]
    if shapes:
        lines += ["", "[shape]", *(f"{_toml(name)} = {_toml(list(shape))}" for name, shape in shapes.items())]
    try:
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"The recipe {path} cannot be written: {error.strerror}.", "Choose another place.") from error


def load_recipe(path: str | Path, **overrides: Any) -> ExportOptions:
    """Read a recipe; ``overrides`` (what the command line says) count more.

    Raises:
        RequestError: It does not exist, is no TOML, names an option that does not exist or gives it a wrong value.
    """
    try:
        raw = msgspec.toml.decode(Path(path).read_bytes())
    except OSError as error:
        raise RequestError(f"The recipe {path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"The recipe {path} is no valid TOML: {error}.", "Make one with --save-recipe.") from error
    schema = raw.pop("schema", RECIPE_SCHEMA)
    known = {item.name for item in fields(ExportOptions)} - _NOT_IN_RECIPE
    if not isinstance(schema, int) or schema > RECIPE_SCHEMA:
        raise RequestError(
            f"The recipe {path} is of schema {schema}; this version knows {RECIPE_SCHEMA}.", "Upgrade edgehybrid."
        )
    if unknown := sorted(set(raw) - known):
        raise RequestError(
            f"The recipe {path} names {unknown[0]!r}, which is no option.", f"Options: {', '.join(sorted(known))}."
        )
    try:
        return msgspec.convert({**raw, **overrides}, ExportOptions)
    except msgspec.ValidationError as error:
        raise RequestError(f"The recipe {path} does not validate: {error}.", "Correct that value.") from error


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()  # a JSON string is a TOML string
    return repr(value)
