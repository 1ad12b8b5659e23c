"""Quantized forms of a float file, by ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.litert.flat import read_model
from edgehybrid.exporters.formats.litert.trees import SCOPE
from edgehybrid.exporters.formats.litert.versions import stamp
from edgehybrid.runtime.backends import LITERT, SIGNATURE, TFLITE_RUNTIME

Array = NDArray[Any]
Feeds = Mapping[str, Array]

LEAST_LITERT = "2.1.6"
"""LiteRT 2.0.3 to 2.1.2 lose 20 dB on static int8 models with a LayerNorm (XNNPACK), and say nothing."""
ANY_RUNTIME: Mapping[str, str] = {LITERT: LEAST_LITERT, TFLITE_RUNTIME: "2.14.0"}
ONLY_LITERT: Mapping[str, str] = {LITERT: LEAST_LITERT}

CALIBRATION_ROWS = 128
"""Rows whose ranges are seen; what they do not reach is cut off, so that few rows cost more than coarse steps."""
_FLOAT_IN_W8A8 = ("MEAN", "SUM", "RSQRT", "SQUARED_DIFFERENCE", "SOFTMAX", "BATCH_MATMUL", "GELU", "DIV")
_FAILURES = (ValueError, RuntimeError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError)
"""What the quantizer raises for graphs that it cannot serve; it has no error of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a file is quantized.

    Attributes:
        scheme: What the components are then in.
        convolution: What convolutions are in, where that is something else.
        entries: Writes the recipe into a ``RecipeManager``, in order; later entries count more.
        calibrated: Whether it needs data.
        needs: Package to least version that runs such a file right.
        least_db: Signal to noise below which the result is no rounding but garbage.
    """

    scheme: str
    entries: Callable[[Any, Any], None]
    convolution: str | None = None
    calibrated: bool = False
    needs: Mapping[str, str]
    least_db: float


def _fp16(manager: Any, names: Any) -> None:
    from ai_edge_quantizer import qtyping

    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    for operation in (names.FULLY_CONNECTED, names.CONV_2D, names.DEPTHWISE_CONV_2D, names.CONV_2D_TRANSPOSE):
        manager.add_quantization_config(".*", operation, config, _algorithms().FLOAT_CASTING)


def _w8(manager: Any, names: Any) -> None:
    manager.add_weight_only_config(regex=".*", operation_name=names.ALL_SUPPORTED, num_bits=8)


def _w8_dyn(manager: Any, names: Any) -> None:
    """Dense layers with one scale: with one per channel tflite-runtime gives noise. Convolutions need theirs."""
    _dynamic(manager, 8, (names.FULLY_CONNECTED,), "TENSORWISE")
    _dynamic(manager, 8, (names.CONV_2D, names.DEPTHWISE_CONV_2D), "CHANNELWISE")


def _w8_dyn_channels(manager: Any, names: Any) -> None:
    _dynamic(manager, 8, (names.FULLY_CONNECTED, names.CONV_2D, names.DEPTHWISE_CONV_2D), "CHANNELWISE")


def _w4_dyn(manager: Any, names: Any) -> None:
    """Only dense layers: a convolution in four bits is refused or garbage in most runtimes."""
    _dynamic(manager, 4, (names.FULLY_CONNECTED,), "CHANNELWISE")
    _dynamic(manager, 8, (names.CONV_2D, names.DEPTHWISE_CONV_2D), "CHANNELWISE")


def _w8a8_all(manager: Any, names: Any) -> None:
    manager.add_static_config(regex=".*", operation_name=names.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    _float(manager, (names.INPUT, names.OUTPUT))  # floats outside: both back ends are fed the same arrays


def _w8a8(manager: Any, names: Any) -> None:
    """Norms, softmax and products of two activations stay in float: in int8 they have slow kernels, or lose most."""
    _w8a8_all(manager, names)
    _float(manager, [names(name) for name in _FLOAT_IN_W8A8])


def _conv_w8a8(manager: Any, names: Any) -> None:
    """Convolutions wholly in integers, the products of the recurrent and dense layers with dynamic scales."""
    _w8_dyn(manager, names)
    for operation in (names.CONV_2D, names.DEPTHWISE_CONV_2D):
        manager.add_static_config(regex=".*", operation_name=operation, activation_num_bits=8, weight_num_bits=8)
    _float(manager, (names.INPUT, names.OUTPUT))


def _float(manager: Any, operations: Sequence[Any]) -> None:
    for operation in operations:
        manager.add_quantization_config(".*", operation, algorithm_key=_algorithms().NO_QUANTIZE)


def _dynamic(manager: Any, bits: int, operations: Sequence[Any], granularity: str) -> None:
    from ai_edge_quantizer import qtyping

    for operation in operations:
        manager.add_dynamic_config(
            regex=".*", operation_name=operation, num_bits=bits, granularity=qtyping.QuantGranularity(granularity)
        )


def _algorithms() -> Any:
    from ai_edge_quantizer import algorithm_manager

    return algorithm_manager.AlgorithmName


RECIPES: Mapping[str, Recipe] = {
    "fp16": Recipe(scheme="fp16", entries=_fp16, needs=ANY_RUNTIME, least_db=40.0),
    "w8": Recipe(scheme="w8", entries=_w8, needs=ANY_RUNTIME, least_db=15.0),
    "w8-dyn": Recipe(scheme="w8-dyn", entries=_w8_dyn, needs=ANY_RUNTIME, least_db=10.0),
    "w8-dyn-channels": Recipe(scheme="w8-dyn", entries=_w8_dyn_channels, needs=ONLY_LITERT, least_db=10.0),
    "conv-w8a8+w8-dyn": Recipe(
        scheme="w8-dyn", convolution="w8a8", entries=_conv_w8a8, calibrated=True, needs=ANY_RUNTIME, least_db=10.0
    ),
    "w8a8": Recipe(scheme="w8a8", entries=_w8a8, calibrated=True, needs=ANY_RUNTIME, least_db=10.0),
    "w8a8-all": Recipe(scheme="w8a8", entries=_w8a8_all, calibrated=True, needs=ANY_RUNTIME, least_db=10.0),
    "w4-dyn": Recipe(scheme="w4-dyn", convolution="w8-dyn", entries=_w4_dyn, needs=ONLY_LITERT, least_db=6.0),
}
"""Every quantized form by name."""


def calibrate(content: bytes, rows: Iterable[Feeds]) -> Any:
    """See the ranges of all tensors of a float file; every recipe that needs them takes them from here.

    The ranges are from the least to the largest number that was seen. The quantizer's own choice, a moving average of
    the rows' ranges, cuts off what few rows reach: the cell state of an LSTM lost 21 dB by it.

    Args:
        content: Float file.
        rows: Inputs of the shapes of the file; at most ``CALIBRATION_ROWS`` are used.

    Raises:
        ModelError: The quantizer cannot run the file.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    seen = [dict(feeds) for feeds, _ in zip(rows, range(CALIBRATION_ROWS), strict=False)]
    with _translated("calibration"):
        watch = calibrator.Calibrator(
            content,
            num_threads=1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=qsv_utils.min_max_update,
        )
        watch.calibrate({SIGNATURE: seen}, _managed(RECIPES["w8a8-all"]))
        return watch.get_model_qsvs()


