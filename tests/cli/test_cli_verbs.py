from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.cli.bundle_tables import legend, made_of
from edgehybrid.cli.documents import DOCUMENTS, schema_text
from edgehybrid.testing import DeviceTree

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "samples" / "keyword_spotter" / "pi4-ups.recording.jsonl"
SAMPLES = 48

Cli = Callable[..., CompletedProcess[str]]


def checked(text: str, name: str) -> dict[str, Any]:
    """Read a printed document after checking it against its type; the JSON Schema is made from the same."""
    msgspec.json.decode(text, type=DOCUMENTS[name])
    return dict(json.loads(text))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schemas_are_in_step(name: str) -> None:
    """The JSON Schemas in docs/reference are those of the types (``make schemas`` renews them)."""
    assert schema_text(name) == (ROOT / "docs" / "reference" / f"{name}.schema.json").read_text(encoding="utf-8")


def test_export_prints_the_points(cli: Cli, model: Path, data: Path, tmp_path: Path) -> None:
    """An export ends with the table of points, and says what it dropped and left alone, with reasons."""
    answer = cli("export", model, "-o", tmp_path / "b", "--data", data, "--effort", "quick")

    assert 0 == answer.returncode, answer.stderr
    assert "Operating points" in answer.stdout
    assert "fp32" in answer.stdout
    assert Bundle.open(tmp_path / "b").points[0].is_reference


def test_dry_run_writes_nothing(cli: Cli, model: Path, data: Path, tmp_path: Path) -> None:
    """``--dry-run`` names the candidates and leaves no trace."""
    answer = cli("export", model, "-o", tmp_path / "b", "--data", data, "--dry-run", "--json")

    assert 0 == answer.returncode, answer.stderr
    assert {"w8a8", "w8-dyn"} <= {candidate["name"] for candidate in json.loads(answer.stdout)["candidates"]}
    assert [] == list(tmp_path.iterdir())


def test_recipe_gives_the_same_options(cli: Cli, model: Path, data: Path, tmp_path: Path) -> None:
    """A saved recipe brings its options back; the command line counts more."""
    recipe = tmp_path / "r.toml"
    plan = ("export", model, "-o", tmp_path / "b", "--data", data, "--dry-run")

    first = cli(*plan, "--levels", 2, "--metric", "agreement", "--save-recipe", recipe)
    second = cli(*plan, "--recipe", recipe, "--metric", "accuracy", "--save-recipe", tmp_path / "s.toml")

    assert (0, 0) == (first.returncode, second.returncode)
    text = (tmp_path / "s.toml").read_text()
    assert "levels = 2" in text
    assert 'metric = "accuracy"' in text


def test_inspect_a_bundle(cli: Cli, bundle: Path) -> None:
    """``inspect BUNDLE --json`` holds what its schema promises; the table names every point."""
    found = checked(cli("inspect", bundle, "--json").stdout, "inspect-bundle")

    assert "fp32" == found["points"][0]["name"]
    table = cli("inspect", bundle).stdout
    assert all(point["name"] in table for point in found["points"])


def test_inspect_a_model(cli: Cli, model: Path) -> None:
    """``inspect MODEL --json`` holds what its schema promises; the table names families and what computes nothing."""
    found = checked(cli("inspect", model, "--json").stdout, "inspect-model")["model"]

    assert {"convolution", "dense"} <= {c["family"] for c in found["components"]}
    assert 32 * 27 + 32 + 32 * 4 + 4 == found["params"]
    table = cli("inspect", model).stdout
    assert "convolution-1" in table
    assert "bytes moved" in table
    assert "of the time computes nothing" in table


def test_verify_replays_every_variant(cli: Cli, bundle: Path) -> None:
    """A whole bundle passes, every variant by name."""
    found = checked(cli("verify", bundle, "--json").stdout, "verify")

    assert found["ok"]
    names = {variant.name for stage in Bundle.open(bundle).stages for variant in stage.variants}
    assert names == {check["variant"] for check in found["variants"]}


