"""Models of one operator each, as exporters write them: what the TFLite writer must convert right, or refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
OPSET = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model of one operator.

    Attributes:
        op: Operator.
        inputs: Shapes of the inputs, all float32 unless ``dtypes`` says else.
        weights: Further inputs that are known, in their place after ``inputs``; ``None`` is one left out.
        attributes: Of the operator.
        outputs: How many outputs, or their names; an empty name is one left out.
        dtypes: Numpy dtype by index of the input.
        positive: Whether inputs are above zero.
        whole: Whether float inputs are whole numbers, so that equal ones occur.
        refused: Whether the writer says that it cannot.
        opset: Of the default domain.
        domain: Of the operator.
    """

    op: str
    inputs: Sequence[tuple[int, ...]]
    weights: Sequence[Array | None] = ()
    attributes: Mapping[str, Any]
    outputs: Sequence[str] = ("y",)
    dtypes: Mapping[int, str]
    positive: bool = False
    whole: bool = False
    refused: bool = False
    opset: int = OPSET
    domain: str = ""

    def model(self) -> onnx.ModelProto:
        """The model."""
        names = [f"x{i}" for i in range(len(self.inputs))]
        known = {f"w{i}": array for i, array in enumerate(self.weights) if array is not None}
        places = [f"w{i}" if array is not None else "" for i, array in enumerate(self.weights)]
        node = helper.make_node(
            self.op, [*names, *places], list(self.outputs), name="the-one", domain=self.domain, **self.attributes
        )
        graph = helper.make_graph(
            [node],
            self.op,
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype(i))), shape)
                for i, (name, shape) in enumerate(zip(names, self.inputs, strict=True))
            ],
            [helper.make_empty_tensor_value_info(name) for name in self.outputs if name],
            [numpy_helper.from_array(array, name) for name, array in known.items()],
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", 3)]
        if self.domain == "com.microsoft":
            opsets.append(helper.make_opsetid(self.domain, 1))
        return helper.make_model(_typed(graph, opsets), opset_imports=opsets, ir_version=9)

    def dtype(self, index: int) -> str:
        """Dtype of an input."""
        return self.dtypes.get(index, "float32")

    def feeds(self, seed: int) -> dict[str, Array]:
        """Inputs to run it on."""
        rng = np.random.default_rng(seed)
        found: dict[str, Array] = {}
        for i, shape in enumerate(self.inputs):
            dtype = np.dtype(self.dtype(i))
            values: Array = rng.standard_normal(shape) * 2
            if self.positive:
                values = np.abs(values) + 0.1
            if dtype.kind in "iub" or self.whole:
                values = rng.integers(0, 3, shape)
            found[f"x{i}"] = np.asarray(values, dtype)
        return found


def _typed(graph: onnx.GraphProto, opsets: Sequence[onnx.OperatorSetIdProto]) -> onnx.GraphProto:
    """Give the outputs their types: inferred, or float32 for operators that ONNX does not know."""
    inferred = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=9)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.output}
    for value in graph.output:
        value.type.tensor_type.elem_type = types.get(value.name) or TensorProto.FLOAT
    return graph


def case(op: str, *inputs: tuple[int, ...], **words: Any) -> Case:
    """A case; words that are no field of it are attributes of the operator."""
    own = {name: words.pop(name) for name in list(words) if name in Case.__dataclass_fields__}
    own.setdefault("dtypes", {})
    return Case(op=op, inputs=inputs, attributes=words, **own)


_RNG = np.random.default_rng(0)


def weights(*shape: int, scale: float = 0.3) -> Array:
    """Random weights."""
    return (_RNG.standard_normal(shape) * scale).astype(np.float32)


def ints(*numbers: int) -> Array:
    """Shapes, axes, pads."""
    return np.array(numbers, np.int64)


def floats(*numbers: float) -> Array:
    """Limits, scales."""
    return np.array(numbers, np.float32)


