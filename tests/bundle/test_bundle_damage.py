from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.bundle import Bundle, BundleDraft, write_bundle
from edgehybrid.bundle.digests import ZEROS, seal
from edgehybrid.errors import BundleError

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def whole(draft: BundleDraft, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is never touched; tests that damage it put it back or copy it."""
    return write_bundle(draft, tmp_path_factory.mktemp("whole") / "tiny.bundle").path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "copy.bundle"))


def forge(bundle: Path, edit: Edit) -> None:
    """Change our section of the manifest and seal it again, as a careful attacker would."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    edit(manifest)
    manifest["additional_metadata"]["edgehybrid"]["manifest_sha256"] = ZEROS
    (bundle / "manifest.json").write_bytes(seal(json.dumps(manifest, indent=2).encode()))


def section(manifest: dict[str, Any]) -> dict[str, Any]:
    """Our section."""
    ours: dict[str, Any] = manifest["additional_metadata"]["edgehybrid"]
    return ours


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_flipped_bit_is_found(data: st.DataObject, whole: Path) -> None:
    """One changed bit anywhere, the manifest included, and the bundle does not open; the message names the file."""
    path = data.draw(st.sampled_from(sorted(p for p in whole.rglob("*") if p.is_file())))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    damaged = bytearray(original)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(damaged)
        with pytest.raises(BundleError) as caught:
            Bundle.open(whole)
        if path.name != "manifest.json":
            assert repr(path.relative_to(whole).as_posix()) in caught.value.what
            assert "Copy the bundle again from where it was exported." == caught.value.fix
    finally:
        path.write_bytes(original)
    Bundle.open(whole)


def test_every_manifest_byte_counts(whole: Path) -> None:
    """Bytes all over the manifest, changed one at a time, are found without reading any other file."""
    path = whole / "manifest.json"
    original = path.read_bytes()
    try:
        for position in range(0, len(original), 17):
            damaged = bytearray(original)
            damaged[position] ^= 0x01
            path.write_bytes(damaged)
            with pytest.raises(BundleError):
                Bundle.open(whole, check_files=False)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_truncated_files_are_found(copy: Path, keep: int) -> None:
    """Every file cut short, from nothing left to one byte missing, is found."""
    for path in sorted(p for p in copy.rglob("*") if p.is_file()):
        original = path.read_bytes()
        path.write_bytes(original[:keep])
        with pytest.raises(BundleError):
            Bundle.open(copy)
        path.write_bytes(original)


def test_missing_file_is_named(copy: Path) -> None:
    """A file that is gone is named, also without the check of digests."""
    (copy / "main/aaa/model.onnx").unlink()

    for check in (True, False):
        with pytest.raises(BundleError, match=r"lacks the file 'main/aaa/model.onnx'. Copy the bundle again"):
            Bundle.open(copy, check_files=check)


def test_unlisted_files_are_left_alone(copy: Path) -> None:
    """A note beside the models does no harm and is no part of the bundle."""
    (copy / "main/NOTES.txt").write_text("hello")

    assert "main/NOTES.txt" not in Bundle.open(copy).doc.files


@pytest.mark.parametrize("place", ["manifest.json", "main/fp32/model.onnx", "main/fp32", "shared_assets", "main/new"])
def test_symbolic_links_are_refused(copy: Path, tmp_path: Path, place: str) -> None:
    """A link anywhere inside is refused, listed or not, even when it points to the right bytes."""
    target = tmp_path / "elsewhere"
    if (copy / place).exists():
        (copy / place).rename(target)
    (copy / place).symlink_to(target)

    with pytest.raises(BundleError, match="symbolic link"):
        Bundle.open(copy, check_files=False)


def test_bundle_may_itself_be_reached_by_a_link(copy: Path, tmp_path: Path) -> None:
    """``current -> v2`` is how devices are updated."""
    (tmp_path / "current").symlink_to(copy)

    assert "tiny" == Bundle.open(tmp_path / "current").doc.bundle.name


@pytest.mark.parametrize("path", ["../secret", "/etc/hosts", "main/../../secret", "main//x", "C:\\x", "a\\..\\b", ""])
def test_paths_that_lead_outside_are_refused(copy: Path, tmp_path: Path, path: str) -> None:
    """Every field that names a path refuses one that leads outside, before anything is read there."""
    os.mkfifo(tmp_path / "secret")  # reading it would hang

    def as_file(manifest: dict[str, Any]) -> None:
        section(manifest)["files"][path] = "0" * 63 + "1"

    def as_golden(manifest: dict[str, Any]) -> None:
        section(manifest)["stages"][0]["golden_file"] = path
        section(manifest)["files"][path] = "0" * 63 + "1"

    for edit in (as_file, as_golden):
        original = (copy / "manifest.json").read_bytes()
        forge(copy, edit)
        with pytest.raises(BundleError, match="leads outside the bundle"):
            Bundle.open(copy)
        (copy / "manifest.json").write_bytes(original)


def test_pipe_in_place_of_a_file_is_not_read(copy: Path) -> None:
    """A named pipe would block for ever; it counts as missing."""
    (copy / "main/golden.npz").unlink()
    os.mkfifo(copy / "main/golden.npz")

    with pytest.raises(BundleError, match="lacks the file"):
        Bundle.open(copy)


def _set(*path: str | int, to: object) -> Edit:
    def edit(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return edit


OURS = ("additional_metadata", "edgehybrid")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set(*OURS, "schema", to=3), r"has schema 3; this edgehybrid reads up to 2. Run: pip install"),
        (_set("schema_version", to="2.0"), r"model package of schema 2.0; .* Run: pip install --upgrade"),
        (_set(*OURS, "points", to=[]), r"no point"),
        (_set(*OURS, "points", 1, "name", to="fp32"), "more than one point 'fp32'"),
        (_set(*OURS, "points", 0, "name", to="low"), "first point is not the reference 'fp32'"),
        (_set(*OURS, "points", 1, "variants", to={"main": "w9"}), "'max' needs {'main': 'w9'}, which the bundle does"),
        (_set(*OURS, "points", 1, "variants", to={}), "'max' needs {}"),
        (_set(*OURS, "points", 1, "placement", to={"head": "onnx"}), r"stages that it does not run: \['head'\]"),
        (_set(*OURS, "points", 1, "cpu_ms", to="fast"), "not valid: Expected `float`"),
        (_set(*OURS, "stages", 0, "name", to="tail"), "'main/fp32/model.onnx', is not its own"),
        (_set(*OURS, "stages", 0, "name", to="a/b"), "'a/b', which cannot be a folder"),
        (_set(*OURS, "stages", 0, "variants", 1, "name", to="fp32"), "more than one variant of stage 'main' 'fp32'"),
        (
            _set(*OURS, "stages", 0, "variants", 0, "weights_dir", to="main/none"),
            "no digest for the files in 'main/none'",
        ),
        (_set(*OURS, "stages", 0, "variants", 0, "weights_dir", to="main"), "two halves"),
        (_set("components", "main", "variants", to={}), "two halves"),
        (_set("components", "main", "variants", "fp32", "variant_directory", to="../x"), "two halves"),
        (_set(*OURS, "files", to={}), "no digest for"),
    ],
)
def test_contradictions_are_refused(copy: Path, edit: Edit, message: str) -> None:
    """A manifest that is sealed, but newer or at odds with itself, is refused with the reason."""
    forge(copy, edit)

    with pytest.raises(BundleError, match=message):
        Bundle.open(copy)


