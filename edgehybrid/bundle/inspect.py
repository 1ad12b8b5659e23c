"""What ``edgehybrid inspect BUNDLE --json`` prints."""

from __future__ import annotations

from typing import Any

import msgspec

from edgehybrid.bundle.reading import Bundle

SCHEMA = 1
"""Version of the document."""

_INTERNAL = ("files", "manifest_sha256", "schema")


def describe(bundle: Bundle) -> dict[str, Any]:
    """Return the document as plain dicts, lists, strings and numbers; units are in the names."""
    section = msgspec.to_builtins(bundle.doc)
    return {"schema": SCHEMA, **{key: value for key, value in section.items() if key not in _INTERNAL}}
