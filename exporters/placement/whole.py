"""The whole model on another back end than the usual one of its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgehybrid.bundle import Dropped
from edgehybrid.errors import RequestError
from edgehybrid.exporters.chosen import STAGE
from edgehybrid.exporters.formats import Part, PlacedFile, TfliteFile
from edgehybrid.exporters.prepare import Prepared
from edgehybrid.exporters.search import Built, Candidate
from edgehybrid.points import REFERENCE
from edgehybrid.runtime.backends import BACKENDS, make_backend

USUAL = ("onnx", "tflite")
"""Back ends that run every file of their format; the others are asked for by name."""


def require_backends(keys: Sequence[str]) -> None:
    """Refuse back ends that are not here, before long work.

    Raises:
        RequestError: There is no back end of that key, or its files cannot be made.
        BackendError: It cannot be used here; says why.
    """
    for key in keys:
        if key.partition("-")[0] not in USUAL:
            known = ", ".join(BACKENDS)
            raise RequestError(f"Files for {key!r} cannot be made.", f"Choose among {known}.")
        make_backend(key)


def place_whole(built: Built, keys: Sequence[str], prepared: Prepared) -> list[Candidate]:
    """Every candidate of one file on every further back end of its format."""
    placed = []
    for key in keys:
        if key in USUAL:
            continue
        for candidate in built.candidates:
            if candidate.parts or candidate.backends[0] != key.partition("-")[0] or candidate.name == REFERENCE:
                continue
            placed.append(_placed(candidate, key, prepared))
    return placed


def _placed(candidate: Candidate, key: str, prepared: Prepared) -> Candidate:
    name, lite = f"{candidate.name}@{key}", candidate.file
    part = Part(
        stage=STAGE,
        variant=name,
        backend=key,
        format="onnx" if lite is None else "tflite",
        inputs=prepared.model.inputs,
        outputs=prepared.model.outputs,
        schemes=candidate.schemes,
        threads=candidate.threads,
        needs=lite.needs if isinstance(lite, TfliteFile) else {},
        writer=lite.writer if isinstance(lite, TfliteFile) else "",
        content=candidate.to_bytes(),
        graph=candidate.graph if lite is None else None,
    )
    return replace(
        candidate,
        name=name,
        plan=replace(candidate.plan, name=name),
        twin=None,
        file=PlacedFile(parts=(part,), base=candidate.name),
    )


def refusals(names: Sequence[str], why: str) -> tuple[Dropped, ...]:
    """The same reason for all of them."""
    return tuple(Dropped(name=name, reason=why) for name in names)
