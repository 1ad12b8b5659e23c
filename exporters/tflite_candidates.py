"""TFLite files as candidates: written from the float graph, measured beside the ONNX ones, refused with a reason."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped, Untouched
from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats import (
    FLOAT_FORM,
    Quantizing,
    Source,
    TfliteFile,
    forms,
    maker,
    needs_of,
    scheme_of,
    write_float,
)
from edgehybrid.exporters.model import Component, open_session
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.prepare import Prepared, first_feeds
from edgehybrid.exporters.search import Built, Candidate, Plan
from edgehybrid.exporters.trial import Tools

PREFIX = "tflite-"
_CALIBRATED, _CHECKED, _SEVERAL = 128, 8, 3  # rows


def tflite_plans(components: Sequence[Component]) -> tuple[Plan, ...]:
    """Every form as a plan."""
    families = list(dict.fromkeys(c.family for c in components if c.family != "glue"))
    return tuple(
        Plan(
            name=f"{PREFIX}{form}",
            recipe={family: scheme_of(form, family) for family in families if form != FLOAT_FORM},
            format="tflite",
        )
        for form in forms()
    )


def write_tflite(todo: Sequence[Plan], prepared: Prepared, options: ExportOptions, tools: Tools) -> Built:
    """Write every form of ``todo``; one that cannot be written, or that the gate stops, is dropped with the reason."""
    if not todo:
        return Built(candidates=(), dropped=(), untouched=())
    tools.progress.start(len(todo), "TFLite files")
    dropped: list[Dropped] = []
    made: list[Candidate] = []
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as place:
        files = _Files(prepared, tools, Path(place))
        for plan in todo:
            form = plan.name.removeprefix(PREFIX)
            try:
                file = files(form)
            except ModelError as error:
                dropped.append(Dropped(name=plan.name, reason=error.what))
            else:
                made.append(_candidate(plan, form, file, prepared, options))
            tools.progress.advance()
    if not made:  # nothing to quantize: all forms go for the same reason
        return Built(candidates=(), dropped=tuple(dropped), untouched=_left(prepared, dropped[0].reason))
    trees = [c for c in prepared.components if c.family == "trees"]
    untouched = tuple(
        Untouched(component=c.name, scheme=f"{PREFIX}int8", reason="trees are compared in float") for c in trees
    )
    return Built(candidates=tuple(made), dropped=tuple(dropped), untouched=untouched)


class _Files:
    """Makes the files; those that passed the gate of this very engine before are taken from the cache."""

    def __init__(self, prepared: Prepared, tools: Tools, folder: Path) -> None:
        self._prepared, self._tools, self._folder = prepared, tools, folder
        self._error: ModelError | None = None

    def __call__(self, form: str) -> TfliteFile:
        """Take or make the file of ``form``.

        Raises:
            ModelError: It cannot be written, or the gate stops it; found out anew each time.
        """
        prepared = self._prepared
        key = ("tflite", form, maker(), prepared.model.graph.digest, prepared.calibration.sha256)

        def make() -> dict[str, NDArray[np.generic]]:
            file = self._floats if form == FLOAT_FORM else self._quantized(form)
            return {"content": np.frombuffer(file.content, np.uint8)}

        return TfliteFile(content=self._tools.cache.get(key, make)["content"].tobytes(), needs=needs_of(form))

    @cached_property
    def _source(self) -> Source:
        return make_source(self._prepared)

    @cached_property
    def _floats(self) -> TfliteFile:
        if self._error is not None:  # what cannot be written in float fails once, and for all forms
            raise self._error
        try:
            return write_float(self._source, self._folder)
        except ModelError as error:
            self._error = error
            raise

    @cached_property
    def _quantized(self) -> Quantizing:
        return Quantizing(self._floats, self._source, self._folder)


def joined(one: Built, other: Built) -> Built:
    """The candidates of both, and what both dropped."""
    return Built(
        candidates=(*one.candidates, *other.candidates),
        dropped=(*one.dropped, *other.dropped),
        untouched=(*one.untouched, *other.untouched),
    )


def make_source(prepared: Prepared) -> Source:
    """What the files are written from: the user's own graph, and rows of the calibration data."""
    session = open_session(prepared.model.graph.proto)
    names = [node.name for node in session.get_outputs()]

    def reference(feeds: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        return dict(zip(names, session.run(None, dict(feeds)), strict=True))

    rows = first_feeds(prepared.calibration, _CALIBRATED)
    most = prepared.calibration.largest_batch
    size = min(_SEVERAL, prepared.calibration.count, _SEVERAL if most is None else most)
    several = first_feeds(prepared.calibration, 1, size) if size > 1 else ()
    return Source(
        graph=prepared.model.graph,
        inputs=prepared.model.inputs,
        outputs=prepared.model.outputs,
        rows=rows,
        checks=(*rows[:_CHECKED], *several),
        reference=reference,
    )


def _candidate(plan: Plan, form: str, file: TfliteFile, prepared: Prepared, options: ExportOptions) -> Candidate:
    return Candidate(
        name=plan.name,
        graph=prepared.model.graph,
        plan=replace(plan, threads=options.threads),
        schemes={c.name: scheme_of(form, c.family) for c in prepared.components},
        threads=options.threads,
        file=file,
    )


def _left(prepared: Prepared, reason: str) -> tuple[Untouched, ...]:
    return tuple(Untouched(component=c.name, scheme="tflite", reason=reason) for c in prepared.components[:1])
