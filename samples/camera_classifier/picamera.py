"""The Raspberry Pi camera, by Picamera2 (libcamera): `sudo apt install python3-picamera2`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from samples.camera_classifier.picture import Frame
from samples.common.source import SourceError

SIZE = (320, 240)
HANGING_S = 5.0


def open_picamera() -> Any:
    """Open the first camera.

    Raises:
        SourceError: Picamera2 is not installed, no camera is there, or another program has it.
    """
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        fix = "Run: sudo apt install python3-picamera2"
        raise SourceError(f"Picamera2 is not installed ({error}).", fix) from error
    try:
        return Picamera2()
    except (RuntimeError, IndexError) as error:  # IndexError: the list of cameras is empty
        fix = "Check the ribbon cable and `rpicam-hello --list-cameras`; end what else uses the camera."
        raise SourceError(f"No camera can be opened ({error}).", fix) from error


class PiCamera:
    """Frames of the Raspberry Pi camera, 320 × 240.

    Args:
        rate_hz: Frames per second.
        opener: Opens the camera.
    """

    live = True
    name = "Raspberry Pi camera"

    def __init__(self, *, rate_hz: float = 10.0, opener: Callable[[], Any] = open_picamera) -> None:
        self._rate_hz, self._opener = rate_hz, opener

    def items(self) -> Generator[Frame, None, None]:
        """Open it and yield frames.

        Raises:
            SourceError: It is missing, busy, or stopped delivering.
        """
        camera = self._opener()
        try:
            main = {"size": SIZE, "format": "BGR888"}  # libcamera's name for R, G, B in memory
            camera.configure(camera.create_video_configuration(main=main, controls={"FrameRate": self._rate_hz}))
            camera.start()
            while True:
                job = camera.capture_array(wait=False)
                yield Frame(pixels=np.ascontiguousarray(camera.wait(job, timeout=HANGING_S)), name=self.name)
        except (RuntimeError, OSError, TimeoutError) as error:
            raise SourceError(f"It stopped: {str(error) or 'no frame came'}.", "Check the ribbon cable.") from error
        finally:
            camera.close()
