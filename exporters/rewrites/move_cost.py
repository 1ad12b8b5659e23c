"""What a transposition costs on the CPU, and by which two cheap ones a dear one can be had. Pure.

ONNX Runtime has three ways to transpose: whole blocks are copied where the last axes stay; one axis that moves past
others goes through a kernel of its own; for everything else each number's place is computed alone. *Measured*, version
1.32, 65,536 numbers: 10 µs, 16 µs, and 194 µs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import prod

ONE_BY_ONE_NS = 3.0
"""For each number whose place is computed alone."""
ONE_AXIS_NS = 0.25
"""For each number where one axis moves past others."""
BLOCK_NS = 10.0
"""For each block that is copied."""
COPY_NS = 0.05
"""For each number inside a block."""
NODE_NS = 1500.0
"""For a node, whatever it does."""

_MOST_DIGITS = 7  # 5,040 orders between


def transpose_ns(lengths: Sequence[int], order: Sequence[int]) -> float:
    """Estimate nanoseconds for ``x.transpose(order)`` where ``x`` has the shape ``lengths``."""
    size = prod(lengths)
    runs = merged(lengths, order)
    if len(runs) < 2:
        return COPY_NS * size
    if runs[-1][0] == len(runs) - 1:
        return BLOCK_NS * size / runs[-1][1] + COPY_NS * size
    swapped = [place for place, (source, _) in enumerate(runs) if place != source]
    return (ONE_AXIS_NS if len(swapped) == 2 and swapped[1] == swapped[0] + 1 else ONE_BY_ONE_NS) * size


def merged(lengths: Sequence[int], order: Sequence[int]) -> list[tuple[int, int]]:
    """Axes that stay neighbours, taken together; those of length one are nothing.

    Returns:
        In the new order: place in the old order, and length.
    """
    runs: list[list[int]] = []
    real = [axis for axis in range(len(lengths)) if lengths[axis] > 1]
    rank = {axis: place for place, axis in enumerate(real)}
    for axis in order:
        if axis not in rank:
            continue
        if runs and rank[axis] == rank[runs[-1][-1]] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    places = sorted(range(len(runs)), key=lambda i: runs[i][0])
    return [(places.index(i), prod(lengths[axis] for axis in run)) for i, run in enumerate(runs)]


def two_steps(lengths: Sequence[int], order: Sequence[int]) -> list[tuple[int, ...]]:
    """Orders to stop at between ``range(n)`` and ``order``: those for which the two steps together cost least.

    Args:
        lengths: Of the digits of a position, in the source.
        order: In which order they shall be; ``lengths[axis] for axis in order`` is the shape of the result.

    Returns:
        All that cost the same, empty where there are more than seven digits or fewer than three.
    """
    digits = range(len(lengths))
    if not 3 <= len(lengths) <= _MOST_DIGITS:
        return []
    costs = {
        between: transpose_ns(lengths, between) + second_ns(lengths, between, order)
        for between in permutations(digits)
        if between not in (tuple(digits), tuple(order))
    }
    least = min(costs.values())
    return [between for between, cost in costs.items() if cost <= least * (1.0 + 1e-9)]


def second_ns(lengths: Sequence[int], between: Sequence[int], order: Sequence[int]) -> float:
    """Cost of the way from ``between`` to ``order``."""
    return transpose_ns([lengths[axis] for axis in between], step(between, order))


def step(between: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """The transposition that makes ``order`` of ``between``."""
    places = {digit: place for place, digit in enumerate(between)}
    return tuple(places[digit] for digit in order)
