from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from edgehybrid.errors import DataError

FOLDER = Path(__file__).parents[2] / "samples" / "camera_classifier"


@pytest.fixture(scope="session")
def augment(import_sample: Callable[[str, str], ModuleType]) -> ModuleType:
    return import_sample("camera_classifier", "augment")


@pytest.fixture(scope="session")
def dataset(import_sample: Callable[[str, str], ModuleType]) -> ModuleType:
    return import_sample("camera_classifier", "dataset")


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])


def _pixels(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(n).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)


def test_pixels_become_channels_first_between_0_and_1(dataset: ModuleType) -> None:
    """The model reads red, green and blue planes; 255 is 1."""
    pixels = _pixels(2)
    x = dataset.to_input(pixels)

    assert ((2, 3, 64, 64), np.float32) == (x.shape, x.dtype)
    np.testing.assert_array_equal(pixels[1, 7, 9], np.round(x[1, :, 7, 9] * 255))
    assert 1.0 == dataset.to_input(np.full((1, 64, 64, 3), 255, dtype=np.uint8)).max()


def test_augmented_pictures_fit_the_model(augment: ModuleType, dataset: ModuleType) -> None:
    """Every draw gives finite float32 in [0, 1], the pictures given stay as they are; the seed alone decides which."""
    x = dataset.to_input(_pixels(16))
    given = x.copy()
    first, second = (augment.augment(x, np.random.default_rng(3)) for _ in range(2))

    assert (x.shape, np.float32) == (first.shape, first.dtype)
    assert np.isfinite(first).all()
    assert (0 <= first.min(), first.max() <= 1) == (True, True)
    np.testing.assert_array_equal(given, x)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, augment.augment(x, np.random.default_rng(4)))


def test_no_picture_is_trained_on_and_tested_on(dataset: ModuleType) -> None:
    """A tenth of each digit tests, 15 of each calibrate, the rest trains; every picture is in one part, each time."""
    pixels = _pixels(1).repeat(400, axis=0)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.arange(400) % 256, np.arange(400) // 256
    pictures = dataset.Pictures(pixels=pixels, digits=np.arange(400, dtype=np.int64) % 10)
    parts, again = dataset.split(pictures), dataset.split(pictures)
    marks = [part.pixels[:, 0, 0, 0] + 256 * part.pixels[:, 0, 0, 1].astype(int) for part in parts]

    assert [[21] * 10, [15] * 10, [4] * 10] == [np.bincount(part.digits).tolist() for part in parts]
    assert list(range(400)) == sorted(np.concatenate(marks).tolist())
    for part, other in zip(parts, again, strict=True):
        np.testing.assert_array_equal(part.pixels, other.pixels)


def test_a_missing_file_is_refused(dataset: ModuleType, tmp_path: Path) -> None:
    """A path that leads nowhere is said so."""
    with pytest.raises(DataError, match="cannot be read: No such file"):
        dataset.read_pictures(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 64, 64, 3), np.uint8)}, "does not hold the arrays x and y"),
        ({"x": np.zeros((2, 32, 64, 3), np.uint8), "y": np.zeros(2, int)}, r"x uint8 \[2, 32, 64, 3\]"),
        ({"x": np.zeros((2, 64, 64, 3), np.float32), "y": np.zeros(2, int)}, "x float32"),
        ({"x": np.zeros((2, 64, 64, 3), np.uint8), "y": np.zeros(3, int)}, r"y \[3\]"),
        ({"x": np.zeros((2, 64, 64, 3), np.uint8), "y": np.full(2, 10)}, "beyond 0 to 9"),
        ({"x": np.zeros((0, 64, 64, 3), np.uint8), "y": np.zeros(0, int)}, "no pictures"),
    ],
)
def test_other_arrays_are_refused(
    dataset: ModuleType, tmp_path: Path, arrays: dict[str, NDArray[np.generic]], message: str
) -> None:
    """Arrays that are no 64 × 64 RGB pictures of digits are named with their shapes."""
    np.savez(tmp_path / "in.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its options

    with pytest.raises(DataError, match=message):
        dataset.read_pictures(tmp_path / "in.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no zip at all"])
