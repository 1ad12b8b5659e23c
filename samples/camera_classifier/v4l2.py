"""A USB camera, or a video file, by OpenCV (`python3-opencv`, or `opencv-python-headless` of pip)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

import numpy as np

from samples.camera_classifier.dataset import UInt8Array
from samples.camera_classifier.picture import Frame
from samples.common.source import SourceError


class Capture(Protocol):
    """What we use of ``cv2.VideoCapture``."""

    def isOpened(self) -> bool:  # noqa: N802  # its name
        """Whether it is open."""
        ...

    def read(self) -> tuple[bool, UInt8Array | None]:
        """Return whether it worked, and a frame in BGR."""
        ...

    def set(self, what: int, value: float, /) -> bool:
        """Set a property; says whether it was taken."""
        ...

    def release(self) -> None:
        """Close it."""
        ...


WIDTH, HEIGHT, RATE = 3, 4, 5  # cv2.CAP_PROP_*


def open_capture(what: int | str) -> Capture:
    """Open a camera by its number, or a video file by its path.

    Raises:
        SourceError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        fix = "Run: sudo apt install python3-opencv, or venv/bin/pip install opencv-python-headless"
        raise SourceError(f"OpenCV is not installed ({error}).", fix) from error
    capture: Capture = cv2.VideoCapture(what, cv2.CAP_V4L2) if isinstance(what, int) else cv2.VideoCapture(what)
    return capture


class V4l2Camera:
    """Frames of ``/dev/videoN``.

    Args:
        number: N.
        rate_hz: Frames per second to ask for; the camera may give others.
        opener: Opens a capture.
    """

    live = True

    def __init__(
        self, number: int = 0, *, rate_hz: float = 10.0, opener: Callable[[int | str], Capture] = open_capture
    ) -> None:
        self._number, self._rate_hz, self._opener = number, rate_hz, opener
        self.name = f"/dev/video{number}"

    def items(self) -> Generator[Frame, None, None]:
        """Open it and yield frames.

        Raises:
            SourceError: It is missing, busy, or stopped delivering; OpenCV does not tell these apart.
        """
        capture = self._opener(self._number)
        try:
            if not capture.isOpened():
                fix = f"Plug it in (v4l2-ctl --list-devices); see who has it: fuser {self.name}"
                raise SourceError("It cannot be opened.", fix)
            for what, value in ((WIDTH, 320), (HEIGHT, 240), (RATE, self._rate_hz)):
                capture.set(what, value)
            while (pixels := _read(capture)) is not None:
                yield Frame(pixels=pixels, name=self.name)
        finally:
            capture.release()
        raise SourceError("It delivers no more frames.", "Check its plug.")


class Video:
    """Frames of a video file.

    Args:
        path: The file.
        opener: Opens a capture.
    """

    live = False

    def __init__(self, path: str, *, opener: Callable[[int | str], Capture] = open_capture) -> None:
        self.name, self._opener = path, opener

    def items(self) -> Generator[Frame, None, None]:
        """Yield every frame.

        Raises:
            SourceError: It is no video.
        """
        capture = self._opener(self.name)
        try:
            first = _read(capture) if capture.isOpened() else None
            if first is None:
                raise SourceError(f"{self.name} holds no frame that OpenCV can read.", "Give an mp4, avi or mkv file.")
            number = 0
            pixels: UInt8Array | None = first
            while pixels is not None:
                yield Frame(pixels=pixels, name=f"frame {number}")
                number, pixels = number + 1, _read(capture)
        finally:
            capture.release()


def _read(capture: Capture) -> UInt8Array | None:
    """Return the next frame as RGB; OpenCV's own order is BGR."""
    good, pixels = capture.read()
    return np.ascontiguousarray(pixels[..., ::-1]) if good and pixels is not None and pixels.ndim == 3 else None
