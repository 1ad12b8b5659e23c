from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgehybrid.bundle import (
    Bundle,
    BundleDraft,
    StageDraft,
    VariantDraft,
    describe,
    write_bundle,
)
from edgehybrid.errors import RequestError

GOLDEN_MANIFEST = Path(__file__).parent / "golden" / "manifest.json"

names = st.builds(
    "{}{}".format,
    st.sampled_from("AaBbZz"),
    st.text("abzAZ019_.-", max_size=12),
).filter(lambda name: name.lower() not in ("golden.npz", "manifest.json", "shared_assets"))
arrays = hnp.arrays(
    dtype=st.sampled_from([np.float32, np.int64, np.uint8, np.float16, np.bool_]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
tensors = st.dictionaries(st.text("xyz/:.0", min_size=1, max_size=5), arrays, max_size=3)
figures = st.floats(allow_nan=False, allow_infinity=False)


def without_zlib(manifest: str) -> str:
    """A manifest without the figures that follow from how well golden vectors are deflated."""
    return re.sub(r'("(?:disk_bytes|manifest_sha256|[^"]*\.npz)"): (\d+|"[0-9a-f]{64}")', r"\1: ...", manifest)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below ``root`` with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def same_arrays(expected: Mapping[str, NDArray[np.generic]], got: Mapping[str, NDArray[np.generic]]) -> None:
    """Same names, dtypes, shapes and bytes (so that NaN equals itself)."""
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in expected.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in got.items()
    }


@st.composite
def drafts(draw: st.DrawFn, base: BundleDraft) -> BundleDraft:
    """Stages, variants, files, golden arrays and figures of any kind; the point uses each stage's first variant."""
    stages = []
    for name in draw(st.lists(names, min_size=1, max_size=3, unique_by=str.lower)):
        variants = [
            VariantDraft(
                name=variant,
                format=draw(st.sampled_from(["onnx", "tflite"])),
                schemes=draw(st.dictionaries(names, names, max_size=2)),
                files={"a/model": draw(st.binary(max_size=40)), "other": b"other"},
                model_file="a/model",
                golden_outputs=draw(tensors),
                golden_atol=draw(st.dictionaries(st.text(max_size=4), figures, max_size=2)),
                size_bytes=draw(st.integers(0, 1000)),
                uses_shared=draw(st.booleans()),
            )
            for variant in draw(st.lists(names, min_size=1, max_size=2, unique_by=str.lower))
        ]
        stages.append(
            StageDraft(
                name=name,
                inputs=base.model.inputs,
                outputs=base.model.outputs,
                golden_inputs=draw(tensors),
                variants=tuple(variants),
                shared=draw(st.dictionaries(names, st.binary(max_size=10), max_size=2)),
            )
        )
    point = replace(base.points[0], variants={stage.name: stage.variants[-1].name for stage in stages})
    return replace(base, stages=tuple(stages), points=(replace(point, cpu_ms=draw(figures)),))


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_what_is_written_is_what_opens(
    data: st.DataObject, draft: BundleDraft, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For any draft: same values back, every byte of disk counted, same draft gives the same bytes."""
    draft = data.draw(drafts(draft))
    folder = tmp_path_factory.mktemp("round")

    bundle = write_bundle(draft, folder / "one")
    write_bundle(draft, folder / "two")
    files = tree(folder / "one")

    assert tree(folder / "two") == files
    assert Bundle.open(folder / "one") == bundle
    assert set(files) - {"manifest.json"} == set(bundle.doc.files)
    assert sum(map(len, files.values())) == bundle.doc.disk_bytes
    assert draft.points == bundle.points
    for stage_draft in draft.stages:
        stage = bundle.stage(stage_draft.name)
        assert draft.points[0].variants[stage.name] == stage.variants[0].name
        same_arrays(stage_draft.golden_inputs, bundle.golden_inputs(stage))
        for expected in stage_draft.variants:
            variant = bundle.variant(stage.name, expected.name)
            assert expected.files["a/model"] == bundle.model_path(variant).read_bytes()
            assert expected.golden_atol == variant.golden_atol
            same_arrays(expected.golden_outputs, bundle.golden_outputs(variant))
            weights = bundle.weights_dir(variant)
            assert (stage_draft.shared if expected.uses_shared else {}) == (tree(weights) if weights else {})


def test_manifest_format_stays(tmp_path: Path, draft: BundleDraft) -> None:
    """The manifest is, byte for byte, the committed one, but for what zlib decides: a change is seen in review."""
    (stage,) = draft.stages
    variants = tuple(replace(variant, files={"model.onnx": b"a model"}, size_bytes=4807) for variant in stage.variants)
    draft = replace(draft, stages=(replace(stage, variants=variants),))

    bundle = write_bundle(draft, tmp_path / "tiny.bundle")

    assert without_zlib(GOLDEN_MANIFEST.read_text()) == without_zlib((bundle.path / "manifest.json").read_text())


def test_shared_weights_are_stored_once(tmp_path: Path, draft: BundleDraft) -> None:
    """Two variants, one copy: the bundle is smaller than the sum of its variants, by one copy of the weights."""
    (stage,) = draft.stages
    bundle = write_bundle(draft, tmp_path / "tiny.bundle")

    found = list(bundle.path.rglob("weights.bin"))

    assert 1 == len(found)
    assert sum(variant.size_bytes for variant in stage.variants) == bundle.doc.sum_of_variants_bytes
    assert {found[0].parent} == {bundle.weights_dir(variant) for variant in bundle.stage("main").variants}


def test_stages_with_equal_weights_share_them(tmp_path: Path, draft: BundleDraft) -> None:
    """Two stages that bring the same shared files store them once."""
    (stage,) = draft.stages
    points = tuple(replace(point, variants={**point.variants, "tail": "fp32"}) for point in draft.points)
    draft = replace(draft, stages=(stage, replace(stage, name="tail")), points=points)

    bundle = write_bundle(draft, tmp_path / "two.bundle")

    assert 1 == len(list(bundle.path.rglob("weights.bin")))


def test_files_may_come_from_disk(tmp_path: Path, draft: BundleDraft) -> None:
    """A path as content gives the same bundle as its bytes."""
    (stage,) = draft.stages
    weights = tmp_path / "somewhere.bin"
    weights.write_bytes(stage.shared["weights.bin"])  # type: ignore[arg-type]  # the fixture holds bytes
    by_path = replace(draft, stages=(replace(stage, shared={"weights.bin": weights}),))

    write_bundle(draft, tmp_path / "bytes")
    write_bundle(by_path, tmp_path / "path")

    assert tree(tmp_path / "bytes") == tree(tmp_path / "path")


def test_wrong_names_say_which_exist(tmp_path: Path, draft: BundleDraft) -> None:
    """Asking for what is not there names what is."""
    bundle = write_bundle(draft, tmp_path / "tiny.bundle")

    with pytest.raises(RequestError, match=r"no point 'high'. It has: fp32, max\."):
        bundle.point("high")
    with pytest.raises(RequestError, match=r"no stage 'head'. It has: main\."):
        bundle.stage("head")
    with pytest.raises(RequestError, match=r"no variant 'w8'. It has: fp32, aaa\."):
        bundle.variant("main", "w8")
    assert draft.points[1] == bundle.point("max")


def test_inspect_document_holds_what_the_design_promises(tmp_path: Path, draft: BundleDraft) -> None:
    """``describe`` gives plain JSON with the promised keys, down to the figures of a point."""
    bundle = write_bundle(draft, tmp_path / "tiny.bundle")

    document = msgspec.json.decode(msgspec.json.encode(describe(bundle)))

    assert 1 == document["schema"]
    assert {"name": "tiny", "version": "1.2.0", "created": "2026-01-02T03:04:05Z"} == document["bundle"]
    assert {"inputs", "outputs", "components"} == set(document["model"])
    assert {"value": 4.5, "method": "model", "uncertainty": 0.9} == document["points"][1]["energy_mj"]
    assert [0.85, 0.94] == document["points"][1]["quality"]["ci95"]
    assert {"main": "aaa"} == document["points"][1]["variants"]
    assert [{"component": "dense_0", "scheme": "w8a8", "reason": "slower than float"}] == document["untouched"]
    assert bundle.doc.disk_bytes == document["disk_bytes"]
    assert {"bundle", "model", "stages", "points", "untouched", "dropped", "measured_on"} < set(document)
    assert "files" not in document
