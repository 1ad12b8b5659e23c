from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgehybrid.bundle import Bundle, BundleDraft, check_output, write_bundle
from edgehybrid.errors import EdgeHybridError, ExportError, OutputError, RequestError


def listing(folder: Path) -> set[str]:
    """Names in a folder, hidden ones too."""
    return {path.name for path in folder.iterdir()}


def test_existing_bundle_needs_overwrite(tmp_path: Path, draft: BundleDraft, renamed: BundleDraft) -> None:
    """Without ``overwrite`` the old bundle stays; with it the new one takes its place and nothing else is left."""
    path = tmp_path / "b"
    write_bundle(draft, path)

    with pytest.raises(OutputError, match=r"exists already. .*--overwrite"):
        write_bundle(renamed, path)
    assert "tiny" == Bundle.open(path).doc.bundle.name

    write_bundle(renamed, path, overwrite=True)
    assert "other" == Bundle.open(path).doc.bundle.name
    assert {"b"} == listing(tmp_path)


def test_damaged_bundle_may_be_replaced(tmp_path: Path, draft: BundleDraft) -> None:
    """A bundle with a missing file is still a bundle of ours, so ``overwrite`` repairs it."""
    write_bundle(draft, tmp_path / "b")
    (tmp_path / "b/main/golden.npz").unlink()

    write_bundle(draft, tmp_path / "b", overwrite=True)

    Bundle.open(tmp_path / "b")


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")


def _foreign_manifest(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"name": "a web app"}')


def _file(path: Path) -> None:
    path.write_text("years of work")


def _link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [_folder, _foreign_manifest, _file, _link])
def test_anything_else_is_never_replaced(tmp_path: Path, draft: BundleDraft, make: Callable[[Path], None]) -> None:
    """What is no bundle of ours is refused even with ``overwrite``, early, and left as it was."""
    make(tmp_path / "b")

    for refuse in (
        lambda: check_output(tmp_path / "b", overwrite=True),
        lambda: write_bundle(draft, tmp_path / "b", overwrite=True),
    ):
        with pytest.raises(OutputError, match=r"is not a bundle|symbolic link"):
            refuse()
    assert {"b"} == listing(tmp_path)


def test_parent_must_exist(tmp_path: Path, draft: BundleDraft) -> None:
    """A missing parent is named, with the command that makes it."""
    with pytest.raises(OutputError, match=r"/none does not exist. Run: mkdir -p .*/none"):
        write_bundle(draft, tmp_path / "none" / "b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_parent_must_be_writable(tmp_path: Path, draft: BundleDraft) -> None:
    """A folder without write permission is refused before any work."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match=r"cannot be written. Run: chmod"):
            write_bundle(draft, tmp_path / "b")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("overwrite", [False, True])
def test_failure_half_way_leaves_everything_as_it_was(
    tmp_path: Path, draft: BundleDraft, renamed: BundleDraft, overwrite: bool
) -> None:
    """A source that cannot be read, a hook that refuses, an interruption: no rest, and the old bundle untouched."""
    path, source = tmp_path / "b", tmp_path / "gone.bin"
    if overwrite:
        write_bundle(draft, path)
    before = listing(tmp_path)
    (stage,) = renamed.stages
    source.mkdir()  # can be measured, not read
    unreadable = replace(renamed, stages=(replace(stage, shared={"weights.bin": source}),))

    with pytest.raises(OutputError, match="could not be written: Is a directory"):
        write_bundle(unreadable, path, overwrite=overwrite)
    source.rmdir()

    def refuse(folder: Path) -> None:
        assert "other" == Bundle.open(folder).doc.bundle.name
        raise ExportError("The outputs differ.", "Report it.")

    def interrupt(folder: Path) -> None:
        del folder
        raise KeyboardInterrupt

    with pytest.raises(ExportError, match="The outputs differ"):
        write_bundle(renamed, path, overwrite=overwrite, before_publish=refuse)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(renamed, path, overwrite=overwrite, before_publish=interrupt)

    assert before == listing(tmp_path)
    if overwrite:
        assert "tiny" == Bundle.open(path).doc.bundle.name


def test_failed_replacement_puts_the_old_bundle_back(tmp_path: Path, draft: BundleDraft, renamed: BundleDraft) -> None:
    """When the last rename fails, the old bundle is back in its place."""
    write_bundle(draft, tmp_path / "b")

    with pytest.raises(OutputError, match="could not be written: No such file"):
        write_bundle(renamed, tmp_path / "b", overwrite=True, before_publish=shutil.rmtree)

    assert "tiny" == Bundle.open(tmp_path / "b").doc.bundle.name
    assert {"b"} == listing(tmp_path)


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import make_draft
from pathlib import Path
from edgehybrid.bundle import write_bundle

def die(folder):
    os.kill(os.getpid(), signal.SIGKILL)

write_bundle(make_draft(), Path(sys.argv[2]) / "b", overwrite=True, before_publish=die)
"""


def test_killed_process_leaves_the_old_bundle_whole(tmp_path: Path, renamed: BundleDraft) -> None:
    """Killed between writing and renaming: the old bundle still opens; the rest is a hidden folder beside it."""
    write_bundle(renamed, tmp_path / "b")

    done = subprocess.run([sys.executable, "-c", _KILLED, str(Path(__file__).parent), str(tmp_path)], check=False)

    assert -signal.SIGKILL == done.returncode
    assert "other" == Bundle.open(tmp_path / "b").doc.bundle.name
    assert {"b"} == {name for name in listing(tmp_path) if not name.startswith(".b.")}


def test_two_writers_do_not_mix(tmp_path: Path, draft: BundleDraft, renamed: BundleDraft) -> None:
    """When another one publishes first, the second is refused and the first stays whole."""
    path = tmp_path / "b"

    def publish_another(folder: Path) -> None:
        write_bundle(draft, folder.parent / "b")

    with pytest.raises(OutputError, match="exists already"):
        write_bundle(renamed, path, before_publish=publish_another)

    assert "tiny" == Bundle.open(path).doc.bundle.name
    assert {"b"} == listing(tmp_path)


def test_contradicting_draft_is_not_published(tmp_path: Path, draft: BundleDraft) -> None:
    """A point without a variant, or a figure that JSON cannot hold, stops the writing."""
    lost = replace(draft, points=(replace(draft.points[0], variants={"main": "w9"}),))
    infinite = replace(draft, points=(replace(draft.points[0], cpu_ms=float("inf")), draft.points[1]))

    for bad in (lost, infinite):
        with pytest.raises(ExportError, match="as written does not open"):
            write_bundle(bad, tmp_path / "b")
    assert set() == listing(tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "golden.npz", "shared_assets", "con:", "-x"])
