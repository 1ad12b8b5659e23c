"""What was counted, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import RESULTS, write_result

REPEATABLE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Guest instructions of one inference, at full depth, by point.

    Attributes:
        sample: Whose model.
        cpu: Emulated processor.
        instructions: Point to count.
        apart: Largest relative difference between two processes.
    """

    sample: str
    cpu: str
    instructions: dict[str, int]
    apart: float

    @property
    def best_ratio(self) -> float:
        """How many times fewer the best point takes than float as given."""
        return self.instructions["fp32"] / min(self.instructions.values())


def footprint(site: Path) -> dict[str, float]:
    """Return megabytes on disk of what pip installed, by top folder, and ``total``; pip itself is not in it."""
    sizes: dict[str, float] = {}
    for top in site.iterdir():
        if top.name.startswith(("pip", "setuptools", "_distutils", "pkg_resources", "distutils", "__pycache__")):
            continue
        files = top.rglob("*") if top.is_dir() else [top]
        sizes[top.name] = sum(path.lstat().st_size for path in files if path.is_file()) / 1e6
    large = {name: round(size, 1) for name, size in sorted(sizes.items(), key=lambda item: -item[1]) if size >= 0.5}
    return {**large, "total": round(sum(sizes.values()), 1)}


def read_counts() -> list[Counts]:
    """Return what ``results/arm.json`` holds."""
    kept = json.loads((RESULTS / "arm.json").read_text(encoding="utf-8"))["counts"]
    return [Counts(**{key: value for key, value in item.items() if key != "best_ratio"}) for item in kept]


def read_resident() -> dict[str, float] | None:
    """Return what ``results/arm.json`` says of memory."""
    kept: dict[str, float] | None = json.loads((RESULTS / "arm.json").read_text(encoding="utf-8"))["resident_mib"]
    return kept


def write(found: Sequence[Counts], site: Path, resident_mib: Mapping[str, float] | None) -> None:
    """Write ``results/arm.json`` and ``results/arm.md``.

    Raises:
        RuntimeError: Two processes counted more than 0.1 % apart: the figures would be no regression figures.
    """
    worst = max(counts.apart for counts in found)
    sizes = footprint(site)
    counts = [{**asdict(item), "best_ratio": round(item.best_ratio, 3)} for item in found]
    write_result(
        "arm", {"counts": counts, "largest_difference": worst, "site_packages_mb": sizes, "resident_mib": resident_mib}
    )
    lines = [
        "# Instructions per inference on Arm",
        "",
        "Millions of guest instructions of one inference at full depth, one thread, the least of some warm ones, as",
        f"QEMU counts them. Two processes differ by {worst:.3%} at most. `make bench-arm` makes this page anew.",
        "",
    ]
    for sample in sorted({item.sample for item in found}):
        lines += _section(sample, [item for item in found if item.sample == sample])
    lines += [
        "## What an install takes",
        "",
        "Megabytes on disk of `./install` of the keyword spotter on aarch64, Python 3.11, pip itself not counted:",
        ", ".join(f"{name} {size:g}" for name, size in sizes.items()) + ".",
        "",
    ]
    if resident_mib is not None:
        lines += [
            "## Memory of an engine",
            "",
            "MiB resident of a process that opened an engine and ran it 20 times, Python and numpy included, in a",
            "whole emulated machine: " + ", ".join(f"{name} {mib:g}" for name, mib in resident_mib.items()) + ".",
            "",
        ]
    (RESULTS / "arm.md").write_text("\n".join(lines), encoding="utf-8")
    if worst > REPEATABLE:
        raise RuntimeError(f"two processes counted {worst:.2%} apart, more than {REPEATABLE:.1%}")


def _section(sample: str, mine: Sequence[Counts]) -> list[str]:
    lines = [f"## {sample}", "", "| point | " + " | ".join(f"{item.cpu} | beside fp32" for item in mine) + " |"]
    lines.append("| --- |" + " ---: | ---: |" * len(mine))
    for point in mine[0].instructions:
        cells = [
            f"{item.instructions[point] / 1e6:.3f} | {item.instructions['fp32'] / item.instructions[point]:.2f} ×"
            for item in mine
        ]
        lines.append(f"| {point} | " + " | ".join(cells) + " |")
    return [*lines, ""]
