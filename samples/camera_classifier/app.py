"""Tells which digit a hand shows: Raspberry Pi camera, USB camera, images or a video in, a line for every change out.

python -m samples.camera_classifier.app --bundle camera_classifier.bundle --replay test.npz
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import edgehybrid as eh
from edgehybrid.errors import RequestError
from samples.camera_classifier.dataset import Float32Array
from samples.camera_classifier.picamera import PiCamera
from samples.camera_classifier.picture import Frame, model_input
from samples.camera_classifier.pictures import PictureFile, PictureFolder
from samples.camera_classifier.preview import Preview
from samples.camera_classifier.v4l2 import V4l2Camera, Video
from samples.common.answers import Answers
from samples.common.app import main, make_parser, open_engine, summary
from samples.common.inbox import Inbox
from samples.common.service import Service, arriving
from samples.common.source import Feed, Source

LEAST_SURE = 0.6
VIDEOS = {".mp4", ".avi", ".mkv", ".mov", ".webm"}
POLICY = Path(__file__).with_name("policy.toml")


def find_source(args: argparse.Namespace) -> Source[Frame]:
    """Return what the options ask for; without any, the Raspberry Pi camera where Picamera2 is, else ``/dev/video0``.

    Raises:
        RequestError: ``--replay`` leads nowhere.
    """
    replay: Path | None = args.replay
    if replay is not None:
        if not replay.exists():
            raise RequestError(f"{replay} does not exist.", "Give a folder of images, a video, or test.npz.")
        if replay.suffix == ".npz":
            return PictureFile(replay)
        return Video(str(replay)) if replay.suffix.lower() in VIDEOS else PictureFolder(replay)
    if args.video is None and importlib.util.find_spec("picamera2") is not None:
        return PiCamera(rate_hz=args.rate)
    return V4l2Camera(args.video or 0, rate_hz=args.rate)


def classify(
    engine: eh.Engine, inbox: Inbox[Frame], service: Service, answers: Answers, preview: Preview | None = None
) -> None:
    """Answer every frame that comes, until they end or the service shall."""

    def decode(frame: Frame) -> Mapping[str, Float32Array]:
        return {"x": model_input(frame)}

    def answer(frame: Frame, result: eh.Result) -> None:
        give(frame, result, answers, engine, preview)

    for _ in engine.stream(arriving(inbox, service), before=decode, after=answer):
        pass


def give(frame: Frame, result: eh.Result, answers: Answers, engine: eh.Engine, preview: Preview | None) -> None:
    """Say which digit it is, where, how sure, and at what cost."""
    logits = result.outputs["y"][0]
    shares = np.exp(logits - logits.max())
    best, sure = int(logits.argmax()), float(shares.max() / shares.sum())
    digit = str(best) if sure >= LEAST_SURE else "?"
    how = "as before" if result.depth == 0 else f"{result.point}, depth {result.depth}, {result.latency_ms:.1f} ms"
    answers.give(
        f"{digit} {sure:4.0%}  {frame.name}: {how}",
        frame=frame.name,
        digit=digit,
        sure=round(sure, 4),
        logits=[round(float(value), 5) for value in logits],
        point=result.point,
        depth=result.depth,
        latency_ms=round(result.latency_ms, 3),
    )
    if preview is not None:
        preview.show(frame.pixels, answer=digit, sure=f"{sure:.0%} sure", facts=facts(result, engine))


def facts(result: eh.Result, engine: eh.Engine) -> dict[str, str]:
    """Return what the preview page lists; what the device cannot tell is left out."""
    now = engine.snapshot
    found = {
        "operating point": result.point,
        "depth": "none: picture unchanged" if result.depth == 0 else str(result.depth),
        "latency": f"{result.latency_ms:.1f} ms",
    }
    if now.soc_temp_c is not None:
        found["temperature"] = f"{now.soc_temp_c:.0f} °C"
    if now.battery_pct is not None:
        found["battery"] = f"{now.battery_pct:.0f} %"
    return found


def run(args: argparse.Namespace, service: Service) -> None:
    """Run the app."""
    source = find_source(args)
    inbox: Inbox[Frame] = Inbox("newest") if source.live else Inbox("wait", size=4)
    answers = Answers(args.answers)
    preview = None if args.preview is None else Preview(args.preview)
    try:
        with open_engine(args, deadline_ms=1e3 / args.rate) as engine, Feed(source, inbox) as feed:
            service.ready()
            service.status(f"watching {source.name}")
            classify(engine, inbox, service, answers, preview)
            print(summary(answers, inbox, feed, engine), file=sys.stderr)
    finally:
        if preview is not None:
            preview.close()
    if feed.failure is not None:
        raise feed.failure


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = make_parser("Tells which digit a hand shows.", replay="a folder of images, a video, or test.npz")
    options.set_defaults(policy=str(POLICY))
    options.add_argument("--video", type=int, metavar="N", help="use /dev/videoN, not the Raspberry Pi camera")
    options.add_argument("--rate", type=float, default=10.0, help="frames per second (default: 10)")
    options.add_argument("--preview", type=int, metavar="PORT", help="show picture and answer on 127.0.0.1:PORT")
    return options


if __name__ == "__main__":
    sys.exit(main(run, parser()))
