"""Make the graphs beside this file: attention as PyTorch exports it, one style per class.

Run: ``python make_graphs.py``. Made with torch 2.13, onnx 1.23, onnxscript 0.7; tests only read the files,
so that they need no torch. Stack traces and other metadata of the exporter are dropped, for size.
"""

# mypy: ignore-errors
# ruff: noqa: D102, N812
# torch is not among the dependencies of development

from __future__ import annotations

import io
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM, HEADS, LENGTH, OTHER = 16, 2, 6, 5


class Own(nn.Module):
    """``nn.MultiheadAttention`` on one input."""

    def __init__(self, *, batch_first: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(DIM, HEADS, batch_first=batch_first, bias=bias)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        y = self.inner(x, x, x, need_weights=False)[0]
        return y if self.batch_first else y.transpose(0, 1)


class OwnWeights(Own):
    """The same, by the path that computes weights (they are dropped)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x)[0]


class OwnCausal(Own):
    """The same with a mask of numbers, known before."""

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
        return self.inner(x, x, x, attn_mask=mask, need_weights=False)[0]


class OwnPadding(Own):
    """The same with padded keys, given as truth values."""

    def forward(self, x: Tensor, padded: Tensor) -> Tensor:
        return self.inner(x, x, x, key_padding_mask=padded, need_weights=False)[0]


class Cross(Own):
    """Queries from one input, keys and values from another."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.inner(x, memory, memory, need_weights=False)[0]


class Layer(nn.Module):
    """A whole ``nn.TransformerEncoderLayer``."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(DIM, HEADS, 24, 0.0, "gelu", batch_first=True, norm_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Sdpa(nn.Module):
    """Separate projections and ``F.scaled_dot_product_attention``: as Hugging Face models have it."""

    causal = False

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(DIM, DIM) for _ in range(4))

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], -1, HEADS, DIM // HEADS).transpose(1, 2)

    def attend(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.heads(self.q(x)), self.heads(self.k(memory)), self.heads(self.v(memory))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)
        return self.o(y.transpose(1, 2).reshape(x.shape[0], -1, DIM))

    def forward(self, x: Tensor) -> Tensor:
        return self.attend(x, x)


class SdpaCausal(Sdpa):
    """Each position sees those before it."""

    causal = True


class SdpaCross(Sdpa):
    """Keys and values from another input."""

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.attend(x, memory)


class SdpaTruth(Sdpa):
    """A mask of truth values as input."""

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        return self.attend(x, x, seen[:, None])


class SdpaBias(Sdpa):
    """A mask of numbers as input."""

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.attend(x, x, bias[:, None])


class Timm(nn.Module):
    """Packed projection, unbound, scaled, by hand: as timm's vision transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.qkv(x).reshape(x.shape[0], LENGTH, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4).unbind(0)

    def join(self, scores: Tensor, v: Tensor) -> Tensor:
        return self.proj((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(v.shape[0], LENGTH, DIM))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        return self.join((q * (DIM // HEADS) ** -0.5) @ k.transpose(-2, -1), v)


class Swin(Timm):
    """With a learnt bias for each pair of positions: as shifted windows."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(HEADS, LENGTH, LENGTH))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        return self.join((q * (DIM // HEADS) ** -0.5) @ k.transpose(-2, -1) + self.bias[None], v)


class QkNorm(Timm):
    """Queries and keys normalized head by head before the product."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(DIM // HEADS) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        return self.join((self.norms[0](q) * (DIM // HEADS) ** -0.5) @ self.norms[1](k).transpose(-2, -1), v)


class Bert(Sdpa):
    """By hand, with a mask of keys made of ones and zeros: as BERT."""

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        q, k, v = self.heads(self.q(x)), self.heads(self.k(x)), self.heads(self.v(x))
        scores = q @ k.transpose(-1, -2) / (DIM // HEADS) ** 0.5 + (1.0 - seen[:, None, None, :]) * -10000.0
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape[0], LENGTH, DIM))


class MobileVit(Timm):
    """A map is unfolded to tokens, attends, and is folded again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, DIM, 3, padding=1), nn.LayerNorm(DIM)
        self.after = nn.Conv2d(DIM, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.conv(x))
        b, (h, w) = y.shape[0], (4, 6)
        t = y.reshape(b * DIM * h // 2, 2, w // 2, 2).transpose(1, 2).reshape(b, DIM, h * w // 4, 4).transpose(1, 3)
        t = t.reshape(b * 4, LENGTH, DIM)
        t = t + super().forward(self.norm(t))
        t = t.reshape(b, 4, h * w // 4, DIM).transpose(1, 3).reshape(b * DIM * h // 2, w // 2, 2, 2).transpose(1, 2)
        return self.after(t.reshape(b, DIM, h, w))


X, MEMORY = torch.randn(3, LENGTH, DIM), torch.randn(3, OTHER, DIM)
SEEN = torch.ones(3, LENGTH, LENGTH, dtype=torch.bool)
STYLES: dict[str, tuple[nn.Module, tuple[Tensor, ...], tuple[str, ...]]] = {
    "mha": (Own(), (X,), ("x",)),
    "mha_no_bias": (Own(bias=False), (X,), ("x",)),
    "mha_seq_first": (Own(batch_first=False), (X,), ("x",)),
    "mha_weights": (OwnWeights(), (X,), ("x",)),
    "mha_causal": (OwnCausal(), (X,), ("x",)),
    "mha_padding": (OwnPadding(), (X, ~SEEN[:, 0]), ("x", "padded")),
    "mha_cross": (Cross(), (X, MEMORY), ("x", "memory")),
    "layer": (Layer(), (X,), ("x",)),
    "sdpa": (Sdpa(), (X,), ("x",)),
    "sdpa_causal": (SdpaCausal(), (X,), ("x",)),
    "sdpa_cross": (SdpaCross(), (X, MEMORY), ("x", "memory")),
    "sdpa_truth": (SdpaTruth(), (X, SEEN), ("x", "seen")),
    "sdpa_bias": (SdpaBias(), (X, torch.randn(3, LENGTH, LENGTH)), ("x", "bias")),
    "timm": (Timm(), (X,), ("x",)),
    "swin": (Swin(), (X,), ("x",)),
    "qk_norm": (QkNorm(), (X,), ("x",)),
    "bert": (Bert(), (X, torch.ones(3, LENGTH)), ("x", "seen")),
    "mobilevit": (MobileVit(), (torch.randn(3, 3, 4, 6),), ("x",)),
}
OPSET_23 = ("sdpa", "sdpa_causal", "sdpa_cross", "sdpa_truth", "timm", "mha")


def make(folder: Path) -> None:
    """Write every style by both exporters, and some with the operator set that has attention as a node."""
    for name, (module, args, inputs) in STYLES.items():
        module.eval()
        dynamic = tuple({0: torch.export.Dim("batch")} for _ in inputs)
        for opset in (18, 23) if name in OPSET_23 else (18,):
            program = torch.onnx.export(
                module, args, dynamo=True, opset_version=opset, input_names=list(inputs), output_names=["y"],
                dynamic_shapes=dynamic, external_data=False, verbose=False,
            )  # fmt: skip
            save(program.model_proto, folder / f"{name}-dynamo{'' if opset == 18 else opset}.onnx")
        buffer = io.BytesIO()
        torch.onnx.export(
            module, args, buffer, dynamo=False, opset_version=17, input_names=list(inputs), output_names=["y"],
            dynamic_axes={value: {0: "batch"} for value in (*inputs, "y")},
        )  # fmt: skip
        save(onnx.load_from_string(buffer.getvalue()), folder / f"{name}-older.onnx")


def save(proto: onnx.ModelProto, path: Path) -> None:
    """Drop the exporter's notes and write."""
    for item in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input):
        del item.metadata_props[:]
    for node in proto.graph.node:
        node.doc_string = ""
    del proto.functions[:]
    path.write_bytes(proto.SerializeToString(deterministic=True))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    make(Path(__file__).parent)
