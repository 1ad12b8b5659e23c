"""From a point in a bundle to a plan that has proved itself on this device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edgehybrid.bundle import Bundle, ExitInfo, StageInfo, VariantInfo
from edgehybrid.errors import BackendError, DataError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import Array, Backend, LoadRequest, Session
from edgehybrid.runtime.execution.dial import Dial
from edgehybrid.runtime.execution.frames import LoadedStage
from edgehybrid.runtime.execution.goldens import Goldens
from edgehybrid.runtime.execution.guarded import GuardedPlan
from edgehybrid.runtime.execution.plan import Plan
from edgehybrid.tensors import TensorSpec

WARM_UP_RUNS = 2
"""Runs before the self-test counts: memory is allocated and bound in the first."""

FindBackend = Callable[[str], Backend]


def load_plan(
    bundle: Bundle,
    point: OperatingPoint,
    execution: ExecutionPolicy,
    find_backend: FindBackend,
    goldens: Goldens | None = None,
    dial: Dial | None = None,
) -> Plan:
    """Load the stages that ``point`` uses, warm each up and replay its golden vectors, then run them as a chain.

    Args:
        bundle: Where the point comes from.
        point: The point.
        execution: Spinning and the ceiling for threads.
        find_backend: Back end by its key; a stage is loaded by the one where the point places it.
        goldens: Where golden vectors are kept from one switch to the next; without, they are read.
        dial: Moves the thresholds of exits; without, they keep the point's own promise and audit nothing.

    Raises:
        BackendError: A stage does not load, its outputs differ from the golden ones by more than the bundle allows, or
            the next stage does not take them.
        ModelError: A model file cannot be used here.
        BundleError: A golden file is damaged.
    """
    goldens = Goldens(bundle) if goldens is None else goldens
    most = execution.max_threads or point.threads
    stages = []
    for stage, name in point.variants.items():
        info, variant = bundle.stage(stage), bundle.variant(stage, name)
        threads = min(point.stage_threads.get(stage, point.threads), most)
        request = load_request(bundle, info, variant, threads=threads, spinning=execution.spinning)
        backend = backend_of(point, stage, variant)
        session = find_backend(backend).load(request)
        self_test(goldens, info, variant, session, backend)
        stages.append(LoadedStage(name=stage, session=session, exit=_exit(info, point, session), backend=backend))
    model = bundle.doc.model
    plan = (GuardedPlan if point.accelerators else Plan)(
        point=point,
        stages=tuple(stages),
        inputs=model.inputs,
        outputs=tuple(spec.name for spec in model.outputs),
        dial=Dial() if dial is None else dial,
    )
    if len(stages) > 1:
        _warm_chain(plan, bundle, goldens)
    return plan


def audit_plan(bundle: Bundle, plan: Plan, goldens: Goldens) -> None:
    """Replay the golden vectors of every stage of a plan that serves.

    Raises:
        BackendError: A stage fails, or no longer gives what it gave.
    """
    for stage in plan.stages:
        variant = bundle.variant(stage.name, plan.point.variants[stage.name])
        self_test(goldens, bundle.stage(stage.name), variant, stage.session, stage.backend)


def backend_of(point: OperatingPoint, stage: str, variant: VariantInfo) -> str:
    """Key of the back end that runs a stage of a point: where the point places it, else that of the variant."""
    return point.placement.get(stage, variant.backend)


def load_request(
    bundle: Bundle, stage: StageInfo, variant: VariantInfo, *, threads: int = 1, spinning: bool = False
) -> LoadRequest:
    """Say how a variant of a bundle is loaded."""
    return LoadRequest(
        model_file=bundle.model_path(variant),
        weights_dir=bundle.weights_dir(variant),
        threads=threads,
        spinning=spinning,
        inputs=stage.inputs,
        outputs=stage.outputs,
        needs=variant.needs,
    )


def _exit(info: StageInfo, point: OperatingPoint, session: Session) -> ExitInfo | None:
    """Return the exit after a stage if ``point`` uses it; refuse one whose tensors the stage does not give."""
    if info.name not in point.exits or info.exit is None:
        return None
    given = {spec.name for spec in session.outputs}
    if lost := {info.exit.confidence, *info.exit.outputs.values()} - given:
        raise BackendError(
            f"Stage {info.name!r} does not give {', '.join(sorted(lost))}, which its exit needs.",
            "Use another point, or export again.",
        )
    return info.exit


def _warm_chain(plan: Plan, bundle: Bundle, goldens: Goldens) -> None:
    """Run the whole chain, so that its memory is there, and that stages which do not fit together never serve.

    Raises:
        BackendError: A stage does not take what those before it give.
    """
    feeds: dict[str, Array] = {}
    for stage, name in plan.point.variants.items():
        feeds = {**goldens.inputs(bundle.stage(stage), bundle.variant(stage, name)), **feeds}
    if any(spec.name not in feeds for spec in plan.inputs):
        return  # an input that only a later stage reads, under another name: nothing to run it on
    whole = replace(plan, dial=Dial(None))
    first = {spec.name: _first_row(feeds[spec.name], spec) for spec in plan.inputs}
    try:
        for each in (plan, whole):
            for _ in range(WARM_UP_RUNS):
                each.run(first)
    except (DataError, KeyError) as error:
        raise BackendError(
            f"The stages of point {plan.point.name!r} do not fit together: {error}",
            "Use another point, or export again.",
        ) from error


def _first_row(array: Array, spec: TensorSpec) -> Array:
    return array[:1] if spec.shape and isinstance(spec.shape[0], str) else array


def self_test(
    goldens: Goldens, stage: StageInfo, variant: VariantInfo, session: Session, backend: str | None = None
) -> None:
    """Warm ``session`` up and compare it with the golden outputs of ``variant``.

    Args:
        goldens: Where the golden vectors are.
        stage: The stage.
        variant: The variant.
        session: It, loaded.
        backend: Back end that it was loaded by; ``None``: the variant's own.

    Raises:
        BackendError: Names the tensor and the difference.
    """
    feeds = goldens.inputs(stage, variant)
    for _ in range(WARM_UP_RUNS):
        outputs = session.run(feeds)
    where = f"Variant {variant.name!r} of stage {stage.name!r}"
    if backend not in (None, variant.backend):
        where += f" on {backend}"
    for name, want in goldens.outputs(variant).items():
        if problem := _difference(name, outputs, want, variant.allowed(backend)):
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
