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

FOLDER = Path(__file__).parents[2] / "samples" / "vibration_monitor"


@pytest.fixture(scope="session")
def features(import_sample: Callable[[str, str], ModuleType]) -> ModuleType:
    return import_sample("vibration_monitor", "features")


@pytest.fixture(scope="session")
def dataset(import_sample: Callable[[str, str], ModuleType]) -> ModuleType:
    return import_sample("vibration_monitor", "dataset")


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])


def _table(lives: list[int]) -> NDArray[np.float64]:
    """Engines 1, 2, ... with these cycles: 26 columns, sensor ``s`` reading ``100 · s`` plus the cycle."""
    rows = [(unit, cycle) for unit, life in enumerate(lives, 1) for cycle in range(1, life + 1)]
    sensors = np.array([[100 * s + cycle for s in range(1, 22)] for _, cycle in rows], dtype=float)
    return np.hstack([np.array(rows, dtype=float), np.zeros((len(rows), 3)), sensors])


def _write(folder: Path, *, train: list[int], test: list[int], left: list[int]) -> Path:
    np.savetxt(folder / "train_FD001.txt", _table(train))
    np.savetxt(folder / "test_FD001.txt", _table(test))
    np.savetxt(folder / "RUL_FD001.txt", np.array(left), fmt="%d")
    return folder


def _rmse(told: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((told.astype(np.float64) - labels) ** 2)))


def test_the_range_in_training_becomes_minus_1_to_1(features: ModuleType) -> None:
    """Lowest and highest reading of each sensor are the ends, and a reading beyond them goes beyond."""
    low, high = np.array(features.RANGES).T
    scaled = features.scale(np.stack([low, (low + high) / 2, high, high + (high - low) / 2]))

    assert np.float32 == scaled.dtype
    np.testing.assert_allclose(np.tile([[-1], [0], [1], [2]], 14), scaled, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (13,), (30, 21)])
def test_another_number_of_sensors_is_refused(features: ModuleType, shape: tuple[int, ...]) -> None:
    """The error lists the sensors in their order."""
    with pytest.raises(DataError, match="the model reads 14 sensors") as caught:
        features.scale(np.zeros(shape))

    assert "2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21" in caught.value.fix


def test_windows_are_the_stretches_in_order(features: ModuleType) -> None:
    """Each window holds 30 cycles, the oldest first, and starts one after the window before."""
    scaled = np.arange(32 * 14, dtype=np.float32).reshape(32, 14)
    found = features.windows(scaled)

    assert (3, 30, 14) == found.shape
    np.testing.assert_array_equal(scaled[2:32], found[2])
    with pytest.raises(DataError, match="There are 29 cycles; the model reads 30"):
        features.windows(scaled[:29])


def test_an_engine_in_training_has_no_life_left_at_its_end(dataset: ModuleType, tmp_path: Path) -> None:
    """The life left falls by one each cycle, to 0 in training and to the stated remainder in the test."""
    folder = _write(tmp_path, train=[40, 35], test=[31, 33], left=[7, 140])

    assert [[*range(39, -1, -1)], [*range(34, -1, -1)]] == [run.rul.tolist() for run in dataset.read_training(folder)]
    assert [7, 140] == dataset.last_windows(dataset.read_test(folder))[1].tolist()


def test_the_right_columns_are_read(dataset: ModuleType, features: ModuleType, tmp_path: Path) -> None:
    """Sensor 2 is the seventh column: unit, cycle and three settings come first."""
    run = dataset.read_training(_write(tmp_path, train=[30], test=[30], left=[1]))[0]

    np.testing.assert_array_equal(features.scale(np.array([[100.0 * s + 1 for s in features.SENSORS]])), run.x[:1])


def test_the_target_is_capped(dataset: ModuleType, tmp_path: Path) -> None:
    """Further from failure than 125 cycles, nothing is to be told: the target stays there."""
    x, rul = dataset.all_windows(dataset.read_training(_write(tmp_path, train=[170], test=[30], left=[1])))

    assert (141, 30, 14) == x.shape
    assert [125.0] * 16 + [*range(124, -1, -1)] == rul.tolist()


def test_no_engine_is_trained_on_and_validated_on(dataset: ModuleType, tmp_path: Path) -> None:
    """Twenty engines validate, the others train, the same each time."""
    runs = dataset.read_training(_write(tmp_path, train=[30] * 25, test=[30], left=[1]))
    train, validation = ([run.unit for run in part] for part in dataset.split(runs))

    assert (5, 20) == (len(train), len(validation))
    assert [*range(1, 26)] == sorted(train + validation)
    assert validation == [run.unit for run in dataset.split(runs)[1]]


