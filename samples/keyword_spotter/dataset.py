"""The recordings as clips, who is heard in training and who is not, and the files that ship: numpy only."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import DataError, RequestError
from samples.keyword_spotter import features
from samples.keyword_spotter.features import Float32Array

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KNOWN_TAKES = 5  # takes 0-4: the data set's own test set, here for calibration
EVALUATION_TAKES = (
    20  # takes 0-19 of the speaker held out measure quality during export; the rest is for the final test
)
MANTISSA_BITS = 8
CLIPS = ((3, 10), (7, 10), (8, 10))  # digit and take of the README's clips


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One recording: ``sound`` is float32 in [-1, 1), shape ``(samples,)``, 8 kHz."""

    path: Path
    digit: int
    speaker: str
    take: int
    sound: Float32Array


def read_clips(folder: Path) -> list[Clip]:
    """Read every ``{digit}_{speaker}_{take}.wav`` of a folder, in the order of the names."""
    clips = []
    for path in sorted(folder.glob("*.wav")):
        if name := re.fullmatch(r"([0-9])_([^_]+)_([0-9]+)\.wav", path.name):
            digit, speaker, take = int(name[1]), name[2], int(name[3])
            clips.append(Clip(path=path, digit=digit, speaker=speaker, take=take, sound=features.read_wav(path)))
    if not clips:
        what = f"{folder} holds no recordings named like 7_theo_12.wav."
        raise DataError(what, "Clone github.com/Jakobovski/free-spoken-digit-dataset and give its folder recordings/.")
    return clips


def as_arrays(clips: Sequence[Clip]) -> tuple[Float32Array, NDArray[np.int64]]:
    """Return the features ``[n, 96, 40]``, rounded so that they compress, and the digits ``[n]``."""
    x = np.stack([features.features(clip.sound) for clip in clips])
    return round_mantissa(x, MANTISSA_BITS), np.array([clip.digit for clip in clips], dtype=np.int64)


def round_mantissa(x: Float32Array, bits: int) -> Float32Array:
    """Round to ``bits`` bits after the leading one: ``|result - x| <= |x| · 2 ** -(bits + 1)``."""
    drop = 23 - bits
    raw = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32) + np.uint32(1 << (drop - 1))
    return (raw & np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)).view(np.float32)


def split(clips: Sequence[Clip], holdout: str) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """Return the clips to train on, those of known speakers to calibrate with, and those of ``holdout`` to test on.

    Raises:
        RequestError: Nobody of that name speaks in ``clips``.
    """
    speakers = sorted({clip.speaker for clip in clips})
    if holdout not in speakers:
        raise RequestError(f"No recording is of {holdout}.", f"Hold out one of: {', '.join(speakers)}.")
    others = [clip for clip in clips if clip.speaker != holdout]
    train = [clip for clip in others if clip.take >= KNOWN_TAKES]
    known = [clip for clip in others if clip.take < KNOWN_TAKES]
    return train, known, [clip for clip in clips if clip.speaker == holdout]


def write_data(clips: Sequence[Clip], holdout: str, out: Path) -> None:
    """Write ``calibration.npz``, then ``evaluation.npz``, ``test.npz`` and a few clips of the speaker held out."""
    _, known, held_out = split(clips, holdout)
    evaluation = [clip for clip in held_out if clip.take < EVALUATION_TAKES]
    test = [clip for clip in held_out if clip.take >= EVALUATION_TAKES]
    for name, chosen in (("calibration", known), ("evaluation", evaluation), ("test", test)):
        x, labels = as_arrays(chosen)
        np.savez_compressed(out / f"{name}.npz", x=x, labels=labels)
    (out / "clips").mkdir(exist_ok=True)
    for clip in held_out:
        if (clip.digit, clip.take) in CLIPS:
            shutil.copyfile(clip.path, out / "clips" / f"say-{WORDS[clip.digit]}.wav")