def test_what_is_no_npz_is_refused(dataset: ModuleType, tmp_path: Path, content: bytes) -> None:
    """An empty, truncated or foreign file is an error of the data with a fix."""
    path = tmp_path / "in.npz"
    path.write_bytes(content)

    with pytest.raises(DataError, match="does not hold the arrays") as caught:
        dataset.read_pictures(path)
    assert "uint8 [n, 64, 64, 3]" in caught.value.fix


def test_the_model_is_the_hybrid_that_it_claims_to_be() -> None:
    """One small valid file without external data: convolutions, three attention blocks, a free batch axis."""
    path = FOLDER / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    ops = Counter(node.op_type for node in model.graph.node)

    onnx.checker.check_model(model, full_check=True)
    assert path.stat().st_size < 2_000_000
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    assert (19, 3, 8) == (ops["Conv"], ops["Softmax"], ops["LayerNormalization"])
    assert [("", 18)] == [(opset.domain, opset.version) for opset in model.opset_import]
    assert ["x"] == [value.name for value in model.graph.input]
    assert ["y"] == [value.name for value in model.graph.output]


def test_the_model_names_no_folder_of_the_computer_it_was_trained_on() -> None:
    """The exporter's stack traces are taken out."""
    assert b".py" not in (FOLDER / "model.onnx").read_bytes()


@pytest.mark.parametrize("batch", [1, 5])
def test_each_row_of_a_batch_is_answered_as_if_alone(session: onnxruntime.InferenceSession, batch: int) -> None:
    """The batch axis is free, and rows do not influence each other."""
    with np.load(FOLDER / "test.npz") as data:
        x = data["x"][:batch]
    alone = np.concatenate([session.run(["y"], {"x": row[None]})[0] for row in x])

    np.testing.assert_allclose(session.run(["y"], {"x": x})[0], alone, atol=1e-4)


@pytest.mark.parametrize(("name", "count"), [("calibration", 150), ("test", 164)])
def test_the_data_are_what_the_model_reads(name: str, count: int) -> None:
    """Both files hold float32 pictures in [0, 1], about as many of each digit as of any other, in at most 2 MB."""
    path = FOLDER / f"{name}.npz"
    with np.load(path) as data:
        x, labels = data["x"], data["labels"]

    assert ((count, 3, 64, 64), np.float32, np.int64) == (x.shape, x.dtype, labels.dtype)
    assert (True, 1) == (0 <= x.min(), x.max())
    assert np.isfinite(x).all()
    assert np.ptp(np.bincount(labels, minlength=10)) <= 1
    assert path.stat().st_size <= 2_000_000


def test_no_shipped_picture_is_in_both_files() -> None:
    """What calibrates does not test."""
    with np.load(FOLDER / "calibration.npz") as calibration, np.load(FOLDER / "test.npz") as test:
        seen = {row.tobytes() for row in calibration["x"]}

        assert not any(row.tobytes() in seen for row in test["x"])


@pytest.mark.parametrize("name", ["calibration", "test"])
def test_the_model_is_as_accurate_as_it_says(session: onnxruntime.InferenceSession, name: str) -> None:
    """Plain onnxruntime finds the accuracy in metrics.json, within a picture, and the README gives the same figure."""
    metrics = json.loads((FOLDER / "metrics.json").read_text())
    with np.load(FOLDER / f"{name}.npz") as data:
        x, labels = data["x"], data["labels"]
    found = float(np.mean(session.run(["y"], {"x": x})[0].argmax(axis=1) == labels))

    assert metrics[f"{name}_accuracy"] == pytest.approx(found, abs=1.5 / len(labels))
    readme = (FOLDER / "README.md").read_text()
    assert re.search(rf"`{name}\.npz`.*\*\*{metrics[f'{name}_accuracy']:.3f}\*\*", readme)


def test_the_figure_on_the_test_is_at_least_what_was_asked() -> None:
    """Nineteen of twenty held-out pictures are named rightly."""
    assert json.loads((FOLDER / "metrics.json").read_text())["test_accuracy"] >= 0.95
