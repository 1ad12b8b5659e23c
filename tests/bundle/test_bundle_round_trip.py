from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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

RESERVED = ("golden.npz", "manifest.json", "shared_assets")
DTYPES = (np.float32, np.int64, np.uint8, np.float16, np.bool_)
FIGURES = (0.0, -0.0, 5e-324, 1.0000000000000002, -1e308, 0.1)
T = TypeVar("T")


@dataclass(frozen=True)
class Dice:
    """Draws values of any kind from one seed. Hypothesis replays nested draws as deep as these inconsistently."""

    draw: np.random.Generator

    def several(self, least: int, most: int, make: Callable[[], T]) -> list[T]:
        """So many of them."""
        return [make() for _ in range(self.draw.integers(least, most + 1))]

    def text(self, alphabet: str, least: int, most: int) -> str:
        """Text of so many letters."""
        return "".join(self.several(least, most, lambda: str(self.draw.choice(list(alphabet)))))

    def name(self) -> str:
        """A name that a folder may have."""
        name = self.text("AaBbZz", 1, 1) + self.text("abzAZ019_.-", 0, 12)
        return name if name.lower() not in RESERVED else self.name()

    def names(self, most: int) -> list[str]:
        """One or more, apart on disks that do not tell capitals."""
        return list({name.lower(): name for name in self.several(1, most, self.name)}.values())

    def figure(self) -> float:
        """A finite number, odd ones often."""
        return float(self.draw.choice(FIGURES) if self.draw.random() < 0.5 else self.draw.normal() * 1e6)

    def content(self, most: int) -> bytes:
        """Some bytes."""
        return self.draw.bytes(int(self.draw.integers(0, most + 1)))

    def array(self) -> NDArray[np.generic]:
        """Any bits, NaN and infinities too, of up to three axes, empty ones too."""
        dtype = np.dtype(DTYPES[self.draw.integers(len(DTYPES))])
        shape = self.several(0, 3, lambda: int(self.draw.integers(0, 5)))
        count = int(np.prod(shape))
        if dtype == np.bool_:
            return self.draw.integers(0, 2, shape).astype(np.bool_)
        return np.frombuffer(self.draw.bytes(count * dtype.itemsize), dtype).reshape(shape)

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Arrays under names as exporters give them."""
        return {name: self.array() for name in self.several(0, 3, lambda: self.text("xyz/:.0", 1, 5))}


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


def any_draft(base: BundleDraft, dice: Dice) -> BundleDraft:
    """Stages, variants, files, golden arrays and figures of any kind; the point uses each stage's first variant."""
    stages = []
    for name in dice.names(3):
        variants = [
            VariantDraft(
                name=variant,
                format=("onnx", "tflite")[dice.draw.integers(2)],
                schemes={dice.name(): dice.name() for _ in range(dice.draw.integers(3))},
                files={"a/model": dice.content(40), "other": b"other"},
                model_file="a/model",
                golden_outputs=dice.tensors(),
                golden_atol={dice.text("xyé/ ", 0, 4): dice.figure() for _ in range(dice.draw.integers(3))},
                size_bytes=int(dice.draw.integers(0, 1000)),
                uses_shared=bool(dice.draw.integers(2)),
            )
            for variant in dice.names(2)
        ]
        stages.append(
            StageDraft(
                name=name,
                inputs=base.model.inputs,
                outputs=base.model.outputs,
                golden_inputs=dice.tensors(),
                variants=tuple(variants),
                shared={dice.name(): dice.content(10) for _ in range(dice.draw.integers(3))},
            )
        )
    point = replace(base.points[0], variants={stage.name: stage.variants[-1].name for stage in stages})
    return replace(base, stages=tuple(stages), points=(replace(point, cpu_ms=dice.figure()),))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_what_opens(seed: int, draft: BundleDraft, tmp_path_factory: pytest.TempPathFactory) -> None:
    """For any draft: same values back, every byte of disk counted, same draft gives the same bytes."""
    draft = any_draft(draft, Dice(np.random.default_rng(seed)))
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
