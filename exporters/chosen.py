"""What was chosen to be shipped, with everything that was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgehybrid.bundle import Dropped, GateInfo, Untouched
from edgehybrid.exporters.chains import Chain, ChainStage, LoadedChain
from edgehybrid.exporters.formats import Part, PlacedFile
from edgehybrid.exporters.measure import Score, Timings
from edgehybrid.exporters.search import Candidate, Figures
from edgehybrid.exporters.trial import Trial
from edgehybrid.points import DepthFigures, Exit, LatencyMs, Quality, Risk

STAGE = "main"
"""Name of the stage that is the whole model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepPoint:
    """A chain under one promise, as it is shipped; what the fields mean is said in ``OperatingPoint``."""

    loaded: LoadedChain
    exits: Mapping[str, Exit]
    risk: Risk
    depths: tuple[DepthFigures, ...]
    latency_ms: LatencyMs
    cpu_ms: float
    relaxed_quality: Quality
    resident_bytes: int

    @property
    def variants(self) -> dict[str, str]:
        """Stage to variant; the last stage of a cascade is the uncut model."""
        chain = self.loaded.chain
        return {stage.name: _variant_name(chain, stage) for stage in chain.stages}

    @property
    def expected_depth(self) -> float:
        """Mean number of stages."""
        return sum((k + 1) * depth.share for k, depth in enumerate(self.depths))


def _variant_name(chain: Chain, stage: ChainStage) -> str:
    return chain.candidate.name if stage.name == STAGE else chain.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Everything measured of the candidates that are shipped, the reference first, then best quality first.

    ``deep`` holds those with exits, ``pieces`` the others once more, cut for pipelines, ``carried`` why what ships only
    because it was asked for would have gone; all by name.
    """

    names: tuple[str, ...]
    trial: Trial
    scores: Mapping[str, Score]
    figures: Mapping[str, Figures]
    timings: Timings
    memory: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    untouched: tuple[Untouched, ...] = ()
    deep: Mapping[str, DeepPoint] = field(default_factory=dict)
    gate: GateInfo | None = None
    pieces: Mapping[str, LoadedChain] = field(default_factory=dict)
    carried: Mapping[str, str] = field(default_factory=dict)

    @property
    def uncut(self) -> tuple[str, ...]:
        """Candidates that ship as variants of the uncut model, the reference first."""
        lasts = (point.variants[STAGE] for point in self.deep.values() if STAGE in point.variants)
        whole = [name for name in self.names if name not in self.deep and len(self._parts(name)) < 2]
        return tuple(dict.fromkeys([*(name for name in whole if name not in self.guests), *lasts]))

    @property
    def guests(self) -> Mapping[str, str]:
        """Candidates whose very file ships as a variant of its own too, to that variant: they only place it."""
        plain = [name for name in self.names if name not in self.deep]
        own = {name for name in plain if not self._parts(name)}
        files = {name: self.trial.candidate(name).file for name in plain}
        bases = {name: file.base for name, file in files.items() if isinstance(file, PlacedFile) and file.base in own}
        return {name: base for name, base in bases.items() if base is not None}

    @property
    def mixed(self) -> tuple[Candidate, ...]:
        """Candidates in several stages on several back ends."""
        plain = [name for name in self.names if name not in self.deep]
        return tuple(self.trial.candidate(name) for name in plain if len(self._parts(name)) > 1)

    def _parts(self, name: str) -> tuple[Part, ...]:
        return () if name in self.deep else self.trial.candidate(name).parts

    @property
    def chains(self) -> tuple[LoadedChain, ...]:
        """Chains that ship, each once."""
        deep = {point.loaded.chain.name: point.loaded for point in self.deep.values()}
        return (*deep.values(), *(self.pieces[name] for name in self.names if name in self.pieces))
