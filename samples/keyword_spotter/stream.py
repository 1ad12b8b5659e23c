"""A stream of sound, cut into words: the log-mel front end row by row, and who speaks when. Pure, numpy only.

    chunks ──► LogMelStream ──► rows of 10 ms ──► WordCutter ──► [96, 40] for the model

Nothing is inferred while nobody speaks, so that a quiet room costs next to nothing.
"""

from __future__ import annotations

import numpy as np

from samples.keyword_spotter.features import (
    FRAMES,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    Float32Array,
    fit,
    limit,
    log_mel,
    normalize,
)

BEFORE_ROWS = 2  # of a word, 20 ms, beside the rows that began it: consonants begin softly
QUIET_ROWS = 20  # 200 ms end a word: longer than the silence within "six" or "eight"
LEAST_ROWS = 15  # 150 ms: shorter is a click
LOUD_LOG = 3.0  # 13 dB above the room's noise begins a word
SOFT_LOG = 0.7  # 3 dB above it still belongs to one
FLOOR_ROWS = 300  # the noise of the room is the lowest tenth of the last 3 s
START_ROWS = 3  # 30 ms: a click is shorter


class LogMelStream:
    """`log_mel` of a sound that comes in pieces: the same rows, whatever the pieces."""

    def __init__(self) -> None:
        self._rest: Float32Array = np.zeros(0, np.float32)

    def feed(self, chunk: Float32Array) -> Float32Array:
        """Return the rows that ``chunk`` completes, shape ``(rows, 40)``; there may be none."""
        sound = np.concatenate([self._rest, chunk])
        if sound.size < WINDOW_SAMPLES:
            self._rest = sound
            return np.zeros((0, 40), np.float32)
        rows = log_mel(sound)
        self._rest = sound[len(rows) * HOP_SAMPLES :]
        return rows


class WordCutter:
    """Finds words in rows by how far they stand out of the room's own noise."""

    def __init__(self) -> None:
        self._floor: list[float] = []
        self._before: list[Float32Array] = []
        self._word: list[Float32Array] = []
        self._quiet = self._loud = 0

    def feed(self, rows: Float32Array) -> list[Float32Array]:
        """Return the words that end within ``rows``, each as the model reads it: float32 ``[96, 40]``."""
        words = []
        for row, level in zip(rows, np.log(np.exp(rows).sum(axis=1)), strict=True):
            if (word := self._step(row, float(level))) is not None:
                words.append(word)
        return words

    def _step(self, row: Float32Array, level: float) -> Float32Array | None:
        above = level - self._noise(level)
        if not self._word:
            self._before = [*self._before[-(BEFORE_ROWS + START_ROWS) :], row]
            self._loud = self._loud + 1 if above > LOUD_LOG else 0
            if self._loud >= START_ROWS:
                self._word, self._before, self._quiet, self._loud = self._before, [], 0, 0
            return None
        self._word.append(row)
        self._quiet = 0 if above > SOFT_LOG else self._quiet + 1
        if self._quiet < QUIET_ROWS and len(self._word) < FRAMES:
            return None
        rows, self._word = self._word[: len(self._word) - self._quiet], []
        return None if len(rows) < LEAST_ROWS else fit(normalize(limit(np.stack(rows))))

    def _noise(self, level: float) -> float:
        """The room's noise. What is said does not count as noise, but a new noise is one after 3 s."""
        self._floor = [*self._floor[-(FLOOR_ROWS - 1) :], level]
        return float(np.partition(self._floor, len(self._floor) // 10)[len(self._floor) // 10])
