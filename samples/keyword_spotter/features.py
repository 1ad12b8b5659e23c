"""Log-mel front end of the keyword spotter: numpy only, pure functions, the wav file read by the standard library.

    wave, 8 kHz ──► log_mel ──► limit ──► normalize ──► fit ──► [96, 40]

`log_mel` works on any number of samples, so a stream can call it on each new stretch of sound and keep its own
frames; `limit`, `normalize` and `fit` then make a window of them.
"""

from __future__ import annotations

import wave
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import DataError

Float32Array: TypeAlias = NDArray[np.float32]

SAMPLE_RATE_HZ = 8000
WINDOW_SAMPLES = 200  # 25 ms
HOP_SAMPLES = 80  # 10 ms
FFT_SAMPLES = 256
BANDS = 40
FRAMES = 96
LOW_HZ, HIGH_HZ = 60.0, 3800.0
ENERGY_FLOOR = 1e-6
RANGE_LOG = 10.0  # 43 dB; what lies deeper below the loudest is the noise of the microphone, not speech
MIN_STD = 1e-3  # of a silent clip, in log energy; keeps the division finite


def read_wav(path: Path | str) -> Float32Array:
    """Read a mono, 16-bit, 8 kHz wav file.

    Args:
        path: The file.

    Returns:
        Samples in [-1, 1), float32, shape ``(samples,)``.

    Raises:
        DataError: The file is missing, no wav file, empty, or of another rate, width or number of channels.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate_hz, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
            raw = file.readframes(file.getnframes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Give the path of a wav file.") from error
    except (wave.Error, EOFError) as error:
        what = f"{path} is not a PCM wav file ({error or 'it ends early'})."
        raise DataError(what, "Convert it: ffmpeg -i IN -ac 1 -ar 8000 -c:a pcm_s16le OUT.wav") from error
    if (rate_hz, width, channels) != (SAMPLE_RATE_HZ, 2, 1):
        what = f"{path} has {rate_hz} Hz, {8 * width} bit, {channels} channel(s); the model hears 8000 Hz, 16 bit, 1."
        raise DataError(what, "Convert it: ffmpeg -i IN -ac 1 -ar 8000 -c:a pcm_s16le OUT.wav")
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2")
    if samples.size == 0:
        raise DataError(f"{path} holds no sound.", "Record it again; a tenth of a second is enough.")
    return samples.astype(np.float32) / np.float32(32768)


@lru_cache(maxsize=64)
def mel_filters(low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ) -> Float32Array:
    """Return triangular filters, evenly spaced on the mel scale.

    Args:
        low_hz: Lower edge of the lowest band, in Hz.
        high_hz: Upper edge of the highest band, in Hz.

    Returns:
        float32, shape ``(129, 40)``, read-only; the peak of each triangle is at most 1.
    """
    mel = np.linspace(_mel(low_hz), _mel(high_hz), BANDS + 2)
    edge_hz = 700 * (10 ** (mel / 2595) - 1)
    left, middle, right = edge_hz[:-2], edge_hz[1:-1], edge_hz[2:]
    bin_hz = np.fft.rfftfreq(FFT_SAMPLES, 1 / SAMPLE_RATE_HZ)[:, None]
    rise, fall = (bin_hz - left) / (middle - left), (right - bin_hz) / (right - middle)
    filters = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
    filters.flags.writeable = False  # it is shared through the cache
    return filters


def log_mel(sound: Float32Array, filters: Float32Array | None = None) -> Float32Array:
    """Return the log energy in each mel band, one row per 10 ms.

    Args:
        sound: Samples at 8 kHz in [-1, 1], shape ``(samples,)``; shorter than one window, it is padded with zeros.
        filters: Bands, shape ``(129, 40)``; the default is `mel_filters()`.

    Returns:
        ``log(energy + 1e-6)``, float32, shape ``(1 + (samples - 200) // 80, 40)``.

    Raises:
        DataError: There is no sample at all.
    """
    if sound.size == 0:
        raise DataError("The sound is empty.", "Give at least one sample at 8 kHz.")
    padded = np.pad(sound, (0, max(0, WINDOW_SAMPLES - sound.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(frames * np.hanning(WINDOW_SAMPLES), FFT_SAMPLES, axis=1)
    energy = (spectrum.real**2 + spectrum.imag**2) @ (mel_filters() if filters is None else filters)
    return np.log(energy + ENERGY_FLOOR).astype(np.float32)


def limit(rows: Float32Array, range_log: float = RANGE_LOG) -> Float32Array:
    """Raise what lies more than ``range_log`` (natural logarithm of energy) below the loudest value; shape as given."""
    limited: Float32Array = np.maximum(rows, rows.max() - np.float32(range_log))
    return limited


def normalize(rows: Float32Array) -> Float32Array:
    """Return ``rows`` with the mean and the standard deviation of the clip taken out; shape as given."""
    normal: Float32Array = (rows - rows.mean()) / np.float32(max(float(rows.std()), MIN_STD))
    return normal


def fit(rows: Float32Array) -> Float32Array:
    """Pad with zeros (the mean of a normalized clip) at the end, or cut, to 96 rows; float32, shape ``(96, 40)``."""
    fitted: Float32Array = np.pad(rows[:FRAMES], ((0, max(0, FRAMES - len(rows))), (0, 0)))
    return fitted


def features(sound: Float32Array) -> Float32Array:
    """Return what the model reads for one clip.

    Args:
        sound: Samples at 8 kHz in [-1, 1], shape ``(samples,)``.

    Returns:
        float32, shape ``(96, 40)``.
    """
    return fit(normalize(limit(log_mel(sound))))


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))
