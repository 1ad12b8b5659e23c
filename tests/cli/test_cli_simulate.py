"""``edgehybrid simulate``: the table, the document, the picture, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import pytest

from edgehybrid.cli.documents import SimulateDocument
from edgehybrid.runtime.simulation import CONTROLLERS

Cli = Callable[..., CompletedProcess[str]]
TEXT = """
schema = 1
title = "A short day"
[device]
profile = "raspberry-pi-4b"
slowdown = 300.0
[battery]
capacity_wh = 0.3
[mission]
duration_h = 0.1
deadline_ms = 500.0
last_until_end = true
[random]
runs = 2
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A mission of six minutes with a battery that is nearly too small."""
    path = tmp_path / "short.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_table_has_every_controller(cli: Cli, levels_bundle: Path, scenario: Path) -> None:
    """Each controller has a line with its figures and one that says what it does; the title stands above."""
    done = cli("simulate", levels_bundle, "--scenario", scenario)

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("A short day")
    for name in CONTROLLERS:
        assert 2 <= sum(line.strip().startswith(name) for line in done.stdout.splitlines())
    assert max(map(len, done.stdout.splitlines())) <= 130


def test_the_document_is_what_its_schema_says(cli: Cli, levels_bundle: Path, scenario: Path) -> None:
    """``--json`` decodes as its type, holds the oracle last, and is the same twice."""
    first, again = (
        cli("simulate", levels_bundle, "--scenario", scenario, "--controllers", "fixed,edgehybrid", "--json").stdout
        for _ in range(2)
    )
    document = msgspec.json.decode(first, type=SimulateDocument)

    assert first == again
    assert ["edgehybrid", "fixed", "oracle"] == [controller.name for controller in document.controllers]
    assert 2 == document.runs
    assert 0.0 == document.controllers[-1].lost.mean
    for controller in document.controllers:
        low, high = controller.quality.ci95
        assert low <= controller.quality.mean <= high
        assert 1.0 == pytest.approx(sum(controller.points.values()))


def test_points_alone_are_enough(cli: Cli, levels_bundle: Path, scenario: Path, tmp_path: Path) -> None:
    """What ``inspect --json`` printed simulates as the bundle does."""
    points = tmp_path / "points.json"
    points.write_text(cli("inspect", levels_bundle, "--json").stdout, encoding="utf-8")
    words = ("--scenario", scenario, "--controllers", "alert", "--json")

    assert cli("simulate", points, *words).stdout == cli("simulate", levels_bundle, *words).stdout


@pytest.mark.parametrize("ending", [".png", ".svg", ".html"])
def test_a_picture_is_left(cli: Cli, levels_bundle: Path, scenario: Path, tmp_path: Path, ending: str) -> None:
    """A picture of the first run, in three formats; the page has the table too, and nothing from elsewhere."""
    pytest.importorskip("matplotlib")
    path = tmp_path / f"mission{ending}"
    done = cli("simulate", levels_bundle, "--scenario", scenario, "--runs", 1, "--plot", path)

    assert (0, "") == (done.returncode, done.stderr)
    assert path.stat().st_size > 10_000
    if ending == ".html":
        text = path.read_text(encoding="utf-8")
        assert "<td>edgehybrid</td>" in text
        assert "src=" not in text
        assert "<li>energy: of the whole board" in text  # the page explains its words, as the terminal does
        assert "<li>alert: " in text
        assert "width=device-width" in text  # and a phone can show it


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--controllers", "magic"), "There is no controller 'magic'"),
        (("--plot", "mission.bmp"), "mission.bmp is no picture"),
        (("--policy", "brave"), "no policy named 'brave'"),
    ],
)
def test_wrong_words_are_refused(
    cli: Cli, levels_bundle: Path, scenario: Path, words: tuple[str, ...], said: str
) -> None:
    """Each with what there is instead."""
    done = cli("simulate", levels_bundle, "--scenario", scenario, *words)

    assert 1 == done.returncode
    assert said in done.stderr
    assert "fix:" in done.stderr


@pytest.mark.parametrize("text", ["", "{}", '{"points": []}', '{"points": [{"name": 3}]}'])
def test_a_file_without_points_is_refused(cli: Cli, scenario: Path, tmp_path: Path, text: str) -> None:
    """The message says where points come from."""
    path = tmp_path / "none.json"
    path.write_text(text, encoding="utf-8")
    done = cli("simulate", path, "--scenario", scenario)

    assert 1 == done.returncode
    assert "inspect BUNDLE --json" in done.stderr


def test_a_bad_scenario_is_refused(cli: Cli, levels_bundle: Path, tmp_path: Path) -> None:
    """The problem and the page that explains the fields."""
    path = tmp_path / "bad.toml"
    path.write_text(TEXT.replace("capacity_wh", "capasity_wh"), encoding="utf-8")
    done = cli("simulate", levels_bundle, "--scenario", path, "--json")

    assert 1 == done.returncode
    assert "did you mean capacity_wh?" in done.stderr
    assert not done.stdout


def test_an_error_metric_reads_the_right_way(cli: Cli, levels_bundle: Path, scenario: Path, tmp_path: Path) -> None:
    """Where lower is better, the figures are the metric's own, and the oracle has the lowest."""
    document = json.loads(cli("inspect", levels_bundle, "--json").stdout)
    for k, point in enumerate(document["points"]):
        point["quality"] |= {"metric": "rmse", "value": 1.0 + k, "ci95": [1.0, 9.0], "higher_is_better": False}
    path = tmp_path / "points.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    done = cli("simulate", path, "--scenario", scenario, "--json")
    found = msgspec.json.decode(done.stdout, type=SimulateDocument)
    qualities = {controller.name: controller.quality.mean for controller in found.controllers}

    assert all(1.0 <= value <= 4.0 for value in qualities.values())
    assert min(qualities.values()) == pytest.approx(qualities["oracle"], abs=0.05)
