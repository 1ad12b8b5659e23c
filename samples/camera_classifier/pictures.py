"""Pictures instead of a camera: a folder of images (Pillow), or an npz file of the sample's own data (numpy alone)."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Generator
from pathlib import Path

import numpy as np

from samples.camera_classifier.dataset import UInt8Array
from samples.camera_classifier.picture import Frame
from samples.common.source import SourceError

_log = logging.getLogger("replay")


class PictureFolder:
    """Every image of a folder, in the order of the names; a file that is no image is left out, and said.

    Args:
        path: Folder, or one image.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def items(self) -> Generator[Frame, None, None]:
        """Yield the images.

        Raises:
            SourceError: Pillow is not installed, or there is no image.
        """
        paths = sorted(self._path.iterdir()) if self._path.is_dir() else [self._path]
        seen = False
        for path in paths:
            if path.is_file() and (pixels := _read(path)) is not None:
                seen = True
                yield Frame(pixels=pixels, name=path.name)
        if not seen:
            raise SourceError(f"{self._path} holds no image that can be read.", "Give a folder of PNG or JPEG files.")


def _read(path: Path) -> UInt8Array | None:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise SourceError(f"Pillow is not installed ({error}).", "Run: venv/bin/pip install pillow") from error
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        _log.warning("left out: %s is not an image that can be read (%s)", path.name, error)
        return None


class PictureFile:
    """The pictures of an npz file with the array ``x``, float32 [n, 3, side, side] in [0, 1].

    Args:
        path: The file.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def items(self) -> Generator[Frame, None, None]:
        """Yield the pictures.

        Raises:
            SourceError: It is no such file.
        """
        try:
            with self._path.open("rb") as file, np.load(file) as data:
                x = data["x"]
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise SourceError(f"{self._path} cannot be read ({error}).", "Give test.npz of this sample.") from error
        if x.ndim != 4 or x.shape[1] != 3:
            raise SourceError(f"{self._path} holds x {list(x.shape)}.", "Give pictures: [n, 3, side, side].")
        for number, picture in enumerate(x):
            pixels = np.rint(picture.transpose(1, 2, 0) * 255).astype(np.uint8)
            yield Frame(pixels=pixels, name=f"picture {number}")
