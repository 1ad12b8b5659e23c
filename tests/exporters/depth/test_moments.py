from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgehybrid.exporters.depth import poolings, with_features
from edgehybrid.exporters.depth.moments import MOST_CELLS, count_moments, grid_of, parts_of
from edgehybrid.exporters.depth.pooling import size
from edgehybrid.exporters.model import Graph, open_session

Array = NDArray[np.float32]


def stage(shape: tuple[int, ...]) -> Graph:
    """``cut1_0 = relu(x)``."""
    batch: list[str | int] = ["batch", *shape]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, batch) for name in ("x", "cut1_0")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["cut1_0"])], "stage", infos[:1], infos[1:])
    return Graph(proto=helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


def features(shape: tuple[int, ...], kind: str, x: Array) -> Array:
    proto: onnx.ModelProto = with_features(stage(shape), 1, (kind,)).proto
    return np.asarray(open_session(proto).run(["features_0"], {"x": x})[0])


@given(st.integers(1, 70), st.integers(1, 70))
def test_grid_divides_evenly(height: int, width: int) -> None:
    """Cells are whole, and at most 64; a small value keeps all of its own."""
    rows, columns = grid_of((8, height, width))

    assert height % rows == width % columns == 0
    assert rows * columns <= MOST_CELLS
    assert height * width > MOST_CELLS or (rows, columns) == (height, width)


def test_grids_of_pictures_and_of_sounds() -> None:
    """Squares of a square; of 48 moments of 10 bands, windows as square as can be."""
    assert (8, 8) == grid_of((64, 32, 32))
    assert (12, 5) == grid_of((64, 48, 10))
    assert 12 == parts_of(48)
    assert 1 == parts_of(13)


@pytest.mark.parametrize("shape", [(5, 16, 12), (3, 4, 6), (4, 1, 9)])
def test_moments_are_signed_roots_of_covariances(shape: tuple[int, int, int]) -> None:
    """The nodes compute what numpy does from the means of the cells."""
    x = np.random.default_rng(0).uniform(0, 1, (7, *shape)).astype(np.float32)
    rows, columns = grid_of(shape)
    channels = shape[0]
    cells = x.reshape(7, channels, rows, shape[1] // rows, columns, shape[2] // columns).mean(axis=(3, 5))
    flat = cells.reshape(7, channels, -1)
    apart = flat - flat.mean(axis=2, keepdims=True)
    covariance = apart @ apart.transpose(0, 2, 1) / flat.shape[2]
    moments = covariance[:, *np.triu_indices(channels)]
    expected = np.concatenate([flat.reshape(7, -1), np.sign(moments) * np.sqrt(np.abs(moments))], axis=1)
    found = features(shape, "grid+moments", x)

    np.testing.assert_allclose(expected, found, atol=1e-4)
    assert size("grid+moments", shape) == found.shape[1] == flat[0].size + count_moments(channels)
    np.testing.assert_allclose(flat.reshape(7, -1), features(shape, "grid", x), atol=1e-5)


def test_parts_of_a_sequence() -> None:
    """Means of equal parts of the axis behind the batch."""
    x = np.random.default_rng(1).uniform(0, 1, (3, 24, 5)).astype(np.float32)

    np.testing.assert_allclose(
        x.reshape(3, 12, 2, 5).mean(2).reshape(3, 60), features((24, 5), "parts-1", x), atol=1e-6
    )


def test_offered_where_they_fit() -> None:
    """Moments of a few channels; of a hundred and more there would be too many; of one place none."""
    assert {"grid", "quarters+moments", "grid+moments"} <= set(poolings(stage((16, 8, 8)), 1))
    assert not any("moments" in kind for kind in poolings(stage((160, 8, 8)), 1))
    assert not any("moments" in kind or "grid" in kind for kind in poolings(stage((16, 1, 1)), 1))
