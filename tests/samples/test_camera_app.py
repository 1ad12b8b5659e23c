from __future__ import annotations

import json
import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgehybrid.bundle import Bundle
from edgehybrid.errors import RequestError

Load = Callable[[str, str], ModuleType]
FOLDER = Path(__file__).parents[2] / "samples" / "camera_classifier"


def _args(bundle: Bundle, replay: Path, **more: Any) -> SimpleNamespace:
    given = {"policy": str(FOLDER / "policy.toml"), "until": None, "pin": None, "answers": None, "root": "/"}
    return SimpleNamespace(bundle=bundle.path, replay=replay, video=None, rate=10.0, preview=None, **{**given, **more})


def _pictures(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(FOLDER / "test.npz") as data:
        pixels = np.rint(data["x"][:count].transpose(0, 2, 3, 1) * 255).astype(np.uint8)
        return pixels, data["labels"][:count]


@pytest.mark.parametrize("shape", [(64, 64), (240, 320), (101, 67), (20, 30), (1, 1)])
def test_any_frame_becomes_a_square(import_sample: Load, shape: tuple[int, int]) -> None:
    """A frame of any size becomes 64 × 64; one colour stays that colour."""
    picture = import_sample("camera_classifier", "picture")
    pixels = np.zeros((*shape, 3), np.uint8) + np.array([200, 30, 7], np.uint8)
    small = picture.square(pixels)

    assert ((64, 64, 3), np.uint8) == (small.shape, small.dtype)
    assert (small == [200, 30, 7]).all()
    assert (1, 3, 64, 64) == picture.model_input(picture.Frame(pixels=pixels, name="")).shape


def test_a_larger_picture_is_averaged(import_sample: Load) -> None:
    """Twice as large, every new pixel is the mean of four, and the middle is what stays."""
    pixels = np.random.default_rng(3).integers(0, 256, (128, 160, 3), dtype=np.uint8)
    small = import_sample("camera_classifier", "picture").square(pixels)
    expected = pixels[:, 16:144].reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))

    assert np.abs(expected - small).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("width", [1, 2, 3, 4, 240])
def test_browsers_can_read_the_picture(import_sample: Load, tmp_path: Path, width: int) -> None:
    """The BMP holds exactly the pixels, whatever the width."""
    pixels = np.random.default_rng(5).integers(0, 256, (3, width, 3), dtype=np.uint8)
    (tmp_path / "a.bmp").write_bytes(import_sample("camera_classifier", "picture").bmp(pixels))
    with Image.open(tmp_path / "a.bmp") as image:
        np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


class _Usb:
    """A fake OpenCV capture: a camera that is not there, or goes away after some frames."""

    def __init__(self, frames: int, *, there: bool = True) -> None:
        self.left, self.there, self.released = frames, there, False

    def isOpened(self) -> bool:  # noqa: N802  # its name
        return self.there

    def set(self, what: int, value: float, /) -> bool:
        del what, value
        return False

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        self.left -= 1
        return (False, None) if self.left < 0 else (True, np.full((48, 64, 3), (1, 2, 3), np.uint8))

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(("usb", "says"), [(_Usb(0, there=False), "cannot be opened"), (_Usb(2), "no more frames")])
def test_a_usb_camera_that_goes_away_is_said(import_sample: Load, usb: _Usb, says: str) -> None:
    """Missing, busy or unplugged: an error of the source after the frames that came, and the device is free again."""
    v4l2, source = import_sample("camera_classifier", "v4l2"), import_sample("common", "source")
    items = v4l2.V4l2Camera(2, opener=lambda _: usb).items()
    frames = []
    with pytest.raises(source.SourceError, match=says):
        frames.extend(items)
    for frame in frames:
        assert [3, 2, 1] == frame.pixels[0, 0].tolist()  # RGB
    assert usb.released


def test_a_video_ends_and_a_text_is_none(import_sample: Load) -> None:
    """All frames of a video come once; what OpenCV cannot read is said."""
    v4l2, source = import_sample("camera_classifier", "v4l2"), import_sample("common", "source")

    assert ["frame 0", "frame 1"] == [f.name for f in v4l2.Video("a.mp4", opener=lambda _: _Usb(2)).items()]
    with pytest.raises(source.SourceError, match="holds no frame"):
        next(v4l2.Video("a.txt", opener=lambda _: _Usb(0)).items())


