"""Pack an app for a board: one archive with the app, its bundle, something to replay, and edgehybrid as a wheel.

python -m samples.common.kitting keyword_spotter --bundle keyword_spotter.bundle -o dist
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from edgehybrid.bundle import Bundle
from edgehybrid.errors import EdgeHybridError, OutputError

ROOT = Path(__file__).parents[2]
REPLAYS = {"keyword_spotter": "clips", "camera_classifier": "test.npz", "vibration_monitor": "engine-34.csv"}
"""App to what it plays without a device."""

WORKSHOP = {
    "preview.png",
    "train.py",
    "augment.py",
    "make_recording.py",
    "calibration.npz",
    "evaluation.npz",
    "metrics.json",
    "model.onnx",
}
"""Files that only training and export need."""


def pack(name: str, bundle: Path, out: Path, *, wheel: Path | None = None) -> Path:
    """Write ``out/NAME.tar.gz``.

    Args:
        name: The app.
        bundle: What ``edgehybrid export`` wrote; its digests are checked.
        out: Folder, made when it is absent.
        wheel: edgehybrid; ``None`` builds it from this checkout.

    Raises:
        BundleError: The bundle is damaged.
        OutputError: The wheel cannot be built.
    """
    opened = Bundle.open(bundle)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        app = folder / "samples" / name
        shutil.copytree(ROOT / "samples" / name, app, ignore=_left_out)
        shutil.copytree(ROOT / "samples" / "common", folder / "samples" / "common", ignore=_left_out)
        shutil.copytree(bundle, folder / f"{name}.bundle")
        for script in ("install", "run"):
            shutil.copy2(ROOT / "samples" / "common" / "kit" / script, folder)
        for loose in ("README.md", "sensors.toml"):
            if (app / loose).exists():
                shutil.copy2(app / loose, folder)
        (folder / "NAME").write_text(f"{name}\n", encoding="ascii")
        (folder / "EXTRAS").write_text(_extras(opened), encoding="ascii")
        (folder / "REPLAY").write_text(f"samples/{name}/{REPLAYS[name]}\n", encoding="ascii")
        shutil.copy2(wheel or build_wheel(Path(temporary)), folder)
        archive = out / f"{name}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, name, filter=_nobodys)
    return archive


def _extras(bundle: Bundle) -> str:
    """Say which extra of edgehybrid the bundle's points need, as pip spells it."""
    formats = {variant.format for stage in bundle.doc.stages for variant in stage.variants}
    return "[tflite]" if "tflite" in formats else ""


def build_wheel(folder: Path) -> Path:
    """Build edgehybrid's wheel into ``folder``.

    Raises:
        OutputError: pip failed; says why.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("edgehybrid-*.whl"))
    if done.returncode or not wheels:
        raise OutputError(f"edgehybrid's wheel cannot be built: {done.stderr.strip()[-300:]}", "Run it by hand to see.")
    return wheels[-1]


def _left_out(folder: str, names: list[str]) -> set[str]:
    del folder
    return {
        name
        for name in names
        if name in WORKSHOP or name in {"__pycache__", "kit", "kitting.py"} or ".recording." in name
    }


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def main() -> int:
    """Run it; 0 done, 1 our error."""
    parser = argparse.ArgumentParser(description="Pack an app for a board.")
    parser.add_argument("name", choices=sorted(REPLAYS))
    parser.add_argument("--bundle", type=Path, required=True, help="bundle that edgehybrid export wrote")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("dist"), help="folder for the archive (default: dist)"
    )
    parser.add_argument("--wheel", type=Path, help="edgehybrid's wheel (default: build it)")
    args = parser.parse_args()
    try:
        archive = pack(args.name, args.bundle, args.output, wheel=args.wheel)
    except EdgeHybridError as error:
        print(f"error: {error.what}\n  fix: {error.fix}", file=sys.stderr)
        return 1
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
