"""Run one peer on one model: ``python peer.py NAME MODEL CALIBRATION.npz OUT.onnx``.

It runs inside of the peers' environment and imports nothing of ours. Every peer is used as its documentation says,
with the settings that it recommends for a processor with integer dot products.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OLIVE_DISABLE_TELEMETRY", "1")


class Feeds:
    """Calibration inputs, one sample at a time; ONNX Runtime's reader protocol."""

    def __init__(self, path: Path) -> None:
        self._arrays = dict(np.load(path))
        self._rows = iter(self)

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for i in range(len(self)):
            yield {name: np.asarray(array[i]) for name, array in self._arrays.items()}  # a scalar stays an array

    def get_next(self) -> dict[str, Any] | None:
        """Next sample, or nothing."""
        return next(self._rows, None)

    def rewind(self) -> None:
        """Start again."""
        self._rows = iter(self)


def remark(out: Path, words: str) -> None:
    """Note for the table how the file came about."""
    with out.with_suffix(".remark").open("a", encoding="utf-8") as stream:
        stream.write(f"{words}; ")


def as_it_comes(model: Path, feeds: Feeds, out: Path) -> None:  # noqa: ARG001  # one shape for all
    """The float model; ONNX Runtime's own fusions at load."""
    shutil.copyfile(model, out)


def dynamic(model: Path, feeds: Feeds, out: Path) -> None:  # noqa: ARG001  # one shape for all
    """``quantize_dynamic`` with its defaults."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(str(model), str(out), weight_type=QuantType.QInt8)


def static(model: Path, feeds: Feeds, out: Path) -> None:
    """``quant_pre_process``, then ``quantize_static``: QDQ, one scale per channel where it can, U8S8."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = out.with_suffix(".ready.onnx")
    try:
        quant_pre_process(str(model), str(ready))
    except Exception:  # noqa: BLE001  # it raises this very class where it gives up, and names the way out
        remark(out, "symbolic shapes skipped")
        quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
    options = {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
    }
    try:
        quantize_static(str(ready), str(out), feeds, per_channel=True, **options)
    except ValueError as error:  # 1.32 fails on some models with one scale per channel
        remark(out, f"one scale per tensor, since per channel it fails ({error})")
        feeds.rewind()
        quantize_static(str(ready), str(out), feeds, per_channel=False, **options)


def transformers_dynamic(model: Path, feeds: Feeds, out: Path) -> None:
    """ONNX Runtime's transformers optimizer (BERT's fusions), then dynamic."""
    from onnxruntime.transformers.optimizer import optimize_model

    fused = out.with_suffix(".fused.onnx")
    optimize_model(str(model), model_type="bert", num_heads=0, hidden_size=0, opt_level=0).save_model_to_file(
        str(fused)
    )
    dynamic(fused, feeds, out)


def onnxslim_static(model: Path, feeds: Feeds, out: Path) -> None:
    """OnnxSlim, then static."""
    slim = out.with_suffix(".slim.onnx")
    import_module("onnxslim").slim(str(model), str(slim))
    static(slim, feeds, out)


def _nncf(model: Path, feeds: Feeds, out: Path, options: Mapping[str, Any]) -> None:
    import onnx

    nncf = import_module("nncf")
    dataset = nncf.Dataset(list(feeds))
    onnx.save(nncf.quantize(onnx.load(model), dataset, subset_size=len(feeds), **options), out)


def nncf_plain(model: Path, feeds: Feeds, out: Path) -> None:
    """``nncf.quantize`` with fast bias correction."""
    _nncf(model, feeds, out, {})


def nncf_transformer(model: Path, feeds: Feeds, out: Path) -> None:
    """``nncf.quantize`` in its transformer mode: SmoothQuant, attention spared."""
    _nncf(model, feeds, out, {"model_type": import_module("nncf").ModelType.TRANSFORMER})


def _olive(name: str, model: Path, out: Path, options: Mapping[str, Any]) -> None:
    made = import_module("olive.passes.olive_pass").create_pass_from_dict(
        getattr(import_module("olive.passes.onnx.quantization"), name),
        dict(options),
        disable_search=True,
        accelerator_spec=import_module("olive.hardware.accelerator").DEFAULT_CPU_ACCELERATOR,
    )
    handler = import_module("olive.model").ONNXModelHandler(str(model))
    made = made.run(handler, str(out.with_suffix("")))
    shutil.copyfile(made.model_path, out)


def olive_dynamic(model: Path, feeds: Feeds, out: Path) -> None:  # noqa: ARG001  # one shape for all
    """Olive's dynamic pass with its defaults."""
    _olive("OnnxDynamicQuantization", model, out, {})


def olive_static(model: Path, feeds: Feeds, out: Path) -> None:
    """Olive's static pass with its defaults, one scale per channel where it can."""
    config, registry = import_module("olive.data.config"), import_module("olive.data.registry").Registry

    def loader(dataset: Any, **_: Any) -> Any:  # noqa: ARG001  # Olive hands it over
        return [(row, np.zeros(1)) for row in feeds]

    def nothing(**_: Any) -> Any:
        return []

    registry.register_dataloader("edge_feeds")(loader)
    registry.register_dataset("edge_nothing")(nothing)
    part = config.DataComponentConfig
    data = config.DataConfig(
        name="calibration",
        type="DataContainer",
        load_dataset_config=part(type="edge_nothing"),
        pre_process_data_config=part(type="skip_pre_process"),
        post_process_data_config=part(type="skip_post_process"),
        dataloader_config=part(type="edge_feeds"),
    )
    try:
        _olive("OnnxStaticQuantization", model, out, {"data_config": data, "per_channel": True})
    except Exception as error:  # noqa: BLE001  # whatever it is, the other setting may do
        remark(out, f"one scale per tensor, since per channel it fails ({error.__cause__ or error})")
        _olive("OnnxStaticQuantization", model, out, {"data_config": data, "per_channel": False})


PEERS: Mapping[str, Callable[[Path, Feeds, Path], None]] = {
    "ort": as_it_comes,
    "ort-dynamic": dynamic,
    "ort-static": static,
    "ort-transformers-dynamic": transformers_dynamic,
    "onnxslim-static": onnxslim_static,
    "nncf": nncf_plain,
    "nncf-transformer": nncf_transformer,
    "olive-dynamic": olive_dynamic,
    "olive-static": olive_static,
}


if __name__ == "__main__":
    name, model, calibration, out = sys.argv[1:]
    PEERS[name](Path(model), Feeds(Path(calibration)), Path(out))
