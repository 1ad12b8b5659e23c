"""Mixtures that the whole model was tried in, for one stage of it: what the search found, and no search of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgehybrid.exporters.depth import Cut, crossing_names
from edgehybrid.exporters.formats import Part
from edgehybrid.exporters.model import locate
from edgehybrid.exporters.placement.stages import StageFloat
from edgehybrid.exporters.precision import IN_FLOATS, called
from edgehybrid.exporters.search import Candidate, Plan, Workshop
from edgehybrid.points import REFERENCE


def mixture_parts(
    stage: StageFloat,
    known: Iterable[Candidate],
    workshop: Workshop,
    cuts: Sequence[Cut],
    *,
    made: Mapping[str, Part],
    most: int,
) -> dict[str, Part]:
    """Make the stage in up to ``most`` mixtures that compute otherwise than all of ``made``; proposals first.

    Each is made from the slice of the float graph, so that it takes and gives floats as files of other formats do:
    integers that cross a cut fit their own neighbour only.

    Args:
        stage: A slice of the workshop's float graph.
        known: Candidates whose mixtures count, plain ones first, as the search made them.
        workshop: Makes them, with the ranges of the whole model.
        cuts: Those that made the stages.
        made: ONNX forms of the stage that are there, by candidate.
        most: How many to make.
    """
    digests = {part.graph.digest for part in made.values() if part.graph is not None}
    parts: dict[str, Part] = {}
    for plan in _differing(stage, known, workshop, made):
        if len(parts) == most:
            break
        graph, schemes = workshop.on_slice(plan, stage.graph, crossing_names(cuts))
        if graph.digest in digests:
            continue
        digests.add(graph.digest)
        parts[plan.name] = Part(
            stage=stage.name,
            variant=plan.name,
            backend="onnx",
            format="onnx",
            inputs=stage.session.inputs,
            outputs=stage.session.outputs,
            schemes={c.name: schemes[c.name] for c in stage.components},
            content=graph.to_bytes(),
            graph=graph,
        )
    return parts


def _differing(
    stage: StageFloat, known: Iterable[Candidate], workshop: Workshop, made: Mapping[str, Part]
) -> list[Plan]:
    """The plainest plan for each way to compute the stage; what the search proposed last comes first.

    Storage is computed in floats, as the stage itself is: what it would save is time only by chance.
    """
    inside = dict.fromkeys(locate(stage.graph, workshop.components).values())
    plainest: dict[tuple[str, ...], Plan] = {}
    newest: dict[tuple[str, ...], Plan] = {}  # in the order in which each way was last proposed
    done = {(REFERENCE,) * len(inside)}
    for plan in (candidate.plan for candidate in known if candidate.file is None):
        schemes = (called(plan.scheme_of(component), component.family) for component in inside)
        way = tuple(REFERENCE if scheme in IN_FLOATS else scheme for scheme in schemes)
        plainest.setdefault(way, plan)
        newest.pop(way, None)
        newest[way] = plan
        if plan.name in made:
            done.add(way)
    return [plainest[way] for way in reversed(newest) if way not in done]
