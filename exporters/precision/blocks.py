"""``w4a16`` and ``w8a16``: weights in blocks of 32 with a scale and a zero point each, for products.

Measured (one thread, AVX-512 VNNI), against float, for products of 1 row and of 24 to 196 rows:

- ``w4a16`` with float activations: 1.5× and 0.8 to 1.0×; 22 dB for a product of normal noise; a sixth of the bytes.
- ``w8a16``: 1.7× and 0.6 to 0.95×; 43 dB. Float activations would be 0.1 to 0.5×, so each block of 32 activations gets
  int8 with a scale of its own at run time, which is as fine as 16 bits with one scale for a tensor of many magnitudes.

So they pay where a product has one row (a head, a streaming step) and on disk; ``w8-dyn`` (40 dB) is faster for many
rows. A convolution has no such kernel: QDQ with 16-bit activations runs in float between two conversions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import MICROSOFT, Editor, Graph, array_of, attribute
from edgehybrid.exporters.precision.integers import SMALLEST, Float32Array
from edgehybrid.exporters.precision.scheme import SchemeResult, Setting
from edgehybrid.exporters.precision.w8_dyn import matrix
from edgehybrid.exporters.skip import Skip

BLOCK = 32
UInt8Array = NDArray[np.uint8]


def quantize_blocks(w: Float32Array, *, bits: int) -> tuple[UInt8Array, Float32Array, UInt8Array]:
    """Quantize ``w`` in blocks of 32 along its first axis, packed as ``MatMulNBits`` reads it.

    Args:
        w: Weights, shape ``(inputs, outputs)``; ``inputs`` is a multiple of 32.
        bits: 4 or 8.

    Returns:
        ``q``: shape ``(outputs, inputs / 32, 4·bits)``. ``scale``: shape ``(outputs, inputs / 32)``;
        ``|w - (q - zero)·scale| <= scale`` (half for the rounding, half for the zero point's). ``zero``: shape
        ``(outputs, inputs / 32)``, two to a byte if ``bits`` is 4.
    """
    blocks = w.T.reshape(w.shape[1], -1, BLOCK)
    top = (1 << bits) - 1
    low, high = np.minimum(blocks.min(axis=-1), 0.0), np.maximum(blocks.max(axis=-1), 0.0)
    scale = np.maximum((high - low) / top, SMALLEST).astype(np.float32)
    zero = np.clip(np.rint(-low / scale), 0, top)
    q = np.clip(np.rint(blocks / scale[..., None]) + zero[..., None], 0, top).astype(np.uint8)
    zeros = zero.astype(np.uint8)
    return (q, scale, zeros) if bits == 8 else (_pair(q), scale, _pair(zeros))


def _pair(q: UInt8Array) -> UInt8Array:
    """Two numbers of 4 bits to a byte along the last axis, the first one low."""
    if q.shape[-1] % 2:
        q = np.pad(q, [(0, 0)] * (q.ndim - 1) + [(0, 1)])
    return np.asarray(q[..., 0::2] | (q[..., 1::2] << 4), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Blocks4:
    """``MatMulNBits`` with 4 bits and float activations."""

    name: ClassVar[str] = "w4a16"
    needs_ranges: ClassVar[bool] = False

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:  # noqa: ARG002  # protocol
        """Convert the products among ``nodes``."""
        return _convert(graph, nodes, bits=4, accuracy=1)


@dataclass(frozen=True, slots=True)
class Blocks8:
    """``MatMulNBits`` with 8 bits and block-wise activations."""

    name: ClassVar[str] = "w8a16"
    needs_ranges: ClassVar[bool] = False

    def __call__(self, graph: Graph, nodes: frozenset[str], setting: Setting, /) -> SchemeResult:  # noqa: ARG002  # protocol
        """Convert the products among ``nodes``."""
        return _convert(graph, nodes, bits=8, accuracy=4)


def _convert(graph: Graph, nodes: frozenset[str], *, bits: int, accuracy: int) -> SchemeResult:
    model = graph.edit()
    editor = Editor(model)
    touched: set[str] = set()
    skipped: list[Skip] = []
    for node in list(model.graph):
        if node.name not in nodes:
            continue
        if node.op_type in ("MatMul", "Gemm"):
            why = _product(editor, node, bits=bits, accuracy=accuracy)
        elif node.op_type in _WORTH_A_WORD:
            why = "only products have a kernel with weights in blocks"
        else:
            continue
        if why is None:
            touched.add(str(node.name))
        else:
            skipped.append(Skip(where=str(node.name), why=why))
    if not touched:
        return SchemeResult(graph=graph, touched=frozenset(), skipped=tuple(skipped))
    editor.close()
    return SchemeResult(graph=Graph.of(model), touched=frozenset(touched), skipped=tuple(skipped))


_WORTH_A_WORD = frozenset({"Conv", "ConvTranspose", "GRU", "LSTM", "RNN", "Attention", "MultiHeadAttention", "Einsum"})


def _product(editor: Editor, node: ir.Node, *, bits: int, accuracy: int) -> str | None:
    w = matrix(node.inputs[1])
    if w is None or attribute(node, "transA", 0):
        return "its second factor is no constant float matrix of at least 1,024 weights"
    if attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0:
        return "it scales its product"
    w = w.T if attribute(node, "transB", 0) else w
    if w.shape[0] % BLOCK:
        return f"its {w.shape[0]} inputs are no multiple of {BLOCK}"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    fixed = array_of(bias)
    if bias is not None and (fixed is None or fixed.shape != (w.shape[1],)):
        return "its addend is no vector"
    q, scale, zero = quantize_blocks(w, bits=bits)
    inputs: list[ir.Value | None] = [
        node.inputs[0],
        editor.weight(f"{node.name}_w{bits}", q),
        editor.weight(f"{node.name}_scale", scale),
        editor.weight(f"{node.name}_zero", zero),
    ]
    if bias is not None:
        inputs += [None, bias]
    new = editor.node(
        node,
        "MatMulNBits",
        inputs,
        name=f"{node.name}_blocks",
        domain=MICROSOFT,
        K=w.shape[0],
        N=w.shape[1],
        bits=bits,
        block_size=BLOCK,
        accuracy_level=accuracy,
    )
    editor.supplant(node.outputs[0], new.outputs[0])
    return None
