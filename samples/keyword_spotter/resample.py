"""From 16, 32 or 48 kHz to 8 kHz: a low-pass and every n-th sample; numpy only."""

from __future__ import annotations

import numpy as np

from samples.keyword_spotter.features import Float32Array

TAPS_PER_STEP = 16


class Decimator:
    """Keeps every ``step``-th sample of a stream, what lies above the new limit taken out before.

    Args:
        step: 1 changes nothing.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        taps = TAPS_PER_STEP * step + 1
        place = np.arange(taps) - taps // 2
        low_pass = np.sinc(0.9 * place / step) * np.hamming(taps)
        self._taps = (low_pass / low_pass.sum()).astype(np.float32)
        self._rest: Float32Array = np.zeros(taps - 1, np.float32)

    def feed(self, chunk: Float32Array) -> Float32Array:
        """Return the samples of ``chunk`` at the lower rate; what is over waits for the next chunk."""
        if self._step == 1:
            return chunk
        sound = np.concatenate([self._rest, chunk])
        whole = (len(sound) - len(self._taps) + 1) // self._step
        if whole <= 0:
            self._rest = sound
            return np.zeros(0, np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(sound, len(self._taps))[: whole * self._step : self._step]
        self._rest = sound[whole * self._step :]
        thinned: Float32Array = frames @ self._taps
        return thinned
