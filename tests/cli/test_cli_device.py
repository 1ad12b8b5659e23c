from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.cli.documents import BenchDocument
from edgehybrid.testing import DeviceTree

Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_bench_keeps_what_it_measured(cli: Cli, bundle: Path, state: Path, tmp_path: Path) -> None:
    """The document holds all points and the file, which is there; on a battery it says so; forgetting removes it."""
    DeviceTree.pi4_ups(tmp_path / "board")
    done = cli("bench", bundle, "--seconds", 0, "--root", tmp_path / "board", "--json")
    document = msgspec.json.decode(done.stdout, type=BenchDocument)

    assert ("battery", "raspberry-pi-4b") == (document.figures.supply, document.figures.profile)
    assert [point.name for point in Bundle.open(bundle).points] == [figures.name for figures in document.figures.points]
    assert document.file is not None
    assert Path(document.file).is_relative_to(state)
    assert Path(document.file).exists()
    forgot = cli("bench", bundle, "--root", tmp_path / "board", "--forget")
    assert "1 tables of this device removed" in forgot.stderr
    assert not Path(document.file).exists()


def test_bench_shows_a_table(cli: Cli, bundle: Path, state: Path) -> None:
    """A person sees each point beside the bundle's figure; a dry run keeps nothing."""
    done = cli("bench", bundle, "--seconds", 0, "--dry-run")

    for word in ("in the bundle", *(point.name for point in Bundle.open(bundle).points), "rounds, full depth"):
        assert word in done.stdout
    assert not state.exists()


def test_push_refuses_what_is_no_host(cli: Cli, bundle: Path) -> None:
    """A host that ssh would take for an option never reaches it."""
    done = cli("push", bundle, "--", "-oProxyCommand=id")

    assert (1, True) == (done.returncode, "is no host" in done.stderr)
