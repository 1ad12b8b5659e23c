"""Pushes go to a real sshd on this machine, with keys and a home folder of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.errors import OutputError, RequestError
from edgehybrid.exporters.delivery import Host, connect, go_back, push
from edgehybrid.exporters.delivery.pushing import check_place
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_bundle, make_point

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
needs_sshd = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None or shutil.which("sftp") is None,
    reason="openssh-server is not installed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    """An sshd on loopback; ``home`` is where its relative paths should lie."""

    home: Path
    options: tuple[str, ...]
    user: str


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Device]:
    """Start sshd as this user on a free high port."""
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "authorized").chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": folder / "pid",
        "AuthorizedKeysFile": folder / "authorized", "StrictModes": "no", "UsePAM": "no", "PermitRootLogin": "yes",
        "PasswordAuthentication": "no", "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    assert SSHD is not None
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        options = (f"Port={port}", f"IdentityFile={folder / 'user'}", "IdentitiesOnly=yes", "StrictHostKeyChecking=no",
                   "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")  # fmt: skip
        yield _Device(home=tmp_path_factory.mktemp("home"), options=options, user=getpass.getuser())
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def host(device: _Device) -> Iterator[Host]:
    """A connection to it."""
    with connect(f"{device.user}@127.0.0.1", device.options) as found:
        yield found


@pytest.fixture
def bundle_of(tmp_path: Path) -> Callable[..., Bundle]:
    """Write bundles that differ in one variant."""

    def make(seed: int) -> Bundle:
        (tmp_path / "made").mkdir(exist_ok=True)
        zeros = {"y": np.zeros((1, 2), np.float32)}
        same, other = np.random.default_rng(0).bytes(300_000), np.random.default_rng(seed).bytes(200_000)
        return make_bundle(
            tmp_path / "made" / f"{seed}.bundle",
            points=(make_point("fp32", energy_mj=4.0), make_point("min", energy_mj=1.0)),
            inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3)),),
            outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 2)),),
            golden_inputs={"x": np.ones((1, 3), np.float32)},
            golden_outputs={"fp32": zeros, "min": zeros},
            models={"fp32": same, "min": other},
        )

    return make


@needs_sshd
def test_a_bundle_arrives_whole(host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle]) -> None:
    """What was pushed opens there with every digest right, through the link that the app is given."""
    bundle = bundle_of(1)
    place = tmp_path / "a home" / "bundles" / "kws.bundle"
    done = push(bundle, host, str(place))

    assert (len(bundle.doc.files) + 1, None, 0) == (done.sent_files, done.previous, done.kept_bytes)
    assert place.is_symlink()
    assert bundle.doc == Bundle.open(place).doc


@needs_sshd
def test_only_what_is_missing_travels(host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle]) -> None:
    """A second version sends what differs; the same one again sends nothing; what is older than the previous goes."""
    place = tmp_path / "kws.bundle"
    first = push(bundle_of(1), host, str(place))
    second = push(bundle_of(2), host, str(place))
    again = push(Bundle.open(tmp_path / "made" / "2.bundle"), host, str(place))
    third = push(bundle_of(3), host, str(place))

    assert second.sent_bytes < first.sent_bytes * 0.6
    assert second.kept_bytes >= 300_000
    assert (first.version, second.version) == (second.previous, third.previous)
    assert (0, None, first.version) == (again.sent_files, again.carrier, again.previous)
    versions = {path.name for path in (tmp_path / ".kws.bundle.versions").iterdir() if path.is_dir()}
    assert {second.version, third.version} == versions


@needs_sshd
def test_a_copy_that_breaks_off_goes_on(
    host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off, the old version still serves; the next push takes what had arrived, and a damaged part is caught."""
    place = tmp_path / "kws.bundle"
    old, new = bundle_of(1), bundle_of(2)
    push(old, host, str(place))
    real = Host.send

    def half(self: Host, folder: Path, files: list[str], where: str) -> str:
        del self
        name = next(name for name in files if name.endswith("min.onnx"))
        (Path(where) / name).write_bytes((folder / name).read_bytes()[:90_000])
        raise OutputError("The copy broke off.", "Run it again.")

    monkeypatch.setattr(Host, "send", half)
    with pytest.raises(OutputError, match="broke off"):
        push(new, host, str(place))
    assert old.doc == Bundle.open(place).doc

    monkeypatch.setattr(Host, "send", real)
    part = next((tmp_path / ".kws.bundle.versions").glob("*.part"))
    assert 90_000 == next(part.rglob("min.onnx")).stat().st_size
    push(new, host, str(place))
    assert new.doc == Bundle.open(place).doc


