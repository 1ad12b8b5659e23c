"""What is measured of TFLite files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.export.works import Work
from benchmarks.hardware.operators import CASES, Case
from edgehybrid.errors import ModelError
from edgehybrid.exporters import ExportOptions, Silent, export
from edgehybrid.exporters.formats.litert import convert
from edgehybrid.exporters.formats.litert.gate import FLOAT_PARITY, measure_parity
from edgehybrid.exporters.measure import Cache, interleave, local_pool, paired_ratio
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.precision import Target
from edgehybrid.exporters.prepare import Prepared, first_feeds, prepare
from edgehybrid.exporters.search import Built, Plan, Workshop
from edgehybrid.exporters.tflite_candidates import PREFIX, make_source, tflite_plans, write_tflite
from edgehybrid.exporters.trial import Tools, open_trial, qualities, score_all
from edgehybrid.exporters.workshops import calibrate
from edgehybrid.profiles import ExecutionPolicy, detect_device
from edgehybrid.runtime.backends import LoadRequest, TfliteBackend, make_backend
from edgehybrid.runtime.execution import Plan as Running
from edgehybrid.runtime.execution import load_plan

_SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """TFLite forms of one model.

    Attributes:
        parity: Largest difference of the float file from ONNX Runtime as a share of the output's range; ``None`` where
            the model cannot be written.
        seconds: For all forms, gate included.
        onnx_loss: What ONNX w8a8 loses against float, in points.
        losses: The same of each form.
        refused: Forms that were not written, with the reason.
    """

    parity: float | None
    seconds: float
    onnx_loss: float | None
    losses: Mapping[str, float]
    refused: Mapping[str, str]

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def convert_all() -> dict[str, int]:
    """Convert every model of one operator: how many come out right, are refused, or are wrong without a word."""
    found = {"right": 0, "refused": 0, "wrong": 0}
    for case in CASES.values():
        found[_verdict(case)] += 1
    return {"cases": len(CASES), "operators": len({case.op for case in CASES.values()}), **found}


def _verdict(case: Case) -> str:
    model, rows = case.model(), [case.feeds(seed) for seed in range(_SEEDS)]
    session = open_session(model)
    names = [node.name for node in session.get_outputs()]
    try:
        content = convert(Graph(proto=model), rows[0])
    except ModelError:
        return "refused"
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        place = Path(folder) / "model.tflite"
        place.write_bytes(content)
        loaded = TfliteBackend().load(LoadRequest(model_file=place))
        parity = measure_parity(
            loaded, lambda feeds: dict(zip(names, session.run(None, dict(feeds)), strict=True)), rows
        )
    return "right" if parity.difference <= FLOAT_PARITY else "wrong"


def write_forms(work: Work) -> Forms:
    """Write all forms of a model and judge them on its evaluation data, beside ONNX w8a8."""
    options = ExportOptions(effort="quick", cache=False, metric=work.metric, shape=work.shape)
    given = prepare(work.model, work.calibration, work.evaluation, options)
    with local_pool() as pool, tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        tools = Tools(cache=Cache(folder=None), executor=pool, progress=Silent())
        begun = time.perf_counter()
        lite = write_tflite(tflite_plans(given.components), given, options, tools)
        seconds = time.perf_counter() - begun
        built = _onnx_int8(given, tools)
        trial = open_trial((*built.candidates, *lite.candidates), Path(folder))
        scores = score_all(trial, given.evaluation, given.metric, tools)
        drops = {name: 100 * quality.drop for name, quality in qualities(trial, given.metric, scores).items()}
        parity = _parity(given, trial.sessions.get(f"{PREFIX}fp32"))
    return Forms(
        parity=parity,
        seconds=seconds,
        onnx_loss=drops.get("w8a8"),
        losses={name.removeprefix(PREFIX): drop for name, drop in drops.items() if name.startswith(PREFIX)},
        refused={item.name.removeprefix(PREFIX): item.reason for item in lite.dropped},
    )


def _onnx_int8(given: Prepared, tools: Tools) -> Built:
    graph = given.model.graph
    workshop = Workshop(
        original=graph,
        best_float=graph,
        components=given.components,
        target=Target.of(detect_device().cpu.isa),
        native=Target.of(detect_device().cpu.isa),
        ranges={"minmax": calibrate(graph, given, "minmax", tools.cache)},
    )
    families = dict.fromkeys(c.family for c in given.components if c.family not in ("glue", "trees"))
    return workshop.build((Plan(name="w8a8", recipe=dict.fromkeys(families, "w8a8")),))


def _parity(given: Prepared, session: object) -> float | None:
    if session is None:
        return None
    rows = first_feeds(given.evaluation, 32)
    return measure_parity(session, make_source(given).reference, rows).difference  # type: ignore[arg-type]  # a Session


def best_beside(work: Work, folder: Path, *, rounds: int) -> dict[str, object]:
    """Export twice, for ONNX alone and for both, and time the fastest point of each in turn."""
    plans: dict[str, Running] = {}
    made_of: dict[str, str] = {}
    for name, formats in (("onnx", ("onnx",)), ("both", ("onnx", "tflite"))):
        options = ExportOptions(effort="standard", metric=work.metric, max_drop=0.01, shape=work.shape, formats=formats)  # type: ignore[arg-type]  # both are formats
        result = export(
            work.model, folder / f"{name}.bundle", data=work.calibration, eval_data=work.evaluation, options=options
        )
        if result.bundle is None:
            continue
        point = min(result.points, key=lambda point: point.latency_ms.p50)
        made_of[name] = f"{point.variants['main']} ({point.placement['main']})"
        plans[name] = load_plan(result.bundle, point, ExecutionPolicy(), make_backend)
    feeds = first_feeds(prepare(work.model, work.calibration, None, ExportOptions()).calibration, 1)[0]
    runs = {name: (lambda plan=plan: plan.run(feeds)) for name, plan in plans.items()}
    timings = interleave(runs, budget_s=0.0, min_rounds=rounds, warm_up=20)
    onnx, both = (timings.wall_s[:, timings.column(name)] for name in ("onnx", "both"))
    return {
        "ratio": paired_ratio(onnx, both).describe(),
        "onnx": f"{made_of['onnx']} {timings.percentile_ms('onnx', 50):.3f} ms",
        "both": f"{made_of['both']} {timings.percentile_ms('both', 50):.3f} ms",
    }
