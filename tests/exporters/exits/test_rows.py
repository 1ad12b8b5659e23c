"""Rows that heads are fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgehybrid.data import open_data
from edgehybrid.exporters.exits.rows import head_rows
from edgehybrid.tensors import TensorSpec


@pytest.mark.parametrize("shape", [("batch", 4, 5), (1, 4, 5), (4, 5)])
def test_inputs_come_with_their_variations(tmp_path: Path, shape: tuple[int | str, ...]) -> None:
    """Whatever batch the model takes, every pass gives the same rows; the first of each group is the input itself."""
    x = np.random.default_rng(0).standard_normal((70, 4, 5)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    samples = open_data(tmp_path / "data.npz").check([TensorSpec(name="x", dtype="float32", shape=shape)])
    rows = head_rows(samples, seed=3)
    first, again = (np.stack([feeds["x"].astype(np.float32).reshape(4, 5) for feeds in rows]) for _ in range(2))

    assert 70 * (1 + rows.variations) == len(first) == len(rows.groups)
    assert rows.variations > 1
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(x, first[rows.inputs])
    apart = np.abs(first - x[rows.groups]).mean(axis=(1, 2))
    assert 0.0 == apart[rows.inputs].max()
    assert 0.0 < np.median(apart[apart > 0]) < 1.0


def test_words_have_no_variations(tmp_path: Path) -> None:
    """Integers are taken as they are."""
    np.savez(tmp_path / "data.npz", x=np.arange(60, dtype=np.int64).reshape(20, 3))
    samples = open_data(tmp_path / "data.npz").check([TensorSpec(name="x", dtype="int64", shape=("batch", 3))])
    rows = head_rows(samples, seed=0)

    assert (0, 20) == (rows.variations, len(list(rows)))


def test_no_more_rows_than_heads_can_take(tmp_path: Path) -> None:
    """Of many inputs some are taken, without variations."""
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).standard_normal((2000, 2)).astype(np.float32))
    samples = open_data(tmp_path / "data.npz").check([TensorSpec(name="x", dtype="float32", shape=("batch", 2))])
    rows = head_rows(samples, seed=0)

    assert 1600 == rows.count == len(list(rows)) == len(rows.groups)
