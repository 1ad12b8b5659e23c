"""Train the camera classifier on the Sign Language Digits and export it to ONNX.

Run it from the root of the repository, with the extra ``[torch]`` installed:

    python -m samples.camera_classifier.train --data sign_digits_64.npz --out out/half --shrink 2 --epochs 22
    python -m samples.camera_classifier.train --data sign_digits_64.npz --out out/full --start out/half/weights.pt

It learns from four fifths of the pictures; a tenth tests it, and the rest is for calibration.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from samples import training
from samples.camera_classifier.augment import augment
from samples.camera_classifier.dataset import DIGITS, SIDE, Pictures, read_pictures, split, to_input, write_data

EXPORT_TOLERANCE = 1e-4
PATCH = 2  # side of a patch in feature map pixels; tokens at the same place of their patches see each other
HEADS = 4


class AttentionBlock(nn.Module):
    """Self-attention, then a SiLU MLP, each after LayerNorm and beside a residual; keeps ``[sets, tokens, width]``."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        """Return ``x`` after the block."""
        qkv = self.qkv(self.norm1(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        seen = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(seen))
        return x + self.dropout(self.mlp(self.norm2(x)))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen 1 × 1, depthwise 3 × 3, narrow 1 × 1; a residual where the shape stays."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, widen: int = 3) -> None:
        super().__init__()
        hidden = widen * channels_in
        self.residual = stride == 1 and channels_in == channels_out
        self.layers = nn.Sequential(
            _conv(channels_in, hidden, 1),
            _conv(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Any) -> Any:
        """Return the feature map after the block."""
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileViTBlock(nn.Module):
    """Convolutions see near, attention between patches sees far; keeps ``[batch, channels, height, width]``."""

    def __init__(self, channels: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.near, self.widen = _conv(channels, channels, 3), nn.Conv2d(channels, width, 1, bias=False)
        self.far = nn.Sequential(*(AttentionBlock(width, dropout) for _ in range(depth)), nn.LayerNorm(width))
        self.narrow, self.join = _conv(width, channels, 1), _conv(2 * channels, channels, 3)

    def forward(self, x: Any) -> Any:
        """Return the feature map after the block."""
        image = self.widen(self.near(x))
        _, width, height, across = image.shape
        rows, columns = height // PATCH, across // PATCH
        # unfold: [batch · width · rows, PATCH, columns, PATCH] -> [batch · places, patches, width]
        tokens = image.reshape(-1, PATCH, columns, PATCH).transpose(1, 2)
        tokens = tokens.reshape(-1, width, rows * columns, PATCH * PATCH).transpose(1, 3)
        tokens = self.far(tokens.reshape(-1, rows * columns, width))
        # fold: the same backwards
        tokens = tokens.reshape(-1, PATCH * PATCH, rows * columns, width).transpose(1, 3)
        tokens = tokens.reshape(-1, columns, PATCH, PATCH).transpose(1, 2)
        image = self.narrow(tokens.reshape(-1, width, height, across))
        return self.join(torch.cat([x, image], dim=1))


class CameraClassifier(nn.Module):
    """Convolutions, two MobileViT blocks, a dense head: ``[batch, 3, 64, 64]`` in [0, 1] to ``[batch, 10]`` logits."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 16, 3, 2), InvertedResidual(16, 24, 1), InvertedResidual(24, 40, 1))
        self.block1 = MobileViTBlock(40, 64, 1, dropout)
        self.down = InvertedResidual(40, 64, 2)
        self.block2 = MobileViTBlock(64, 88, 2, dropout)
        self.last, self.dropout, self.head = _conv(64, 160, 1), nn.Dropout(0.3), nn.Linear(160, DIGITS)

    def forward(self, x: Any) -> Any:
        """Return one logit per digit."""
        image = self.block1(self.stem(2 * x - 1))  # [batch, 40, 32, 32]
        image = self.last(self.block2(self.down(image)))  # [batch, 160, 16, 16]
        return self.head(self.dropout(image.mean((2, 3))))


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> Any:
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.SiLU())


def fit(net: Any, pictures: Pictures, *, epochs: int, shrink: int, seed: int, report: Callable[[str], None]) -> Any:
    """Train ``net`` on ``pictures`` shrunk so many times; return the moving average of its weights, ready to infer.

    At half the size, a quarter of the work, the net learns what serves at full size too, for it holds no positions.
    """
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    net = net.to(memory_format=torch.channels_last)

    def loss_of(numbers: NDArray[np.int64]) -> Any:
        chosen = pictures.take(numbers)
        x = nn.functional.avg_pool2d(torch.from_numpy(augment(to_input(chosen.pixels), draw)), shrink)
        x = x.contiguous(memory_format=torch.channels_last)
        return training.mixup_loss(net, x, torch.from_numpy(chosen.digits), draw)

    course = training.Course(epochs=epochs, batch=32, weight_decay=0.03, max_gradient=2.0, memory=0.99, warm_up=0.15)
    return training.fit(net, len(pictures), loss_of, course, draw, report)


def accuracy(net: Any, pictures: Pictures, shrink: int) -> float:
    """Return the share of ``pictures``, shrunk so many times, that ``net`` names rightly."""
    with torch.no_grad():
        x = nn.functional.avg_pool2d(torch.from_numpy(to_input(pictures.pixels)), shrink)
        answers = net(x).argmax(1).numpy()
    return float(np.mean(answers == pictures.digits))


def export(net: Any, path: Path) -> None:
    """Write ``net`` as one ONNX file, and check that onnxruntime gives the same logits as torch."""
    proto = training.to_onnx(net, (3, SIDE, SIDE), "y")
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 5):
        x = np.random.default_rng(n).random((n, 3, SIDE, SIDE), dtype=np.float32)
        with torch.no_grad():
            want = net(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(["y"], {"x": x})[0], want, rtol=0, atol=EXPORT_TOLERANCE)


def main() -> None:
    """Train, judge, export and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="npz with x uint8 [n, 64, 64, 3] and y [n]")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx and metrics.json")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--shrink", type=int, default=1, help="2: learn from pictures of half size; writes no model")
    parser.add_argument("--start", type=Path, help="weights.pt to begin with, else random weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write-data", action="store_true", help="also write calibration.npz and test.npz")
    options = parser.parse_args()
    torch.set_num_threads(1)  # more threads gain little on layers this small
    torch.manual_seed(options.seed)
    net = CameraClassifier()
    if options.start is not None:
        net.load_state_dict(torch.load(options.start, weights_only=True))
    pictures = read_pictures(options.data)
    train, calibration, test = split(pictures)
    net = fit(
        net, train, epochs=options.epochs, shrink=options.shrink, seed=options.seed,
        report=lambda line: print(line, flush=True),
    )  # fmt: skip
    metrics = {
        "parameters": sum(p.numel() for p in net.parameters()),
        "test_accuracy": round(accuracy(net, test, options.shrink), 4),
        "calibration_accuracy": round(accuracy(net, calibration, options.shrink), 4),
    }
    print(json.dumps(metrics), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), options.out / "weights.pt")
    if options.shrink == 1:
        export(net, options.out / "model.onnx")
        (options.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    if options.write_data:
        write_data(pictures, options.out)


if __name__ == "__main__":
    main()
