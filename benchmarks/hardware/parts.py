"""Parts of the hardware results: each can be measured alone, and leaves the others as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, describe_machine

_NAME = "hardware"


def write_part(name: str, figures: Mapping[str, object], text: str) -> Path:
    """Put the figures of one part into ``results/hardware.json``, and its text into ``hardware.md``."""
    path = RESULTS / f"{_NAME}.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"benchmark": _NAME}
    document[name] = {"machine": describe_machine(), **figures}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page = RESULTS / f"{_NAME}.md"
    page.write_text(with_section(page.read_text(encoding="utf-8") if page.exists() else "", name, text), "utf-8")
    print(text)
    return path


def read_part(name: str) -> dict[str, Any]:
    """Return what a part holds; empty before its first run."""
    path = RESULTS / f"{_NAME}.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found: dict[str, Any] = document.get(name, {})
    return found


def other_parts(known: Mapping[str, object]) -> dict[str, object]:
    """Return the parts in ``results/hardware.json`` that are not among ``known``."""
    path = RESULTS / f"{_NAME}.json"
    document: dict[str, object] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: part for name, part in document.items() if name not in {"benchmark", "machine", *known}}


def with_section(page: str, name: str, text: str) -> str:
    """Return ``page`` with ``text`` in the place of the section called ``name``, or at the end."""
    section = f"<!-- part: {name} -->\n\n{text.strip()}\n\n<!-- end -->"
    found = re.compile(rf"<!-- part: {re.escape(name)} -->.*?<!-- end -->", re.DOTALL)
    if found.search(page):
        return found.sub(lambda _: section, page)
    return f"{page.rstrip()}\n\n{section}\n"


def sections(page: str) -> str:
    """Return all sections of ``page``, one after the other."""
    return "\n\n".join(re.findall(r"<!-- part: .*?<!-- end -->", page, re.DOTALL))
