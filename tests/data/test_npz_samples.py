from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgehybrid.data import Samples, npz_bytes, open_data, read_npz, split
from edgehybrid.errors import DataError, RequestError
from edgehybrid.tensors import TensorSpec

Array = NDArray[np.generic]

X = TensorSpec(name="x", dtype="float32", shape=("batch", 3, 5))


def saved(path: Path, arrays: Mapping[str, Array], *, compressed: bool = False) -> Path:
    """An ``.npz`` as numpy writes it."""
    save = np.savez_compressed if compressed else np.savez
    save(path, **dict(arrays))  # type: ignore[arg-type]  # no array is called allow_pickle
    return path


def rows(samples: Samples, size: int = 1, *, start: int = 0, stop: int | None = None) -> list[tuple[int, Array, Array]]:
    """Every batch as start, x and labels."""
    found = []
    for batch in samples.batches(size, start=start, stop=stop):
        assert batch.labels is not None
        found.append((batch.start, batch.feeds["x"], batch.labels))
    return found


def numbered(n: int) -> dict[str, Array]:
    """``n`` samples that tell their own index."""
    x = np.arange(n * 15, dtype=np.float32).reshape(n, 3, 5)
    return {"x": x, "labels": np.arange(n)}


@given(
    n=st.integers(1, 40),
    size=st.integers(1, 45),
    start=st.integers(0, 45),
    stop=st.none() | st.integers(0, 50),
    compressed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_batches_are_the_array_in_slices(
    n: int, size: int, start: int, stop: int | None, compressed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For any slice, stored or compressed: the batches joined are the rows of the array, in order, ``size`` each."""
    arrays = numbered(n)
    samples = open_data(saved(tmp_path_factory.mktemp("npz") / "d.npz", arrays, compressed=compressed)).check([X])

    batches = rows(samples, size, start=start, stop=stop)
    expected = arrays["labels"][start:stop]

    assert n == samples.count
    assert expected.tolist() == [int(label) for _, _, labels in batches for label in labels]
    assert [start + i for i in range(0, len(expected), size)] == [at for at, _, _ in batches]
    for at, x, labels in batches:
        np.testing.assert_array_equal(arrays["x"][at : at + len(labels)], x)
        assert size == len(x) or (at, x.tolist()) == (batches[-1][0], batches[-1][1].tolist())


@given(n=st.integers(2, 60), share=st.floats(0.01, 0.99), seed=st.integers(0, 99), size=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_split_covers_everything_once_and_evenly(
    n: int, share: float, seed: int, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each row lands on exactly one side; a sorted file is sampled evenly over its length; same seed, same split."""
    wanted = min(max(round(share * n), 1), n - 1)
    samples = open_data(saved(tmp_path_factory.mktemp("npz") / "d.npz", numbered(n))).check([X])

    sides = split(samples, calibration=wanted, seed=seed)
    calibration, evaluation = ([int(i) for _, _, labels in rows(side, size) for i in labels] for side in sides)

    assert sorted(calibration + evaluation) == list(range(n))
    assert sorted(calibration) == calibration
    assert (wanted, n - wanted) == (sides[0].count, sides[1].count) == (len(calibration), len(evaluation))
    gaps = np.diff([*calibration, calibration[0] + n])
    assert max(gaps) - min(gaps) <= 1
    assert split(samples, calibration=wanted, seed=seed) == sides
    tail = [int(i) for _, _, labels in rows(sides[1], size, start=1, stop=4) for i in labels]
    assert evaluation[1:4] == tail


def test_split_refuses_an_empty_side(tmp_path: Path) -> None:
    """All or nothing for calibration is no split, and a part is not split again."""
    samples = open_data(saved(tmp_path / "d.npz", numbered(4)))

    for calibration in (0, 4, 5, 0.01):
        with pytest.raises(RequestError, match=r"leaves one side empty. Give more samples"):
            split(samples, calibration=calibration)
    with pytest.raises(RequestError, match="part of others"):
        split(split(samples, calibration=0.5)[0], calibration=1)


def test_digests_tell_content_and_parts_apart(tmp_path: Path) -> None:
    """Same bytes, same digest; other bytes, or another part of them, another one."""
    one, two = open_data(saved(tmp_path / "1.npz", numbered(4))), open_data(saved(tmp_path / "2.npz", numbered(5)))
    parts = split(one, calibration=2)

    assert open_data(tmp_path / "1.npz").sha256 == one.sha256
    assert 4 == len({one.sha256, two.sha256, parts[0].sha256, parts[1].sha256})


@pytest.mark.parametrize("compressed", [False, True])
def test_memory_is_flat_in_the_number_of_samples(tmp_path: Path, compressed: bool) -> None:
    """Thirty times the samples (12 MB instead of 400 kB) take no more memory: a few batches and zip's buffers."""
    peaks = []
    for n in (100, 3_000):
        path = saved(tmp_path / f"{n}.npz", {"x": np.ones((n, 1000), np.float32)}, compressed=compressed)
        tracemalloc.start()
        assert n == sum(len(batch.feeds["x"]) for batch in open_data(path).batches(8))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 100_000


@pytest.mark.parametrize(
    ("spec", "arrays", "message"),
    [
        (X, {"z": np.zeros((2, 3, 5), "f4")}, r"no array for x: float32\[batch, 3, 5\]; it has \['z'\]. Save one"),
        (X, {"x": np.zeros((2, 3, 5))}, r"'x' is float64 in the data, .* Save x.astype\(np.float32\)"),
        (X, {"x": np.zeros((2, 5, 3), "f4")}, r"'x' is \[samples, 5, 3\] .* save x.transpose\(0, 2, 1\)"),
        (X, {"x": np.zeros((2, 3, 5, 1), "f4")}, r"an axis too many; save x.squeeze\(3\)"),
        (X, {"x": np.zeros((2, 3, 5), ">f4")}, r"'x' is >f4 in the data, .* Save x.astype\(np.float32\)"),
        (
            TensorSpec(name="x", dtype="float32", shape=(8, 3, 5)),
            {"x": np.zeros((16, 3, 5), "f4")},
            r"takes 8 samples at once: .* save x.reshape\(-1, 8, 3, 5\)",
        ),
        (X, {"x": np.zeros((2, 4, 5), "f4")}, r"\[samples, 4, 5\] in the data, .* The first axis is the samples"),
        (
            TensorSpec(name="x", dtype="float32", shape=("n", 1, 4, 5)),
            {"x": np.zeros((2, 4, 5), "f4")},
            r"axis of length 1 is missing; save np.expand_dims\(x, 1\)",
        ),
    ],
)
def test_data_that_does_not_fit_names_the_line_that_fixes_it(
    tmp_path: Path, spec: TensorSpec, arrays: Mapping[str, Array], message: str
) -> None:
    """Missing, other dtype, other axes: what is there, what is wanted, and the numpy line."""
    samples = open_data(saved(tmp_path / "d.npz", arrays))

    with pytest.raises(DataError, match=message):
        samples.check([spec])


@pytest.mark.parametrize(("axis", "shape"), [(1, (1, 3, 5)), ("batch", ("batch", "time", 5))])
def test_free_and_single_batch_axes_fit(tmp_path: Path, axis: int | str, shape: tuple[int | str, ...]) -> None:
    """A first axis of one takes one sample at a time, a free one any number."""
    path = saved(tmp_path / "d.npz", numbered(4))
    samples = open_data(path).check([TensorSpec(name="x", dtype="float32", shape=shape)])

    assert (1, 3, 5) == next(samples.batches(1)).feeds["x"].shape
    if axis == 1:
        with pytest.raises(RequestError, match="Ask for 1 at a time"):
            next(samples.batches(2))
    else:
        assert (4, 3, 5) == next(samples.batches(9)).feeds["x"].shape


def test_scalar_inputs_get_one_number(tmp_path: Path) -> None:
    """An input without axes takes one number per sample, as an array of no axes."""
    samples = open_data(saved(tmp_path / "d.npz", {"gain": np.array([2.0, 3.0])}))
    samples = samples.check([TensorSpec(name="gain", dtype="float64", shape=())])

    fed = [batch.feeds["gain"] for batch in samples.batches()]
    assert [(2.0, ()), (3.0, ())] == [(float(array), array.shape) for array in fed if isinstance(array, np.ndarray)]


def test_models_without_a_batch_axis_get_one_row(tmp_path: Path) -> None:
    """An input of the whole row's shape gets the row itself."""
    samples = open_data(saved(tmp_path / "d.npz", numbered(4)))
    samples = samples.check([TensorSpec(name="x", dtype="float32", shape=(3, 5))])

    assert (3, 5) == next(samples.batches()).feeds["x"].shape


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_inputs_name_the_sample(tmp_path: Path, value: float) -> None:
    """NaN and infinity are found at their sample, also through a split; the samples before it are delivered."""
    arrays = numbered(9)
    arrays["x"] = arrays["x"].copy()
    arrays["x"][6, 1, 2] = value
    samples = open_data(saved(tmp_path / "d.npz", arrays))

    with pytest.raises(DataError, match="Sample 6 of 'x' holds NaN or infinity"):
        list(samples.batches(4))
    assert [0, 1, 2, 3, 4, 5] == [batch.start for batch in samples.batches(stop=6)]
    sides = split(samples, calibration=4)
    messages = []
    for side in sides:
        try:
            list(side.batches(3))
        except DataError as error:
            messages.append(error.what)
    assert ["Sample 6 of 'x' holds NaN or infinity."] == messages


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((0, 3), "f4")}, "zero samples"),
        ({"x": np.zeros((3, 3), "f4"), "labels": np.zeros(2)}, r"different lengths: {'x': 3, 'labels': 2}"),
        ({"labels": np.zeros(2)}, "holds no array for an input"),
        ({"x": np.float32(3)}, "is a single number. The first axis must be the samples"),
        ({"x": np.asfortranarray(np.zeros((3, 4), "f4"))}, r"Fortran order.* Save np.ascontiguousarray\(x\)"),
        ({"x": np.zeros(3, dtype=[("a", "f4")])}, "Python objects or records"),
    ],
)
def test_unusable_files_are_refused_when_opened(tmp_path: Path, arrays: Mapping[str, Array], message: str) -> None:
    """No samples, uneven lengths, no inputs, layouts that cannot be streamed."""
    with pytest.raises(DataError, match=message):
        open_data(saved(tmp_path / "d.npz", arrays))


