"""A person's way to a running service: the archive, its two scripts, the units, and what the READMEs say of them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from edgehybrid.bundle import Bundle

ROOT = Path(__file__).parents[2]
APPS = ("keyword_spotter", "camera_classifier", "vibration_monitor")
UNITS = sorted((ROOT / "samples").glob("*/*.service"))


@pytest.fixture(scope="session")
def kit_of(
    import_sample: Callable[[str, str], ModuleType],
    bundle_of: Callable[[str], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """Pack an app around the float model and a stand-in for the wheel, and unpack it as the README says."""
    kit = import_sample("common", "kitting")

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        wheel = folder / "edgehybrid-0-py3-none-any.whl"
        wheel.touch()
        archive = kit.pack(name, bundle_of(name).path, folder, wheel=wheel)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        return folder / name

    return make


@pytest.mark.parametrize("name", APPS)
def test_an_unpacked_app_runs(kit_of: Callable[[str], Path], name: str) -> None:
    """What the archive holds is enough: ``./run --replay`` answers, with nothing of the checkout but edgehybrid."""
    folder = kit_of(name)
    (folder / "venv" / "bin").mkdir(parents=True)
    python = folder / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    if name == "vibration_monitor":  # one engine opened per cycle: a shorter life will do
        table = folder / "samples" / name / "engine-34.csv"
        table.write_text("\n".join(table.read_text().splitlines()[:35]))
    done = subprocess.run([folder / "run", "--replay"], capture_output=True, text=True, check=False, cwd="/")

    assert (0, True) == (done.returncode, "answers" in done.stderr), done.stderr
    expected = {"keyword_spotter": "seven", "camera_classifier": "picture 163", "vibration_monitor": "cycles left"}
    assert expected[name] in done.stdout


def test_the_install_asks_for_what_the_bundle_needs(
    import_sample: Callable[[str, str], ModuleType], bundle_of: Callable[[str], Bundle]
) -> None:
    """A bundle with TFLite files needs an engine for them; one without pulls nothing more."""
    kit, bundle = import_sample("common", "kitting"), bundle_of("vibration_monitor")
    stage = bundle.stages[0]
    lite = replace(stage, variants=(*stage.variants, replace(stage.variants[0], name="lite", format="tflite")))

    assert "" == kit._extras(bundle)
    assert "[tflite]" == kit._extras(Bundle(bundle.path, replace(bundle.doc, stages=(lite,))))


@pytest.mark.parametrize("name", APPS)
def test_the_readme_tells_the_shortest_way(name: str) -> None:
    """At most three commands lead from the archive to the first answer, and each is one that the archive can do."""
    readme = (ROOT / "samples" / name / "README.md").read_text()
    block = re.search(r"## On the board\n.*?```sh\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    commands = [line.partition("#")[0].strip() for line in block[1].splitlines() if line.strip()]

    assert [f"tar -xzf {name}.tar.gz", f"{name}/install", f"{name}/run --replay"] == commands
    assert f"sudo {name}/install --service" in readme


def test_a_wrong_use_of_an_app_is_an_error(bundle_of: Callable[[str], Bundle]) -> None:
    """Errors leave with 1 and say the fix, without a traceback."""
    command = [
        sys.executable,
        "-m",
        "samples.vibration_monitor.app",
        "--bundle",
        str(bundle_of("vibration_monitor").path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    assert (
        1,
        "error: Nothing is to be read.\n  fix: Give --sensors FILE (see sensors.toml), or --replay FILE.csv.\n",
    ) == (
        done.returncode,
        done.stderr,
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_are_safe_and_whole(unit: Path) -> None:
    """No unit runs as root or without limits; services restart and feed a watchdog; what they call is in the app."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's names have capitals
    parser.read(unit)
    service = parser["Service"]

    assert ("yes", "yes", "") == (service["DynamicUser"], service["NoNewPrivileges"], service["CapabilityBoundingSet"])
    assert {"MemoryMax", "CPUQuota", "TasksMax"} <= set(service)
    assert f"-m samples.{unit.parent.name}.app --bundle {unit.parent.name}.bundle" in service["ExecStart"]
    if service["Type"] == "oneshot":
        assert {"SuccessAction": "poweroff", "FailureAction": "poweroff"}.items() <= dict(parser["Unit"]).items()
    else:
        assert ("notify", "always") == (service["Type"], service["Restart"])
        assert {"WatchdogSec", "RestartSec"} <= set(service)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    """Systemd itself finds nothing to say about a unit whose program is there."""
    place = tmp_path / unit.name
    venv = f"/opt/edgehybrid/{unit.parent.name}/venv/bin/python"
    place.write_text(unit.read_text().replace(venv, sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", place], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if unit.name in line]

    assert [] == said


@pytest.mark.parametrize("script", ["install", "run"])
def test_scripts_are_plain_shell(script: str) -> None:
    """Both scripts parse as POSIX shell and may be run."""
    path = ROOT / "samples" / "common" / "kit" / script

    assert path.stat().st_mode & 0o111
    assert "" == subprocess.run(["sh", "-n", path], capture_output=True, text=True, check=True).stderr
