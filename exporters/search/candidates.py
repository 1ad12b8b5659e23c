"""Which candidates to try for a model: a fixed set of mixtures, by what the model holds; and how to build any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from edgehybrid.bundle import Dropped, Family, Format, Untouched
from edgehybrid.exporters.formats import Part, PlacedFile, TfliteFile
from edgehybrid.exporters.model import Component, Graph, locate
from edgehybrid.exporters.options import Effort
from edgehybrid.exporters.precision import APPROXIMATE, SCHEMES, Method, Ranges, Setting, Target, called, quantize
from edgehybrid.points import REFERENCE

OPTIMIZED = "fp32-opt"

_FAMILIES: tuple[Family, ...] = ("convolution", "attention", "dense", "recurrent", "trees")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A candidate before it is built: family (or component) to scheme, and the calibration it wants."""

    name: str
    recipe: Mapping[str, str]
    method: Method = "minmax"
    threads: int | None = None
    format: Format = "onnx"

    def describe(self) -> str:
        """Say it as a person would: ``convolution w8a8, attention w8-dyn``."""
        words = ", ".join(f"{family} {scheme}" for family, scheme in self.recipe.items()) or "float"
        return words if self.format == "onnx" else f"{words}; {self.format}"

    def scheme_of(self, component: Component) -> str:
        """Scheme that it wants for a component: by its name, else by its family."""
        return self.recipe.get(component.name, self.recipe.get(component.family, REFERENCE))

    @property
    def needs_ranges(self) -> bool:
        """Whether it uses what calibration saw."""
        return self.format == "onnx" and any(SCHEMES[scheme].needs_ranges for scheme in self.recipe.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A graph that could become an operating point.

    Attributes:
        name: Of the candidate, and of the variant.
        graph: What would be shipped; for a TFLite file the graph that it was written from.
        plan: Where it comes from.
        schemes: What each component really is in.
        threads: Intra-op threads.
        twin: The same in the integers of this machine, where ``graph`` is made for another processor: its speed here
            says more about the candidate than that of foreign integers would.
        file: What would be shipped instead of the graph, where that is a TFLite file, or files with their places.
    """

    name: str
    graph: Graph
    plan: Plan
    schemes: Mapping[str, str]
    threads: int = 1
    twin: Graph | None = None
    file: TfliteFile | PlacedFile | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Files with their places; empty for one file on the usual back end of its format."""
        return self.file.parts if isinstance(self.file, PlacedFile) else ()

    @property
    def backends(self) -> tuple[str, ...]:
        """Keys of the back ends that run it, in the order of its stages."""
        if self.parts:
            return tuple(part.backend for part in self.parts)
        return ("onnx",) if self.file is None else ("tflite",)

    @property
    def digest(self) -> str:
        """SHA-256 of what would be shipped, as hex."""
        return self.graph.digest if self.file is None else self.file.digest

    def to_bytes(self) -> bytes:
        """What would be shipped, weights inside."""
        return self.graph.to_bytes() if self.file is None else self.file.content


def _every(scheme: str) -> dict[str, str]:
    return dict.fromkeys(_FAMILIES, scheme)


PLANS: Sequence[Plan] = (
    Plan(name="w8", recipe=_every("w8")),
    Plan(name="w8-dyn", recipe=_every("w8-dyn")),
    Plan(name="w8a8", recipe=_every("w8a8")),
    Plan(name="conv-w8a8", recipe={"convolution": "w8a8"}),
    Plan(name="conv-w8a8+w8", recipe={**_every("w8"), "convolution": "w8a8"}),
    Plan(name="dense-w8-dyn+w8", recipe={**_every("w8"), "attention": "w8-dyn", "dense": "w8-dyn"}),
    Plan(
        name="conv-w8a8+dense-w8-dyn+w8",
        recipe={"convolution": "w8a8", "attention": "w8-dyn", "dense": "w8-dyn", "recurrent": "w8", "trees": "w8"},
    ),
    Plan(
        name="conv-w8a8-int+dense-w8-dyn+w8",
        recipe={"convolution": "w8a8-int", "attention": "w8-dyn", "dense": "w8-dyn", "recurrent": "w8", "trees": "w8"},
    ),
    Plan(
        name="conv-w8a8-int+attention-w8-dyn-mha+w8",
        recipe={
            "convolution": "w8a8-int",
            "attention": "w8-dyn-mha",
            "dense": "w8-dyn",
            "recurrent": "w8",
            "trees": "w8",
        },
    ),
    Plan(name="w8a8+w8", recipe={**_every("w8a8"), "recurrent": "w8"}),
    Plan(name="conv-w8a8+w8-dyn", recipe={**_every("w8-dyn"), "convolution": "w8a8"}),
    Plan(name="conv-w8a8-int+w8-dyn", recipe={**_every("w8-dyn"), "convolution": "w8a8-int"}),
)
"""The mixtures that are tried; those that come out equal for a model are tried once."""


def plans(components: Sequence[Component], effort: Effort) -> tuple[Plan, ...]:
    """Narrow the table to what differs for these components.

    ``standard`` and ``thorough`` add every scheme alone, ``thorough`` other calibrations and two threads.
    """
    present = [family for family in _FAMILIES if any(component.family == family for component in components)]
    seen: set[tuple[object, ...]] = set()
    chosen = []
    for plan in _table(effort):
        recipe: dict[str, str] = {f: called(plan.recipe[f], f) for f in present if f in plan.recipe}
        narrowed = replace(plan, recipe=recipe)
        key = (*recipe.items(), plan.method if narrowed.needs_ranges else "", plan.threads)
        pointless = not recipe and plan.threads is None
        if not pointless and key not in seen:
            seen.add(key)
            chosen.append(narrowed)
    return tuple(chosen)


def _table(effort: Effort) -> list[Plan]:
    table = [plan for plan in PLANS if set(plan.recipe.values()) <= set(SCHEMES)]
    if effort == "quick":
        return table
    named = {plan.name for plan in table}
    named |= {REFERENCE, *APPROXIMATE}
    table += [Plan(name=name, recipe=_every(name)) for name in SCHEMES if name not in named]
    if effort == "standard":
        return table
    once = list(table)
    for method in get_args(Method):
        if method != "minmax":
            table += [replace(p, name=f"{p.name}-{method}", method=method) for p in once if p.needs_ranges]
    floats = Plan(name=OPTIMIZED, recipe={})
    return table + [replace(p, name=f"{p.name}-2t", threads=2) for p in (*once, floats)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Candidates, the reference first; plans that came out equal to another one; what schemes left untouched."""

    candidates: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    untouched: tuple[Untouched, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What candidates are made from: the user's graph, the best float graph, and what calibration saw.

    ``components`` may be groups of nodes; then ``whole`` says which component of the model each belongs to.
    """

    original: Graph
    best_float: Graph
    components: tuple[Component, ...]
    target: Target
    native: Target
    ranges: Mapping[Method, Ranges] = field(default_factory=dict)
    threads: int = 1
    whole: Mapping[str, str] = field(default_factory=dict)

    def build(self, todo: Sequence[Plan]) -> Built:
        """Build the float candidates and those of ``todo``; equal graphs are built once."""
        made = self._floats()
        known = {(candidate.graph.digest, candidate.threads): candidate.name for candidate in made}
        dropped: list[Dropped] = []
        untouched: dict[Untouched, None] = {}
        for plan in todo:
            setting = Setting(target=self.target, ranges=self.ranges.get(plan.method, {}))
            result = quantize(self.best_float, self.components, plan.recipe, setting)
            untouched |= {
                replace(u, component=self.whole.get(u.component, u.component)): None for u in result.untouched
            }
            threads = plan.threads or self.threads
            key = (result.graph.digest, threads)
            if key in known:
                dropped.append(Dropped(name=plan.name, reason=f"comes out equal to {known[key]}"))
                continue
            known[key] = plan.name
            twin = self._twin(plan, result.graph)
            made.append(
                Candidate(
                    name=plan.name,
                    graph=result.graph,
                    plan=plan,
                    schemes=self._by_component(result.schemes),
                    threads=threads,
                    twin=twin,
                )
            )
        return Built(candidates=tuple(made), dropped=tuple(dropped), untouched=tuple(untouched))

    def on_slice(self, plan: Plan, part: Graph, crossing: Mapping[str, str]) -> tuple[Graph, Mapping[str, str]]:
        """Build ``plan`` on a slice of the best float graph; it takes and gives what the slice does.

        Args:
            plan: The mixture.
            part: The slice.
            crossing: Names in the slice of what crosses its cuts, to those in the graph.

        Returns:
            The slice in that mixture, and what the components in it are really in.
        """
        ranges = self.ranges.get(plan.method, {})
        known = {**ranges, **{here: ranges[value] for here, value in crossing.items() if value in ranges}}
        result = quantize(part, self.components, plan.recipe, Setting(target=self.target, ranges=known))
        inside = {component.name for component in locate(part, self.components).values()}
        schemes = {name: scheme for name, scheme in result.schemes.items() if name in inside}
        return result.graph, self._by_component(schemes)

    def _by_component(self, schemes: Mapping[str, str]) -> dict[str, str]:
        """What the model's components are in; one whose groups differ has all of theirs, as in ``fp32+w8a8``."""
        found: dict[str, set[str]] = defaultdict(set)
        for name, scheme in schemes.items():
            found[self.whole.get(name, name)].add(scheme)
        return {name: "+".join(sorted(kinds)) for name, kinds in found.items()}

    def _twin(self, plan: Plan, graph: Graph) -> Graph | None:
        if self.target == self.native:
            return None
        setting = Setting(target=self.native, ranges=self.ranges.get(plan.method, {}))
        twin = quantize(self.best_float, self.components, plan.recipe, setting).graph
        return None if twin.digest == graph.digest else twin

    def _floats(self) -> list[Candidate]:
        floats = self._by_component(dict.fromkeys((component.name for component in self.components), REFERENCE))
        plan = Plan(name=REFERENCE, recipe={})
        reference = Candidate(name=REFERENCE, graph=self.original, plan=plan, schemes=floats, threads=self.threads)
        if self.best_float is self.original:
            return [reference]
        plan = Plan(name=OPTIMIZED, recipe={})
        return [reference, replace(reference, name=OPTIMIZED, graph=self.best_float, plan=plan)]
