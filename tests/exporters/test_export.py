from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from edgehybrid.bundle import Bundle
from edgehybrid.errors import DataError, ModelError, OutputError, RequestError
from edgehybrid.exporters import ExportOptions, ExportResult, Silent, export
from edgehybrid.exporters.exporting import _workshop
from edgehybrid.exporters.measure import Cache, local_pool
from edgehybrid.exporters.precision import Target
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.rewrites import rewrite
from edgehybrid.exporters.search import BestFloat, Candidate, plans
from edgehybrid.exporters.trial import Tools
from edgehybrid.profiles import detect_device
from edgehybrid.runtime import Engine
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend

OPTIONS = ExportOptions(effort="quick", cache=False, max_drop=1.0, budget_s=0.5)


class Stop(Silent):
    """Presses Ctrl-C when a task starts."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.seen: list[str] = []

    def start(self, total: int, text: str) -> None:  # noqa: ARG002  # protocol
        """Raise at the chosen one."""
        self.seen.append(text)
        if text == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def work(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny hybrid model and labelled data."""
    folder = tmp_path_factory.mktemp("work")
    graph = zoo.hybrid()
    zoo.save(graph, folder / "model.onnx")
    x = zoo.feeds(graph, 60)["x"]
    labels = zoo.run(graph, {"x": x}).argmax(axis=1).astype(np.int64)
    np.savez(folder / "data.npz", x=x, labels=labels)
    np.savez(folder / "plain.npz", x=x[:30])
    return folder


@pytest.fixture(scope="module")
def exported(work: Path) -> ExportResult:
    """One export for all who only look."""
    return export(work / "model.onnx", work / "out.bundle", data=work / "data.npz", options=OPTIONS)


def prepared(work: Path, **options: Any) -> Prepared:
    """Checked inputs of an export."""
    return prepare(work / "model.onnx", work / "data.npz", None, replace(OPTIONS, **options))


def build(given: Prepared) -> tuple[Candidate, ...]:
    """All candidates, on the user's own float graph."""
    best = BestFloat(graph=given.model.graph, report=None, speedup=None, dropped=())
    todo = plans(given.components, "quick")
    with local_pool() as pool:
        tools = Tools(cache=Cache(folder=None), executor=pool, progress=Silent())
        return _workshop(given, best, todo, OPTIONS, tools).build(todo).candidates


def test_bundle_opens_again_with_its_points(exported: ExportResult, work: Path) -> None:
    """What was written opens; the reference is first; every point has all its figures."""
    bundle = Bundle.open(work / "out.bundle")
    points = bundle.doc.points

    assert exported.points == points
    assert "fp32" == points[0].name
    assert 2 <= len(points) <= 5
    assert "max" == points[1].name
    for point in points:
        assert 42 == point.quality.n
        assert point.quality.ci95[0] <= point.quality.value <= point.quality.ci95[1]
        assert 0.0 < point.latency_ms.p50 <= point.latency_ms.p95
        assert point.cpu_ms > 0.0
        assert "model" == point.energy_mj.method
        assert min(point.size_bytes, point.resident_bytes) > 0


def test_every_candidate_is_shipped_or_named(exported: ExportResult) -> None:
    """No candidate vanishes: each is a point, or is dropped with a reason."""
    shipped = {point.variants["main"] for point in exported.points}
    dropped = {item.name: item.reason for item in exported.dropped}

    assert {plan.name for plan in exported.plans} <= shipped | set(dropped)
    assert all(len(reason) > 10 for reason in dropped.values())


def test_no_point_is_slower_than_float(exported: ExportResult) -> None:
    """Whatever ships beside the reference is not measurably slower."""
    assert all(exported.speedups[point.variants["main"]].high >= 1.0 for point in exported.points)


def test_untouched_components_are_named(exported: ExportResult) -> None:
    """The GRU that no integer kernel computes is in the bundle's own list, with the reason."""
    assert exported.bundle is not None
    reasons = {(item.component, item.scheme): item.reason for item in exported.bundle.doc.untouched}

    assert "no int8 kernel with fixed ranges" == reasons["recurrent-1", "w8a8"]


