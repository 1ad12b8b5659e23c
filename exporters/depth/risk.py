"""Promises about a risk: what so many samples prove about the mean of a loss in 0 to 1.

- Learn then Test with fixed sequence testing: Angelopoulos, Bates, Candès, Jordan, Lei 2021, "Learn then Test:
  Calibrating Predictive Algorithms to Achieve Risk Control", arXiv 2110.01052, section 2 and 4.1.
- Hoeffding-Bentkus p-value: Bates, Angelopoulos, Lei, Malik, Jordan 2021, "Distribution-Free, Risk-Controlling
  Prediction Sets", J. ACM 68(6), section 3.1; for losses of 0 and 1 the binomial tail is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from edgehybrid.errors import DataError, RequestError

Floats = NDArray[np.float64]

_MOST_SAMPLES = 1 << 24
_ROUNDING = 1e-9  # a mean of n losses, times n, may lie this far above the whole number it stands for


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The risk is at most ``epsilon``, with probability ``1 - delta`` over the draw of the samples.

    Attributes:
        epsilon: Largest mean loss, 0 to 1.
        delta: Probability that the promise is wrong.
        n: Samples behind it.
        step: The last step of the sequence for which it holds; it holds for all before.
        p_value: Of "the risk at this step is above ``epsilon``".
        risk: Mean loss of the samples at this step.
    """

    epsilon: float
    delta: float
    n: int
    step: int
    p_value: float
    risk: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No promise, why in words, and how many samples one would take (``None``: no number of them would do)."""

    reason: str
    samples: int | None


def p_values(losses: Floats, epsilon: float) -> Floats:
    """Return the p-value of "the mean loss is above ``epsilon``" for each step.

    Valid for any independent, equally distributed losses in 0 to 1: the chance that it is at most ``x`` although the
    risk is above ``epsilon`` is at most ``x``.

    Args:
        losses: In 0 to 1, shape ``(n, steps)``.
        epsilon: In 0 to 1, both excluded.

    Returns:
        Shape ``(steps,)``: the binomial tail where all losses are 0 or 1, else Hoeffding-Bentkus.

    Raises:
        DataError: No losses, or some outside 0 to 1.
        RequestError: ``epsilon`` is outside 0 to 1.
    """
    _require_share("epsilon", epsilon)
    if losses.ndim != 2 or len(losses) == 0:
        raise DataError(f"Losses have shape {losses.shape}.", "Give at least one row: (samples, steps).")
    if not (np.isfinite(losses).all() and losses.min(initial=0) >= 0 and losses.max(initial=0) <= 1):
        raise DataError("Some losses are outside 0 to 1.", "Divide them by the largest that can occur, and clip.")
    n, sums = len(losses), losses.sum(axis=0)
    exact = np.asarray(binom.cdf(np.ceil(sums - n * _ROUNDING), n, epsilon), dtype=np.float64)
    if np.isin(losses, (0.0, 1.0)).all():
        return exact
    return np.minimum(np.minimum(_hoeffding(sums / n, n, epsilon), math.e * exact), 1.0)


def fixed_sequence(losses: Floats, epsilon: float, delta: float, *, starts: Sequence[int] = (0,)) -> int | None:
    """Return the last step up to which the risk is at most ``epsilon``, with probability ``1 - delta``.

    Tests one step after the other and stops at the first that fails; so the steps, which must have been ordered
    without a look at these losses, cost nothing for being many. More starts share ``delta`` evenly, each goes on by
    itself, and the furthest counts: steps before its start are then not proven.

    Args:
        losses: In 0 to 1, shape ``(n, steps)``.
        epsilon: Largest mean loss, in 0 to 1.
        delta: Probability that the answer is wrong, in 0 to 1.
        starts: Steps at which a sequence starts.

    Returns:
        The step, or ``None`` if each start fails at once.

    Raises:
        DataError: No losses, or some outside 0 to 1.
        RequestError: ``epsilon`` or ``delta`` is outside 0 to 1, or there is no such start.
    """
    _require_share("delta", delta)
    steps = losses.shape[-1]
    if not starts or not all(0 <= start < steps for start in starts):
        raise RequestError(f"Starts {list(starts)} are not steps 0 to {steps - 1}.", "Name steps that exist.")
    failed = p_values(losses, epsilon) > delta / len(starts)
    ends = [start + int(np.argmax(np.append(failed[start:], True))) - 1 for start in starts]
    proven = [end for start, end in zip(starts, ends, strict=True) if end >= start]
    return max(proven, default=None)


def samples_needed(epsilon: float, delta: float, *, risk: float = 0.0) -> int | None:
    """Return how many samples a promise takes if their mean loss is ``risk``.

    Args:
        epsilon: The risk to promise, in 0 to 1.
        delta: Probability that the promise is wrong, in 0 to 1.
        risk: Mean loss to expect, from a pilot. With none it is ``ln(delta) / ln(1 - epsilon)``.

    Returns:
        The number, so that about every second draw of so many gives the promise; ``None`` if ``risk`` is not below
        ``epsilon``, or more than 16 million would be needed.
    """
    _require_share("epsilon", epsilon)
    _require_share("delta", delta)
    if risk <= 0:
        return math.ceil(math.log(delta) / math.log1p(-epsilon) - _ROUNDING)
    if risk >= epsilon:
        return None
    below, above = 0, 1
    while not _proves(above, epsilon, delta, risk):  # the tail is not quite monotone in n: the answer may be a few off
        below, above = above, 2 * above
        if above > _MOST_SAMPLES:
            return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if _proves(middle, epsilon, delta, risk) else (middle, above)
    return above


def promise(losses: Floats, epsilon: float, delta: float, *, lowest_step: int = 0) -> Promise | Refusal:
    """Promise as late a step as the losses prove, or say why not.

    Args:
        losses: In 0 to 1, shape ``(n, steps)``; the steps ordered without a look at them.
        epsilon: The risk to promise, in 0 to 1.
        delta: Probability that the promise is wrong, in 0 to 1.
        lowest_step: A promise for an earlier step is worth nothing (nothing leaves early, say): refuse it.

    Raises:
        DataError: No losses, or some outside 0 to 1.
        RequestError: ``epsilon`` or ``delta`` is outside 0 to 1.
    """
    step, n = fixed_sequence(losses, epsilon, delta), len(losses)
    if step is not None and step >= lowest_step:
        p_value = float(p_values(losses[:, [step]], epsilon)[0])
        risk = float(losses[:, step].mean())
        return Promise(epsilon=epsilon, delta=delta, n=n, step=step, p_value=p_value, risk=risk)
    risk = float(losses[:, lowest_step].mean())
    samples = samples_needed(epsilon, delta, risk=risk)
    seen = f"{n} samples with a mean loss of {risk:.4g} do not prove a risk of at most {epsilon:g} at {1 - delta:.0%}"
    if samples is None:
        return Refusal(reason=f"{seen}, and more samples would not: the loss itself is too large.", samples=None)
    return Refusal(reason=f"{seen}: it takes about {max(samples, n + 1)}.", samples=max(samples, n + 1))


def _proves(n: int, epsilon: float, delta: float, risk: float) -> bool:
    return bool(binom.cdf(math.ceil(n * risk), n, epsilon) <= delta)


def _hoeffding(mean: Floats, n: int, epsilon: float) -> Floats:
    """``exp(-n KL(mean, epsilon))`` below ``epsilon``, else 1 (Hoeffding 1963, inequality 2.1)."""
    a = np.minimum(mean, epsilon)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(a > 0, a * np.log(a / epsilon), 0.0)
        second = np.where(a < 1, (1 - a) * np.log((1 - a) / (1 - epsilon)), 0.0)
    return np.asarray(np.exp(-n * (first + second)))


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise RequestError(f"{name} is {value:g}.", "Give a share between 0 and 1, both excluded.")
