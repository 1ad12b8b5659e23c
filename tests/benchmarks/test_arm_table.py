from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.arm import table
from benchmarks.arm.table import Counts, footprint


def test_pip_is_not_in_the_footprint(tmp_path: Path) -> None:
    """What the install brought counts by folder, small ones in the total only; pip and its helpers do not."""
    for name, size in {"numpy/core/a.so": 2_000_000, "click/b.py": 100_000, "pip/c.py": 9_000_000}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(bytes(size))

    assert {"numpy": 2.0, "total": 2.1} == footprint(tmp_path)


def test_figures_that_do_not_repeat_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts more than 0.1 % apart are an error; the best point's ratio is that of the fewest instructions."""
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    monkeypatch.setattr(table, "write_result", lambda *_: None)
    same = Counts(sample="kws", cpu="cortex-a76", instructions={"fp32": 300, "min": 100, "max": 200}, apart=0.0005)
    table.write([same], tmp_path, {"kws": 61.5})
    page = (tmp_path / "arm.md").read_text()

    assert 3.0 == same.best_ratio
    assert "| min | 0.000 | 3.00 × |" in page
    assert "kws 61.5" in page
    with pytest.raises(RuntimeError, match=r"counted 0.20% apart"):
        table.write([Counts(sample="kws", cpu="c", instructions={"fp32": 1}, apart=0.002)], tmp_path, None)