def test_model_of_another_variant_is_refused(copy: Path) -> None:
    """A variant cannot borrow the model file of another one, which has other golden outputs."""

    def edit(manifest: dict[str, Any]) -> None:
        section(manifest)["stages"][0]["variants"][0]["model_file"] = "main/aaa/model.onnx"

    forge(copy, edit)
    with pytest.raises(BundleError, match=r"'main/aaa/model.onnx', is not its own"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no valid JSON"),
        (b"{", "no valid JSON"),
        (b"\xff\xfe{}", "no valid JSON"),
        (b"[]", "not the manifest of a model package"),
        (b'{"name": "some web app"}', "not the manifest of a model package"),
        (b'{"schema_version": "1.0", "additional_metadata": {"edgehybrid": 1}}', "not one of edgehybrid"),
        (b'{"schema_version": "1.0", "components": {}}', "is an ONNX Runtime model package, but not one of edgehybrid"),
    ],
)
def test_foreign_manifests_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Something else called manifest.json is told from a damaged bundle."""
    (tmp_path / "manifest.json").write_bytes(content)

    with pytest.raises(BundleError, match=message):
        Bundle.open(tmp_path)


def test_not_a_bundle_says_what_it_is(tmp_path: Path) -> None:
    """Nothing there, a file, an empty folder: three different messages, one fix."""
    (tmp_path / "file").touch()

    for name, message in (("gone", "does not exist"), ("file", "is not a folder"), ("", "it has no manifest.json")):
        with pytest.raises(BundleError, match=f"{message}. Give the folder that edgehybrid export wrote"):
            Bundle.open(tmp_path / name)


def test_newer_schema_is_refused_whatever_it_holds(copy: Path) -> None:
    """A newer schema may have other fields; it is refused by its number, not by the fields."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["additional_metadata"]["edgehybrid"] = {"schema": 7, "manifest_sha256": ZEROS}

    forge(copy, edit)
    with pytest.raises(BundleError, match="has schema 7"):
        Bundle.open(copy)
