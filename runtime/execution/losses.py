"""What an early answer loses against the full one: how audits are scored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgehybrid.points import RiskLoss
from edgehybrid.runtime.backends import Array


def exit_losses(
    early: Mapping[str, Array], full: Mapping[str, Array], *, output: str, loss: RiskLoss, bound: float = 1.0
) -> NDArray[np.float64]:
    """Compare answers of an exit with those of the full model, row by row.

    Args:
        early: Outputs of the exit: name to array, first axis the rows.
        full: Outputs of the full model, same shapes.
        output: The output that counts: the model's first.
        loss: ``deviation`` measures the mean distance of a row, as a share of ``bound``. ``disagreement`` and ``error``
            count other classes (without labels an error cannot be told from another answer, so that this is its upper
            bound): the largest value along the last axis; for one value per row, on which side of the middle it lies
            (0.5 for a probability, 0 for a logit); for integers the value itself. Of several positions, their mean.
        bound: The distance that counts as 1, as every larger one does; above 0.

    Returns:
        float64, shape ``(rows,)``, 0 to 1; what is not a number disagrees with everything.
    """
    a, b = early[output], full[output]
    if loss == "deviation":
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64)).reshape(len(a), -1).mean(axis=1) / bound
        return np.where(apart <= 1.0, apart, 1.0)  # NaN too
    middle = 0.5 if _is_probability(a) and _is_probability(b) else 0.0
    other = (_classes(a, middle) != _classes(b, middle)).astype(np.float64)
    return np.asarray(other.reshape(len(a), -1).mean(axis=1), dtype=np.float64)


def _classes(values: Array, middle: float) -> NDArray[np.float64]:
    """Class of every position; where there is none NaN, which equals nothing."""
    if values.dtype.kind != "f":
        return values.astype(np.float64)
    if values.ndim > 1 and values.shape[-1] > 1:
        return np.where(np.isnan(values).any(axis=-1), np.nan, values.argmax(axis=-1).astype(np.float64))
    return np.where(np.isnan(values), np.nan, (values > middle).astype(np.float64))


def _is_probability(values: Array) -> bool:
    return bool(np.all((values >= 0) & (values <= 1)))