class _Ribbon:
    """A fake Picamera2 that delivers some frames and then hangs."""

    def __init__(self, frames: int) -> None:
        self.left, self.closed = frames, False

    def create_video_configuration(self, **options: Any) -> dict[str, Any]:
        return options

    def configure(self, options: dict[str, Any]) -> None:
        self.size = options["main"]["size"]

    def start(self) -> None: ...

    def capture_array(self, *, wait: bool) -> object:
        del wait
        return object()

    def wait(self, job: object, timeout: float) -> NDArray[np.uint8]:
        del job, timeout
        self.left -= 1
        if self.left < 0:
            raise TimeoutError
        width, height = self.size
        return np.zeros((height, width, 3), np.uint8)

    def close(self) -> None:
        self.closed = True


def test_a_hanging_ribbon_camera_is_noticed(import_sample: Load) -> None:
    """A camera whose cable came off delivers no frame: an error of the source, and it is closed."""
    picamera, source = import_sample("camera_classifier", "picamera"), import_sample("common", "source")
    ribbon = _Ribbon(2)
    items = picamera.PiCamera(opener=lambda: ribbon).items()

    assert [(240, 320, 3)] * 2 == [next(items).pixels.shape for _ in range(2)]
    with pytest.raises(source.SourceError, match="no frame came"):
        next(items)
    assert ribbon.closed


@pytest.mark.parametrize(
    "why",
    [IndexError("list index out of range"), RuntimeError("Failed to acquire camera: Device or resource busy")],
    ids=["missing", "busy"],
)
def test_a_missing_or_busy_ribbon_camera_is_said(
    import_sample: Load, monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    """What Picamera2 raises without a camera, and where another program has it, comes with what to do."""
    picamera, source = import_sample("camera_classifier", "picamera"), import_sample("common", "source")

    def refuse() -> None:
        raise why

    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=refuse))
    with pytest.raises(source.SourceError, match="Check the ribbon cable") as caught:
        next(picamera.PiCamera().items())
    assert str(why) in caught.value.what


def test_the_app_reads_images_and_leaves_others_out(
    import_sample: Load, bundle_of: Callable[[str], Bundle], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each image is named its digit; a text, a torn and an empty file are left out, and said."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels, labels = _pictures(6)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("not an image")
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:300])
    (folder / "void.jpg").touch()
    app, service = import_sample("camera_classifier", "app"), import_sample("common", "service")
    answers = tmp_path / "answers.jsonl"
    with caplog.at_level(logging.INFO):
        app.run(_args(bundle_of("camera_classifier"), folder, answers=answers), service.Service({}))
    said = [json.loads(line) for line in answers.read_text().splitlines()]

    assert [f"{number}.png" for number in range(6)] == [answer["frame"] for answer in said]
    assert [str(label) for label in labels] == [answer["digit"] for answer in said]
    for name in ("notes.txt", "torn.png", "void.jpg"):
        assert f"left out: {name}" in caplog.text


def test_what_is_replayed_must_be_there(
    import_sample: Load, bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """A path that leads nowhere, a folder without images and an npz of something else end the app with the reason."""
    app, service = import_sample("camera_classifier", "app"), import_sample("common", "service").Service({})
    source, bundle = import_sample("common", "source"), bundle_of("camera_classifier")
    np.savez(tmp_path / "other.npz", x=np.zeros((2, 3)))
    (tmp_path / "torn.npz").write_bytes(b"PK")
    (tmp_path / "folder").mkdir()

    with pytest.raises(RequestError, match="does not exist"):
        app.run(_args(bundle, tmp_path / "nowhere"), service)
    for name, says in (
        ("folder", "holds no image"),
        ("other.npz", r"holds x \[2, 3\]"),
        ("torn.npz", "cannot be read"),
    ):
        with pytest.raises(source.SourceError, match=says):
            app.run(_args(bundle, tmp_path / name), service)


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
        body: bytes = answer.read()
        return body


def test_the_preview_shows_picture_and_answer(import_sample: Load) -> None:
    """The page, the picture and the facts are served on localhost; a taken port is said."""
    preview = import_sample("camera_classifier", "preview")
    page = preview.Preview(0)
    try:
        assert b"<title>Camera classifier</title>" in _get(page.port, "")
        assert {"number": 0} == json.loads(_get(page.port, "status.json"))
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            _get(page.port, "picture.bmp")
        caught.value.close()
        foreign = urllib.request.Request(
            f"http://127.0.0.1:{page.port}/", headers={"Host": f"evil.example:{page.port}"}
        )
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(foreign, timeout=5)
        caught.value.close()
        page.show(np.zeros((30, 40, 3), np.uint8), answer="7", sure="98 % sure", facts={"battery": "80 %"})
        assert "80 %" == json.loads(_get(page.port, "status.json"))["facts"]["battery"]
        assert b"BM" == _get(page.port, "picture.bmp?1")[:2]
        with pytest.raises(RequestError, match=f"Port {page.port} is taken"):
            preview.Preview(page.port)
    finally:
        page.close()
