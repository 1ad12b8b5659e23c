"""``edgehybrid doctor`` on boards with power sensors and accelerators."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from edgehybrid.testing import DeviceTree

Cli = Callable[..., CompletedProcess[str]]


def test_it_shows_power_with_what_it_covers_and_its_doubt(cli: Cli, tmp_path: Path) -> None:
    """A Jetson: 6.15 W of the whole board, its rail, its GPU; what is not there is one line."""
    DeviceTree.jetson_orin_nano(tmp_path)
    said = cli("doctor", "--root", tmp_path).stdout

    assert "power_w 6.15 (board) ± 0.18" in said
    assert "(VDD_IN)" in said
    assert "npu_load_pct" in said
    assert "Not on this device: battery, " in said
    assert "A power sensor measures this device" in said


def test_it_says_why_a_sensor_is_not_trusted(cli: Cli, tmp_path: Path) -> None:
    """A dead thermometer, a wrong shunt, a lost accelerator: each with its reason."""
    DeviceTree.pi5(tmp_path).ina(5.0, 30.0).coral(-89.7).temperature(151)
    said = " ".join(cli("doctor", "--root", tmp_path).stdout.split())

    assert "insane" in said
    assert "151.0 °C cannot be" in said
    assert "shunt_resistor" in said
    assert "The accelerator is of no use now: Coral does not answer" in said
    assert "No power sensor is visible" in said


def test_a_folder_that_is_not_there_is_no_device(cli: Cli, tmp_path: Path) -> None:
    """A misspelt --root is wrong use, not a board without sensors."""
    done = cli("doctor", "--root", tmp_path / "nowhere")

    assert 2 == done.returncode
    assert "does not exist" in done.stderr


def test_back_ends_that_lack_the_same_are_one_line(cli: Cli) -> None:
    """Each reason why something is not offered is said once, with the back ends that it holds for."""
    backends = json.loads(cli("doctor", "--json").stdout)["backends"]
    said = cli("doctor").stdout.split("Not offered here")[1]

    for why in {b["problem"] for b in backends if b["problem"]}:
        assert ", ".join(b["name"] for b in backends if b["problem"] == why) in said


def test_its_document_has_scope_and_uncertainty(cli: Cli, tmp_path: Path) -> None:
    """For programs: the same, unrounded."""
    DeviceTree.pi5(tmp_path).pmic(core_w=0.39, others_w=1.16)
    snapshot = json.loads(cli("doctor", "--root", tmp_path, "--json").stdout)["snapshot"]

    assert "board" == snapshot["power_scope"] == snapshot["readings"]["power_w"]["scope"]
    assert snapshot["readings"]["power_w"]["uncertainty"] > 0.5