def test_data_that_are_no_fd001_are_refused(dataset: ModuleType, tmp_path: Path) -> None:
    """Missing files, other tables and lives that do not match the engines are named."""
    with pytest.raises(DataError, match="cannot be read"):
        dataset.read_training(tmp_path)
    _write(tmp_path, train=[30], test=[30, 30], left=[1])
    with pytest.raises(DataError, match="2 test engines but 1 remaining lives"):
        dataset.read_test(tmp_path)
    (tmp_path / "train_FD001.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match=r"holds a table \[1, 3\], not \[n, 26\]"):
        dataset.read_training(tmp_path)
    (tmp_path / "train_FD001.txt").write_text("unit,cycle\n")
    with pytest.raises(DataError, match="is no table of numbers"):
        dataset.read_training(tmp_path)


def test_the_model_is_the_hybrid_that_it_claims_to_be() -> None:
    """One small valid file without external data: convolutions, one LSTM, one tree ensemble, a free batch axis."""
    path = FOLDER / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    ops = Counter(node.op_type for node in model.graph.node)

    onnx.checker.check_model(model, full_check=True)
    assert path.stat().st_size < 2_000_000
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    assert (2, 1, 1) == (ops["Conv"], ops["LSTM"], ops["TreeEnsembleRegressor"])
    assert {"": 18, "ai.onnx.ml": 3} == {opset.domain: opset.version for opset in model.opset_import}
    assert ["x"] == [value.name for value in model.graph.input]
    assert ["rul"] == [value.name for value in model.graph.output]


def test_the_trees_are_as_many_as_the_metrics_say() -> None:
    """The node holds every tree and every leaf that was fitted."""
    metrics = json.loads((FOLDER / "metrics.json").read_text())
    node = next(n for n in onnx.load(FOLDER / "model.onnx").graph.node if n.op_type == "TreeEnsembleRegressor")
    fields = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}

    assert metrics["trees"] == len(set(fields["nodes_treeids"]))
    assert metrics["leaves"] == Counter(fields["nodes_modes"])[b"LEAF"] == len(fields["target_weights"])


def test_the_model_names_no_folder_of_the_computer_it_was_trained_on() -> None:
    """The exporter's stack traces are taken out."""
    assert b".py" not in (FOLDER / "model.onnx").read_bytes()


@pytest.mark.parametrize("batch", [1, 5])
def test_each_row_of_a_batch_is_answered_as_if_alone(session: onnxruntime.InferenceSession, batch: int) -> None:
    """The batch axis is free, and rows do not influence each other; a leaf may flip where rounding does."""
    with np.load(FOLDER / "test.npz") as data:
        x = data["x"][:batch]
    alone = np.concatenate([session.run(["rul"], {"x": row[None]})[0] for row in x])

    assert (batch, 1) == alone.shape
    np.testing.assert_allclose(session.run(["rul"], {"x": x})[0], alone, atol=1e-2)


def test_the_life_told_is_never_outside_0_to_125(session: onnxruntime.InferenceSession) -> None:
    """However wild the readings, the answer is a life that the target can have."""
    x = np.random.default_rng(0).normal(0, 5, (50, 30, 14)).astype(np.float32)
    told = session.run(["rul"], {"x": x})[0]

    assert (True, True) == (0 <= told.min(), told.max() <= 125)


@pytest.mark.parametrize(("name", "count"), [("calibration", 200), ("test", 100)])
def test_the_data_are_what_the_model_reads(name: str, count: int) -> None:
    """Both files hold finite float32 windows and float32 lives of 0 to 125 cycles, in at most 2 MB."""
    path = FOLDER / f"{name}.npz"
    with np.load(path) as data:
        x, labels = data["x"], data["labels"]

    assert ((count, 30, 14), (count, 1)) == (x.shape, labels.shape)
    assert {np.dtype(np.float32)} == {x.dtype, labels.dtype}
    assert np.isfinite(x).all()
    assert (0 <= labels.min(), labels.max()) == (True, 125)
    assert path.stat().st_size <= 2_000_000


def test_the_model_is_as_good_as_it_says(session: onnxruntime.InferenceSession) -> None:
    """Plain onnxruntime finds the errors in metrics.json within 0.1 cycles; the README gives the same figures."""
    metrics = json.loads((FOLDER / "metrics.json").read_text())
    with np.load(FOLDER / "test.npz") as data:
        x, capped, uncapped = data["x"], data["labels"], data["labels_uncapped"]
    told = session.run(["rul"], {"x": x})[0]
    readme = (FOLDER / "README.md").read_text()

    np.testing.assert_array_equal(np.minimum(uncapped, 125), capped)
    for key, labels in (("capped", capped), ("uncapped", uncapped)):
        figure = metrics[f"test_rmse_{key}"]
        assert figure == pytest.approx(_rmse(told, labels), abs=0.1)
        assert re.search(
            rf"test engines.*{'true life' if key == 'uncapped' else 'at most 125'}.*\*\*{figure:.2f}\*\*", readme
        )


def test_the_trees_tell_better_than_the_linear_head() -> None:
    """Otherwise they would be ornament."""
    metrics = json.loads((FOLDER / "metrics.json").read_text())

    assert metrics["test_rmse_capped"] < metrics["linear_head_test_rmse_capped"]
