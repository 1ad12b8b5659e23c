"""The emulated board, with the apps on it as a user would have put them there. Only ``make test-arm`` comes here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgehybrid.testing import DeviceTree

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # last: the packages' own names come first

from tests.arm.board import MODELS, make_board  # noqa: E402  # after the path is set
from tests.arm.bundles import kits  # noqa: E402  # the same
from tests.arm.emulated import Emulated, install  # noqa: E402  # the same
from tests.arm.root import CannotHaveError  # noqa: E402  # the same

PLACE = Path(os.environ.get("EDGEHYBRID_ARM", ROOT / "out" / "arm")).absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pi:
    """An emulated Raspberry Pi: what it runs in, its processor, its files, and the folder that it sees as /mnt/kit."""

    emulated: Emulated
    cpu: str
    tree: DeviceTree
    kit: Path

    def run(self, *words: str) -> str:
        """Run a command as the user ``pi``; returns what it printed."""
        return self.emulated.run(words, cpu=self.cpu, board=self.tree.root, kit=self.kit)


@pytest.fixture(scope="session")
def emulated() -> Emulated:
    """The root, with an empty home."""
    try:
        return Emulated(PLACE)
    except CannotHaveError as error:
        pytest.skip(f"no emulated board: {error}")


@pytest.fixture(scope="session")
def kit() -> Path:
    """The archives of the apps, and the scripts that tests run on the board."""
    return kits(PLACE)


@pytest.fixture(scope="session")
def make_pi(emulated: Emulated, kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pi]:
    """Make a board by the name of its model."""

    def make(name: str) -> Pi:
        tree = make_board(tmp_path_factory.mktemp(name), MODELS[name])
        return Pi(emulated=emulated, cpu=MODELS[name].cpu, tree=tree, kit=kit)

    return make


@pytest.fixture(scope="session")
def installed(make_pi: Callable[[str], Pi]) -> Path:
    """Install all apps by their README; the second and third use what the first one fetched."""
    pi = make_pi("pi4")
    return install(pi.emulated, pi.tree.root, pi.kit, pi.cpu)
