"""Files with their place: stages, each for a back end, that together are one candidate; one stage is the whole model.

They travel as one piece of bytes, so that a worker elsewhere can score them, and are written apart into the bundle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehybrid.bundle import Format
from edgehybrid.tensors import TensorSpec

if TYPE_CHECKING:
    from edgehybrid.exporters.model import Graph

_MAGIC = b"EHPLACED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One stage on one back end.

    Attributes:
        stage: Name of the stage.
        variant: Name of the variant of that stage: its precision, and its back end where that is not the usual one.
        backend: Key of the back end.
        format: Of the file.
        inputs: With the free axes of the model.
        outputs: With the free axes of the model.
        schemes: Component to scheme.
        needs: Package to least version of an engine.
        threads: Intra-op threads.
        content: The file, weights inside.
        graph: The same as a graph, of an ONNX file, whose weights are then shared with other variants.
        writer: What wrote it, where that was another converter than our own.
    """

    stage: str
    variant: str
    backend: str
    format: Format
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    schemes: Mapping[str, str]
    needs: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    content: bytes = field(repr=False)
    graph: Graph | None = field(default=None, repr=False)
    writer: str = ""

    @property
    def key(self) -> str:
        """Names it among all parts."""
        return f"{self.stage} {self.variant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedFile:
    """The parts of a candidate, in the order in which they run; ``base`` is the candidate whose very file is placed."""

    parts: tuple[Part, ...]
    base: str | None = None

    @property
    def content(self) -> bytes:
        """All parts as one piece."""
        heads = [
            _Head(
                stage=part.stage,
                variant=part.variant,
                backend=part.backend,
                format=part.format,
                inputs=part.inputs,
                outputs=part.outputs,
                needs=part.needs,
                threads=part.threads,
                size=len(part.content),
            )
            for part in self.parts
        ]
        head = msgspec.json.encode(heads)
        return b"".join([_MAGIC, len(head).to_bytes(8, "little"), head, *(part.content for part in self.parts)])

    @property
    def digest(self) -> str:
        """SHA-256, as hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What is said of a part before its bytes."""

    stage: str
    variant: str
    backend: str
    format: Format
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    needs: Mapping[str, str]
    threads: int
    size: int


def is_placed(content: bytes) -> bool:
    """Tell whether ``content`` is what ``PlacedFile.content`` gives."""
    return content.startswith(_MAGIC)


def read_placed(content: bytes) -> tuple[Part, ...]:
    """Read the parts back; without their graphs and schemes."""
    start = len(_MAGIC) + 8
    at = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    parts = []
    for head in msgspec.json.decode(content[start:at], type=list[_Head]):
        parts.append(
            Part(
                stage=head.stage,
                variant=head.variant,
                backend=head.backend,
                format=head.format,
                inputs=head.inputs,
                outputs=head.outputs,
                schemes={},
                needs=head.needs,
                threads=head.threads,
                content=content[at : at + head.size],
            )
        )
        at += head.size
    return tuple(parts)


def part_file(folder: Path, part: Part) -> Path:
    """Where a part lies in the folder of its candidate."""
    return folder / f"{part.stage}.{part.format}"