def test_verify_finds_one_changed_byte(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    """One flipped bit in the weights, and the bundle is refused with the file's name."""
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    weights = next(copy.rglob("weights.bin"))
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])

    answer = cli("verify", copy)

    assert 1 == answer.returncode
    assert "weights.bin" in answer.stderr


def test_run_counts_what_it_ran(cli: Cli, bundle: Path, data: Path) -> None:
    """Every sample gets an answer; shares add up; a pinned point answers all."""
    found = checked(cli("run", bundle, "--data", data, "--point", "fp32", "--json").stdout, "run")

    assert (SAMPLES, 0) == (found["n"], found["dropped"])
    assert {"fp32": 1.0} == found["points"]
    assert {"1": 1.0} == found["depth"]
    assert "accuracy" == found["quality"]["metric"]


def test_run_without_labels_measures_agreement(cli: Cli, bundle: Path, data: Path) -> None:
    """With the reference pinned, agreement with the float model is complete."""
    words = ("run", bundle, "--data", data, "--metric", "agreement", "--point", "fp32", "--limit", 10, "--json")
    found = checked(cli(*words).stdout, "run")

    assert (10, 1.0) == (found["n"], found["quality"]["value"])


def test_run_on_a_recorded_device_switches_with_reasons(
    cli: Cli, levels_bundle: Path, data: Path, tmp_path: Path
) -> None:
    """On the recorded Pi the engine moves down as the battery drains, says why, and a picture is left."""
    picture = tmp_path / "run.png"
    words = ("run", levels_bundle, "--data", data, "--recording", RECORDING, "--plot", picture)
    found = checked(cli(*words, "--json").stdout, "run")

    assert found["switches"] >= 2
    assert all(any(c.isdigit() for c in decision["reason"]) for decision in found["decisions"])
    assert any("battery" in decision["reason"] for decision in found["decisions"])
    assert b"\x89PNG" == picture.read_bytes()[:4]
    assert "When and why" in cli(*words).stdout


def test_doctor_tells_what_a_board_has(cli: Cli, tmp_path: Path) -> None:
    """On a Pi 4 with a UPS HAT it sees battery and temperature."""
    DeviceTree.pi4_ups(tmp_path)

    found = checked(cli("doctor", "--root", tmp_path, "--json").stdout, "doctor")

    assert "raspberry-pi-4b" == found["device"]["name"]
    assert found["snapshot"]["battery_pct"] is not None
    assert found["snapshot"]["soc_temp_c"] is not None


def test_doctor_on_a_bare_device(cli: Cli, tmp_path: Path) -> None:
    """With no battery, no thermometer and nothing readable it says so, and what follows."""
    answer = cli("doctor", "--root", tmp_path)

    assert 0 == answer.returncode
    assert "No battery is visible" in answer.stdout
    assert "No thermometer is visible" in answer.stdout


def test_the_points_come_last(cli: Cli, bundle: Path) -> None:
    """What one looks for, the points, stands at the end, where a terminal shows it; what was left out stands before."""
    shown = cli("inspect", bundle).stdout

    assert 0 < shown.index("Measured and not shipped") < shown.index("Operating points")
    assert shown.rstrip().splitlines()[-1].startswith("on disk")


def test_a_family_is_named_once(bundle: Path) -> None:
    """A family in several precisions has one place in a point's line, and each precision its place in the legend."""
    doc = Bundle.open(bundle).doc
    stage = doc.stages[0]
    schemes = dict.fromkeys((c.name for c in doc.model.components if c.family == "convolution"), "fp16+w8a8-int")
    variants = tuple(replace(variant, schemes={**variant.schemes, **schemes}) for variant in stage.variants)
    mixed = replace(doc, stages=(replace(stage, variants=variants),))

    assert "convolution: fp16 + w8a8-int" in made_of(mixed, mixed.points[-1])
    assert {"fp16", "w8a8-int"} <= {line.split(":")[0] for line in legend(mixed)}
