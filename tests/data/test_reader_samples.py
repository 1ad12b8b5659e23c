from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgehybrid.data import open_data, split
from edgehybrid.errors import DataError, RequestError
from edgehybrid.tensors import TensorSpec

SOURCE = '''
import numpy as np

def items():
    """Seven samples in dicts of two, two, two and one."""
    for start in (0, 2, 4, 6):
        n = min(2, 7 - start)
        x = np.arange(start, start + n, dtype=np.float32)[:, None].repeat(3, axis=1)
        yield {"x": x, "labels": np.arange(start, start + n)}

class Reader:
    """As onnxruntime.quantization.CalibrationDataReader."""
    def __init__(self):
        self.left = 3
    def get_next(self):
        self.left -= 1
        return {"x": np.full((1, 3), self.left, np.float32), "labels": self.left} if self.left >= 0 else None

once = iter([{"x": np.zeros((1, 3), np.float32)}])

def exhausted():
    return once

def uneven():
    yield {"x": np.zeros((1, 3), np.float32), "z": np.zeros((2, 3), np.float32)}

def growing():
    yield {"x": np.zeros((1, 3), np.float32)}
    yield {"x": np.zeros((1, 4), np.float32)}

def forgetful():
    yield {"x": np.zeros((1, 3), np.float32), "z": np.zeros((1, 3), np.float32)}
    yield {"x": np.zeros((1, 3), np.float32)}

def tuples():
    yield (1, 2)

def scalar():
    yield {"x": np.float32(1)}

def objects():
    yield {"x": np.array([None])}

def empty():
    return []

def number():
    return 3

def nan():
    yield {"x": np.zeros((2, 3), np.float32)}
    yield {"x": np.full((2, 3), np.nan, np.float32)}

constant = 3
'''


@pytest.fixture
def module(tmp_path: Path) -> Iterator[str]:
    """The name of an importable module with the functions above."""
    (tmp_path / "user_readers.py").write_text(SOURCE)
    sys.path.insert(0, str(tmp_path))
    yield "user_readers"
    sys.path.remove(str(tmp_path))
    sys.modules.pop("user_readers", None)


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_function_is_regrouped_into_batches(module: str, size: int) -> None:
    """Dicts of any length become batches of the size asked for, as often as one likes."""
    samples = open_data(f"{module}:items").check([TensorSpec(name="x", dtype="float32", shape=("n", 3))])

    for _ in range(2):
        batches = list(samples.batches(size, start=1, stop=6))
        values = [float(row[0]) for batch in batches for row in batch.feeds["x"]]
        assert [1, 2, 3, 4, 5] == values
        assert all(size == len(batch.feeds["x"]) for batch in batches[:-1])
    assert (7, True) == (samples.count, samples.has_labels)


def test_function_can_be_split(module: str) -> None:
    """The split works on functions as on files."""
    sides = split(open_data(f"{module}:items"), calibration=3)
    labels = [int(label) for side in sides for batch in side.batches(2) for label in np.asarray(batch.labels)]

    assert list(range(7)) == sorted(labels)


def test_calibration_data_reader_convention(module: str) -> None:
    """An object with ``get_next()`` works; a label may be a plain number."""
    samples = open_data(f"{module}:Reader")

    assert [2, 1, 0] == [int(batch.labels[0]) for batch in samples.batches() if batch.labels is not None]
    assert open_data(f"{module}:Reader").sha256 == samples.sha256 != open_data(f"{module}:items").sha256


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uneven", "item 0 of user_readers:uneven have different lengths"),
        ("growing", r"'x' in item 1 of user_readers:growing is float32\[4\] per sample, an earlier one float32\[3\]"),
        ("forgetful", r"Item 1 of user_readers:forgetful has \['x'\], not \['x', 'z'\]"),
        ("tuples", "is a tuple, not a dict. It must yield dicts"),
        ("scalar", r"is a single number. .* give x\[None\]"),
        ("objects", "holds Python objects"),
        ("empty", "holds no array for an input|zero samples"),
        ("number", r"returned a int. It must yield dicts of arrays, or return an object with get_next\(\)"),
    ],
)
def test_functions_that_give_something_else(module: str, name: str, message: str) -> None:
    """What it gave and what it must give; the item is named."""
    with pytest.raises(DataError, match=message):
        open_data(f"{module}:{name}")


def test_reader_that_can_be_read_only_once(module: str) -> None:
    """A function that hands out the same exhausted iterator is noticed, not read as an empty data set."""
    samples = open_data(f"{module}:exhausted")

    with pytest.raises(DataError, match=r"1 samples the first time and 0 now. Let the function return a new reader"):
        list(samples.batches())


def test_non_finite_values_from_a_function_name_the_sample(module: str) -> None:
    """The index counts samples, not dicts."""
    with pytest.raises(DataError, match="Sample 2 of 'x'"):
        list(open_data(f"{module}:nan").batches(3))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("user_readers:absent", "has no attribute 'absent'"),
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("user_readers:constant", "is no function, but a int"),
    ],
)
def test_functions_that_are_not_there(module: str, spec: str, message: str) -> None:
    """A wrong name is a wrong request, with where it was looked for."""
    assert module in sys.modules or module == "user_readers"
    with pytest.raises(RequestError, match=message):
        open_data(spec)
