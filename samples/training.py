"""What the training of every sample shares: the loop, mixup, and the way from torch to one ONNX file. Needs torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How to train: AdamW on a one-cycle schedule, and a moving average of the weights."""

    epochs: int
    batch: int
    weight_decay: float
    max_gradient: float  # norm at which gradients are cut off
    memory: float  # share of the moving average that a step keeps
    warm_up: float  # share of the steps in which the rate rises
    rate: float = 2e-3


def fit(
    net: Any,
    count: int,
    loss_of: Callable[[NDArray[np.int64]], Any],
    course: Course,
    draw: np.random.Generator,
    report: Callable[[str], None],
) -> Any:
    """Train ``net`` and return the moving average of its weights, ready to infer.

    Args:
        net: The network.
        count: How many training samples there are.
        loss_of: Loss of the samples with these numbers.
        course: How to train.
        draw: Where the order of the samples comes from.
        report: Told after every epoch.
    """
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(course.memory), use_buffers=True
    )
    steps = count // course.batch
    optimizer = torch.optim.AdamW(net.parameters(), course.rate, weight_decay=course.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, course.rate, course.epochs * steps, pct_start=course.warm_up
    )
    began = time.monotonic()
    for epoch in range(course.epochs):
        net.train()
        order, total = draw.permutation(count), 0.0
        for step in range(steps):
            loss = loss_of(order[step * course.batch : (step + 1) * course.batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), course.max_gradient)
            optimizer.step()
            schedule.step()
            average.update_parameters(net)
            total += loss.item()
        report(f"epoch {epoch + 1}/{course.epochs}: loss {total / steps:.4f}, {time.monotonic() - began:.0f} s")
    return average.module.eval()


def mixup_loss(net: Any, x: Any, classes: Any, draw: np.random.Generator) -> Any:
    """Return the cross-entropy of a batch, each sample mixed with a little of another (mixup)."""
    share = draw.beta(0.2, 0.2)
    share = max(share, 1 - share)
    other = torch.from_numpy(draw.permutation(len(classes)))
    logits = net(share * x + (1 - share) * x[other])
    loss = nn.functional.cross_entropy
    own, foreign = (loss(logits, truth, label_smoothing=0.1) for truth in (classes, classes[other]))
    return share * own + (1 - share) * foreign


def to_onnx(net: Any, shape: tuple[int, ...], output: str) -> Any:
    """Return ``net`` as an ONNX model from ``x``, float32 ``[batch, *shape]``, to ``output``; the batch is free.

    The dynamo exporter writes ``nn.GRU`` and ``nn.LSTM`` as one node each; no fallback to the older one is needed.
    """
    program = torch.onnx.export(
        net.to(memory_format=torch.contiguous_format),
        (torch.zeros(2, *shape),),
        dynamo=True,
        opset_version=18,
        input_names=["x"],
        output_names=[output],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
        verbose=False,
    )
    proto = program.model_proto
    for node in proto.graph.node:  # stack traces name folders of this computer
        kept = [entry for entry in node.metadata_props if "stack_trace" not in entry.key]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return proto
