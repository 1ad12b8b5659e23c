from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgehybrid.errors import DataError, RequestError
from edgehybrid.quality import Metric, choose_metric
from edgehybrid.tensors import TensorSpec

F32 = NDArray[np.float32]

CLASSES = TensorSpec(name="y", dtype="float32", shape=("batch", 3))
SINGLE = TensorSpec(name="y", dtype="float32", shape=("batch", 1))
FLAT = TensorSpec(name="y", dtype="float32", shape=("batch",))
IMAGE = TensorSpec(name="y", dtype="float32", shape=("batch", 8, 8, 3))
LABEL = TensorSpec(name="label", dtype="int64", shape=("batch",))


def chosen(name: str | None, output: TensorSpec, label_dtype: str | None) -> Metric:
    """The metric for one output; no labels without a dtype."""
    return choose_metric(name, outputs=[output], has_labels=label_dtype is not None, label_dtype=label_dtype)


@pytest.mark.parametrize(
    ("name", "output", "label_dtype", "expected"),
    [
        (None, CLASSES, "int64", "accuracy"),
        (None, CLASSES, "float32", "rmse"),
        (None, CLASSES, None, "agreement"),
        (None, LABEL, "int32", "accuracy"),
        (None, LABEL, None, "agreement"),
        (None, SINGLE, "float64", "rmse"),
        (None, SINGLE, None, "sqnr_db"),
        (None, FLAT, None, "sqnr_db"),
        (None, IMAGE, None, "sqnr_db"),
        ("agreement", CLASSES, "int64", "agreement"),
        ("rmse", CLASSES, "float32", "rmse"),
        ("rmse", CLASSES, None, "rmse_vs_float"),
        ("mae", CLASSES, None, "mae_vs_float"),
        ("accuracy@0.5", SINGLE, "int64", "accuracy"),
        ("sqnr_db", CLASSES, "int64", "sqnr_db"),
    ],
)
def test_metric_follows_from_outputs_and_labels(
    name: str | None, output: TensorSpec, label_dtype: str | None, expected: str
) -> None:
    """Labels decide; without them quality is measured against the float model and is named so."""
    metric = chosen(name, output, label_dtype)

    assert expected == metric.name
    assert (expected in ("accuracy", "rmse", "mae")) == metric.needs_labels
    assert metric.needs_float != metric.needs_labels


@pytest.mark.parametrize(
    ("name", "output", "label_dtype", "message"),
    [
        ("accuracy", CLASSES, None, r"needs labels, .* --metric agreement"),
        ("accuracy", CLASSES, "float32", r"integer labels, and these are float32. Save labels.astype"),
        (None, SINGLE, "int64", r"logit or a probability\? Use --metric accuracy@0 for a logit, accuracy@0.5"),
        ("agreement", FLAT, None, r"logit or a probability\? Use --metric agreement@0"),
        ("accuracy@0.5", CLASSES, "int64", r"value per class; .* Use --metric accuracy\."),
        ("f1", CLASSES, "int64", r"no metric 'f1'. Choose one of accuracy, agreement, rmse, mae, sqnr_db"),
        ("rmse@1", CLASSES, "int64", "no metric 'rmse@1'"),
        ("accuracy@x", SINGLE, "int64", "no metric 'accuracy@x'"),
        ("nowhere:metric", CLASSES, None, "cannot be imported"),
    ],
)
def test_impossible_metrics_say_what_is_possible(
    name: str | None, output: TensorSpec, label_dtype: str | None, message: str
) -> None:
    """What does not fit is refused with the option that does; a threshold is never guessed."""
    with pytest.raises(RequestError, match=message):
        chosen(name, output, label_dtype)


def test_accuracy_of_each_kind_of_output() -> None:
    """Values per class, a logit, a probability, a class: 1 where it is right."""
    y = np.array([[0.1, 3, 0], [9, 8, 7], [0, 0, 1]], np.float32)

    assert [1, 0, 1] == chosen("accuracy", CLASSES, "int64").score({"y": y}, np.array([1, 1, 2]), None).tolist()
    logits = np.array([[-1.0], [0.2], [3.0]], np.float32)
    labels = np.array([0, 1, 0])
    for output, values in ((SINGLE, logits), (FLAT, logits[:, 0])):
        assert [1, 1, 0] == chosen("accuracy@0", output, "u1").score({"y": values}, labels, None).tolist()
        assert [1, 0, 0] == chosen("accuracy@0.5", output, "u1").score(
            {"y": values}, np.array([0, 1, 0]), None
        ).tolist()
    classes = np.array([4, 5, 6])
    assert [1, 0, 1] == chosen(None, LABEL, "int64").score({"label": classes}, np.array([4, 4, 6]), None).tolist()


def test_accuracy_with_several_positions_is_their_mean() -> None:
    """A tagger's sample counts by the share of its positions that are right."""
    output = TensorSpec(name="y", dtype="float32", shape=("batch", 4, 2))
    y = np.eye(2, dtype=np.float32)[np.array([[0, 1, 1, 1], [0, 0, 0, 0]])]

    scores = chosen("accuracy", output, "int64").score({"y": y}, np.array([[0, 1, 0, 0], [0, 0, 0, 0]]), None)

    assert [0.5, 1.0] == scores.tolist()