def test_pickles_are_never_read(tmp_path: Path) -> None:
    """An array of objects could run code when it is loaded."""
    np.savez(tmp_path / "d.npz", x=np.array([{"a": 1}, None], dtype=object))

    with pytest.raises(DataError, match="could run code"):
        open_data(tmp_path / "d.npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_files_are_refused(tmp_path: Path, compressed: bool) -> None:
    """Cut anywhere, or one byte of the data changed: an error of ours, at the latest when it is read."""
    x = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    whole = saved(tmp_path / "d.npz", {"x": x}, compressed=compressed).read_bytes()

    for keep in (0, 1, 30, 2000, len(whole) - 30, len(whole) - 1):
        (tmp_path / "cut.npz").write_bytes(whole[:keep])
        with pytest.raises(DataError, match=r"no readable .npz file"):
            list(open_data(tmp_path / "cut.npz").batches(7))
    changed = bytearray(whole)
    changed[3000] ^= 0x10
    (tmp_path / "changed.npz").write_bytes(changed)
    with pytest.raises(DataError, match=r"no readable .npz file"):
        list(open_data(tmp_path / "changed.npz").batches(7))


def test_wrong_paths_say_what_they_are(tmp_path: Path) -> None:
    """Nothing there, a folder, another format, an archive without arrays."""
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")

    for name, message in (
        ("gone.npz", "does not exist. Give the path of an .npz file, or module:function"),
        (".", "is a folder"),
        ("text.npz", "no readable .npz file"),
        ("one.npy", "no readable .npz file"),
        ("zip.npz", "no readable .npz file"),
    ):
        with pytest.raises(DataError, match=message):
            open_data(tmp_path / name)


def test_labels_may_have_another_name_or_be_absent(tmp_path: Path) -> None:
    """``labels_key`` names them; without, the array is an input like others."""
    path = saved(tmp_path / "d.npz", {"x": np.zeros((2, 3), "f4"), "y": np.array([4, 5])})

    assert (("x",), True) == (open_data(path, labels_key="y").names, open_data(path, labels_key="y").has_labels)
    assert np.dtype("int64") == open_data(path, labels_key="y").label_dtype
    assert (("x", "y"), False) == (open_data(path).names, open_data(path).has_labels)
    assert next(open_data(path).batches()).labels is None


@pytest.mark.parametrize("compress", [False, True])
def test_npz_bytes_are_the_same_each_time(tmp_path: Path, *, compress: bool) -> None:
    """Equal arrays, in any order and memory layout, give equal bytes that numpy reads."""
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array(3)
    data = npz_bytes({"a": a, "b/c:0": b}, compress=compress)
    (tmp_path / "d.npz").write_bytes(data)

    assert npz_bytes({"b/c:0": b, "a": np.asfortranarray(a)}, compress=compress) == data
    with np.load(tmp_path / "d.npz") as loaded:
        np.testing.assert_array_equal(a, loaded["a"])
    assert {"a", "b/c:0"} == set(read_npz(tmp_path / "d.npz"))


def test_compressed_arrays_take_less(tmp_path: Path) -> None:
    """What repeats is stored once, and comes back bit for bit."""
    a = np.random.default_rng(0).integers(0, 3, (50, 40)).astype(np.float32)
    data = npz_bytes({"a": a}, compress=True)
    (tmp_path / "d.npz").write_bytes(data)

    assert len(data) < 0.2 * len(npz_bytes({"a": a}))
    np.testing.assert_array_equal(a, read_npz(tmp_path / "d.npz")["a"])
