"""Operators that work number by number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgehybrid.exporters.formats.litert.align import aligned, best_order
from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.writer import B, Order, Writer

Handler = Callable[[Writer, Node], None]
F = schema.ActivationFunctionType

_FUSES = {  # operators that have an activation built in
    schema.Conv2DOptionsT,
    schema.DepthwiseConv2DOptionsT,
    schema.FullyConnectedOptionsT,
    schema.AddOptionsT,
    schema.SubOptionsT,
    schema.MulOptionsT,
    schema.DivOptionsT,
    schema.Pool2DOptionsT,
}
_ACTIVATIONS = {F.RELU: B.RELU, F.RELU6: B.RELU6, F.RELU_N1_TO_1: B.RELU_N1_TO_1}


def unary(code: int, options: Callable[[Node], Any] = lambda _: None) -> Handler:
    """An operator of one operand, in whichever order that exists."""

    def handle(writer: Writer, node: Node) -> None:
        x = node.inputs[0]
        order = writer.held(x)
        tensor = writer.read(x, order)
        made = writer.op(code, (tensor,), writer.shape_of(tensor), writer.dtype(node.outputs[0]), options(node))
        writer.give(node.outputs[0], made, order)

    return handle


def steps(body: Callable[[Steps, int], int]) -> Handler:
    """An operator of one operand that is written as several, by ``body``."""

    def handle(writer: Writer, node: Node) -> None:
        x = node.inputs[0]
        order = writer.held(x)
        tensor = writer.read(x, order)
        writer.give(node.outputs[0], body(Steps(writer, node, writer.shape_of(tensor)), tensor), order)

    return handle


class Steps:
    """Arithmetic on float tensors of one shape."""

    def __init__(self, writer: Writer, node: Node, shape: tuple[int, ...]) -> None:
        self.writer, self.node, self.shape = writer, node, shape

    def attribute(self, name: str, default: float) -> float:
        """An attribute of the node."""
        return float(self.node.attributes.get(name, default))

    def number(self, value: float) -> int:
        """A constant."""
        return self.writer.const(np.float32(value))

    def do(self, code: int, *operands: int | float) -> int:
        """One operator; numbers become constants."""
        tensors = [self.number(item) if isinstance(item, float) else item for item in operands]
        return self.writer.op(code, tensors, self.shape, "float32", arithmetic_options(code))


def arithmetic_options(code: int) -> Any:
    """Options of the operators of arithmetic, empty."""
    made: dict[int, Callable[[], Any]] = {
        B.ADD: schema.AddOptionsT,
        B.SUB: schema.SubOptionsT,
        B.MUL: schema.MulOptionsT,
        B.DIV: schema.DivOptionsT,
    }
    return made[code]() if code in made else None


def binary(code: int) -> Handler:
    """An operator of two or more operands that broadcast."""

    def handle(writer: Writer, node: Node) -> None:
        out = node.outputs[0]
        rank = len(writer.shape(out))
        order = best_order(writer, node.inputs, rank)
        shape = [writer.shape(out)[axis] for axis in order]
        tensors = [aligned(writer, name, rank, order) for name in node.inputs]
        result = tensors[0]
        for tensor in tensors[1:]:
            partial = np.broadcast_shapes(writer.shape_of(result), writer.shape_of(tensor))
            last = tensor == tensors[-1] and len(tensors) == 2
            result = writer.op(
                code, (result, tensor), shape if last else partial, writer.dtype(out), arithmetic_options(code)
            )
        writer.give(out, writer.reshape(result, shape, writer.dtype(out)), order)

    return handle


def pow_(writer: Writer, node: Node) -> None:
    """A square and a root have operators of their own, which are faster."""
    exponent = writer.constant(node.inputs[1])
    if exponent is not None and exponent.size == 1 and exponent.ndim <= len(writer.shape(node.inputs[0])):
        code = {2.0: B.SQUARE, 0.5: B.SQRT}.get(float(exponent.reshape(())))
        if code is not None:
            return unary(code)(writer, node)
    return binary(B.POW)(writer, node)


def divide(writer: Writer, node: Node) -> None:
    """A division by a constant is a product: XNNPACK and int8 are faster at it."""
    divisor = writer.constant(node.inputs[1])
    if writer.dtype(node.outputs[0]) == "int32":
        raise node.refuse("integer division rounds otherwise")
    if divisor is not None and divisor.size == 1 and math.frexp(float(divisor.reshape(())))[0] in (0.5, -0.5):
        rank = len(writer.shape(node.outputs[0]))
        order = best_order(writer, node.inputs[:1], rank)
        tensor = aligned(writer, node.inputs[0], rank, order)
        factor = writer.const(np.float32(1.0 / float(divisor.reshape(()))))
        made = writer.op(B.MUL, (tensor, factor), writer.shape_of(tensor), "float32", schema.MulOptionsT())
        return writer.give(node.outputs[0], made, order)
    return binary(B.DIV)(writer, node)


def activation(kind: int) -> Handler:
    """RELU and its kin: built into the operator before, where that has room and nobody else reads it."""

    def handle(writer: Writer, node: Node) -> None:
        x, out = node.inputs[0], node.outputs[0]
        tensor = writer.only_here(x)
        if tensor is not None and writer.dtype(x) == "float32":
            options: Any = getattr(writer.flat.maker.get(tensor), "builtinOptions", None)
            if type(options) in _FUSES and options.fusedActivationFunction == F.NONE:
                options.fusedActivationFunction = kind
                for order in writer.value(x).forms:
                    writer.give(out, tensor, order)
                return None
        return unary(_ACTIVATIONS[kind])(writer, node)

    return handle


def clip(writer: Writer, node: Node) -> None:
    """The limits that have an activation become one."""
    bounds = []
    for index in (1, 2):
        array = writer.constant(node.input(index)) if node.input(index) else None
        if node.input(index) and array is None:
            raise node.refuse("its limits are computed")
        bounds.append(None if array is None else float(array.reshape(())))
    known = {(0.0, None): F.RELU, (0.0, 6.0): F.RELU6, (-1.0, 1.0): F.RELU_N1_TO_1}
    if (bounds[0], bounds[1]) in known and writer.dtype(node.outputs[0]) == "float32":
        return activation(known[bounds[0], bounds[1]])(writer, node)  # type: ignore[index]  # 0.0 or -1.0: no None
    order, dtype = writer.held(node.inputs[0]), writer.dtype(node.outputs[0])
    tensor = writer.read(node.inputs[0], order)
    for code, bound in ((B.MAXIMUM, bounds[0]), (B.MINIMUM, bounds[1])):
        if bound is not None:
            options = schema.MaximumMinimumOptionsT()
            tensor = writer.op(code, (tensor, writer.const(bound, dtype)), writer.shape_of(tensor), dtype, options)
    return writer.give(node.outputs[0], tensor, order)


def cast(writer: Writer, node: Node) -> None:
    """Nothing is written between dtypes that are the same here."""
    x, out = node.inputs[0], node.outputs[0]
    source, target = writer.dtype(x), writer.dtype(out)
    order = writer.held(x)
    tensor = writer.read(x, order)
    if source != target:
        tensor = writer.op(B.CAST, (tensor,), writer.shape_of(tensor), target, schema.CastOptionsT())
    writer.give(out, tensor, order)


def where(writer: Writer, node: Node) -> None:
    """``SELECT_V2`` broadcasts as ONNX does."""
    out = node.outputs[0]
    rank = len(writer.shape(out))
    order = best_order(writer, node.inputs, rank)
    tensors = [aligned(writer, name, rank, order) for name in node.inputs]
    shape = [writer.shape(out)[axis] for axis in order]
    writer.give(out, writer.op(B.SELECT_V2, tensors, shape, writer.dtype(out), schema.SelectV2OptionsT()), order)


def prelu(writer: Writer, node: Node) -> None:
    """``max(x, 0) + slope·min(x, 0)``: the operator itself wants channels last and one slope for each."""
    out = node.outputs[0]
    rank = len(writer.shape(out))
    order: Order = best_order(writer, node.inputs[:1], rank)
    x = writer.read(node.inputs[0], order)
    slope = aligned(writer, node.inputs[1], rank, order)
    act = Steps(writer, node, writer.shape_of(x))
    below = act.do(B.MUL, act.do(B.MINIMUM, x, 0.0), slope)
    writer.give(out, act.do(B.ADD, act.do(B.RELU, x), below), order)


def _erf(at: Steps, x: int) -> int:
    """Abramowitz and Stegun, 7.1.26: within 1.5e-7."""
    size = at.do(B.ABS, x)
    t = at.do(B.DIV, 1.0, at.do(B.ADD, at.do(B.MUL, size, 0.3275911), 1.0))
    total = at.do(B.MUL, t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        total = at.do(B.MUL, at.do(B.ADD, total, factor), t)
    tail = at.do(B.MUL, total, at.do(B.EXP, at.do(B.NEG, at.do(B.SQUARE, x))))
    return at.do(B.MUL, at.do(B.SIGN, x), at.do(B.SUB, 1.0, tail))


def _softplus(at: Steps, x: int) -> int:
    """Written so that no exponent overflows: ``max(x, 0) + log(1 + exp(-|x|))``."""
    small = at.do(B.LOG, at.do(B.ADD, at.do(B.EXP, at.do(B.NEG, at.do(B.ABS, x))), 1.0))
    return at.do(B.ADD, at.do(B.RELU, x), small)


def _elu(at: Steps, x: int, alpha: float, gamma: float = 1.0) -> int:
    below = at.do(B.MUL, at.do(B.SUB, at.do(B.EXP, at.do(B.MINIMUM, x, 0.0)), 1.0), alpha)
    total = at.do(B.ADD, at.do(B.RELU, x), below)
    return total if gamma == 1.0 else at.do(B.MUL, total, gamma)


def _celu(at: Steps, x: int) -> int:
    alpha = at.attribute("alpha", 1.0)
    below = at.do(B.SUB, at.do(B.EXP, at.do(B.MUL, at.do(B.MINIMUM, x, 0.0), 1.0 / alpha)), 1.0)
    return at.do(B.ADD, at.do(B.RELU, x), at.do(B.MUL, below, alpha))


def _hard_sigmoid(at: Steps, x: int) -> int:
    line = at.do(B.ADD, at.do(B.MUL, x, at.attribute("alpha", 0.2)), at.attribute("beta", 0.5))
    return at.do(B.MINIMUM, at.do(B.MAXIMUM, line, 0.0), 1.0)


def _quick_gelu(at: Steps, x: int) -> int:
    return at.do(B.MUL, x, at.do(B.LOGISTIC, at.do(B.MUL, x, at.attribute("alpha", 1.702))))


def _leaky(node: Node) -> Any:
    options = schema.LeakyReluOptionsT()
    options.alpha = float(node.attributes.get("alpha", 0.01))
    return options


def gelu(writer: Writer, node: Node) -> None:
    """Exact, or by the hyperbolic tangent."""
    kind = node.attributes.get("approximate", b"none")

    def options(_: Node) -> Any:
        made = schema.GeluOptionsT()
        made.approximate = kind == b"tanh"
        return made

    unary(B.GELU, options)(writer, node)


def is_nan(writer: Writer, node: Node) -> None:
    """Only what is no number differs from itself."""
    order = writer.held(node.inputs[0])
    x = writer.read(node.inputs[0], order)
    writer.give(node.outputs[0], writer.op(B.NOT_EQUAL, (x, x), writer.shape_of(x), "bool"), order)


def mod(writer: Writer, node: Node) -> None:
    """Of integers, with the sign of the divisor."""
    if node.attributes.get("fmod", 0) or writer.dtype(node.outputs[0]) != "int32":
        raise node.refuse("only of integers")
    binary(B.FLOOR_MOD)(writer, node)


def pass_on(writer: Writer, node: Node) -> None:
    """The same value under another name."""
    value = writer.value(node.inputs[0])
    for order in list(value.forms) or [value.natural]:
        writer.give(node.outputs[0], writer.read(node.inputs[0], order), order)


HANDLERS: Mapping[str, Handler] = {
    "Abs": unary(B.ABS),
    "Add": binary(B.ADD),
    "And": binary(B.LOGICAL_AND),
    "Cast": cast,
    "Ceil": unary(B.CEIL),
    "Celu": steps(_celu),
    "Clip": clip,
    "Cos": unary(B.COS),
    "Div": divide,
    "Dropout": pass_on,
    "Elu": steps(lambda at, x: _elu(at, x, at.attribute("alpha", 1.0))),
    "Equal": binary(B.EQUAL),
    "Erf": steps(_erf),
    "Exp": unary(B.EXP),
    "Floor": unary(B.FLOOR),
    "Gelu": gelu,
    "Greater": binary(B.GREATER),
    "GreaterOrEqual": binary(B.GREATER_EQUAL),
    "HardSigmoid": steps(_hard_sigmoid),
    "HardSwish": unary(B.HARD_SWISH),
    "Identity": pass_on,
    "IsNaN": is_nan,
    "LeakyRelu": unary(B.LEAKY_RELU, _leaky),
    "Less": binary(B.LESS),
    "LessOrEqual": binary(B.LESS_EQUAL),
    "Log": unary(B.LOG),
    "Max": binary(B.MAXIMUM),
    "Min": binary(B.MINIMUM),
    "Mod": mod,
    "Mul": binary(B.MUL),
    "Neg": unary(B.NEG),
    "Not": unary(B.LOGICAL_NOT),
    "Or": binary(B.LOGICAL_OR),
    "PRelu": prelu,
    "Pow": pow_,
    "QuickGelu": steps(_quick_gelu),
    "Reciprocal": steps(lambda at, x: at.do(B.DIV, 1.0, x)),
    "Relu": activation(F.RELU),
    "Round": unary(B.ROUND),
    "Selu": steps(lambda at, x: _elu(at, x, at.attribute("alpha", 1.6732632), at.attribute("gamma", 1.0507010))),
    "Sigmoid": unary(B.LOGISTIC),
    "Sign": unary(B.SIGN),
    "Sin": unary(B.SIN),
    "Softplus": steps(_softplus),
    "Softsign": steps(lambda at, x: at.do(B.DIV, x, at.do(B.ADD, at.do(B.ABS, x), 1.0))),
    "Sqrt": unary(B.SQRT),
    "Sub": binary(B.SUB),
    "Sum": binary(B.ADD),
    "Tanh": unary(B.TANH),
    "Where": where,
}
