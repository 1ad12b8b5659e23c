"""Every sample looked at once, before anything is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import Samples
from edgehybrid.errors import DataError
from edgehybrid.quality import Accuracy, Deviation, Metric, class_labels
from edgehybrid.tensors import TensorSpec

_ROWS = 64


def look_through(samples: Samples, metric: Metric, output: TensorSpec, *, asked: bool) -> None:
    """Read all samples, and check that labels can be answers of ``output``.

    Args:
        samples: The evaluation data.
        metric: What will judge them.
        output: The output that counts.
        asked: Whether the user named the metric; else one-hot labels are taken for a mistake.

    Raises:
        DataError: An input holds NaN, the data is damaged, a label is no class, or the labels are one-hot.
    """
    classes = _classes(metric, output)
    one_hot = samples.has_labels and isinstance(metric, Deviation) and not asked and samples.count > 0
    for batch in samples.batches(min(_ROWS, samples.largest_batch or _ROWS)):
        if batch.labels is None:
            continue
        if classes is not None:
            class_labels(batch.labels, (len(batch.labels),), classes)
        one_hot = one_hot and _is_one_hot(batch.labels, output)
    if one_hot:
        fix = "Save the classes: labels.argmax(-1). If the error against these numbers is meant: --metric rmse."
        raise DataError("The labels are one-hot: a single 1 among zeros.", fix)


def _classes(metric: Metric, output: TensorSpec) -> int | None:
    """How many classes labels may name; ``None`` where there is not one class for each sample."""
    last = output.shape[-1] if len(output.shape) == 2 else None
    judged = isinstance(metric, Accuracy) and metric.needs_labels and metric.threshold is None
    return last if judged and isinstance(last, int) and last > 1 and np.dtype(output.dtype).kind == "f" else None


def _is_one_hot(labels: NDArray[np.generic], output: TensorSpec) -> bool:
    rows = labels.reshape(len(labels), -1)
    fits = len(output.shape) == 2 and rows.shape[1] == output.shape[1] and rows.shape[1] > 2
    return bool(fits and np.isin(rows, (0, 1)).all() and (np.count_nonzero(rows, axis=1) == 1).all())
