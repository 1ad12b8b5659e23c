"""Bad input gets a clear error with its fix, and nothing is lost or half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.bundle import Bundle
from edgehybrid.data import npz_bytes

Arrays = dict[str, NDArray[np.generic]]

Cli = Callable[..., CompletedProcess[str]]


def arrays_of(data: Path) -> Arrays:
    """Load the good samples, to be spoilt."""
    with np.load(data) as loaded:
        return {name: loaded[name] for name in loaded.files}


def save_model(nodes: list[onnx.NodeProto], path: Path, **external: str) -> None:
    """Save a model of ``nodes`` from x to y, with one initializer w."""
    weights = numpy_helper.from_array(np.ones((3, 16, 16), np.float32), "w")
    if external:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in external.items():
            entry = weights.external_data.add()
            entry.key, entry.value = key, value
    shape: list[str | int | None] = ["batch", 3, 16, 16]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weights],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())


def no_file(path: Path, good: bytes) -> None:
    del path, good


def empty(path: Path, good: bytes) -> None:
    del good
    path.write_bytes(b"")


def truncated(path: Path, good: bytes) -> None:
    path.write_bytes(good[: len(good) // 2])


def text(path: Path, good: bytes) -> None:
    del good
    path.write_text("This is a poem, not a model.\n")


def no_valid_model(path: Path, good: bytes) -> None:
    del good
    save_model([helper.make_node("Add", ["x", "missing"], ["y"])], path)


def unknown_op(path: Path, good: bytes) -> None:
    del good
    save_model([helper.make_node("Levitate", ["x"], ["y"])], path)


def external_missing(path: Path, good: bytes) -> None:
    del good
    save_model([helper.make_node("Add", ["x", "w"], ["y"])], path, location="gone.bin", offset="0", length="3072")


def external_outside(path: Path, good: bytes) -> None:
    del good
    (path.parent.parent / "secret.bin").write_bytes(b"\0" * 3072)
    save_model([helper.make_node("Add", ["x", "w"], ["y"])], path, location="../secret.bin", offset="0", length="3072")


MODELS: list[tuple[Callable[[Path, bytes], None], str]] = [
    (no_file, "m.onnx"),
    (empty, "empty"),
    (truncated, "m.onnx"),
    (text, "m.onnx"),
    (no_valid_model, "missing"),
    (unknown_op, "Levitate"),
    (external_missing, "gone.bin"),
    (external_outside, "secret.bin"),
]


@pytest.mark.parametrize(("spoil", "named"), MODELS, ids=lambda value: getattr(value, "__name__", ""))
def test_bad_models(
    cli: Cli, model: Path, data: Path, tmp_path: Path, spoil: Callable[[Path, bytes], None], named: str
) -> None:
    """Each bad model is refused with what is wrong and how to go on; no output appears."""
    folder = tmp_path / "in"
    folder.mkdir()
    spoil(folder / "m.onnx", model.read_bytes())

    answer = cli("export", folder / "m.onnx", "-o", tmp_path / "out", "--data", data, "--effort", "quick")

    refused(answer, named)
    assert not (tmp_path / "out").exists()


def lacks_an_input(a: Arrays) -> Arrays:
    return {"z": a["x"], "labels": a["labels"]}


def wrong_shape(a: Arrays) -> Arrays:
    return {**a, "x": a["x"].transpose(0, 2, 3, 1).copy()}


def wrong_dtype(a: Arrays) -> Arrays:
    return {**a, "x": a["x"].astype(np.float64)}


def holds_nan(a: Arrays) -> Arrays:
    x = a["x"].copy()
    x[17, 0, 0, 0] = np.nan
    return {**a, "x": x}


def no_samples(a: Arrays) -> Arrays:
    return {name: array[:0] for name, array in a.items()}


def labels_of_another_length(a: Arrays) -> Arrays:
    return {**a, "labels": a["labels"][:-1]}


def one_sample(a: Arrays) -> Arrays:
    return {name: array[:1] for name, array in a.items()}


def labels_of_text(a: Arrays) -> Arrays:
    return {**a, "labels": a["labels"].astype(str)}


def label_beyond_the_classes(a: Arrays) -> Arrays:
    return {**a, "labels": np.where(np.arange(len(a["labels"])) == len(a["labels"]) - 2, 4, a["labels"])}


def one_hot_labels(a: Arrays) -> Arrays:
    return {**a, "labels": np.eye(4)[a["labels"]]}


DATA: list[tuple[Callable[[Arrays], Arrays], str]] = [
    (lacks_an_input, "x"),
    (wrong_shape, "16"),
    (wrong_dtype, "float64"),
    (holds_nan, "17"),
    (no_samples, "zero samples"),
    (labels_of_another_length, "labels"),
    (one_sample, "One sample cannot both calibrate and evaluate"),
    (labels_of_text, "The labels are text"),
    (label_beyond_the_classes, "There is a label 4"),
    (one_hot_labels, "labels.argmax(-1)"),
]


@pytest.mark.parametrize(("spoil", "named"), DATA, ids=lambda value: getattr(value, "__name__", ""))
def test_bad_data(
    cli: Cli, model: Path, data: Path, tmp_path: Path, spoil: Callable[[Arrays], Arrays], named: str
) -> None:
    """Data that does not fit is refused with what is wrong, in a dry run too; no output appears."""
    (tmp_path / "bad.npz").write_bytes(npz_bytes(spoil(arrays_of(data))))

    words = ("export", model, "-o", tmp_path / "out", "--data", tmp_path / "bad.npz", "--effort", "quick", "--no-cache")

    refused(cli(*words), named)
    refused(cli(*words, "--dry-run"), named)
    assert not (tmp_path / "out").exists()


def test_labels_by_another_name_are_seen(cli: Cli, model: Path, data: Path, bundle: Path, tmp_path: Path) -> None:
    """An array that is neither input nor labels is named, with the option; labels that were named must be there."""
    arrays = arrays_of(data)
    (tmp_path / "d.npz").write_bytes(npz_bytes({"x": arrays["x"], "digit": arrays["labels"]}))
    words = ("export", model, "-o", tmp_path / "out", "--data", tmp_path / "d.npz", "--dry-run")

    assert "if 'digit' holds labels, name it with --labels-key" in cli(*words).stderr
    assert "" == cli(*words, "--labels-key", "digit").stderr
    refused(cli(*words, "--labels-key", "digits"), "no array 'digits' of labels")
    refused(
        cli("run", bundle, "--data", tmp_path / "d.npz", "--labels-key", "digits"), "Beside the inputs it has digit"
    )


def test_a_float_model_that_guesses_is_said(cli: Cli, model: Path, data: Path, tmp_path: Path) -> None:
    """Labels that are right by no more than chance, as in another order, are remarked on; the export goes on."""
    x = arrays_of(data)["x"]
    answers = ort.InferenceSession(str(model)).run(["y"], {"x": x})[0].argmax(-1)
    (tmp_path / "d.npz").write_bytes(npz_bytes({"x": x, "labels": (answers + 1) % 4}))

    done = cli("export", model, "-o", tmp_path / "out", "--data", tmp_path / "d.npz", "--effort", "quick")

    assert 0 == done.returncode
    assert "the float model itself is right in 0.0%, no better than by chance (25.0%)" in done.stderr


def test_a_place_that_cannot_be_written_is_refused_before_the_work(cli: Cli, model: Path, data: Path) -> None:
    """What only the attempt shows (here a file system that takes no folders) is found before anything is measured."""
    answer = cli("export", model, "-o", "/proc/small.bundle", "--data", data, "--effort", "quick")

    refused(answer, "/proc")
    assert "rewrites" not in answer.stderr


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("m.pt", "torch.onnx.export"),
        ("m.safetensors", "torch.onnx.export"),
        ("m.h5", "model.export"),
        ("m.tflite", "--formats onnx,tflite"),
        ("m.npz", "--data"),
    ],
)
def test_a_model_of_another_framework_gets_its_way_to_onnx(cli: Cli, tmp_path: Path, name: str, way: str) -> None:
    """What is no ONNX file is told by its name how it becomes one."""
    (tmp_path / name).write_bytes(b"x\n")

    answer = cli("inspect", tmp_path / name)

    refused(answer, name)
    assert way in answer.stderr


def test_what_is_not_there_is_neither_model_nor_bundle(cli: Cli, tmp_path: Path) -> None:
    """A misspelt path is said to be one."""
    refused(cli("inspect", tmp_path / "nowhere"), "neither a model nor a bundle")


def test_an_output_that_exists_stays(cli: Cli, model: Path, data: Path, bundle: Path) -> None:
    """Without ``--overwrite`` the bundle that is there is not touched, and the fix names the option."""
    before = (bundle / "manifest.json").read_bytes()

    answer = cli("export", model, "-o", bundle, "--data", data, "--effort", "quick")

    refused(answer, "--overwrite")
    assert before == (bundle / "manifest.json").read_bytes()


def test_overwrite_never_takes_what_is_no_bundle(cli: Cli, model: Path, data: Path, tmp_path: Path) -> None:
    """A folder with somebody's files is refused even with ``--overwrite``."""
    (tmp_path / "thesis.txt").write_text("years of work")

    answer = cli("export", model, "-o", tmp_path, "--data", data, "--effort", "quick", "--overwrite")

    refused(answer, "bundle")
    assert "years of work" == (tmp_path / "thesis.txt").read_text()


