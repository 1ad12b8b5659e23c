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


def test_its_document_has_scope_and_uncertainty(cli: Cli, tmp_path: Path) -> None:
    """For programs: the same, unrounded."""
    DeviceTree.pi5(tmp_path).pmic(core_w=0.39, others_w=1.16)
    snapshot = json.loads(cli("doctor", "--root", tmp_path, "--json").stdout)["snapshot"]

    assert "board" == snapshot["power_scope"] == snapshot["readings"]["power_w"]["scope"]
    assert snapshot["readings"]["power_w"]["uncertainty"] > 0.5