@needs_sshd
def test_without_rsync_sftp_carries(
    host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rsync is missing, sftp sends the same, and goes on with what had arrived."""
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, *a, **k: None if name == "rsync" else found(name, *a, **k))
    bundle = bundle_of(5)
    done = push(bundle, host, str(tmp_path / "kws.bundle"))

    assert "sftp" == done.carrier
    assert bundle.doc == Bundle.open(tmp_path / "kws.bundle").doc


@needs_sshd
def test_what_arrives_damaged_never_serves(
    host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changed on the way fails its digest there; the old version stays."""
    place = tmp_path / "kws.bundle"
    old, new = bundle_of(1), bundle_of(2)
    push(old, host, str(place))
    real = Host.send

    def damage(self: Host, folder: Path, files: list[str], where: str) -> str:
        carrier = real(self, folder, files, where)
        path = Path(where) / next(name for name in files if name.endswith("min.onnx"))
        path.write_bytes(b"?" + path.read_bytes()[1:])
        return carrier

    monkeypatch.setattr(Host, "send", damage)
    with pytest.raises(OutputError, match="damaged"):
        push(new, host, str(place))
    assert old.doc == Bundle.open(place).doc


@needs_sshd
def test_the_version_before_comes_back(host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle]) -> None:
    """Going back is one step, and again leads to the newest; without a version before it is refused."""
    place = tmp_path / "kws.bundle"
    one, two = bundle_of(1), bundle_of(2)
    first = push(one, host, str(place))
    with pytest.raises(OutputError, match="no version before"):
        go_back(host, str(place))
    push(two, host, str(place))

    assert first.version == go_back(host, str(place))
    assert one.doc == Bundle.open(place).doc
    go_back(host, str(place))
    assert two.doc == Bundle.open(place).doc


@needs_sshd
def test_a_folder_that_was_copied_by_hand_is_kept(host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle]) -> None:
    """A plain bundle at the place becomes the version before; what it shares with the new one is not sent."""
    place = tmp_path / "kws.bundle"
    old, new = bundle_of(1), bundle_of(2)
    shutil.copytree(old.path, place)
    done = push(new, host, str(place))

    assert ("first", True) == (done.previous, done.kept_bytes >= 300_000)
    go_back(host, str(place))
    assert old.doc == Bundle.open(place).doc


@needs_sshd
def test_an_open_bundle_stays_what_it_is(host: Host, tmp_path: Path, bundle_of: Callable[..., Bundle]) -> None:
    """An engine that opened the link goes on with the files of its own version when another takes the place."""
    place = tmp_path / "kws.bundle"
    push(bundle_of(1), host, str(place))
    opened = Bundle.open(place)
    push(bundle_of(2), host, str(place))

    assert (opened.path / "manifest.json").read_bytes() != (place / "manifest.json").read_bytes()
    assert opened.doc == Bundle.open(opened.path).doc


@needs_sshd
def test_a_host_that_refuses_is_said(device: _Device) -> None:
    """A wrong key, or nobody there, is an error with the command to try."""
    with (
        connect(
            f"{device.user}@127.0.0.1", (*device.options[:1], "IdentityFile=/dev/null", *device.options[2:])
        ) as wrong,
        pytest.raises(OutputError, match="Try it by hand: ssh"),
    ):
        wrong.run("true")


@pytest.mark.parametrize("name", ["", "-oProxyCommand=id", "two words"])
def test_a_name_that_is_no_host_is_refused(name: str) -> None:
    """Nothing that ssh would take for an option reaches it."""
    with pytest.raises(RequestError, match="is no host"), connect(name):
        pass


@pytest.mark.parametrize("place", ["", ".", "/", "..", "a/..", "a'b", "a\nb", 'a"b'])
def test_a_place_that_cannot_be_is_refused(place: str) -> None:
    """No place is outside of what was asked for, or breaks a script."""
    with pytest.raises(RequestError, match="cannot be a place"):
        check_place(place)