def test_written_variants_give_golden_outputs(exported: ExportResult, zoo: Any) -> None:
    """Each variant loads from the bundle with shared weights, and runs any batch."""
    bundle = exported.bundle
    assert bundle is not None
    for variant in bundle.doc.stages[0].variants:
        weights = None if variant.weights_dir is None else bundle.path / variant.weights_dir
        session = OnnxBackend().load(LoadRequest(model_file=bundle.path / variant.model_file, weights_dir=weights))

        assert (3, 5) == session.run(zoo.feeds(zoo.hybrid(), 3))["y"].shape
        assert {"y"} == set(variant.golden_atol)


def test_float_graph_was_rewritten_honestly(exported: ExportResult) -> None:
    """Attention was fused, or the report says why the rewritten graph was not kept."""
    dropped = {item.name for item in exported.dropped}

    assert exported.rewrites.get("fuse-attention", 0) == 1 or dropped & {"all rewrites", "rewrites without attention"}


@pytest.mark.parametrize("at", ["rewrites", "calibration", "quality", "latency", "memory", "write and check"])
def test_interrupted_export_leaves_nothing(work: Path, at: str, tmp_path: Path) -> None:
    """Ctrl-C at any step leaves no output and no temporary folder beside it."""
    stop, options = Stop(at), replace(OPTIONS, budget_s=0.05)
    with pytest.raises(KeyboardInterrupt):
        export(work / "model.onnx", tmp_path / "out", data=work / "data.npz", options=options, progress=stop)

    assert at == stop.seen[-1]
    assert [] == list(tmp_path.iterdir())


