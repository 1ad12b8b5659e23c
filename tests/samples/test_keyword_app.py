from __future__ import annotations

import itertools
import json
import logging
import wave
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgehybrid.bundle import Bundle

Load = Callable[[str, str], ModuleType]
Sound = NDArray[np.float32]


def _noise(samples: int, level: float = 0.01, seed: int = 1) -> Sound:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@given(cuts=st.lists(st.integers(0, 4000), max_size=12), samples=st.integers(0, 4000))
def test_the_front_end_is_the_same_in_pieces(import_sample: Load, cuts: list[int], samples: int) -> None:
    """Rows of a stream equal those of the whole sound, whatever the pieces."""
    features, stream = import_sample("keyword_spotter", "features"), import_sample("keyword_spotter", "stream")
    sound, front = _noise(samples), stream.LogMelStream()
    places = [0, *sorted(min(cut, samples) for cut in cuts), samples]
    rows = np.concatenate([front.feed(sound[a:b]) for a, b in itertools.pairwise(places)])

    if samples < 200:
        assert 0 == len(rows)
    else:
        np.testing.assert_allclose(features.log_mel(sound), rows, rtol=0, atol=1e-5)


def test_a_room_without_words_asks_the_model_nothing(import_sample: Load) -> None:
    """Noise, however loud, and clicks are no words; a second sound over them is one."""
    stream = import_sample("keyword_spotter", "stream")
    sound = _noise(8000 * 6)
    sound[20000:20100] += 0.8  # a click
    tone = (0.3 * np.sin(np.arange(4000) * 0.8)).astype(np.float32)
    sound[32000:36000] += tone
    front, cutter = stream.LogMelStream(), stream.WordCutter()
    words = [word for chunk in sound.reshape(-1, 800) for word in cutter.feed(front.feed(chunk))]

    assert [(96, 40)] == [word.shape for word in words]


@pytest.mark.parametrize("step", [1, 2, 4, 6])
def test_other_rates_become_8_khz(import_sample: Load, step: int) -> None:
    """A tone keeps its pitch, whatever the pieces; what 8 kHz cannot hold is gone."""
    decimator = import_sample("keyword_spotter", "resample").Decimator(step)
    t = np.arange(8000 * step) / (8000 * step)
    low = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    thin = np.concatenate([decimator.feed(part) for part in np.array_split(low, 37)])

    assert 440 == int(np.abs(np.fft.rfft(thin, 8000)).argmax())
    assert abs(len(thin) - 8000) <= 17
    if step > 1:
        high = np.sin(2 * np.pi * 5000 * t).astype(np.float32)
        through = import_sample("keyword_spotter", "resample").Decimator(step).feed(high)
        assert np.abs(through[100:-100]).max() < 0.01


class _Card:
    """A fake sounddevice: a sound card that is missing, busy, of other rates, or unplugged after some chunks."""

    class PortAudioError(Exception):
        """What PortAudio says."""

    def __init__(self, *, why: str = "", rates: tuple[int, ...] = (8000,), chunks: int = 3) -> None:
        self.why, self.rates, self.chunks, self.closed = why, rates, chunks, False

    def InputStream(self, *, samplerate: int, callback: Callable[..., None], blocksize: int, **_: Any) -> Any:  # noqa: N802  # its name
        if self.why:
            raise self.PortAudioError(self.why)
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        card = self

        class Stream:
            active = True

            def __enter__(self) -> Stream:
                for _ in range(card.chunks):
                    callback(np.full((blocksize, 1), 0.5, np.float32), blocksize, None, None)
                return self

            def __exit__(self, *_: object) -> None:
                card.closed = True

        return Stream()


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("Error querying device -1", "It cannot be opened: Error querying device -1."),
        ("Device unavailable [PaErrorCode -9985]", "It cannot be opened: Device unavailable"),
    ],
)
def test_a_missing_or_busy_microphone_is_said(import_sample: Load, why: str, says: str) -> None:
    """What PortAudio says of a card that is missing or taken comes with what to do."""
    microphone, source = import_sample("keyword_spotter", "microphone"), import_sample("common", "source")
    items = microphone.Microphone(driver=lambda: _Card(why=why)).items()

    with pytest.raises(source.SourceError, match="Plug it in, end what else records") as caught:
        next(items)
    assert says in caught.value.what


def test_an_unplugged_microphone_is_noticed(import_sample: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that stops delivering is an error of the source, after its chunks, and is closed."""
    microphone, source = import_sample("keyword_spotter", "microphone"), import_sample("common", "source")
    monkeypatch.setattr(microphone, "SILENT_S", 0.05)
    card = _Card(rates=(48000,))
    items: Generator[Sound, None, None] = microphone.Microphone(driver=lambda: card).items()
    sizes = [len(next(items)) for _ in range(3)]

    assert 2400 - 17 <= sum(sizes) <= 2400  # 0.3 s at 8 kHz, less the filter's length
    with pytest.raises(source.SourceError, match="delivered nothing for"):
        next(items)
    assert card.closed


def test_a_card_without_any_of_our_rates_is_refused(import_sample: Load) -> None:
    """A wrong sample rate is said in PortAudio's words, after every rate that we could use was tried."""
    microphone, source = import_sample("keyword_spotter", "microphone"), import_sample("common", "source")

    with pytest.raises(source.SourceError, match="Invalid sample rate"):
        next(microphone.Microphone(driver=lambda: _Card(rates=(44100,))).items())


def _args(bundle: Bundle, replay: Path, answers: Path | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        bundle=bundle.path,
        replay=replay,
        policy="balanced",
        until=None,
        pin=None,
        answers=answers,
        root="/",
        device=None,
        deadline=100.0,
        realtime=False,
        repeat=1,
    )


def test_the_app_hears_the_clips(
    import_sample: Load, bundle_of: Callable[[str], Bundle], keyword_spotter: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Each clip is heard as its word; a file of another rate, and one that is no sound, are left out and said."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in (keyword_spotter / "clips").glob("*.wav"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.wav").write_bytes(b"RIFF nothing")
    with wave.open(str(folder / "studio.wav"), "wb") as file:
        file.setparams((1, 2, 44100, 0, "NONE", ""))
        file.writeframes(bytes(2000))
    app, service = import_sample("keyword_spotter", "app"), import_sample("common", "service")
    with caplog.at_level(logging.INFO):
        app.run(_args(bundle_of("keyword_spotter"), folder, tmp_path / "answers.jsonl"), service.Service({}))
    said = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]

    assert ["eight", "seven", "three"] == [answer["word"] for answer in said]
    assert "eight" in capsys.readouterr().out
    assert "studio.wav has 44100 Hz" in caplog.text
    assert "broken.wav is not a PCM wav file" in caplog.text


def test_nothing_to_hear_is_an_error(import_sample: Load, bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    """A folder without a recording ends the app with the reason."""
    app, service = import_sample("keyword_spotter", "app"), import_sample("common", "service")
    source = import_sample("common", "source")

    with pytest.raises(source.SourceError, match="holds no wav file"):
        app.run(_args(bundle_of("keyword_spotter"), tmp_path), service.Service({}))