def test_nan_is_a_wrong_class_and_no_distance() -> None:
    """A candidate whose outputs are NaN agrees with nothing; a distance cannot be computed."""
    bad, good = np.array([[np.nan, 1, 2]], np.float32), np.array([[0, 1, 2]], np.float32)

    assert [0] == chosen("accuracy", CLASSES, "int64").score({"y": bad}, np.array([0]), None).tolist()
    assert [0] == chosen("agreement", CLASSES, None).score({"y": bad}, None, {"y": bad}).tolist()
    for name in ("rmse", "mae", "sqnr_db"):
        with pytest.raises(DataError, match="'y' holds NaN or infinity"):
            chosen(name, CLASSES, None).score({"y": bad}, None, {"y": good})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([1, 3]), "a label 3, but the model has classes 0 to 2"),
        (np.array([-1, 2]), "a label -1, but"),
        (np.eye(3, dtype=np.int64)[:2], r"for one-hot labels save labels.argmax\(-1\)"),
    ],
)
def test_labels_that_cannot_be_classes(labels: NDArray[np.int64], message: str) -> None:
    """Labels counted from one, or one-hot, would give a wrong accuracy; they are refused."""
    with pytest.raises(DataError, match=message):
        chosen("accuracy", CLASSES, "int64").score({"y": np.zeros((2, 3), np.float32)}, labels, None)


def test_missing_labels_are_named() -> None:
    """Scoring without what the metric needs is an error of ours."""
    with pytest.raises(DataError, match="accuracy needs what was not given"):
        chosen("accuracy", CLASSES, "int64").score({"y": np.zeros((1, 3), np.float32)}, None, None)


def test_distances_by_hand() -> None:
    """Mean square, mean amount and decibels, against labels or the float model; a flat label fits ``(n, 1)``."""
    y = np.array([[1.0], [4.0]], np.float32)

    assert [1, 4] == chosen("rmse", SINGLE, "f4").score({"y": y}, np.array([0.0, 2.0]), None).tolist()
    assert [1, 2] == chosen("mae", SINGLE, "f4").score({"y": y}, np.array([0.0, 2.0]), None).tolist()
    with pytest.raises(DataError, match="2 values per sample, output 'y' has 1"):
        chosen("mae", SINGLE, "f4").score({"y": y}, np.zeros((2, 2)), None)
    reference = {"y": np.array([[10.0], [4.0]], np.float32)}
    scores = chosen("sqnr_db", SINGLE, None).score({"y": np.array([[9.0], [4.0]], np.float32)}, None, reference)
    assert [20.0, 150.0] == pytest.approx(scores.tolist())


@given(y=hnp.arrays(np.float32, (5, 3), elements=st.floats(-1e6, 1e6, width=32)), noise=st.floats(1e-3, 1e3))
def test_nothing_beats_the_float_model_at_being_itself(y: F32, noise: float) -> None:
    """Against itself every comparison is perfect; with noise none gets better, and all stay finite."""
    ramp = np.arange(15, dtype=np.float32).reshape(5, 3)
    for name in ("agreement", "rmse", "mae", "sqnr_db"):
        metric = chosen(name, CLASSES, None)
        perfect = metric.score({"y": y}, None, {"y": y})
        noisy = metric.score({"y": y + np.float32(noise) * ramp}, None, {"y": y})
        assert np.isfinite([perfect, noisy]).all()
        assert (noisy <= perfect if metric.higher_is_better else noisy >= perfect).all()
        assert {"agreement": 1.0, "rmse": 0.0, "mae": 0.0, "sqnr_db": 150.0}[name] == perfect.max() == perfect.min()


@given(y=hnp.arrays(np.float32, (8, 3), elements=st.floats(-100, 100, width=32)), cut=st.integers(1, 7))
def test_scores_do_not_depend_on_the_batches(y: F32, cut: int) -> None:
    """Scoring in two batches gives the scores of one: data can be streamed."""
    other = np.roll(y, 1, axis=1)
    for name in ("agreement", "rmse", "mae", "sqnr_db"):
        metric = chosen(name, CLASSES, None)
        whole = metric.score({"y": y}, None, {"y": other})
        parts = [metric.score({"y": y[part]}, None, {"y": other[part]}) for part in (slice(cut), slice(cut, None))]
        np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.fixture
def user_module(tmp_path: Path) -> Iterator[str]:
    """A module with metrics of the user's own."""
    (tmp_path / "user_metrics.py").write_text(
        "def top2(outputs, labels):\n"
        "    return [label in row.argsort()[-2:] for row, label in zip(outputs['y'], labels)]\n"
        "def cost(outputs, labels):\n    return abs(outputs['y']).sum(axis=1)\n"
        "cost.higher_is_better = False\n"
        "def mean(outputs, labels):\n    return 0.5\n"
    )
    sys.path.insert(0, str(tmp_path))
    yield "user_metrics"
    sys.path.remove(str(tmp_path))
    sys.modules.pop("user_metrics", None)


def test_user_metrics(user_module: str) -> None:
    """A function of outputs and labels scores each sample, and says which way is better."""
    y = np.array([[1, 2, 3], [3, 2, 1]], np.float32)
    top2, cost = (chosen(f"{user_module}:{name}", CLASSES, "int64") for name in ("top2", "cost"))

    assert [1, 0] == top2.score({"y": y}, np.array([1, 2]), None).tolist()
    assert (True, False) == (top2.higher_is_better, cost.higher_is_better)
    assert [6, 6] == cost.score({"y": y}, None, None).tolist()
    with pytest.raises(DataError, match=r"returned shape \(\) for 2 samples, .* shape \(2,\)"):
        chosen(f"{user_module}:mean", CLASSES, None).score({"y": y}, None, None)
