from __future__ import annotations

import json
import re
import wave
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edgehybrid.errors import DataError, RequestError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="session")
def features(import_sample: Callable[[str, str], ModuleType]) -> ModuleType:
    return import_sample("keyword_spotter", "features")


@pytest.fixture(scope="session")
def augment(import_sample: Callable[[str, str], ModuleType]) -> ModuleType:
    return import_sample("keyword_spotter", "augment")


@pytest.fixture(scope="session")
def dataset(import_sample: Callable[[str, str], ModuleType]) -> ModuleType:
    return import_sample("keyword_spotter", "dataset")


@pytest.fixture(scope="module")
def session(keyword_spotter: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(keyword_spotter / "model.onnx", options, providers=["CPUExecutionProvider"])


def _write_wav(path: Path, *, rate_hz: int = 8000, width: int = 2, channels: int = 1, frames: int = 4000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setframerate(rate_hz)
        file.setsampwidth(width)
        file.setnchannels(channels)
        file.writeframes(bytes(frames * width * channels))
    return path


def _tone(hz: float, samples: int = 4000) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(samples) / 8000)).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 199, 200, 4000, 40000])
def test_features_fit_the_model(features: ModuleType, samples: int) -> None:
    """A clip of any length becomes finite float32 [96, 40], the same each time."""
    first, second = (features.features(_tone(440, samples)) for _ in range(2))

    assert (96, 40) == first.shape
    assert np.float32 == first.dtype
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("hz", [300, 1000, 2500])
def test_a_tone_is_loudest_in_its_own_band(features: ModuleType, hz: float) -> None:
    """The band that holds most energy of a tone is the one whose filter is highest at that frequency."""
    own = int(features.mel_filters()[round(hz / 8000 * 256)].argmax())

    assert abs(own - int(features.log_mel(_tone(hz)).mean(axis=0).argmax())) <= 1


def test_normalized_rows_have_mean_0_and_deviation_1(features: ModuleType) -> None:
    """The loudness of the recording does not reach the model."""
    rows = features.normalize(features.log_mel(_tone(440) + _tone(1500)))

    assert 0 == pytest.approx(float(rows.mean()), abs=1e-4)
    assert 1 == pytest.approx(float(rows.std()), abs=1e-3)


def test_the_noise_of_a_microphone_is_levelled(features: ModuleType) -> None:
    """Nothing is left that lies further below the loudest than the range, and nothing within the range is changed."""
    rows = features.log_mel(_tone(440))
    limited = features.limit(rows, 5.0)

    assert limited.min() == pytest.approx(rows.max() - 5, abs=1e-5)
    np.testing.assert_array_equal(limited[rows > limited.min()], rows[rows > limited.min()])


def test_silence_gives_finite_features(features: ModuleType) -> None:
    """A clip without any sound divides by no zero."""
    assert np.isfinite(features.features(np.zeros(4000, dtype=np.float32))).all()


def test_a_stream_sees_the_rows_of_the_whole(features: ModuleType) -> None:
    """Rows made from a later stretch equal those that the whole clip has there, so that a stream can go on from it."""
    sound = _tone(440) * np.linspace(0, 1, 4000, dtype=np.float32)

    np.testing.assert_allclose(features.log_mel(sound)[10:], features.log_mel(sound[800:]), atol=1e-5)


@pytest.mark.parametrize("wrong", [{"rate_hz": 16000}, {"width": 1}, {"channels": 2}])
def test_a_wav_that_the_model_cannot_hear_is_refused(
    features: ModuleType, tmp_path: Path, wrong: dict[str, int]
) -> None:
    """Another rate, width or number of channels is an error whose fix is the command that converts the file."""
    with pytest.raises(DataError, match="the model hears 8000 Hz, 16 bit, 1") as caught:
        features.read_wav(_write_wav(tmp_path / "in.wav", **wrong))

    assert "ffmpeg" in caught.value.fix


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3 this is no wav file", b"RIFF\x24\x00\x00\x00WAVEjunk"])
def test_what_is_no_wav_is_refused(features: ModuleType, tmp_path: Path, content: bytes) -> None:
    """An empty, truncated or foreign file is named as no wav file."""
    path = tmp_path / "in.wav"
    path.write_bytes(content)

    with pytest.raises(DataError, match="is not a PCM wav file"):
        features.read_wav(path)


def test_a_missing_wav_is_refused(features: ModuleType, tmp_path: Path) -> None:
    """A path that leads nowhere is said so."""
    with pytest.raises(DataError, match="cannot be read: No such file"):
        features.read_wav(tmp_path / "none.wav")


def test_a_wav_without_sound_is_refused(features: ModuleType, tmp_path: Path) -> None:
    """No sample, no features: neither from a file nor from an array."""
    with pytest.raises(DataError, match="holds no sound"):
        features.read_wav(_write_wav(tmp_path / "in.wav", frames=0))
    with pytest.raises(DataError, match="sound is empty"):
        features.log_mel(np.zeros(0, dtype=np.float32))


def test_augmented_clips_fit_the_model(augment: ModuleType) -> None:
    """However short or long the clip, every draw gives finite float32 [96, 40]; the seed alone decides which."""
    for seed, samples in enumerate([1, 150, 1200, 4000, 20000] * 8):
        first, second = (augment.augment(_tone(440, samples), np.random.default_rng(seed)) for _ in range(2))

        assert first.shape == (96, 40)
        assert first.dtype == np.float32
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, second)


def test_augmented_clips_differ(augment: ModuleType) -> None:
    """One generator gives another speaker each time."""
    draw = np.random.default_rng(0)

    assert not np.array_equal(*(augment.augment(_tone(440), draw) for _ in range(2)))


