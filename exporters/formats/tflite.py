"""TFLite files: written from the same float graph as the ONNX variants, quantized, and let through the parity gate.

Nothing of LiteRT is imported before the first file is written; it comes with the extra ``export-tflite``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import MissingExtraError, ModelError
from edgehybrid.exporters.formats import fallback
from edgehybrid.tensors import TensorSpec

if TYPE_CHECKING:
    from edgehybrid.exporters.model import Graph

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]

TFLITE_FILE = "model.tflite"
FLOAT_FORM = "fp32"
OWN_WRITER = ""
_PACKAGES = {"ai_edge_litert": "ai-edge-litert", "ai_edge_quantizer": "ai-edge-quantizer", "flatbuffers": "flatbuffers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteFile:
    """A file that passed the gate.

    Attributes:
        content: Its bytes.
        needs: Package to least version of an engine that runs it right.
        writer: What wrote its float form, where that was not our own writer.
    """

    content: bytes = field(repr=False)
    needs: Mapping[str, str]
    writer: str = OWN_WRITER

    @property
    def digest(self) -> str:
        """SHA-256, as hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What files are written from, and checked against.

    Attributes:
        graph: The float graph.
        inputs: Of the model, with its free axes.
        outputs: Of the model, with its free axes.
        rows: Calibration inputs of one row each, as the files take them.
        checks: Inputs of the gate; also of several rows, where the model takes them.
        reference: The float model in ONNX Runtime.
    """

    graph: Graph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    rows: Sequence[Feeds]
    checks: Sequence[Feeds]
    reference: Callable[[Feeds], Mapping[str, Array]]


def require_tflite() -> None:
    """Refuse when what writes TFLite files is not installed.

    Raises:
        MissingExtraError: Names the package, and the extra that brings it.
    """
    for module, package in _PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtraError(package, "export-tflite")


def require_rows(source: Source) -> None:
    """Refuse a model with more free axes than one that counts rows: a file has fixed shapes, and serves row by row.

    Raises:
        ModelError: Names the axis.
    """
    symbols = list(dict.fromkeys(n for spec in source.inputs for n in spec.shape if isinstance(n, str)))
    lengths = {
        n: source.rows[0][spec.name].shape[axis]
        for spec in source.inputs
        for axis, n in enumerate(spec.shape)
        if isinstance(n, str)
    }
    if len(symbols) > 1 or any(length != 1 for length in lengths.values()):
        raise ModelError(
            f"TFLite: the axes {', '.join(symbols)} are free, and only one that counts rows can be.",
            f"Fix the others: --shape {source.inputs[0].name}=...",
        )


def write_float(source: Source, folder: Path) -> TfliteFile:
    """Write the float file and let it through the gate.

    Raises:
        ModelError: An operator cannot be written (names it and the node), or the file does not compute the same.
    """
    from edgehybrid.exporters.formats.litert import convert

    require_rows(source)
    file = TfliteFile(content=convert(source.graph, source.rows[0]), needs=needs_of(FLOAT_FORM))
    check(file, FLOAT_FORM, source, folder)
    return file


def write_float_from_torch(origin: fallback.Origin, source: Source, folder: Path) -> TfliteFile:
    """Let litert-torch write the float file from the PyTorch model, and let it through the same gate.

    Raises:
        ModelError: It refuses the model or fails, or its file does not compute the same.
    """
    from edgehybrid.exporters.formats.fallback.writing import write_float_from_torch as write

    return write(origin, source, folder, fallback.writer())


class Quantizing:
    """Makes the quantized forms of a float file; calibrates once, when the first form asks for it."""

    def __init__(self, floats: TfliteFile, source: Source, folder: Path) -> None:
        self._floats, self._source, self._folder = floats, source, folder
        self._ranges: object = None

    def __call__(self, form: str) -> TfliteFile:
        """Quantize, and let the result through the gate.

        Raises:
            ModelError: It cannot be quantized so, or what comes out is garbage.
        """
        from edgehybrid.exporters.formats.litert.recipes import RECIPES, calibrate, quantize

        recipe = RECIPES[form]
        if recipe.calibrated and self._ranges is None:
            self._ranges = calibrate(self._floats.content, self._source.rows)
        content, writer = quantize(self._floats.content, recipe, self._ranges), self._floats.writer
        file = TfliteFile(content=content, needs=needs_of(form, writer), writer=writer)
        check(file, form, self._source, self._folder)
        return file


def check(file: TfliteFile, form: str, source: Source, folder: Path) -> None:
    """The gate, in the engine that is installed here.

    Raises:
        ModelError: The file does not load, or does not compute what the float model computes.
    """
    from edgehybrid.exporters.formats.litert.gate import require_parity
    from edgehybrid.exporters.formats.litert.recipes import RECIPES
    from edgehybrid.runtime.backends import LoadRequest

    place = folder / f"{form}.tflite"
    place.write_bytes(file.content)
    request = LoadRequest(model_file=place, inputs=source.inputs, outputs=source.outputs, needs=file.needs)
    least_db = None if form == FLOAT_FORM else RECIPES[form].least_db
    require_parity(request, source.reference, source.checks, least_db)


def forms() -> tuple[str, ...]:
    """Names of all forms, the float one first."""
    from edgehybrid.exporters.formats.litert.recipes import RECIPES

    return (FLOAT_FORM, *RECIPES)


def needs_of(form: str, writer: str = OWN_WRITER) -> Mapping[str, str]:
    """Package to least version of an engine that runs a form right.

    Of what another converter wrote only the engine is known that the gate runs here.
    """
    from edgehybrid.exporters.formats.litert.recipes import ANY_RUNTIME, RECIPES

    if writer != OWN_WRITER:
        package = _PACKAGES["ai_edge_litert"]
        return {package: version(package)}
    return ANY_RUNTIME if form == FLOAT_FORM else RECIPES[form].needs


@cache
def maker() -> str:
    """What writes and checks files here, our own source by its digest: a file that another one made is made anew."""
    own = b"".join(path.read_bytes() for path in sorted((Path(__file__).parent / "litert").glob("*.py")))
    packages = (f"{name} {version(name)}" for name in _PACKAGES.values())
    return ", ".join([f"writer {hashlib.sha256(own).hexdigest()}", *packages])


def scheme_in(file: TfliteFile, form: str, family: str) -> str:
    """Scheme in which a file has the components of a family; what another converter wrote is looked at."""
    scheme = scheme_of(form, family)
    if file.writer == OWN_WRITER or scheme == FLOAT_FORM:
        return scheme
    from edgehybrid.exporters.formats.fallback.narrowed import narrowed

    convolutions, products = narrowed(file.content)
    return scheme if (convolutions if family == "convolution" else products) else FLOAT_FORM


def scheme_of(form: str, family: str) -> str:
    """Scheme in which a form has the components of a family; trees stay in float."""
    from edgehybrid.exporters.formats.litert.recipes import RECIPES

    if form == FLOAT_FORM or family == "trees":
        return FLOAT_FORM
    recipe = RECIPES[form]
    return recipe.convolution or recipe.scheme if family == "convolution" else recipe.scheme
