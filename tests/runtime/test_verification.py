from __future__ import annotations

from pathlib import Path

from edgehybrid.runtime.verification import verify
from edgehybrid.testing import make_staged_bundle


def test_every_stage_is_verified_and_names_the_points_that_use_it(tmp_path: Path) -> None:
    """Points use some of the stages only."""
    checks = verify(make_staged_bundle(tmp_path / "staged.bundle"))
    assert {"main": ("fp32", "min"), "part-1": ("max",), "part-2": ("max",), "part-3": ("max",)} == {
        check.stage: check.points for check in checks
    }
    assert [None] * 4 == [check.problem for check in checks]