def test_second_export_takes_up_measurements(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption at the end of the search, nothing that was measured is measured again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = replace(
        OPTIONS, cache=True, effort="standard", budget_s=20.0, levels=1
    )  # the rounds end it long before the time
    with pytest.raises(KeyboardInterrupt):
        export(work / "model.onnx", tmp_path / "a", data=work / "data.npz", options=given, progress=Stop("memory"))
    known = {path.name for path in (tmp_path / "cache" / "edgehybrid").iterdir()}
    first = export(work / "model.onnx", tmp_path / "a", data=work / "data.npz", options=given)
    more = {path.name for path in (tmp_path / "cache" / "edgehybrid").iterdir()} - known
    second = export(work / "model.onnx", tmp_path / "b", data=work / "data.npz", options=given)

    assert len(known) > 10
    assert len(more) <= len(first.points)  # the memory of the points was all that was missing
    assert first.speedups == second.speedups
    assert first.sensitivities == second.sensitivities
    assert first.sensitivities
    assert "mix-1" in {plan.name for plan in first.plans}


def test_foreign_executor_scores(work: Path, tmp_path: Path, exported: ExportResult) -> None:
    """An executor of the caller's gets the scoring, as tasks that can be pickled; the figures are the same."""
    tasks: list[bytes] = []

    class Farm(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            tasks.append(pickle.dumps((fn, args[0])))
            return super().submit(fn, *args, **kwargs)

    with Farm(1) as farm:
        result = export(work / "model.onnx", tmp_path / "o", data=work / "data.npz", options=OPTIONS, executor=farm)

    assert tasks
    assert exported.points[0].quality == result.points[0].quality


def test_equal_seeds_give_equal_candidates(work: Path) -> None:
    """Two runs build the same graphs, to the byte; another seed calibrates on other rows."""
    first, second, other = (build(prepared(work, seed=seed)) for seed in (1, 1, 2))

    assert [c.graph.digest for c in first] == [c.graph.digest for c in second]
    assert [c.graph.digest for c in first] != [c.graph.digest for c in other]


def test_calibration_and_evaluation_do_not_meet(work: Path) -> None:
    """Data alone is split; with evaluation data of its own all of it calibrates."""
    alone = prepared(work)
    both = prepare(work / "model.onnx", work / "data.npz", work / "plain.npz", OPTIONS)

    assert (18, 42) == (alone.calibration.count, alone.evaluation.count)
    assert (60, 30) == (both.calibration.count, both.evaluation.count)
    assert "agreement" == both.metric.name


def test_other_processor_gets_its_own_integers(work: Path) -> None:
    """For Arm, activations are signed; what is timed on this machine is the twin in its own integers."""
    given = prepared(work, device="raspberry-pi-5")
    candidate = next(c for c in build(given) if c.name == "conv-w8a8")
    zeros = {t.data_type for t in candidate.graph.proto.graph.initializer if t.name.endswith("_zero")}

    assert TensorProto.UINT8 not in zeros
    assert (candidate.twin is None) == Target.of(detect_device().cpu.isa).signed_activations


def test_model_of_one_sample_at_a_time(zoo: Any, tmp_path: Path) -> None:
    """A model whose batch is fixed to one is exported too, and its attention is still fused."""
    graph = zoo.hybrid()
    for value in (*graph.proto.graph.input, *graph.proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del graph.proto.graph.value_info[:]
    zoo.save(graph, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=zoo.feeds(graph, 20)["x"])
    result = export(tmp_path / "m.onnx", tmp_path / "out", data=tmp_path / "d.npz", options=OPTIONS)

    assert "fp32" == result.points[0].name
    assert (
        1
        == rewrite(graph, prepare(tmp_path / "m.onnx", tmp_path / "d.npz", None, OPTIONS).probes).applied[
            "fuse-attention"
        ]
    )


def test_dry_run_only_plans(work: Path, tmp_path: Path) -> None:
    """The plan names the candidates; nothing is measured or written."""
    result = export(
        work / "model.onnx", tmp_path / "out", data=work / "data.npz", options=replace(OPTIONS, dry_run=True)
    )

    assert {"w8", "w8-dyn", "w8a8", "conv-w8a8"} <= {plan.name for plan in result.plans}
    assert result.bundle is None
    assert not (tmp_path / "out").exists()


def test_a_name_to_keep_is_checked_before_long_work(work: Path, tmp_path: Path) -> None:
    """What no candidate will be called is refused with the names that there are; without TFLite so are its names."""
    data = work / "data.npz"
    with pytest.raises(RequestError, match="'w9a9', which is no candidate") as error:
        export(work / "model.onnx", tmp_path / "out", data=data, options=replace(OPTIONS, keep=("w9a9",)))
    assert "w8a8" in error.value.fix
    with pytest.raises(RequestError, match="TFLite"):
        replace(OPTIONS, keep=("tflite-w8a8",))


def test_what_is_kept_is_in_the_bundle_with_its_reason(work: Path, tmp_path: Path) -> None:
    """What would have gone is a point that says why, and no longer among the dropped; the engine leaves it alone."""
    options = replace(OPTIONS, keep=("w8*", "nothing*"), levels=1)
    result = export(work / "model.onnx", tmp_path / "out", data=work / "data.npz", options=options)
    assert result.bundle is not None
    carried = {p.name: p.variants["main"] for p in result.bundle.points if p.carried}

    assert carried
    assert all(name.startswith("w8") for name in carried.values())
    assert not set(carried.values()) & {item.name for item in result.dropped}
    assert "there were" in next(item.reason for item in result.dropped if item.name == "nothing*")
    with Engine(result.bundle, background=False) as engine:
        assert engine.status().point not in carried


def test_plans_follow_the_families(zoo: Any, tmp_path: Path) -> None:
    """A model without convolutions gets no mixture that differs in convolutions only."""
    model = zoo.model(zoo.recurrent(), tmp_path)
    np.savez(tmp_path / "d.npz", x=zoo.feeds(model.graph, 20)["x"])
    given = prepare(tmp_path / "model.onnx", tmp_path / "d.npz", None, OPTIONS)

    assert ["w8", "w8-dyn", "w8a8"] == [plan.name for plan in plans(given.components, "quick")]
    assert len(plans(given.components, "thorough")) > 3


def test_bad_places_and_inputs_are_refused_at_once(work: Path, tmp_path: Path) -> None:
    """An output that exists, data that does not fit and a model that is missing cost no time."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    np.savez(tmp_path / "wrong.npz", x=np.zeros((9, 4), np.float32))
    model, data = work / "model.onnx", work / "data.npz"
    with pytest.raises(OutputError):
        export(model, tmp_path / "taken", data=data, options=OPTIONS)
    with pytest.raises(DataError):
        export(model, tmp_path / "out", data=tmp_path / "wrong.npz", options=OPTIONS)
    with pytest.raises(ModelError):
        export(tmp_path / "none.onnx", tmp_path / "out", data=data, options=OPTIONS)
    with pytest.raises(RequestError):
        export(model, tmp_path / "out", data=data, options=replace(OPTIONS, metric="beauty"))

    assert not (tmp_path / "out").exists()