def scalar(number: float) -> Array:
    """One number without axes."""
    return np.array(number, np.float32)


IMAGE, WAVE, ROWS, SEQUENCE = (1, 6, 9, 8), (1, 6, 13), (3, 5), (7, 1, 6)
_Maker = Callable[[], dict[str, Case]]


def _activations() -> dict[str, Case]:
    plain = ("Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg", "Floor", "Ceil", "Round", "Sin", "Cos", "Erf", "Sign")
    found = {op.lower(): case(op, ROWS) for op in plain}
    found |= {op.lower(): case(op, ROWS) for op in ("Softplus", "Softsign", "HardSwish", "HardSigmoid", "Elu", "Selu")}
    found |= {op.lower(): case(op, ROWS, positive=True) for op in ("Log", "Sqrt", "Reciprocal")}
    return found | {
        "celu": case("Celu", ROWS, alpha=0.7),
        "leaky": case("LeakyRelu", ROWS, alpha=0.2),
        "gelu": case("Gelu", ROWS, opset=20),
        "gelu-tanh": case("Gelu", ROWS, opset=20, approximate="tanh"),
        "quick-gelu": case("QuickGelu", ROWS, domain="com.microsoft", alpha=1.7),
        "clip": case("Clip", ROWS, weights=(scalar(-0.5), scalar(1.5))),
        "clip-6": case("Clip", ROWS, weights=(scalar(0.0), scalar(6.0))),
        "clip-below": case("Clip", ROWS, weights=(None, scalar(0.25))),
        "prelu": case("PRelu", IMAGE, weights=(weights(6, 1, 1),)),
        "isnan": case("IsNaN", ROWS),
        "not": case("Not", ROWS, dtypes={0: "bool"}),
        "cast-int": case("Cast", ROWS, to=TensorProto.INT32),
        "cast-int64": case("Cast", ROWS, to=TensorProto.INT64),
        "identity": case("Identity", ROWS),
    }


def _arithmetic() -> dict[str, Case]:
    found = {op.lower(): case(op, (2, 3, 4), (3, 1)) for op in ("Add", "Sub", "Mul", "Max", "Min")}
    compare = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
    found |= {op.lower(): case(op, ROWS, ROWS, whole=True) for op in compare}
    return found | {
        "div": case("Div", ROWS, (5,), positive=True),
        "div-4": case("Div", ROWS, weights=(scalar(4.0),)),
        "pow": case("Pow", ROWS, weights=(scalar(1.5),), positive=True),
        "square": case("Pow", ROWS, weights=(scalar(2.0),)),
        "sum-of-3": case("Sum", ROWS, (1, 5), (3, 1)),
        "and": case("And", ROWS, ROWS, dtypes={0: "bool", 1: "bool"}),
        "or": case("Or", ROWS, ROWS, dtypes={0: "bool", 1: "bool"}),
        "add-int64": case("Add", ROWS, ROWS, dtypes={0: "int64", 1: "int64"}),
        "mod": case("Mod", ROWS, dtypes={0: "int64"}, weights=(ints(2),)),
        "where": case("Where", (3, 1), ROWS, (5,), dtypes={0: "bool"}),
        "div-int": case("Div", ROWS, weights=(ints(2),), dtypes={0: "int64"}, refused=True),
    }


