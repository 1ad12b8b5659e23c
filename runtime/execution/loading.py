"""From a point in a bundle to a plan that has proved itself on this device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgehybrid.bundle import Bundle, StageInfo, VariantInfo
from edgehybrid.errors import BackendError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import Array, Backend, LoadRequest, Session
from edgehybrid.runtime.execution.goldens import Goldens
from edgehybrid.runtime.execution.plan import LoadedStage, Plan

WARM_UP_RUNS = 2
"""Runs before the self-test counts: memory is allocated and bound in the first."""

FindBackend = Callable[[str], Backend]


def load_plan(
    bundle: Bundle,
    point: OperatingPoint,
    execution: ExecutionPolicy,
    find_backend: FindBackend,
    goldens: Goldens | None = None,
) -> Plan:
    """Load every stage of ``point``, warm it up and replay its golden vectors.

    Args:
        bundle: Where the point comes from.
        point: The point.
        execution: Spinning and the ceiling for threads.
        find_backend: Back end by its key.
        goldens: Where golden vectors are kept from one switch to the next; without, they are read.

    Raises:
        BackendError: A stage does not load, or its outputs differ from the golden ones by more than the bundle allows.
        ModelError: A model file cannot be used here.
        BundleError: A golden file is damaged.
    """
    goldens = Goldens(bundle) if goldens is None else goldens
    threads = min(point.threads, execution.max_threads or point.threads)
    stages = []
    for info in bundle.stages:
        variant = bundle.variant(info.name, point.variants[info.name])
        request = LoadRequest(
            model_file=bundle.model_path(variant),
            weights_dir=bundle.weights_dir(variant),
            threads=threads,
            spinning=execution.spinning,
        )
        session = find_backend(variant.backend).load(request)
        self_test(goldens, info, variant, session)
        stages.append(LoadedStage(name=info.name, session=session))
    model = bundle.doc.model
    return Plan(
        point=point, stages=tuple(stages), inputs=model.inputs, outputs=tuple(spec.name for spec in model.outputs)
    )


def self_test(goldens: Goldens, stage: StageInfo, variant: VariantInfo, session: Session) -> None:
    """Warm ``session`` up and compare it with the golden outputs of ``variant``.

    Raises:
        BackendError: Names the tensor and the difference.
    """
    feeds = goldens.inputs(stage)
    for _ in range(WARM_UP_RUNS):
        outputs = session.run(feeds)
    where = f"Variant {variant.name!r} of stage {stage.name!r}"
    for name, want in goldens.outputs(variant).items():
        if problem := _difference(name, outputs, want, variant.golden_atol):
            raise BackendError(
                f"{where} failed its self-test: {problem}.",
                "This device computes it differently; use another point, or export for this device.",
            )


def _difference(name: str, outputs: Mapping[str, Array], want: Array, atol: Mapping[str, float]) -> str | None:
    """Say how output ``name`` differs from ``want``; ``None`` when it is near enough."""
    got = outputs.get(name)
    if got is None:
        return f"output {name!r} is missing"
    if got.shape != want.shape:
        return f"output {name!r} has shape {list(got.shape)}, not {list(want.shape)}"
    if not (np.issubdtype(want.dtype, np.number) or want.dtype == np.bool_):
        return None if np.array_equal(got, want) else f"output {name!r} differs"
    allowed = atol.get(name, 0.0)
    same = (got == want) | (np.isnan(got) & np.isnan(want))  # infinities too
    apart = np.abs(got[~same].astype(np.float64) - want[~same].astype(np.float64))
    worst = float(np.max(apart, initial=0.0))
    return None if worst <= allowed else f"output {name!r} differs by {worst:.3g}, at most {allowed:.3g} is allowed"