def quantize(content: bytes, recipe: Recipe, ranges: Any = None) -> bytes:
    """Quantize a float file.

    Args:
        content: Float file.
        recipe: How.
        ranges: What ``calibrate`` gave, if the recipe needs that.

    Raises:
        ModelError: The quantizer refuses the graph, or leaves it as it is.
    """
    with _translated(recipe.scheme):
        work = _quantizer(content, recipe)
        found = work.quantize(
            ranges if recipe.calibrated else None, enable_progress_bar=False, enable_progress_report=False
        )
        made = found.quantized_model
    if made is None or not _narrowed(bytes(made)):
        raise ModelError(f"TFLite {recipe.scheme}: no weights could be made smaller.", "Use the float file.")
    return stamp(bytes(made))


def _quantizer(content: bytes, recipe: Recipe) -> Any:
    from ai_edge_quantizer import quantizer

    return quantizer.Quantizer(bytearray(content), _managed(recipe).get_quantization_recipe())


def _managed(recipe: Recipe) -> Any:
    """The quantizer's form of a recipe; trees stay out of it."""
    from ai_edge_quantizer import qtyping, recipe_manager

    manager = recipe_manager.RecipeManager()
    recipe.entries(manager, qtyping.TFLOperationName)
    manager.add_quantization_config(
        SCOPE, qtyping.TFLOperationName.ALL_SUPPORTED, algorithm_key=_algorithms().NO_QUANTIZE
    )
    return manager


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Its bars and advice are kept quiet, its failures become ours."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    except _FAILURES as error:
        text = " ".join(str(error).split())[:200]
        raise ModelError(f"TFLite {what}: the quantizer refuses the graph: {text}.", "Use another form.") from error


def _narrowed(content: bytes) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {schema.TensorType.INT8, schema.TensorType.INT4, schema.TensorType.FLOAT16}
    model = read_model(content)
    return any(tensor.type in kinds and tensor.buffer for graph in model.subgraphs for tensor in graph.tensors)