def _reductions() -> dict[str, Case]:
    found = {
        op.lower(): case(op, (2, 3, 4, 5), weights=(ints(1, 3),), keepdims=0)
        for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    }
    return found | {
        "reducesum-all": case("ReduceSum", ROWS, keepdims=1),
        "log-sum-exp": case("ReduceLogSumExp", ROWS, weights=(ints(1),), keepdims=0),
        "softmax": case("Softmax", ROWS, axis=-1),
        "softmax-1": case("Softmax", (2, 3, 4), axis=1),
        "log-softmax": case("LogSoftmax", ROWS, axis=1),
        "argmax": case("ArgMax", ROWS, axis=1, keepdims=0),
        "argmin": case("ArgMin", ROWS, axis=0, keepdims=1),
        "layer-norm": case("LayerNormalization", (1, 4, 6), weights=(weights(6), weights(6)), axis=-1),
        "layer-norm-2": case("LayerNormalization", (1, 4, 6), weights=(weights(4, 6), weights(4, 6)), axis=1),
        "instance-norm": case("InstanceNormalization", IMAGE, weights=(weights(6), weights(6))),
        "group-norm": case("GroupNormalization", IMAGE, opset=21, weights=(weights(6), weights(6)), num_groups=3),
        "batch-norm": case(
            "BatchNormalization", IMAGE, weights=(weights(6), weights(6), weights(6), np.abs(weights(6)) + 0.5)
        ),
        "global-average": case("GlobalAveragePool", IMAGE),
        "global-max": case("GlobalMaxPool", WAVE),
    }


def _moves() -> dict[str, Case]:
    return {
        "transpose": case("Transpose", (2, 3, 4, 5), perm=[2, 0, 3, 1]),
        "reshape": case("Reshape", (2, 3, 4), weights=(ints(0, -1),)),
        "flatten": case("Flatten", (2, 3, 4), axis=2),
        "squeeze": case("Squeeze", (1, 3, 1, 4), weights=(ints(0, 2),)),
        "unsqueeze": case("Unsqueeze", ROWS, weights=(ints(0, 3),)),
        "concat": case("Concat", ROWS, (3, 2), axis=-1),
        "split": case("Split", (3, 6), axis=1, num_outputs=3, outputs=("a", "b", "c")),
        "split-uneven": case("Split", (3, 6), axis=1, weights=(ints(1, 3, 2),), outputs=("a", "b", "c")),
        "slice": case("Slice", (4, 9), weights=(ints(1, -6), ints(3, 2**62), ints(0, 1))),
        "slice-steps": case("Slice", (4, 9), weights=(ints(8), ints(-(2**62)), ints(1), ints(-3))),
        "gather": case("Gather", (4, 5), weights=(ints(2, 0, -1),), axis=1),
        "gather-one": case("Gather", (4, 5, 6), weights=(np.array(-1, np.int64),), axis=1),
        "gather-rows": _embedding(),
        "pad": case("Pad", (2, 3, 4), weights=(ints(0, 1, 2, 0, 0, 1), scalar(0.5)), mode="constant"),
        "pad-reflect": case("Pad", (2, 3, 4), weights=(ints(0, 1, 2, 0, 0, 1),), mode="reflect"),
        "pad-edge": case("Pad", (2, 3, 4), weights=(ints(0, 1, 2, 0, 0, 1),), mode="edge", refused=True),
        "expand": case("Expand", (3, 1), weights=(ints(2, 3, 4),)),
        "tile": case("Tile", ROWS, weights=(ints(2, 3),)),
        "depth-to-space": case("DepthToSpace", (1, 8, 3, 2), blocksize=2),
        "space-to-depth": case("SpaceToDepth", (1, 2, 6, 4), blocksize=2),
        "cumsum": case("CumSum", ROWS, weights=(np.array(1, np.int64),)),
        "top-k": case("TopK", ROWS, weights=(ints(3),), outputs=("values", "places")),
        "top-k-smallest": case("TopK", ROWS, weights=(ints(3),), outputs=("values", "places"), largest=0, refused=True),
    }


def _embedding() -> Case:
    """Rows of a known table, by an index that comes at run time."""
    return case("Gather", (7, 4), (3,), dtypes={1: "int64"}, axis=0)


