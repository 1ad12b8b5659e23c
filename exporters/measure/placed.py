"""Placed files, loaded and run as the engine does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.formats.placed import Part, part_file
from edgehybrid.points import EnergyMj, Exit, LatencyMs, OperatingPoint, Quality
from edgehybrid.runtime.backends import LoadRequest, Session, make_backend
from edgehybrid.runtime.execution import LoadedStage, Plan
from edgehybrid.tensors import TensorSpec

Array = NDArray[np.generic]


class PlacedChain:
    """Several stages as one session, run by the engine's own plan, so that its share of the time counts too."""

    def __init__(self, parts: Sequence[Part], sessions: Sequence[Session]) -> None:
        given = {spec.name for part in parts for spec in part.outputs}
        self._inputs = tuple(
            {spec.name: spec for part in parts for spec in part.inputs if spec.name not in given}.values()
        )
        self._outputs = sessions[-1].outputs
        self.sessions = tuple(sessions)
        stages = tuple(
            LoadedStage(name=part.stage, session=session, backend=part.backend)
            for part, session in zip(parts, sessions, strict=True)
        )
        point = unmeasured_point("placed", {part.stage: part.variant for part in parts})
        names = tuple(spec.name for spec in self._outputs)
        self._plan = Plan(point=point, stages=stages, inputs=self._inputs, outputs=names)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` needs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that ``run`` returns."""
        return self._outputs

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Run all stages.

        Raises:
            DataError: The feeds do not fit.
            BackendError: A stage failed.
        """
        return self._plan.run(feeds)[0]


def open_placed(parts: Sequence[Part], folder: Path) -> Session:
    """Write ``parts`` into ``folder`` and load each on its back end.

    Raises:
        ModelError: An engine refuses a file.
        BackendError: A back end is not here, or takes too little of its file.
    """
    sessions = []
    for part in parts:
        file = part_file(folder, part)
        file.write_bytes(part.content)
        request = LoadRequest(
            model_file=file, threads=part.threads, inputs=part.inputs, outputs=part.outputs, needs=part.needs
        )
        sessions.append(make_backend(part.backend).load(request))
    return sessions[0] if len(sessions) == 1 else PlacedChain(parts, sessions)


def unmeasured_point(name: str, variants: Mapping[str, str], exits: Mapping[str, Exit] | None = None) -> OperatingPoint:
    """A point whose figures nobody reads."""
    return OperatingPoint(
        name=name,
        variants=variants,
        quality=Quality(metric="", value=0.0, ci95=(0.0, 0.0), drop=0.0, n=0),
        latency_ms=LatencyMs(p50=0.0, p95=0.0),
        cpu_ms=0.0,
        energy_mj=EnergyMj(value=0.0, method="model", uncertainty=0.0),
        size_bytes=0,
        resident_bytes=0,
        exits=exits or {},
    )
