"""How far an input may be from the last one so that its answer still holds.

The threshold goes up from small distances as long as the pairs within it prove that few of their answers differ: the
fixed sequence of ``risk``, given the distances. Each step's binomial tail bounds that of unequal chances with the same
mean (Hoeffding 1956, "On the distribution of the number of successes in independent trials").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import GateInfo
from edgehybrid.errors import DataError
from edgehybrid.exporters.depth.risk import Floats, Refusal, p_values, samples_needed

Array = NDArray[np.generic]
Row = Mapping[str, Array]
Distance = Callable[[Row, Row, Mapping[str, float]], float]

WEAKEST, STRONGEST = 0.01, 1.0
"""Noise of disturbed copies, as a share of the input's deviation: a ladder, each row on one rung."""

_STEPS = 100


def typical_deviations(rows: Row) -> dict[str, float]:
    """Return the mean distance of each input of numbers from its mean over the rows.

    Args:
        rows: Input name to array, first axis the rows.
    """
    found = {}
    for name, values in rows.items():
        x = np.asarray(values, dtype=np.float64)
        found[name] = float(np.abs(x - x.mean(axis=0)).mean())
    return found


def disturb(rows: Row, scales: Mapping[str, float], *, seed: int = 0) -> dict[str, Array]:
    """Return a copy of each row with normal noise, whose strength is another rung of a ladder for each row.

    One copy for each row, so that the pairs are independent. Inputs that are not floats stay as they are.

    Args:
        rows: Input name to array, first axis the rows.
        scales: Input name to its typical deviation.
        seed: Of the noise.
    """
    draw = np.random.default_rng(seed)
    n = len(next(iter(rows.values())))
    strength = draw.permutation(np.geomspace(WEAKEST, STRONGEST, n))
    copies: dict[str, Array] = {}
    for name, values in rows.items():
        if np.issubdtype(values.dtype, np.floating):
            noise = draw.standard_normal(values.shape) * scales[name]
            copies[name] = (values + noise * strength.reshape(n, *(1,) * (values.ndim - 1))).astype(values.dtype)
        else:
            copies[name] = values
    return copies


def pair_distances(rows: Row, others: Row, scales: Mapping[str, float], distance: Distance) -> Floats:
    """Return the distance of each row from its partner, as the runtime computes it: shape ``(n,)``.

    Args:
        rows: Input name to array, first axis the rows. For successive rows all but the last.
        others: The partners; for successive rows all but the first.
        scales: Input name to its typical deviation.
        distance: Of two single rows, batch axis of one.
    """

    def one(of: Row, i: int) -> Row:
        return {name: values[i : i + 1] for name, values in of.items()}

    n = len(next(iter(rows.values())))
    return np.array([distance(one(rows, i), one(others, i), scales) for i in range(n)], dtype=np.float64)


def safe_distance(rows: Row, differ: NDArray[np.bool_], scales: Mapping[str, float], distance: Distance) -> float:
    """Return half the smallest distance of two rows whose answers differ; infinite if none do.

    Noise says nothing of inputs that differ in what matters: no threshold of ``disturbed`` pairs may be beyond this.

    Args:
        rows: Input name to array, first axis the rows; takes the square of their number.
        differ: Whether the answers of two rows differ, shape ``(n, n)``.
        scales: Input name to its typical deviation.
        distance: Of two single rows, batch axis of one.
    """
    single = [{name: values[i : i + 1] for name, values in rows.items()} for i in range(len(differ))]
    pairs = zip(*np.nonzero(np.triu(differ, 1)), strict=True)
    return min((distance(single[i], single[j], scales) for i, j in pairs), default=float("inf")) / 2


def answers_differ(answers: Floats, others: Floats, *, tolerance: float | None = None) -> Floats:
    """Return 1 where two answers differ: another best class, or values more than ``tolerance`` apart in the mean.

    Args:
        answers: Shape ``(n, outputs)``.
        others: The same shape.
        tolerance: For values, in their unit; ``None`` for classes.
    """
    if tolerance is None:
        return np.asarray(answers.argmax(axis=1) != others.argmax(axis=1), dtype=np.float64)
    return np.asarray(~(np.abs(answers - others).mean(axis=1) <= tolerance), dtype=np.float64)


def calibrate_gate(
    distances: Floats,
    differ: Floats,
    scales: Mapping[str, float],
    *,
    epsilon: float,
    delta: float,
    pairs: Literal["successive", "disturbed"],
    limit: float = float("inf"),
) -> GateInfo | Refusal:
    """Return the largest distance at which the last answer holds but for a share ``epsilon`` of the reused ones.

    Args:
        distances: Of the pairs, at least 0; NaN is never near: shape ``(n,)``.
        differ: 1 where the two answers of a pair differ, else 0: shape ``(n,)``.
        scales: What the distances were divided by, by input.
        epsilon: In 0 to 1.
        delta: Probability that the promise is wrong, in 0 to 1.
        pairs: What they are.
        limit: No threshold beyond it: for disturbed pairs ``safe_distance``.

    Returns:
        Or a refusal, with the number of pairs that it takes.

    Raises:
        DataError: Not one answer for each distance, or none.
    """
    if len(distances) != len(differ) or not len(differ):
        raise DataError(f"{len(distances)} distances, {len(differ)} answers.", "Give one for each pair, at least one.")
    order = np.argsort(distances, kind="stable")
    order = order[np.isfinite(distances[order]) & (distances[order] <= limit)]
    near, lost = distances[order], differ[order]
    first = samples_needed(epsilon, delta) or 0
    if len(near) < first:
        reason = f"{len(near)} pairs are near enough to count; without one difference it takes {first}"
        return Refusal(reason=reason, samples=first)
    threshold, proven = None, 0
    for count in np.unique(np.linspace(first, len(near), _STEPS).astype(int)):
        within = int(np.searchsorted(near, near[count - 1], side="right"))  # equal distances go together
        if p_values(lost[:within, None], epsilon)[0] > delta:
            break
        threshold, proven = float(near[count - 1]), within
    if threshold is None:
        risk = float(lost[:first].mean())
        samples = samples_needed(epsilon, delta, risk=risk)
        more = "however many there are" if samples is None else f"it takes about {samples} as near as these"
        reason = f"of the {first} nearest pairs {risk:.1%} differ in their answers: too many for {epsilon:g}, {more}"
        return Refusal(reason=reason, samples=samples)
    return GateInfo(scales=dict(scales), threshold=threshold, epsilon=epsilon, delta=delta, n=proven, pairs=pairs)
