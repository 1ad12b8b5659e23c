"""95 % intervals, without scipy.

- Proportion: Wilson's score interval (Wilson 1927; recommended by Brown, Cai, DasGupta 2001).
- Difference of paired proportions: adjusted Wald (Bonett and Price 2012, J. Educ. Behav. Stat. 37(4), 479-488;
  recommended by Fagerland, Lydersen, Laake 2014, Stat. Med. 33, 2850-2875).
- Mean: Student's t. Root of a mean: t for the mean, then the root of both ends.
- Difference of two roots of means on the same samples: delta method, then t.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Interval = tuple[float, float]

_Z = NormalDist().inv_cdf(0.975)


def wilson(successes: float, n: int) -> Interval:
    """Interval of a proportion, 0 to 1."""
    p, z2 = successes / n, _Z * _Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (0.0 if successes == 0 else max(0.0, centre - half), 1.0 if successes == n else min(1.0, centre + half))


def paired_proportions(lost: int, won: int, n: int) -> Interval:
    """Interval of ``(lost - won) / n``, -1 to 1.

    Args:
        lost: Samples that the reference has right and the candidate wrong.
        won: Samples that the candidate has right and the reference wrong.
        n: All samples.
    """
    p_lost, p_won = (lost + 1) / (n + 2), (won + 1) / (n + 2)
    centre = p_lost - p_won
    half = _Z * math.sqrt((p_lost + p_won - centre * centre) / (n + 2))
    return max(-1.0, centre - half), min(1.0, centre + half)


def mean(values: Scores) -> Interval:
    """Interval of the mean of at least two values."""
    n = len(values)
    half = student_t(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    centre = float(values.mean())
    return centre - half, centre + half


def root_of_mean(squares: Scores) -> Interval:
    """Interval of ``sqrt(mean(squares))``; never below zero."""
    low, high = mean(squares)
    return math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0))


def difference_of_roots(squares: Scores, reference: Scores) -> Interval:
    """Interval of ``sqrt(mean(squares)) - sqrt(mean(reference))``, the same samples in the same order."""
    root, reference_root = math.sqrt(float(squares.mean())), math.sqrt(float(reference.mean()))
    if reference_root == 0.0:
        return root_of_mean(squares)
    if root == 0.0:
        low, high = root_of_mean(reference)
        return -high, -low
    low, high = mean(squares / (2 * root) - reference / (2 * reference_root))
    shift = (root - reference_root) / 2  # the linearized mean is half the difference
    return low + shift, high + shift


def student_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: exact for 1 and 2 degrees, else Abramowitz and Stegun 26.7.5."""
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, v = _Z, float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / v**power for power, term in enumerate(terms, start=1))
