"""Sections of ``results/hardware.json`` and ``.md`` that are measured apart: a run renews its own, the rest stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parents[1] / "results"
SECTIONS = "sections"


def put(name: str, figures: Mapping[str, Any], text: str) -> None:
    """Write one section into both files."""
    place = RESULTS / "hardware.json"
    document = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    document[SECTIONS] = {**document.get(SECTIONS, {}), name: {"machine": describe_machine(), **figures}}
    place.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    page = RESULTS / "hardware.md"
    old = page.read_text(encoding="utf-8") if page.exists() else "# Hardware\n"
    page.write_text(_replaced(old, name, text), encoding="utf-8")


def look(name: str) -> dict[str, Any]:
    """Read what a section holds; empty before its first run."""
    place = RESULTS / "hardware.json"
    document = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    found: dict[str, Any] = document.get(SECTIONS, {}).get(name, {})
    return found


def sections() -> tuple[dict[str, Any], str]:
    """Everything that was measured apart, to be kept when the rest is written anew: figures, and their text."""
    place, page = RESULTS / "hardware.json", RESULTS / "hardware.md"
    document = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    kept = re.findall(r"<!-- section .+? -->.*?<!-- end .+? -->\n", text, re.DOTALL)
    return document.get(SECTIONS, {}), "\n".join(kept)


def _replaced(page: str, name: str, text: str) -> str:
    body = f"<!-- section {name} -->\n{text.strip()}\n<!-- end {name} -->\n"
    pattern = re.compile(rf"<!-- section {name} -->.*?<!-- end {name} -->\n", re.DOTALL)
    if pattern.search(page):
        return pattern.sub(lambda _: body, page)
    return f"{page.rstrip()}\n\n{body}"
