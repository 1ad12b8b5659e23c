"""The peers' own virtual environment: made once, and again when ``peers.txt`` changes."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_CAUSE = re.compile(r"[\w.]*(Error|Exception|Fail)\b")
PEER_TIMEOUT_S = 900


def peers_python(folder: Path) -> Path:
    """Return the interpreter of the environment in ``folder``; make it if it is not there or out of date."""
    wanted = (HERE / "peers.txt").read_bytes()
    mark, python = folder / "peers.sha256", folder / "bin" / "python"
    digest = hashlib.sha256(wanted).hexdigest()
    if not mark.exists() or mark.read_text(encoding="utf-8") != digest:
        print(f"installing the peers into {folder.name} (some minutes, 2 GB)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "peers.txt")], check=True)
        mark.write_text(digest, encoding="utf-8")
    return python


def run_peer(python: Path, name: str, model: Path, calibration: Path, out: Path) -> str | None:
    """Let the peer ``name`` write ``out``; return why it could not, or ``None``."""
    script = str(HERE / "peer.py")
    try:
        done = subprocess.run(
            [str(python), "-P", script, name, str(model), str(calibration), str(out)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PEER_TIMEOUT_S,
            cwd=out.parent,
        )
    except subprocess.TimeoutExpired:
        return f"not ready after {PEER_TIMEOUT_S} s"
    if done.returncode == 0 and out.exists():
        return None
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    causes = list(dict.fromkeys(line for line in lines if _CAUSE.match(line)))[-2:]
    return ", then ".join(causes or lines[-1:])[:400] or f"ended with {done.returncode}"