def _windows() -> dict[str, Case]:
    return {
        "conv": case("Conv", IMAGE, weights=(weights(4, 6, 3, 3), weights(4)), pads=[1, 1, 1, 1]),
        "conv-odd-pads": case("Conv", IMAGE, weights=(weights(4, 6, 3, 2),), pads=[2, 0, 1, 1], strides=[2, 1]),
        "conv-same-lower": case("Conv", IMAGE, weights=(weights(4, 6, 2, 2),), auto_pad="SAME_LOWER"),
        "conv-dilated": case("Conv", IMAGE, weights=(weights(4, 6, 3, 3),), dilations=[2, 2], pads=[2, 2, 2, 2]),
        "conv-grouped": case("Conv", IMAGE, weights=(weights(4, 3, 3, 3), weights(4)), group=2),
        "conv-depthwise": case("Conv", IMAGE, weights=(weights(12, 1, 3, 3), weights(12)), group=6),
        "conv-1d": case("Conv", WAVE, weights=(weights(4, 6, 3), weights(4)), pads=[2, 0]),
        "conv-3d": case("Conv", (1, 2, 4, 4, 4), weights=(weights(3, 2, 2, 2, 2),), refused=True),
        "conv-transpose": case(
            "ConvTranspose", IMAGE, weights=(weights(6, 4, 3, 3), weights(4)), strides=[2, 2], pads=[1, 1, 1, 1]
        ),
        "conv-transpose-1d": case("ConvTranspose", WAVE, weights=(weights(6, 4, 4),), strides=[2]),
        "max-pool": case("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        "max-pool-ceil": case("MaxPool", IMAGE, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1),
        "average-pool": case("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 0, 0, 1]),
        "average-pool-counting": case(
            "AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1
        ),
        "average-pool-1d": case("AveragePool", WAVE, kernel_shape=[2], strides=[2]),
        "resize-linear": case(
            "Resize",
            IMAGE,
            weights=(None, floats(1, 1, 2, 3)),
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        ),
        "resize-nearest": case(
            "Resize",
            IMAGE,
            weights=(None, floats(1, 1, 2, 2)),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
    }


def _products() -> dict[str, Case]:
    return {
        "matmul-weights": case("MatMul", (2, 3, 5), weights=(weights(5, 4),)),
        "matmul": case("MatMul", (2, 3, 5), (2, 5, 4)),
        "matmul-broadcast": case("MatMul", (2, 2, 3, 5), (2, 5, 4)),
        "matmul-vector": case("MatMul", (3, 5), (5,)),
        "gemm": case("Gemm", (3, 5), weights=(weights(4, 5), weights(4)), transB=1, alpha=0.5, beta=2.0),
        "gemm-turned": case("Gemm", (5, 3), weights=(weights(5, 4), weights(1, 4)), transA=1),
        "einsum-heads": case("Einsum", (2, 3, 4, 5), (2, 6, 4, 5), equation="bqhd,bkhd->bhqk"),
    }


def _recurrent() -> dict[str, Case]:
    found = {}
    for op, gates in (("GRU", 3), ("LSTM", 4), ("RNN", 1)):
        for kind, sides in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            states = [weights(sides, 1, 5)] * (2 if op == "LSTM" else 1)
            found[f"{op.lower()}-{kind}"] = case(
                op,
                SEQUENCE,
                weights=(
                    weights(sides, gates * 5, 6),
                    weights(sides, gates * 5, 5),
                    weights(sides, gates * 10),
                    None,
                    *(states if kind != "reverse" else ()),
                ),
                hidden_size=5,
                direction=kind,
                outputs=("y", "h", "c") if op == "LSTM" else ("y", "h"),
            )
    linear = case(
        "GRU",
        (4, 1, 6),
        weights=(weights(1, 15, 6), weights(1, 15, 5), weights(1, 30)),
        hidden_size=5,
        linear_before_reset=1,
        outputs=("y", "h"),
    )
    return found | {"gru-linear": linear}


_FAMILIES: Sequence[_Maker] = (_activations, _arithmetic, _reductions, _moves, _windows, _products, _recurrent)
CASES: Mapping[str, Case] = {name: made for family in _FAMILIES for name, made in family().items()}
"""Every model of one operator, by name."""
