"""The apps on emulated Raspberry Pis: installed as their READMEs say, run as an ordinary user, compared with x86."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.arm.table import footprint
from edgehybrid.bundle import Bundle
from tests.arm.bundles import APPS, BOARDS
from tests.arm.conftest import PLACE, Pi
from tests.arm.integers import pieces, save

pytestmark = pytest.mark.arm
DEPENDENCIES = {"numpy", "onnxruntime", "psutil", "click", "rich", "msgspec"}
COUNT = {"keyword_spotter": 3, "camera_classifier": 2, "vibration_monitor": 6}


@pytest.fixture(scope="session")
def outputs_here(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, np.ndarray]]:
    """Outputs of every point on this machine."""

    def run(name: str) -> dict[str, np.ndarray]:
        out = tmp_path_factory.mktemp("here") / "out.npz"
        words = [str(PLACE / "bundles" / f"{name}.bundle"), str(kit / f"{name}.npz"), str(COUNT[name]), str(out)]
        subprocess.run([sys.executable, kit / "outputs.py", *words], check=True)
        with np.load(out) as data:
            return dict(data)

    return run


def test_the_install_brings_no_compiler_and_nothing_for_workstations(installed: Path) -> None:
    """What pip put on the board: the six dependencies and what they need; under 150 MB without pip itself."""
    site = next((installed / "keyword_spotter/venv/lib").glob("python3*/site-packages"))
    there = {re.split(r"-\d", path.name)[0].lower().replace("_", "-") for path in site.glob("*.dist-info")}
    ours_mb = footprint(site)["total"]

    assert there >= DEPENDENCIES
    assert not {"onnx", "onnx-ir", "onnxscript", "scipy", "torch", "matplotlib"} & there
    assert ours_mb <= 150


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_there_is_a_wheel_of_everything(kit: Path, tmp_path: Path, version: str) -> None:
    """For Bookworm's and Trixie's Python every dependency has an aarch64 wheel: pip needs no compiler."""
    wheel = next(kit.glob("edgehybrid-*.whl"))
    tags = [
        word for n in ("2014", "_2_27", "_2_28", "_2_31", "_2_34") for word in ("--platform", f"manylinux{n}_aarch64")
    ]
    command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--python-version", version, *tags]

    subprocess.run([*command, "-d", tmp_path, wheel], check=True)
    assert {"numpy", "onnxruntime"} <= {path.name.partition("-")[0] for path in tmp_path.glob("*aarch64.whl")}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", APPS)
def test_outputs_are_those_of_x86(
    installed: Path,
    make_pi: Callable[[str], Pi],
    outputs_here: Callable[..., dict[str, np.ndarray]],
    name: str,
    board: str,
) -> None:
    """Every point gives on Arm what it gives on x86: float within 1e-5 of the range, int8 within 1 %.

    Where a last bit of a float tips a rounding to int8, what follows makes it more; the next test looks at each kernel.
    """
    pi = make_pi(board)
    pi.run(
        f"{name}/venv/bin/python", "/mnt/kit/outputs.py", f"/home/pi/{name}/{name}.bundle", f"/mnt/kit/{name}.npz",
        str(COUNT[name]), f"/home/pi/{name}.npz",
    )  # fmt: skip
    here = outputs_here(name)
    with np.load(installed / f"{name}.npz") as data:
        there = dict(data)

    assert set(here) == set(there)
    for point, want in here.items():
        apart = float(np.abs(there[point] - want).max())
        span = max(float(np.ptp(here["fp32"])), 1.0)
        assert apart <= 1e-5 * span or point not in ("fp32", "max"), f"{point}: {apart:g}"
        assert apart <= 0.01 * span, f"{point}: {apart:g}"


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", APPS)
def test_integers_are_those_of_x86(
    installed: Path, make_pi: Callable[[str], Pi], tmp_path: Path, name: str, board: str
) -> None:
    """Each piece for equal inputs: the same integers but for a tie in 100,000, floats within 1e-6 of their range."""
    found = pieces(Bundle.open(PLACE / "bundles" / f"{name}.bundle"))
    folder = installed / f"{name}-pieces"
    shutil.rmtree(folder, ignore_errors=True)
    save(found, folder)
    make_pi(board).run(
        f"{name}/venv/bin/python", "/mnt/kit/pieces.py", f"/home/pi/{folder.name}", f"/home/pi/{name}-pieces.npz"
    )
    subprocess.run([sys.executable, PLACE / "kits" / "pieces.py", folder, tmp_path / "here.npz"], check=True)

    numbers, ties = 0, 0
    with np.load(tmp_path / "here.npz") as here, np.load(installed / f"{name}-pieces.npz") as there:
        for index, piece in enumerate(found):
            mine = here[str(index)].astype(np.float64)
            apart = np.abs(there[str(index)].astype(np.float64) - mine)
            assert apart.max() <= (1.0 if piece.integers else 1e-6 * max(float(np.ptp(mine)), 1.0)), piece.name
            numbers += apart.size * piece.integers
            ties += int(np.count_nonzero(apart)) * piece.integers
    assert numbers
    assert ties <= 1e-5 * numbers


@pytest.mark.parametrize("board", BOARDS)
def test_the_keyword_spotter_hears_as_on_x86(installed: Path, make_pi: Callable[[str], Pi], board: str) -> None:
    """./run --replay, as the README has it: the three words, on each processor."""
    said = make_pi(board).run("keyword_spotter/run", "--replay", "samples/keyword_spotter/clips")

    assert ["eight", "seven", "three"] == [line.split()[0] for line in said.splitlines()]
    assert (installed / "keyword_spotter").is_dir()


@pytest.mark.skipif("camera_classifier" not in APPS, reason="ARM_APPS leaves it out")
@pytest.mark.parametrize("board", BOARDS)
def test_the_camera_classifier_sees_as_on_x86(installed: Path, make_pi: Callable[[str], Pi], board: str) -> None:
    """A replay of the first pictures names the digits that they show."""
    with np.load(installed / "camera_classifier/samples/camera_classifier/test.npz") as data:
        np.savez(installed / "some.npz", x=data["x"][:6])
        labels = [str(label) for label in data["labels"][:6]]
    said = make_pi(board).run("camera_classifier/run", "--replay", "/home/pi/some.npz")

    assert labels == [line.split()[0] for line in said.splitlines()]


@pytest.mark.skipif("vibration_monitor" not in APPS, reason="ARM_APPS leaves it out")
@pytest.mark.parametrize("board", BOARDS)
def test_the_vibration_monitor_tells_as_on_x86(installed: Path, make_pi: Callable[[str], Pi], board: str) -> None:
    """The last cycles of the engine's life are told within its error, and service is asked for."""
    table = (installed / "vibration_monitor/samples/vibration_monitor/engine-34.csv").read_text().splitlines()
    (installed / "end.csv").write_text("\n".join([table[0], *table[-32:]]) + "\n")
    said = make_pi(board).run("vibration_monitor/run", "--replay", "/home/pi/end.csv").splitlines()

    assert 3 == len(said)
    assert all("SERVICE SOON" in line for line in said)


