"""The microphone, by sounddevice (PortAudio on ALSA): missing, busy and unplugged are told apart and survived."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from typing import Any, Protocol

import numpy as np

from samples.common.source import SourceError
from samples.keyword_spotter.features import SAMPLE_RATE_HZ, Float32Array
from samples.keyword_spotter.resample import Decimator

CHUNK_S = 0.1
SILENT_S = 2.0  # a working microphone delivers ten times a second
OTHER_RATES_HZ = (16_000, 48_000, 32_000)  # whole multiples of 8 kHz, which every sound card has one of


class Driver(Protocol):
    """What we use of the module ``sounddevice``; ``PortAudioError`` is what it raises."""

    PortAudioError: type[Exception]

    def InputStream(self, **options: Any) -> Any:  # noqa: N802  # its name
        """Open a stream."""
        ...


def sounddevice() -> Driver:
    """Import sounddevice.

    Raises:
        SourceError: It, or PortAudio, is not installed.
    """
    try:
        import sounddevice as driver
    except (ImportError, OSError) as error:  # OSError: the module is there, the library is not
        fix = "Run: sudo apt install libportaudio2, then venv/bin/pip install sounddevice"
        raise SourceError(f"sounddevice is not usable ({error}).", fix) from error
    found: Driver = driver
    return found


class Microphone:
    """Chunks of 0.1 s at 8 kHz.

    Args:
        device: Name or number of the sound card; ``None``: the default one.
        driver: Gives the module to use.
    """

    live = True

    def __init__(self, device: str | int | None = None, *, driver: Callable[[], Driver] = sounddevice) -> None:
        self._device, self._driver = device, driver

    @property
    def name(self) -> str:
        """For the journal."""
        return f"microphone {'' if self._device is None else self._device}".strip()

    def items(self) -> Generator[Float32Array, None, None]:
        """Open it and yield chunks in [-1, 1].

        Raises:
            SourceError: It is missing or busy, takes none of our rates, or delivers nothing for 2 s.
        """
        driver = self._driver()
        heard: queue.SimpleQueue[Float32Array] = queue.SimpleQueue()
        rate_hz, stream = self._open(driver, heard)
        thin = Decimator(rate_hz // SAMPLE_RATE_HZ)
        try:
            with stream:
                while stream.active:
                    yield thin.feed(heard.get(timeout=SILENT_S))
        except queue.Empty:
            what = f"It delivered nothing for {SILENT_S:.0f} s."
            raise SourceError(what, "Check its plug; another program may have taken it.") from None
        except driver.PortAudioError as error:
            raise SourceError(f"It stopped: {error}.", "Check its plug.") from error

    def _open(self, driver: Driver, heard: queue.SimpleQueue[Float32Array]) -> tuple[int, Any]:
        def take(data: Any, *_: object) -> None:
            heard.put(np.array(data[:, 0], dtype=np.float32))  # the buffer is PortAudio's

        why = ""
        for rate_hz in (SAMPLE_RATE_HZ, *OTHER_RATES_HZ):
            try:
                return rate_hz, driver.InputStream(
                    samplerate=rate_hz, channels=1, dtype="float32", device=self._device,
                    blocksize=round(rate_hz * CHUNK_S), callback=take,
                )  # fmt: skip
            except (driver.PortAudioError, ValueError) as error:  # ValueError: no device of that name
                why = str(error)
                if "sample rate" not in why.lower():
                    break
        raise SourceError(
            f"It cannot be opened: {why.rstrip('.')}.", "Plug it in, end what else records (arecord -l), or --device."
        )
