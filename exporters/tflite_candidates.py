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
    OWN_WRITER,
    Quantizing,
    Source,
    TfliteFile,
    fallback,
    forms,
    maker,
    needs_of,
    require_rows,
    scheme_in,
    scheme_of,
    write_float,
    write_float_from_torch,
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
                made.append(_candidate(plan, form, files(form), prepared, options))
            except ModelError as error:
                dropped.append(Dropped(name=plan.name, reason=error.what))
            tools.progress.advance()
    if not made:  # nothing to quantize: all forms go for the same reason
        return Built(candidates=(), dropped=tuple(dropped), untouched=_left(prepared, dropped[0].reason))
    trees = [c for c in prepared.components if c.family == "trees"]
    untouched = [
        Untouched(component=c.name, scheme=f"{PREFIX}int8", reason="trees are compared in float") for c in trees
    ]
    if files.instead is not None:
        untouched += (*_left(prepared, files.instead), *_in_float(made, prepared.components))
    return Built(candidates=tuple(made), dropped=tuple(dropped), untouched=tuple(untouched))


class _Files:
    """Makes the files; those that passed the gate of this very engine before are taken from the cache.

    Where our own writer refuses a graph that was made of a PyTorch model, litert-torch is asked. ``instead`` then says
    why, and what wrote the files.
    """

    def __init__(self, prepared: Prepared, tools: Tools, folder: Path) -> None:
        self._prepared, self._tools, self._folder = prepared, tools, folder
        self._error: ModelError | None = None
        self.instead: str | None = None

    def __call__(self, form: str) -> TfliteFile:
        """Take or make the file of ``form``.

        Raises:
            ModelError: It cannot be written, or the gate stops it; found out anew each time.
        """
        if self._error is not None:  # what cannot be written in float fails once, and for all forms
            raise self._error
        try:
            floats = self._floats
        except ModelError as error:
            self._error = error
            raise
        if form == FLOAT_FORM:
            return floats
        return self._kept(form, floats.writer) or self._keep(form, self._quantized(form))

    @cached_property
    def _floats(self) -> TfliteFile:
        if kept := self._kept(FLOAT_FORM, OWN_WRITER):
            return kept
        require_rows(self._source)  # no writer gets around this
        try:
            return self._keep(FLOAT_FORM, write_float(self._source, self._folder))
        except ModelError as error:
            return self._by_fallback(error)

    def _by_fallback(self, error: ModelError) -> TfliteFile:
        """Ask litert-torch after our own writer refused; without it, or a PyTorch model, that refusal stands."""
        model = self._prepared.model
        if not model.from_torch:
            raise error
        if not fallback.is_installed():
            raise ModelError(f"{error.what} {fallback.HINT}.", error.fix) if fallback.can_be_installed() else error
        writer = fallback.writer()
        self.instead = f"{error.what} {writer} wrote the files instead."
        if kept := self._kept(FLOAT_FORM, writer):
            return kept
        self._tools.progress.note(f"{error.what} {writer} is asked instead")
        given = self._prepared.with_exits or model.graph
        origin = fallback.Origin(
            source=str(model.path), outputs=tuple(value.name for value in given.proto.graph.output)
        )
        try:
            return self._keep(FLOAT_FORM, write_float_from_torch(origin, self._source, self._folder))
        except ModelError as refusal:
            raise ModelError(f"{error.what} {refusal.what}", refusal.fix) from refusal

    @cached_property
    def _quantized(self) -> Quantizing:
        return Quantizing(self._floats, self._source, self._folder)

    @cached_property
    def _source(self) -> Source:
        return make_source(self._prepared)

    def _kept(self, form: str, writer: str) -> TfliteFile | None:
        kept = self._tools.cache.look(self._key(form, writer))
        if kept is None:
            return None
        return TfliteFile(content=kept["content"].tobytes(), needs=needs_of(form, writer), writer=writer)

    def _keep(self, form: str, file: TfliteFile) -> TfliteFile:
        self._tools.cache.keep(self._key(form, file.writer), {"content": np.frombuffer(file.content, np.uint8)})
        return file

    def _key(self, form: str, writer: str) -> tuple[str, ...]:
        by = maker() if writer == OWN_WRITER else f"{maker()}, {fallback.maker()}"
        return ("tflite", form, by, self._prepared.model.graph.digest, self._prepared.calibration.sha256)


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
    """A candidate of a file.

    Raises:
        ModelError: It says int8 or less, and every layer is in float.
    """
    families = {c.family for c in prepared.components}
    by_family = {family: scheme_in(file, form, family) for family in families}  # each may read the file
    schemes = {c.name: by_family[c.family] for c in prepared.components}
    if form != FLOAT_FORM and set(schemes.values()) <= {FLOAT_FORM}:
        what = f"TFLite {form}: the quantizer leaves every layer in float as {file.writer or 'it'} wrote it."
        raise ModelError(what, "Use the float file.")
    return Candidate(
        name=plan.name,
        graph=prepared.model.graph,
        plan=replace(plan, threads=options.threads),
        schemes=schemes,
        threads=options.threads,
        file=file,
    )


def _in_float(made: Sequence[Candidate], components: Sequence[Component]) -> tuple[Untouched, ...]:
    """What the quantizer left in float of files that another converter wrote, by component."""
    why = "the quantizer does not know its operators"
    found = []
    for component in components:
        family = component.family
        names = [c.name for c in made if c.schemes[component.name] != c.plan.recipe.get(family, FLOAT_FORM)]
        if family != "glue" and names:
            found.append(Untouched(component=component.name, scheme=", ".join(names), reason=why))
    return tuple(found)


def _left(prepared: Prepared, reason: str) -> tuple[Untouched, ...]:
    return tuple(Untouched(component=c.name, scheme="tflite", reason=reason) for c in prepared.components[:1])
