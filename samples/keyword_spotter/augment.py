"""Random changes that make four training speakers sound like many: numpy only, every draw from one generator."""

from __future__ import annotations

import numpy as np

from samples.keyword_spotter import features
from samples.keyword_spotter.features import Float32Array

SPEED = (0.8, 1.25)  # pitch, formants and tempo together, as a faster tape
WARP = (0.86, 1.05)  # formants alone: length of the vocal tract; at 1.05 the top band still ends below 4 kHz
TEMPO = (0.85, 1.2)  # tempo alone
EQUALIZER_DB = 9.0
GAIN_DB = (-30.0, 0.0)
NOISE_DB = (-45.0, -8.0)  # beside the speech
EDGE_SHARE = 0.1  # of the clip, at most, cut from each end
RANGE_LOG = (8.0, 12.0)
MASK_BANDS, MASK_SHARE = 7, 1 / 6
SHIFT_FRAMES = 20


def augment(sound: Float32Array, draw: np.random.Generator) -> Float32Array:
    """Return the features of ``sound`` as another speaker, room and microphone might have given them.

    Args:
        sound: Samples at 8 kHz in [-1, 1], shape ``(samples,)``.
        draw: Source of every random choice.

    Returns:
        float32, shape ``(96, 40)``.
    """
    heard = _add_noise(_equalize(_change_speed(sound, draw), draw), draw)
    warp = round(draw.uniform(*WARP), 2)  # rounded, so that the filters are found in their cache
    rows = features.log_mel(heard, features.mel_filters(features.LOW_HZ * warp, features.HIGH_HZ * warp))
    rows = features.limit(_cut_edges(_change_tempo(rows, draw), draw), draw.uniform(*RANGE_LOG))
    return features.fit(_shift(_mask(features.normalize(rows), draw), draw))


def _change_speed(sound: Float32Array, draw: np.random.Generator) -> Float32Array:
    length = max(int(len(sound) / draw.uniform(*SPEED)), features.WINDOW_SAMPLES)
    at = np.linspace(0, len(sound) - 1, length)
    return np.interp(at, np.arange(len(sound)), sound).astype(np.float32)


def _equalize(sound: Float32Array, draw: np.random.Generator) -> Float32Array:
    spectrum = np.fft.rfft(sound)
    knots = np.linspace(0, 1, 6)
    gain_db = np.interp(np.linspace(0, 1, len(spectrum)), knots, draw.uniform(-EQUALIZER_DB, EQUALIZER_DB, len(knots)))
    shaped = np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(sound))
    loudest = float(np.abs(shaped).max()) + 1e-6
    return (shaped / loudest * 10 ** (draw.uniform(*GAIN_DB) / 20)).astype(np.float32)


def _add_noise(sound: Float32Array, draw: np.random.Generator) -> Float32Array:
    if draw.random() < 0.3:
        return sound
    spectrum = np.fft.rfft(draw.standard_normal(len(sound)))
    tilt = np.maximum(np.linspace(0, 1, len(spectrum)), 0.05) ** draw.uniform(0, 1)  # from white to pink
    noise = np.fft.irfft(spectrum / tilt, len(sound))
    level = float(sound.std() / noise.std()) * 10 ** (draw.uniform(*NOISE_DB) / 20)
    return sound + (noise * level).astype(np.float32)


def _change_tempo(rows: Float32Array, draw: np.random.Generator) -> Float32Array:
    at = np.linspace(0, len(rows) - 1, max(int(len(rows) * draw.uniform(*TEMPO)), 4))
    low = at.astype(np.int64)
    high, share = np.minimum(low + 1, len(rows) - 1), (at - low)[:, None]
    return (rows[low] * (1 - share) + rows[high] * share).astype(np.float32)


def _cut_edges(rows: Float32Array, draw: np.random.Generator) -> Float32Array:
    if draw.random() < 0.7:
        return rows
    first, last = draw.integers(0, max(1, int(len(rows) * EDGE_SHARE)), 2)
    return rows[first : len(rows) - last]


def _mask(rows: Float32Array, draw: np.random.Generator) -> Float32Array:
    masked = rows.copy()
    for _ in range(2):
        width = int(draw.integers(0, MASK_BANDS))
        first = int(draw.integers(0, features.BANDS - width))
        masked[:, first : first + width] = 0
    length = int(draw.integers(0, max(1, int(len(rows) * MASK_SHARE))))
    start = int(draw.integers(0, len(rows) - length))
    masked[start : start + length] = 0
    return masked


def _shift(rows: Float32Array, draw: np.random.Generator) -> Float32Array:
    room = features.FRAMES + 1 - len(rows)
    silent = int(draw.integers(0, max(1, min(SHIFT_FRAMES, room))))
    shifted: Float32Array = np.pad(rows, ((silent, 0), (0, 0)))
    return shifted
