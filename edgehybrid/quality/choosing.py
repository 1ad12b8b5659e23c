"""Which metric: the one that was asked for, or the one that the outputs and labels call for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgehybrid.errors import RequestError
from edgehybrid.functions import load_function, names_function
from edgehybrid.quality.metrics import Accuracy, Deviation, Metric, Sqnr, UserMetric
from edgehybrid.tensors import TensorSpec

NAMES = ("accuracy", "agreement", "rmse", "mae", "sqnr_db")
_INTEGERS = "iub"
_TEXT = "SU"


def choose_metric(
    name: str | None,
    *,
    outputs: Sequence[TensorSpec],
    has_labels: bool,
    label_dtype: np.dtype[np.generic] | str | None = None,
) -> Metric:
    """Choose how quality is measured.

    Without a name: integer labels ask for ``accuracy``, other labels for ``rmse``; without labels a classifier is
    compared with the float model's class (``agreement``), anything else with its outputs (``sqnr_db``).

    Args:
        name: One of ``NAMES``, ``accuracy@T`` or ``agreement@T`` for an output of one value per sample that means
            class 1 above ``T`` (0 for a logit, 0.5 for a probability), ``module:function``, or ``None``.
        outputs: The model's outputs; the first one counts.
        has_labels: Whether the data has labels.
        label_dtype: Their dtype.

    Raises:
        RequestError: No such metric, or it does not fit the outputs or the labels.
    """
    output = outputs[0]
    if has_labels and label_dtype is not None and np.dtype(label_dtype).kind in _TEXT:
        fix = "Save numbers: for class i of the output, i; say labels = [names.index(word) for word in labels]."
        raise RequestError("The labels are text.", fix)
    if name is None:
        name = _fitting(output, has_labels, label_dtype)
    if names_function(name):
        return UserMetric(name=name, function=load_function(name))
    base, threshold = _parsed(name)
    if base == "accuracy":
        _require_class_labels(has_labels, label_dtype)
    if base in ("accuracy", "agreement"):
        _require_classes(output, base, threshold)
        return Accuracy(output=output.name, against_float=base == "agreement", threshold=threshold)
    if base in ("rmse", "mae"):
        return Deviation(output=output.name, squared=base == "rmse", against_float=not has_labels)
    return Sqnr(output=output.name)


def _fitting(output: TensorSpec, has_labels: bool, label_dtype: np.dtype[np.generic] | str | None) -> str:
    if has_labels:
        return "accuracy" if _is_integer(label_dtype) else "rmse"
    classifies = _is_integer(output.dtype) or (len(output.shape) == 2 and not _is_single(output))
    return "agreement" if classifies else "sqnr_db"


def _parsed(name: str) -> tuple[str, float | None]:
    base, at, number = name.partition("@")
    try:
        threshold = float(number) if at else None
    except ValueError:
        threshold = float("nan")
    if base not in NAMES or (at and (base not in ("accuracy", "agreement") or threshold != threshold)):
        raise RequestError(f"There is no metric {name!r}.", f"Choose one of {', '.join(NAMES)}, or module:function.")
    return base, threshold


def _require_class_labels(has_labels: bool, label_dtype: np.dtype[np.generic] | str | None) -> None:
    if not has_labels:
        fix = "Put them into the data (--labels-key names the array), or use --metric agreement."
        raise RequestError("accuracy needs labels, and the data has none.", fix)
    if not _is_integer(label_dtype):
        fix = "Save labels.astype(np.int64), or use --metric rmse."
        raise RequestError(f"accuracy needs integer labels, and these are {label_dtype}.", fix)


def _require_classes(output: TensorSpec, base: str, threshold: float | None) -> None:
    if _is_integer(output.dtype):
        return
    if _is_single(output) and threshold is None:
        raise RequestError(
            f"Output {output.describe()} has one value per sample: a logit or a probability?",
            f"Use --metric {base}@0 for a logit, {base}@0.5 for a probability.",
        )
    if not _is_single(output) and threshold is not None:
        fix = f"Use --metric {base}."
        raise RequestError(f"Output {output.describe()} has a value per class; a threshold has no meaning.", fix)


def _is_single(output: TensorSpec) -> bool:
    return len(output.shape) < 2 or output.shape[-1] == 1


def _is_integer(dtype: np.dtype[np.generic] | str | None) -> bool:
    return dtype is not None and np.dtype(dtype).kind in _INTEGERS
