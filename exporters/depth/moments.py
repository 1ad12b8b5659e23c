"""Features that keep where and what goes with what: means of a grid, and second moments of its cells.

A convolution's channels mean little by their mean alone. The signed roots of their covariances over at most 64 cells
(second-order pooling: Carreira, Caseiro, Batista, Sminchisescu 2012, ECCV; signed roots: Perronnin, Sánchez, Mensink
2010, ECCV) take half or more off the area under the risk-coverage curve of the camera classifier's early heads. At 64
channels the nodes cost about 0.05 ms on a workstation core: beside a short stage that counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgehybrid.exporters.depth.pooling import Nodes

MOST_CELLS = 64
_MOST_PARTS = 12


def grid_of(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of the finest even grid of at most 64 cells over ``(channels, height, width)``."""

    def worth(grid: tuple[int, int]) -> tuple[int, float]:
        window = (shape[1] / grid[0]) / (shape[2] / grid[1])
        return grid[0] * grid[1], -abs(float(np.log(window)))  # of as many cells, the squarest

    grids = product(_divisors(shape[1]), _divisors(shape[2]))
    return max((grid for grid in grids if grid[0] * grid[1] <= MOST_CELLS), key=worth)


def parts_of(length: int) -> int:
    """Into how many equal parts an axis of ``length`` goes, at most 12."""
    return max(count for count in _divisors(length) if count <= _MOST_PARTS)


def count_moments(channels: int) -> int:
    """Number of variances and covariances of so many channels."""
    return channels * (channels + 1) // 2


def append_cells(nodes: Nodes, value: str, shape: Sequence[int], grid: tuple[int, int]) -> str:
    """Append the means of the cells of an even ``grid``: ``(batch, channels, rows, columns)``."""
    window = [shape[1] // grid[0], shape[2] // grid[1]]
    return nodes.add("AveragePool", [value], kernel_shape=window, strides=window)


def append_quarters(nodes: Nodes, cells: str, shape: Sequence[int], grid: tuple[int, int]) -> str:
    """Append the means of quarters from those of the cells of a ``grid`` of even sides: ``(batch, 4 · channels)``."""
    quarters = np.kron(_shares(grid[0], 2), _shares(grid[1], 2))
    flat = nodes.add("Reshape", [cells, nodes.weight(np.array([0, shape[0], grid[0] * grid[1]], dtype=np.int64))])
    return nodes.add("Flatten", [nodes.add("MatMul", [flat, nodes.weight(quarters)])], axis=1)


def append_moments(nodes: Nodes, cells: str, shape: Sequence[int]) -> str:
    """Append the signed roots of variances and covariances of the channels over the cells of a grid.

    Args:
        nodes: Of the stage.
        cells: Float32, the means of the cells of ``grid_of(shape)``, from ``append_cells``.
        shape: Of what the grid was laid over, without the batch.

    Returns:
        Float32 ``(batch, count_moments(channels))``.
    """
    channels, count = shape[0], int(np.prod(grid_of(shape)))
    flat = nodes.add("Reshape", [cells, nodes.weight(np.array([0, channels, count], dtype=np.int64))])
    centring = (np.eye(count) - 1.0 / count) / np.sqrt(count)  # less the mean, by the root of the number
    apart = nodes.add("MatMul", [flat, nodes.weight(centring.astype(np.float32))])
    product_ = nodes.add("MatMul", [apart, nodes.add("Transpose", [apart], perm=[0, 2, 1])])
    upper = np.ravel_multi_index(np.triu_indices(channels), (channels, channels)).astype(np.int64)
    chosen = nodes.add("Gather", [nodes.add("Flatten", [product_], axis=1), nodes.weight(upper)], axis=1)
    root = nodes.add("Sqrt", [nodes.add("Abs", [chosen])])
    return nodes.add("Mul", [nodes.add("Sign", [chosen]), root])


def append_parts(nodes: Nodes, value: str, shape: Sequence[int]) -> str:
    """Append the means of equal parts of the first axis after the batch: ``(batch, parts · shape[1])``."""
    parts = parts_of(shape[0])
    split = nodes.weight(np.array([0, parts, shape[0] // parts, shape[1]], dtype=np.int64))
    turned = nodes.add("Transpose", [nodes.add("Reshape", [value, split])], perm=[0, 1, 3, 2])
    share = nodes.weight(np.full((shape[0] // parts, 1), parts / shape[0], dtype=np.float32))
    return nodes.add("Flatten", [nodes.add("MatMul", [turned, share])], axis=1)


def _divisors(length: int) -> list[int]:
    return [count for count in range(1, length + 1) if length % count == 0]


def _shares(length: int, parts: int) -> NDArray[np.float32]:
    """What turns an axis of ``length`` into the means of equal parts: shape ``(length, parts)``."""
    return np.kron(np.eye(parts), np.full((length // parts, 1), parts / length)).astype(np.float32)
