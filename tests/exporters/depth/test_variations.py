from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.exporters.depth.variations import MOST_ROWS, can_vary, count_variations, mix, vary


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(0, 99))
def test_variation_keeps_form_and_range(axes: list[int], seed: int) -> None:
    """Shape, dtype and range stay; the same seed is the same variation, another one is another."""
    x = np.random.default_rng(seed).standard_normal((4, *axes)).astype(np.float32)
    found = vary({"x": x}, seed=seed)["x"]

    assert (x.shape, x.dtype) == (found.shape, found.dtype)
    assert x.min() <= found.min() <= found.max() <= x.max()
    assert (found == vary({"x": x}, seed=seed)["x"]).all()
    assert x.size < 50 or (found != vary({"x": x}, seed=seed + 1)["x"]).any()


def test_short_axes_do_not_move() -> None:
    """A point in the middle moves by a sixteenth and the stretch of that; the three colours stay in their places."""
    x = np.zeros((50, 3, 32, 32), dtype=np.float32)
    x[:, 1, 16, 16] = 1000.0
    found = vary({"x": x}, seed=0)["x"]
    places = np.array([np.unravel_index(picture.argmax(), picture.shape) for picture in np.asarray(found)])

    assert {1} == set(places[:, 0].tolist())
    assert {14, 15, 16, 17, 18} <= set(places[:, 1].tolist()) | set(places[:, 2].tolist())
    assert 12 <= places[:, 1:].min() <= places[:, 1:].max() <= 19


@given(st.integers(2, 20), st.integers(0, 99))
def test_inputs_are_mixed_alike(count: int, seed: int) -> None:
    """All inputs of a row are mixed with those of one other row, by one share."""
    rows = np.random.default_rng(seed).standard_normal((count, 5))
    found = mix({"a": rows, "b": 2.0 * rows}, np.random.default_rng(seed))
    pairs = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}

    np.testing.assert_allclose(pairs["b"], 2.0 * pairs["a"], rtol=0, atol=1e-9)
    assert rows.min() - 1e-9 <= pairs["a"].min() <= pairs["a"].max() <= rows.max() + 1e-9


def test_what_is_no_number_is_not_mixed() -> None:
    """Mixing half of an input's tensors would ask the model nonsense."""
    rows = {"words": np.arange(6).reshape(6, 1), "x": np.eye(6)}

    assert (vary(rows, seed=3, mixed=True)["x"] == vary(rows, seed=3)["x"]).all()


def test_words_stay() -> None:
    """Integers are as they were, and alone cannot be varied."""
    words = np.arange(6).reshape(2, 3)

    assert (vary({"words": words}, seed=0)["words"] == words).all()
    assert not can_vary({"words": words})
    assert can_vary({"words": words, "x": words / 7})


@given(st.integers(1, 5000))
def test_variations_are_bounded(inputs: int) -> None:
    """Few inputs get more; together they stay within what heads can be fitted on in seconds."""
    count = count_variations(inputs)

    assert count >= 0
    assert inputs * (1 + count) <= max(MOST_ROWS, inputs)
