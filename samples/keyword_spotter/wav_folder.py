"""Recordings instead of a microphone: a wav file, or every one of a folder, with a pause after each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np

from edgehybrid.errors import DataError
from samples.common.source import SourceError
from samples.keyword_spotter.features import SAMPLE_RATE_HZ, Float32Array, read_wav

CHUNK_SAMPLES = SAMPLE_RATE_HZ // 10
PAUSE_S = 0.6  # between two recordings, so that the words stay apart

_log = logging.getLogger("replay")


class WavFolder:
    """Chunks of 0.1 s, as from the microphone; a file that is no sound is left out, and said.

    Args:
        path: File or folder.
        realtime: At the pace of the clock instead of as fast as they are asked for.
        repeat: How often.
        sleep: Waits so many seconds.
    """

    live = False

    def __init__(
        self, path: Path, *, realtime: bool = False, repeat: int = 1, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._path, self._realtime, self._repeat, self._sleep = path, realtime, repeat, sleep
        self.name = str(path)

    def items(self) -> Generator[Float32Array, None, None]:
        """Yield the chunks.

        Raises:
            SourceError: There is no recording that can be heard.
        """
        paths = sorted(self._path.glob("*.wav")) if self._path.is_dir() else [self._path]
        heard = False
        due_s = time.monotonic()
        for path in paths * self._repeat:
            try:
                sound = read_wav(path)
            except DataError as error:
                _log.warning("left out: %s", error)
                continue
            heard = True
            sound = np.concatenate([np.zeros(CHUNK_SAMPLES, np.float32), sound, _silence(sound.size)])
            for chunk in sound.reshape(-1, CHUNK_SAMPLES):
                yield chunk
                due_s += CHUNK_SAMPLES / SAMPLE_RATE_HZ
                if self._realtime:
                    self._sleep(max(0.0, due_s - time.monotonic()))
        if not heard:
            raise SourceError(f"{self._path} holds no wav file that can be heard.", "Give a file or a folder of wavs.")


def _silence(after_samples: int) -> Float32Array:
    """Return the pause, filled up to whole chunks."""
    pause = round(PAUSE_S * SAMPLE_RATE_HZ)
    return np.zeros(pause + -(after_samples + pause) % CHUNK_SAMPLES, np.float32)
