"""Compare the exporter with its peers: ``python -m benchmarks.export [WORK ...] [--effort quick]``.

Writes ``benchmarks/results/export.json`` and ``export.md``. Foreign models are read from the folder that the variable
``EDGEHYBRID_DATA`` names, else from ``../shared/data``.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.export.compare import Judged, export_ours, judge, write_calibration, write_model
from benchmarks.export.environment import peers_python, run_peer
from benchmarks.export.peer import PEERS
from benchmarks.export.table import markdown, summary
from benchmarks.export.works import ROOT, Work, find_works
from benchmarks.machine import RESULTS, describe_machine, pin_to_one_core, write_result
from edgehybrid.errors import EdgeHybridError

OURS = "edgehybrid"


def compare(
    work: Work, python: Path, folder: Path, names: tuple[str, ...], options: argparse.Namespace
) -> tuple[tuple[Judged, ...], dict[str, str]]:
    """Let every peer and us export ``work``; judge what came out."""
    calibration = folder / "calibration.npz"
    write_calibration(work, calibration)
    model = folder / "model.onnx"
    write_model(work, model)
    files: dict[str, Path] = {}
    remarks: dict[str, str] = {}
    for name in names:
        home = folder / name
        home.mkdir()
        out = home / "model.onnx"
        why = run_peer(python, name, model, calibration, out)
        print(f"  {name}: {why or 'done'}", flush=True)
        notes = out.with_suffix(".remark")
        if why is None:
            files[name] = out
            if notes.exists():
                remarks[name] = f"needed help: {notes.read_text(encoding='utf-8').rstrip('; ')}"
        else:
            remarks[name] = f"gave nothing: {why}"
    bundle = None
    try:
        bundle = export_ours(work, folder / "ours.bundle", options.effort)
    except EdgeHybridError as error:
        remarks[OURS] = f"gave nothing: {error}"
        print(f"  {OURS}: {error}", flush=True)
    pin_to_one_core()
    judged, broken = judge(work, files, bundle, rounds=options.rounds)
    return judged, remarks | broken


def main() -> int:
    """Compare every work that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", help="names; all by default")
    parser.add_argument("--effort", default="standard", choices=("quick", "standard", "thorough"))
    parser.add_argument("--rounds", type=int, default=60, help="rounds of about 10 ms of every file")
    parser.add_argument("--peers", default=",".join(PEERS), help="names with commas between; ort is always there")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv" / "peers", help="the peers' environment")
    parser.add_argument("--name", default="export", help="of the result files")
    options = parser.parse_args()
    python = peers_python(options.environment.absolute())
    names = tuple(dict.fromkeys(("ort", *options.peers.split(","))))
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        works, absent = find_works(Path(top))
        wanted = {name: work for name, work in works.items() if name in (options.works or works)}
        results: dict[str, tuple[tuple[Judged, ...], Mapping[str, str]]] = {}
        for name, work in wanted.items():
            print(name, flush=True)
            folder = Path(top) / name
            folder.mkdir()
            results[name] = _alone(work, python, folder, names, options)
            shutil.rmtree(folder)
    for name, why in absent.items():
        print(f"{name}: skipped, {why}")
    write_result(options.name, summary(results, absent) | {"effort": options.effort})
    text = markdown(results, absent, describe_machine())
    (RESULTS / f"{options.name}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _alone(
    work: Work, python: Path, folder: Path, names: tuple[str, ...], options: argparse.Namespace
) -> tuple[tuple[Judged, ...], dict[str, str]]:
    """Compare, and give back the cores that timing was pinned to one of."""
    import os

    cores = os.sched_getaffinity(0)
    try:
        return compare(work, python, folder, names, options)
    finally:
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    raise SystemExit(main())