@pytest.mark.parametrize("verb", ["inspect", "verify", "run"])
def test_a_folder_that_is_no_bundle(cli: Cli, data: Path, tmp_path: Path, verb: str) -> None:
    """A folder without a manifest is said to be none."""
    more = ("--data", data) if verb == "run" else ()

    refused(cli(verb, tmp_path, *more), "bundle")


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--policy", "turbo", "balanced"),
        ("--device", "raspberry-pi-9", "raspberry-pi-5"),
        ("--point", "best", "max"),
        ("--metric", "beauty", "accuracy"),
        ("--until", "teatime", "18:00"),
        ("--plot", "run.gif", ".png"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(
    cli: Cli, levels_bundle: Path, data: Path, option: str, value: str, named: str
) -> None:
    """A name that does not exist is answered with those that do."""
    refused(cli("run", levels_bundle, "--data", data, option, value), named)


def test_interrupted_export_leaves_nothing(model: Path, data: Path, tmp_path: Path) -> None:
    """Ctrl-C while it measures: exit 130, one line, neither output nor a temporary sibling."""
    words = [
        "export",
        str(model),
        "-o",
        str(tmp_path / "out"),
        "--data",
        str(data),
        "--no-cache",
        "--effort",
        "thorough",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgehybrid", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("quality"):
            break
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert 130 == process.returncode, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert "" == out
    assert [] == list(tmp_path.iterdir())


def test_the_bundle_of_a_good_export_opens(bundle: Path) -> None:
    """The counter-proof: what is refused above is refused for its own fault."""
    assert "fp32" == Bundle.open(bundle).points[0].name


def refused(answer: CompletedProcess[str], named: str) -> None:
    """Check that ``answer`` is one of our errors and names what is wrong."""
    assert 1 == answer.returncode, answer.stdout + answer.stderr
    assert "" == answer.stdout
    assert "error:" in answer.stderr
    assert "fix:" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert named in answer.stderr
