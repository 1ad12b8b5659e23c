from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from edgehybrid.bundle import BundleDraft, write_bundle
from edgehybrid.bundle.digests import file_sha256, folder_sha256

pytestmark = pytest.mark.skipif(
    not hasattr(ort, "ModelPackage"), reason="this onnxruntime has no model packages (needs 1.32)"
)


def test_stock_onnxruntime_runs_the_reference_with_shared_weights(tmp_path: Path, draft: BundleDraft) -> None:
    """Stock ORT opens what we write, takes the float reference first, and computes our golden outputs."""
    bundle = write_bundle(draft, tmp_path / "tiny.bundle")

    info = ort.ModelPackage.open(str(bundle.path)).get_info()
    context = ort.ModelPackageContext(str(bundle.path))
    selected = context.select_component("main", ort.ModelPackageOptions(ort.SessionOptions()))
    session = selected.create_session()
    (y,) = session.run(["y"], bundle.golden_inputs(bundle.stage("main")))

    assert "tiny" == info["package_name"]
    assert "portable" == info["layout"]
    assert "fp32" == selected.get_selected_variant_name()
    assert not (bundle.path / "main/fp32/weights.bin").exists()
    np.testing.assert_array_equal(bundle.golden_outputs(bundle.variant("main", "fp32"))["y"], y)


def test_stock_onnxruntime_finds_the_shared_asset(tmp_path: Path, draft: BundleDraft) -> None:
    """The folder of the weights has the name that ORT's own digest gives, and ORT resolves it."""
    bundle = write_bundle(draft, tmp_path / "tiny.bundle")
    (asset,) = (bundle.path / "shared_assets").iterdir()

    uri = ort.ModelPackage.compute_directory_hash(str(asset))
    (found,) = ort.ModelPackage.open(str(bundle.path)).get_info()["shared_assets"]

    assert asset.name == uri.replace(":", "-")
    assert {"uri": uri, "resolved_path": str(asset)} == found


def test_folder_digest_is_that_of_onnxruntime(tmp_path: Path) -> None:
    """Nested and oddly named files give ORT's digest: sorted by path, not by line."""
    for name in ("z", "A", "sub/b", "sub/a/c", "sub.x", "ä"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name * 3)
    files = {p.relative_to(tmp_path).as_posix(): file_sha256(p) for p in tmp_path.rglob("*") if p.is_file()}

    assert ort.ModelPackage.compute_directory_hash(str(tmp_path)) == f"sha256:{folder_sha256(files)}"


def test_stock_onnxruntime_passes_over_files_of_another_engine(tmp_path: Path, draft: BundleDraft) -> None:
    """A bundle that holds TFLite variants too opens, and gives the reference as before."""
    (stage,) = draft.stages
    lite = replace(
        stage.variants[-1],
        name="tflite-w8",
        format="tflite",
        backend="tflite",
        files={"model.tflite": b"of another engine"},
        model_file="model.tflite",
        uses_shared=False,
        needs={"ai-edge-litert": "2.1.6"},
    )
    draft = replace(draft, stages=(replace(stage, variants=(*stage.variants, lite)),))
    bundle = write_bundle(draft, tmp_path / "tiny.bundle")

    context = ort.ModelPackageContext(str(bundle.path))
    selected = context.select_component("main", ort.ModelPackageOptions(ort.SessionOptions()))

    assert "fp32" == selected.get_selected_variant_name()
    assert {"ai-edge-litert": "2.1.6"} == bundle.variant("main", "tflite-w8").needs
