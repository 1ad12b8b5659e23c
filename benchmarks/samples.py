"""The sample apps: their models on held-out data, words in a stream, the idle spotter, weeks on a battery.

``python -m benchmarks.samples``: some four minutes, most of it at real time. Needs ``out/NAME.bundle`` of each sample,
exported as its README says; the recordings of ``EDGEHYBRID_DATA`` are used where they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.machine import write_result
from samples.keyword_spotter.dataset import read_clips
from samples.keyword_spotter.features import features
from samples.keyword_spotter.stream import LogMelStream, WordCutter

SAMPLES = Path("samples")
OUT = Path("out")
RECORDINGS = Path(os.environ.get("EDGEHYBRID_DATA", "../shared/data")) / "fsdd" / "recordings"
SHORT_S, LONG_S = 10, 60  # two stretches, so that starting the app does not count
PERIOD_S = 600.0
PACK_WH = 10.0

# What the simulator is not told by a profile: a board whose power a timer cuts between bursts. Assumed, not measured:
BOOT_S = 30.0  # from power to the burst, and down again
STANDBY_W = 0.005  # of the timer board


def models() -> dict[str, float]:
    """Return what the committed models reach on their test data, measured anew."""

    def outputs(name: str, x: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(SAMPLES / name / "model.onnx", providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {"x": x[i : i + 50]})[0] for i in range(0, len(x), 50)])

    found = {}
    for name in ("keyword_spotter", "camera_classifier"):
        with np.load(SAMPLES / name / "test.npz") as data:
            found[f"{name}_accuracy"] = float((outputs(name, data["x"]).argmax(axis=1) == data["labels"]).mean())
    with np.load(SAMPLES / "vibration_monitor" / "test.npz") as data:
        error = outputs("vibration_monitor", data["x"]).ravel() - data["labels"].ravel()
        found["vibration_monitor_rmse_cycles"] = float(np.sqrt((error**2).mean()))
    return found


def words_in_a_stream() -> dict[str, float] | None:
    """Return the accuracy on theo's recordings, whole and cut out of one stream with a room's noise between them."""
    if not RECORDINGS.is_dir():
        return None
    clips = [clip for clip in read_clips(RECORDINGS) if clip.speaker == "theo"]
    session = onnxruntime.InferenceSession(
        SAMPLES / "keyword_spotter" / "model.onnx", providers=["CPUExecutionProvider"]
    )

    def heard(x: np.ndarray) -> int:
        return int(session.run(None, {"x": x[None]})[0].argmax())

    rng = np.random.default_rng(0)
    whole = streamed = found = 0
    front, cutter = LogMelStream(), WordCutter()
    cutter.feed(front.feed(_room(rng, 3.0)))
    for clip in clips:
        whole += heard(features(clip.sound)) == clip.digit
        sound = np.concatenate([clip.sound + _room(rng, len(clip.sound) / 8000), _room(rng, 0.8)])
        words = [word for part in np.array_split(sound, 12) for word in cutter.feed(front.feed(part))]
        found += len(words) == 1
        streamed += len(words) == 1 and heard(words[0]) == clip.digit
    count = len(clips)
    return {
        "clips": count,
        "accuracy_whole": whole / count,
        "accuracy_in_the_stream": streamed / count,
        "exactly_one_word_found": found / count,
    }


def _room(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Noise 60 dB below full scale: a quiet room before a cheap microphone."""
    return (0.001 * rng.standard_normal(round(seconds * 8000))).astype(np.float32)


def idle_spotter() -> dict[str, float]:
    """Return the share of a core that the spotter takes at real time: in a quiet room, and with a word every 1.5 s."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(1)
        found = {}
        for name, sound in (("quiet_room", _room(rng, 1.5)), ("speaking", _word())):
            seconds = {}
            for length in (SHORT_S, LONG_S):
                path = Path(folder) / f"{name}-{length}.wav"
                samples = np.tile(sound, -(-length * 8000 // len(sound)))[: length * 8000]
                with wave.open(str(path), "wb") as file:
                    file.setparams((1, 2, 8000, 0, "NONE", ""))
                    file.writeframes((samples * 32767).astype("<i2").tobytes())
                seconds[length] = _cpu_s("keyword_spotter", "--replay", str(path), "--realtime")
            found[f"{name}_share_of_a_core"] = (seconds[LONG_S] - seconds[SHORT_S]) / (LONG_S - SHORT_S)
        return found


def _word() -> np.ndarray:
    with wave.open(str(SAMPLES / "keyword_spotter" / "clips" / "say-seven.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    return np.concatenate([sound, np.zeros(12000 - len(sound), np.float32)])


def _cpu_s(name: str, *words: str) -> float:
    """Run an app and return its CPU seconds."""
    command = [sys.executable, "-m", f"samples.{name}.app", "--bundle", str(OUT / f"{name}.bundle"), *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise RuntimeError(f"{name} left with {code}")
    return usage.ru_utime + usage.ru_stime


def weeks_on_a_battery() -> dict[str, float]:
    """Return the hours of a Pi Zero 2 W on 10 Wh: always on, and with its power cut between bursts."""
    boot_w = 1.63  # of the profile: one core busy
    off_w = STANDBY_W + BOOT_S * boot_w / PERIOD_S
    cases = {
        "always_on": None,
        "powered_off_between_bursts": off_w,
    }
    hours = {f"{name}_h": _life_h(1.0 / PERIOD_S, idle_w) for name, idle_w in cases.items()}
    return {
        **hours,
        "off_to_always_on": hours["powered_off_between_bursts_h"] / hours["always_on_h"],
        "battery_wh": PACK_WH,
        "period_s": PERIOD_S,
        "assumed_boot_s": BOOT_S,
        "assumed_boot_w": boot_w,
        "assumed_standby_w": STANDBY_W,
    }


def _life_h(rate_hz: float, idle_w: float | None) -> float:
    """Simulate until the battery is empty; the mean over the runs."""
    idle = "" if idle_w is None else f"idle_w = {idle_w}\n"
    longest_h = PACK_WH / (idle_w or 0.6) * 1.2
    text = (
        f'schema = 1\n[device]\nprofile = "raspberry-pi-zero-2w"\ncase = "closed"\nslowdown = 40.0\n{idle}'
        f"[battery]\ncapacity_wh = {PACK_WH}\n[load]\nrate_hz = {rate_hz}\n"
        f"[mission]\nduration_h = {longest_h}\n[random]\nseed = 1\nruns = 3\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "life.toml"
        path.write_text(text)
        command = [sys.executable, "-m", "edgehybrid", "simulate", str(OUT / "vibration_monitor.bundle")]
        done = subprocess.run(
            [*command, "--scenario", str(path), "--controllers", "edgehybrid", "--json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    died = next(c for c in json.loads(done.stdout)["controllers"] if c["name"] == "edgehybrid")["died_h"]
    if died is None:
        raise RuntimeError(f"the battery outlasted {longest_h:.0f} h")
    return float(died["mean"])


def main() -> None:
    """Measure all of it and write ``results/samples.json``."""
    write_result(
        "samples",
        {
            "models": models(),
            "words_in_a_stream": words_in_a_stream(),
            "keyword_spotter_at_real_time": idle_spotter(),
            "vibration_monitor_on_a_battery": weeks_on_a_battery(),
        },
    )


if __name__ == "__main__":
    main()
