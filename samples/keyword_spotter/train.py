"""Train the keyword spotter on the Free Spoken Digit Dataset and export it to ONNX.

Run it from the root of the repository, with the extra ``[torch]`` installed:

    python -m samples.keyword_spotter.train --data recordings --out samples/keyword_spotter --write-data

It learns from all speakers but one and is judged on that one: on speakers whom it knows it is nearly always right.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from samples import training
from samples.keyword_spotter import features
from samples.keyword_spotter.augment import augment
from samples.keyword_spotter.dataset import WORDS, Clip, as_arrays, read_clips, split, write_data

EXPORT_TOLERANCE = 1e-4


class AttentionBlock(nn.Module):
    """Self-attention, then a GELU MLP, each after LayerNorm and beside a residual; keeps ``[batch, time, width]``."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        """Return ``x`` after the block."""
        qkv = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        heard = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(heard))
        return x + self.dropout(self.mlp(self.norm2(x)))


class KeywordSpotter(nn.Module):
    """Convolutions, a GRU over time, two attention blocks, a dense head: ``[batch, 96, 40] -> [batch, 10]`` logits."""

    def __init__(self, width: int = 112, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(1, 32, (2, 2)), _conv(32, 64, (1, 2)), _conv(64, 64, (1, 1)))
        self.residual = _conv(64, 64, (1, 1))
        self.neck = _conv(64, 48, (1, 2))
        self.gru = nn.GRU(48 * 5, width, batch_first=True)
        self.attention = nn.Sequential(*(AttentionBlock(width, 4, 128, dropout) for _ in range(2)))
        self.norm, self.dropout, self.head = nn.LayerNorm(width), nn.Dropout(0.3), nn.Linear(width, len(WORDS))

    def forward(self, x: Any) -> Any:
        """Return one logit per word."""
        image = self.stem(x.unsqueeze(1))
        image = self.neck(image + self.residual(image))  # [batch, 48, 48, 5]: channels, time, bands
        steps, _ = self.gru(self.dropout(image.transpose(1, 2).flatten(2)))
        return self.head(self.dropout(self.norm(self.attention(steps)).mean(1)))


def _conv(channels_in: int, channels_out: int, stride: tuple[int, int]) -> Any:
    conv = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.SiLU())


def fit(clips: Sequence[Clip], *, epochs: int, seed: int, report: Callable[[str], None]) -> Any:
    """Train on ``clips`` and return the moving average of the weights, ready to infer."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    net = KeywordSpotter().to(memory_format=torch.channels_last)

    def loss_of(numbers: NDArray[np.int64]) -> Any:
        chosen = [clips[i] for i in numbers]
        x = torch.from_numpy(np.stack([augment(clip.sound, draw) for clip in chosen]))
        return training.mixup_loss(net, x, torch.tensor([clip.digit for clip in chosen]), draw)

    course = training.Course(epochs=epochs, batch=48, weight_decay=0.03, max_gradient=2.0, memory=0.99, warm_up=0.15)
    return training.fit(net, len(clips), loss_of, course, draw, report)


def accuracy(net: Any, clips: Sequence[Clip]) -> float:
    """Return the share of ``clips`` that ``net`` names rightly."""
    x, digits = as_arrays(clips)
    with torch.no_grad():
        return float(np.mean(net(torch.from_numpy(x)).argmax(1).numpy() == digits))


def export(net: Any, path: Path) -> None:
    """Write ``net`` as one ONNX file, and check that onnxruntime gives the same logits as torch."""
    proto = training.to_onnx(net, (features.FRAMES, features.BANDS), "y")
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 5):
        x = np.random.default_rng(n).standard_normal((n, features.FRAMES, features.BANDS), dtype=np.float32)
        with torch.no_grad():
            want = net(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(["y"], {"x": x})[0], want, rtol=0, atol=EXPORT_TOLERANCE)


def judge(clips: Sequence[Clip], options: argparse.Namespace, holdout: str) -> tuple[Any, dict[str, Any]]:
    """Train without the speaker ``holdout`` and return the model with its figures."""
    train, known, held_out = split(clips, holdout)
    net = fit(train, epochs=options.epochs, seed=options.seed, report=lambda line: print(line, flush=True))
    return net, {
        "holdout": holdout,
        "parameters": sum(p.numel() for p in net.parameters()),
        "held_out_accuracy": round(accuracy(net, held_out), 4),
        "calibration_accuracy": round(accuracy(net, known), 4),
    }


def main() -> None:
    """Train, export and report; or report on each speaker in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of {digit}_{speaker}_{take}.wav")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx and metrics.json")
    parser.add_argument("--holdout", default="theo", help="speaker to test on, never trained on")
    parser.add_argument("--epochs", type=int, default=22)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loso", action="store_true", help="hold out each speaker in turn; write no model")
    parser.add_argument("--write-data", action="store_true", help="also write the three npz files and clips/")
    options = parser.parse_args()
    torch.set_num_threads(1)  # more threads gain nothing on layers this small
    clips = read_clips(options.data)
    if options.loso:
        for speaker in sorted({clip.speaker for clip in clips}):
            print(json.dumps(judge(clips, options, speaker)[1]), flush=True)
        return
    net, metrics = judge(clips, options, options.holdout)
    print(json.dumps(metrics))
    options.out.mkdir(parents=True, exist_ok=True)
    export(net, options.out / "model.onnx")
    (options.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    if options.write_data:
        write_data(clips, options.holdout, options.out)


if __name__ == "__main__":
    main()