def test_names_that_cannot_be_folders_are_refused(tmp_path: Path, draft: BundleDraft, name: str) -> None:
    """Stage, variant and file names stay inside the bundle and off its own files."""
    (stage,) = draft.stages
    variant = stage.variants[0]
    bad_stages = [replace(stage, name=name), replace(stage, variants=(replace(variant, name=name),))]
    if name in ("../x", "", ".", "golden.npz", "con:"):
        bad_stages.append(replace(stage, variants=(replace(variant, files={name: b""}),)))

    for bad in bad_stages:
        with pytest.raises(RequestError, match="cannot name a"):
            write_bundle(replace(draft, stages=(bad,)), tmp_path / "b")
    assert set() == listing(tmp_path)


def test_files_can_be_read_by_others(tmp_path: Path, draft: BundleDraft) -> None:
    """Files and folders get the permissions that the user's umask gives."""
    old = os.umask(0o022)
    try:
        bundle = write_bundle(draft, tmp_path / "b")
    finally:
        os.umask(old)

    assert 0o755 == bundle.path.stat().st_mode & 0o777
    assert 0o644 == (bundle.path / "manifest.json").stat().st_mode & 0o777


def test_room_is_checked_before_writing(tmp_path: Path, draft: BundleDraft) -> None:
    """A bundle larger than the free space is refused before a byte is written, with both numbers."""
    (stage,) = draft.stages
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as sparse:
        try:
            sparse.truncate(1 << 43)
        except OSError:
            pytest.skip("this file system has no sparse file of 8 TiB")

    with pytest.raises(OutputError, match=r"it needs 8,796,0[\d,.]+ MB and [\d,.]+ MB are free there. Free some space"):
        write_bundle(replace(draft, stages=(replace(stage, shared={"weights.bin": huge}),)), tmp_path / "b")
    assert {"huge.bin"} == listing(tmp_path)


_FULL_DISK = """
import sys
sys.path.insert(0, sys.argv[1])
from conftest import make_draft
import resource
from pathlib import Path
from edgehybrid.bundle import write_bundle
from edgehybrid.errors import OutputError

draft = make_draft()
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    write_bundle(draft, Path(sys.argv[2]) / "b")
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="this system cannot limit the size of files")
def test_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    """When writing stops half way for want of room, the message has both numbers and nothing is left."""
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, here, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert "b does not fit: it needs" in done.stdout
    assert "MB are free there. Free some space" in done.stdout
    assert set() == listing(tmp_path)


def test_errors_are_ours(tmp_path: Path, draft: BundleDraft) -> None:
    """A draft whose file vanished is our error, not an OSError."""
    (stage,) = draft.stages
    gone = replace(stage, shared={"weights.bin": tmp_path / "gone.bin"})

    with pytest.raises(EdgeHybridError, match=r"No such file or directory \(.*gone.bin\)"):
        write_bundle(replace(draft, stages=(gone,)), tmp_path / "b")


@pytest.fixture(params=["size=12k", "size=1m,nr_inodes=8"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system that is too small from the start, and one that fills up while files are written."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_leaves_nothing(small_disk: Path, draft: BundleDraft) -> None:
    """A disk without room, at once or half way, gives both numbers, and nothing is left on it."""
    with pytest.raises(OutputError, match=r"/b does not fit: it needs [\d,.]+ MB and [\d,.]+ MB are free there"):
        write_bundle(draft, small_disk / "b")

    assert set() == listing(small_disk)