def test_the_app_follows_the_board(installed: Path, make_pi: Callable[[str], Pi]) -> None:
    """The battery drains, goes and comes back, the chip gets hot and throttles: the app switches and answers on."""
    pi = make_pi("pi4")
    words = ["keyword_spotter/run", "--replay", "samples/keyword_spotter/clips", "--realtime", "--repeat", "60",
             "--deadline", "60000",
             "--verbose", "--answers", "/home/pi/answers.jsonl"]  # fmt: skip
    process = pi.emulated.start(words, cpu=pi.cpu, board=pi.tree.root, kit=pi.kit)
    answers = installed / "answers.jsonl"

    def after(count: int) -> list[str]:
        """Wait for so many more answers; return the points that gave them."""
        before = len(_points(answers))
        for _ in range(600):
            if len(_points(answers)) >= before + count or process.poll() is not None:
                break
            time.sleep(0.1)
        return _points(answers)[before:]

    try:
        full = after(4)
        pi.tree.battery(name="ups", pct=8, energy_full_wh=37, power_w=4.0)
        empty = after(14)
        pi.tree.battery(name="ups", pct=95, energy_full_wh=37, power_w=-4.0, status="Charging")
        pi.tree.mains(True, name="ups-charger").temperature(84.0).throttled(0x2)
        hot = after(8)
        pi.tree.temperature(50.0).throttled(0).remove("sys/class/power_supply/ups")
        without = after(4)
    finally:
        process.kill()  # unshare holds SIGTERM back, and takes what it runs along when it is killed
        _, journal = process.communicate(timeout=60)

    assert "max" == full[-1]
    assert "min" == empty[-1]
    assert len(hot) == 8
    assert len(without) == 4
    assert re.search(r"-> min: .*battery", journal), journal
    assert "Traceback" not in journal


def _points(answers: Path) -> list[str]:
    if not answers.exists():
        return []
    return [json.loads(line)["point"] for line in answers.read_text().splitlines() if line.endswith("}")]
