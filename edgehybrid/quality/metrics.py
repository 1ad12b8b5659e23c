"""The metrics: each scores every sample on its own, so that data can be streamed and candidates compared in pairs.

In all of them the first axis of outputs and labels is the samples, and the first output is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import DataError
from edgehybrid.quality.intervals import Scores

T = TypeVar("T")
Array = NDArray[np.generic]
Outputs = Mapping[str, Array]
Aggregate = Literal["share", "mean", "root"]
"""From scores to value: the share of ones, the mean, or the root of the mean."""

SQNR_LIMIT_DB = 150.0  # float32 itself ends near 144 dB; equal outputs would be infinite


class Metric(Protocol):
    """Scores samples; ``summarize`` turns scores into a value with intervals."""

    @property
    def name(self) -> str:
        """Name in reports."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        ...

    @property
    def aggregate(self) -> Aggregate:
        """How scores become the value."""
        ...

    @property
    def needs_labels(self) -> bool:
        """Whether ``score`` needs labels."""
        ...

    @property
    def needs_float(self) -> bool:
        """Whether ``score`` needs the outputs of the float model."""
        ...

    def score(self, outputs: Outputs, labels: Array | None, float_outputs: Outputs | None) -> Scores:
        """Score each sample: float64, shape ``(samples,)``.

        Raises:
            DataError: Labels or outputs do not fit the metric.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of samples with the right class; ``agreement`` is the same with the float model's class as the right one.

    The class is the largest value along the last axis; for an output of one value per sample, whether it is above
    ``threshold``; for an integer output the value itself. With several positions per sample, their mean. NaN is wrong.
    """

    output: str
    against_float: bool = False
    threshold: float | None = None
    higher_is_better: ClassVar[bool] = True
    aggregate: ClassVar[Aggregate] = "share"

    @property
    def name(self) -> str:
        """``accuracy`` or ``agreement``."""
        return "agreement" if self.against_float else "accuracy"

    @property
    def needs_labels(self) -> bool:
        """Whether it needs labels."""
        return not self.against_float

    @property
    def needs_float(self) -> bool:
        """Whether it needs the float model's outputs."""
        return self.against_float

    def score(self, outputs: Outputs, labels: Array | None, float_outputs: Outputs | None) -> Scores:
        """1 for a right class, 0 for a wrong one: float64, shape ``(samples,)``."""
        values = outputs[self.output]
        given = self._classes(values)
        if self.against_float:
            right = self._classes(_required(float_outputs, self.name)[self.output])
        else:
            right = class_labels(_required(labels, self.name), given.shape, _count_classes(given, values))
        hits = given == right
        if values.dtype.kind == "f" and given.shape != values.shape:
            hits &= ~np.isnan(values).any(axis=-1).reshape(given.shape)
        elif values.dtype.kind == "f":
            hits &= ~np.isnan(values)
        return np.asarray(hits.reshape(len(hits), -1).mean(axis=1), dtype=np.float64)

    def _classes(self, values: Array) -> NDArray[np.int64]:
        if values.dtype.kind in "iub":
            return values.astype(np.int64)
        if self.threshold is not None:
            values = values[..., 0] if values.ndim > 1 and values.shape[-1] == 1 else values
            return np.asarray(values > np.float64(self.threshold), dtype=np.int64)
        return np.asarray(values.argmax(axis=-1), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Distance from labels or from the float model: ``rmse`` (root of the mean square) or ``mae`` (mean amount)."""

    output: str
    squared: bool
    against_float: bool = False
    higher_is_better: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``rmse``, ``mae``, ``rmse_vs_float`` or ``mae_vs_float``."""
        return ("rmse" if self.squared else "mae") + ("_vs_float" if self.against_float else "")

    @property
    def aggregate(self) -> Aggregate:
        """Root for rmse, mean for mae."""
        return "root" if self.squared else "mean"

    @property
    def needs_labels(self) -> bool:
        """Whether it needs labels."""
        return not self.against_float

    @property
    def needs_float(self) -> bool:
        """Whether it needs the float model's outputs."""
        return self.against_float

    def score(self, outputs: Outputs, labels: Array | None, float_outputs: Outputs | None) -> Scores:
        """Mean square or mean amount of the difference, in the output's unit: float64, shape ``(samples,)``."""
        values = _rows(outputs[self.output], self.output)
        if self.against_float:
            right = _rows(_required(float_outputs, self.name)[self.output], self.output)
        else:
            right = _rows(_required(labels, self.name), "labels")
        if right.shape != values.shape:
            raise DataError(
                f"Labels have {right.shape[1]} values per sample, output {self.output!r} has {values.shape[1]}.",
                "Give labels of the output's shape, or choose another metric.",
            )
        difference = values - right
        return np.asarray((difference**2 if self.squared else np.abs(difference)).mean(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqnr:
    """Signal to quantization noise against the float model, in dB: the mean over samples, each within ±150 dB."""

    output: str
    name: ClassVar[str] = "sqnr_db"
    higher_is_better: ClassVar[bool] = True
    aggregate: ClassVar[Aggregate] = "mean"
    needs_labels: ClassVar[bool] = False
    needs_float: ClassVar[bool] = True

    def score(self, outputs: Outputs, labels: Array | None, float_outputs: Outputs | None) -> Scores:
        """Ratio of each sample in dB: float64, shape ``(samples,)``."""
        del labels
        signal = _rows(_required(float_outputs, self.name)[self.output], self.output)
        noise = _rows(outputs[self.output], self.output) - signal
        power, error = (signal**2).sum(axis=1), (noise**2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            decibels = 10 * (np.log10(power) - np.log10(error))
        return np.where(error == 0, SQNR_LIMIT_DB, np.clip(decibels, -SQNR_LIMIT_DB, SQNR_LIMIT_DB))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMetric:
    """The user's function of ``(outputs, labels)``: one score per sample; higher is better unless it says otherwise.

    It says otherwise with an attribute: ``function.higher_is_better = False``.
    """

    name: str
    function: Callable[..., object]
    aggregate: ClassVar[Aggregate] = "mean"
    needs_labels: ClassVar[bool] = False
    needs_float: ClassVar[bool] = False

    @property
    def higher_is_better(self) -> bool:
        """What the function says; true if it says nothing."""
        return bool(getattr(self.function, "higher_is_better", True))

    def score(self, outputs: Outputs, labels: Array | None, float_outputs: Outputs | None) -> Scores:
        """What the function returns: float64, shape ``(samples,)``."""
        del float_outputs
        samples = len(next(iter(outputs.values())))
        scores = np.asarray(self.function(dict(outputs), labels), dtype=np.float64)
        if scores.shape != (samples,) or not np.isfinite(scores).all():
            raise DataError(
                f"{self.name} returned shape {scores.shape} for {samples} samples, or NaN.",
                f"It must return one finite number per sample: shape ({samples},).",
            )
        return scores


def _required(value: T | None, metric: str) -> T:
    if value is None:
        raise DataError(f"{metric} needs what was not given.", "Give labels, or the float model's outputs.")
    return value


def _rows(values: Array, name: str) -> Scores:
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    if not np.isfinite(rows).all():
        raise DataError(f"{name!r} holds NaN or infinity.", "Check the model and the data; no error can be computed.")
    return rows


def _count_classes(given: NDArray[np.int64], values: Array) -> int | None:
    return values.shape[-1] if given.ndim < values.ndim and values.shape[-1] > 1 else None


def class_labels(labels: Array, shape: tuple[int, ...], classes: int | None) -> NDArray[np.int64]:
    """Return ``labels`` as classes of ``shape``, each below ``classes`` where that is known.

    Raises:
        DataError: They are not so many, or one is no class.
    """
    if labels.size != math.prod(shape):
        raise DataError(
            f"Labels of shape {labels.shape} do not fit classes of shape {shape}.",
            "Give one integer per sample; for one-hot labels save labels.argmax(-1).",
        )
    if classes is not None and (labels.min() < 0 or labels.max() >= classes):
        worst = int(labels.max() if labels.max() >= classes else labels.min())
        raise DataError(f"There is a label {worst}, but the model has classes 0 to {classes - 1}.", "Number from 0.")
    return labels.astype(np.int64).reshape(shape)