@given(x=arrays(np.float32, 7, elements=st.floats(-1e3, 1e3, width=32, allow_subnormal=False)), bits=st.integers(1, 22))
def test_rounding_keeps_the_leading_bits(dataset: ModuleType, x: NDArray[np.float32], bits: int) -> None:
    """No value moves by more than half of its last kept bit, and a second rounding moves none."""
    rounded = dataset.round_mantissa(x, bits)

    assert (np.abs(rounded - x) <= np.abs(x) * np.float32(2.0 ** -(bits + 1))).all()
    np.testing.assert_array_equal(rounded, dataset.round_mantissa(rounded, bits))


def test_nobody_is_heard_in_training_and_tested_on(dataset: ModuleType, tmp_path: Path) -> None:
    """The speaker held out is tested on alone; of the others, takes 0-4 calibrate and the rest train."""
    _write_wav(tmp_path / "notes_on_this.wav")
    for speaker in ("ann", "bob"):
        for take in (4, 5):
            _write_wav(tmp_path / f"7_{speaker}_{take}.wav")
    parts = dataset.split(dataset.read_clips(tmp_path), "bob")

    assert [[path.stem for path in (clip.path for clip in part)] for part in parts] == [
        ["7_ann_5"],
        ["7_ann_4"],
        ["7_bob_4", "7_bob_5"],
    ]
    with pytest.raises(RequestError, match=r"No recording is of eve\. Hold out one of: ann, bob\."):
        dataset.split(dataset.read_clips(tmp_path), "eve")


def test_a_folder_without_recordings_is_refused(dataset: ModuleType, tmp_path: Path) -> None:
    """The error says where the recordings are to be had."""
    with pytest.raises(DataError, match="free-spoken-digit-dataset"):
        dataset.read_clips(tmp_path)


def test_the_model_is_the_hybrid_that_it_claims_to_be(keyword_spotter: Path) -> None:
    """One small valid file without external data: convolutions, one GRU, two attention softmaxes, a free batch axis."""
    path = keyword_spotter / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    ops = Counter(node.op_type for node in model.graph.node)

    onnx.checker.check_model(model, full_check=True)
    assert path.stat().st_size < 2_000_000
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    assert (5, 1, 2) == (ops["Conv"], ops["GRU"], ops["Softmax"])
    assert ["x"] == [value.name for value in model.graph.input]
    assert ["y"] == [value.name for value in model.graph.output]


def test_the_model_names_no_folder_of_the_computer_it_was_trained_on(keyword_spotter: Path) -> None:
    """The exporter's stack traces are taken out."""
    assert b".py" not in (keyword_spotter / "model.onnx").read_bytes()


@pytest.mark.parametrize("batch", [1, 5])
def test_each_row_of_a_batch_is_answered_as_if_alone(
    session: onnxruntime.InferenceSession, keyword_spotter: Path, batch: int
) -> None:
    """The batch axis is free, and rows do not influence each other."""
    x = np.load(keyword_spotter / "test.npz")["x"][:batch]
    alone = np.concatenate([session.run(["y"], {"x": row[None]})[0] for row in x])

    np.testing.assert_allclose(session.run(["y"], {"x": x})[0], alone, atol=1e-4)


@pytest.mark.parametrize(("name", "count"), [("calibration", 200), ("evaluation", 200), ("test", 300)])
def test_the_data_are_what_the_model_reads(keyword_spotter: Path, name: str, count: int) -> None:
    """Each file holds finite float32 features and as many clips of each digit as of any other, in at most 2 MB."""
    path = keyword_spotter / f"{name}.npz"
    with np.load(path) as data:
        x, labels = data["x"], data["labels"]

    assert ((count, 96, 40), np.float32, np.int64) == (x.shape, x.dtype, labels.dtype)
    assert np.isfinite(x).all()
    assert [count // 10] * 10 == np.bincount(labels).tolist()
    assert path.stat().st_size <= 2_000_000


@pytest.mark.parametrize(
    ("figure", "names"), [("calibration_accuracy", ["calibration"]), ("held_out_accuracy", ["evaluation", "test"])]
)
def test_the_model_is_as_accurate_as_it_says(
    session: onnxruntime.InferenceSession, keyword_spotter: Path, figure: str, names: list[str]
) -> None:
    """Plain onnxruntime finds the accuracy in metrics.json, within two clips, and the README gives the same figure."""
    metrics = json.loads((keyword_spotter / "metrics.json").read_text())
    files = [np.load(keyword_spotter / f"{name}.npz") for name in names]
    x, labels = (np.concatenate([file[key] for file in files]) for key in ("x", "labels"))
    found = float(np.mean(session.run(["y"], {"x": x})[0].argmax(axis=1) == labels))

    assert metrics[figure] == pytest.approx(found, abs=2.5 / len(labels))
    readme = (keyword_spotter / "README.md").read_text()
    assert re.search(rf"`{names[0]}\.npz`.*\*\*{metrics[figure]:.3f}\*\*", readme)


def test_the_clips_say_what_their_names_say(
    features: ModuleType, session: onnxruntime.InferenceSession, keyword_spotter: Path
) -> None:
    """From wav file to word, the way the README shows it."""
    clips = sorted((keyword_spotter / "clips").glob("say-*.wav"))
    x = np.stack([features.features(features.read_wav(clip)) for clip in clips])
    words = [WORDS[i] for i in session.run(["y"], {"x": x})[0].argmax(axis=1)]

    assert 3 == len(clips)
    assert [clip.stem.removeprefix("say-") for clip in clips] == words
