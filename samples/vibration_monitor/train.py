"""Train the remaining-life monitor on C-MAPSS FD001 and export it to one ONNX graph.

Run it from the root of the repository, with the extra ``[torch]`` and scikit-learn installed:

    python -m samples.vibration_monitor.train --data CMAPSSData --out samples/vibration_monitor --write-data

First a convolution and LSTM net learns to tell the remaining life; then its last hidden layer, 32 features, feeds
boosted trees that tell it better. Both are fitted on 80 engines, and choices are made on 20 others.
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
from onnx import TensorProto, compose, helper
from sklearn.ensemble import GradientBoostingRegressor
from torch import nn

from samples import training
from samples.vibration_monitor.dataset import (
    CAP_CYCLES,
    all_windows,
    last_windows,
    read_test,
    read_training,
    split,
    write_data,
)
from samples.vibration_monitor.features import SENSORS, WINDOW, Float32Array

FEATURES = 32
FEATURE_TOLERANCE = 1e-4  # torch against onnxruntime; the features are about 0 to 3
RUL_TOLERANCE_CYCLES = 1e-3  # 100 leaves summed in float32 here, in float64 there


class LifeFeatures(nn.Module):
    """Convolutions over time, an LSTM, a dense layer: ``[batch, 30, 14] -> [batch, 32]``, none negative."""

    def __init__(self, width: int = 96, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(len(SENSORS), 48, 5), _conv(48, 64, 3))
        self.lstm = nn.LSTM(64, width, batch_first=True)
        self.dense, self.dropout = nn.Sequential(nn.Linear(2 * width, FEATURES), nn.ReLU()), nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        """Return the features of each window."""
        steps = self.stem(x.transpose(1, 2)).transpose(1, 2)
        steps, _ = self.lstm(self.dropout(steps))
        return self.dense(self.dropout(torch.cat([steps[:, -1], steps.mean(1)], dim=1)))


def _conv(channels_in: int, channels_out: int, kernel: int) -> Any:
    conv = nn.Conv1d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm1d(channels_out), nn.ReLU())


def fit_features(
    x: Float32Array, rul: Float32Array, *, epochs: int, seed: int, report: Callable[[str], None]
) -> tuple[Any, Any]:
    """Train on windows ``[n, 30, 14]`` with their capped lives ``[n]``.

    Returns:
        The feature net, a moving average of its weights, and the linear head that it was trained with.
    """
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    net = nn.Sequential(LifeFeatures(), nn.Dropout(0.3), nn.Linear(FEATURES, 1))

    def loss_of(numbers: NDArray[np.int64]) -> Any:
        told = CAP_CYCLES * net(torch.from_numpy(_augment(x[numbers], draw)))[:, 0]
        return nn.functional.mse_loss(told, torch.from_numpy(rul[numbers])) / CAP_CYCLES**2

    course = training.Course(epochs=epochs, batch=128, weight_decay=0.02, max_gradient=1.0, memory=0.995, warm_up=0.2)
    done = training.fit(net, len(x), loss_of, course, draw, report)
    return done[0], done[2]


def _augment(x: Float32Array, draw: np.random.Generator) -> Float32Array:
    """Add noise to every reading, and to each sensor of a window an offset of its own."""
    noise = 0.1 * draw.standard_normal(x.shape, dtype=np.float32)
    return x + noise + 0.05 * draw.standard_normal((len(x), 1, x.shape[2]), dtype=np.float32)


def fit_trees(features: Float32Array, rul: Float32Array, *, seed: int) -> Any:
    """Boost small trees on the features ``[n, 32]``; each leaf holds at least 60 windows."""
    trees = GradientBoostingRegressor(
        n_estimators=100, learning_rate=0.05, max_leaf_nodes=8, max_depth=None,
        min_samples_leaf=60, subsample=0.5, random_state=seed,
    )  # fmt: skip
    return trees.fit(features, rul)


def describe(net: Any, x: Float32Array) -> Float32Array:
    """Return the features of windows, float32 ``[n, 32]``."""
    with torch.no_grad():
        found: Float32Array = net(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return found


def rmse(told: Any, rul: Float32Array) -> float:
    """Return the root of the mean squared error, in cycles; what is told is held within 0 to 125."""
    return float(np.sqrt(np.mean((np.clip(np.asarray(told, dtype=np.float64), 0, CAP_CYCLES) - rul) ** 2)))


def tree_node(trees: Any) -> Any:
    """Return the trees as one ``TreeEnsembleRegressor`` node, which takes the same leaves for any float32 input.

    Thresholds are float64 in scikit-learn. Rounded down to float32, ``x <= threshold`` stays the same for every
    float32 ``x``; rounded to the nearest, it would not.
    """
    columns: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for number, (estimator,) in enumerate(trees.estimators_):
        tree = estimator.tree_
        for node in range(tree.node_count):
            leaf = tree.children_left[node] < 0
            row = (number, node, 0, 0.0, "LEAF", 0, 0)
            if leaf:
                weight = float(tree.value[node, 0, 0]) * trees.learning_rate
                for name, value in zip(leaves, (number, node, 0, weight), strict=True):
                    leaves[name].append(value)
            else:
                left, right = int(tree.children_left[node]), int(tree.children_right[node])
                row = (number, node, int(tree.feature[node]), _floor(tree.threshold[node]), "BRANCH_LEQ", left, right)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    fields: dict[str, Any] = {"n_targets": 1, "base_values": [float(trees.init_.constant_.item())]}
    fields |= {f"nodes_{name}": values for name, values in columns.items()}
    fields |= {f"target_{name}": values for name, values in leaves.items()}
    return helper.make_node("TreeEnsembleRegressor", ["features"], ["raw"], "trees", domain="ai.onnx.ml", **fields)


def _floor(threshold: float) -> float:
    nearest = np.float32(threshold)
    return float(nearest if nearest <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


def export(net: Any, trees: Any, x: Float32Array, path: Path) -> None:
    """Write net and trees as one ONNX file, and check it on the windows ``x``.

    Torch and onnxruntime must agree on the features, and on onnxruntime's features scikit-learn and the trees in the
    graph must agree on the life.
    """
    body = training.to_onnx(net, (WINDOW, len(SENSORS)), "features")
    session = onnxruntime.InferenceSession(body.SerializeToString(), providers=["CPUExecutionProvider"])
    features = session.run(["features"], {"x": x})[0]
    np.testing.assert_allclose(features, describe(net, x), rtol=0, atol=FEATURE_TOLERANCE)
    batch = body.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    head = helper.make_graph(
        [tree_node(trees), helper.make_node("Clip", ["raw", "lowest", "highest"], ["rul"], name="cap")],
        "head",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, FEATURES])],
        [helper.make_tensor_value_info("rul", TensorProto.FLOAT, [batch, 1])],
        [
            helper.make_tensor("lowest", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("highest", TensorProto.FLOAT, [], [CAP_CYCLES]),
        ],
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 3)]  # the merge takes the default domain from the body
    head_model = helper.make_model(head, opset_imports=opsets, ir_version=body.ir_version)
    merged = compose.merge_models(body, head_model, io_map=[("features", "features")])
    onnx.checker.check_model(merged, full_check=True)
    path.write_bytes(merged.SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, len(x)):
        want = np.clip(trees.predict(features[:n]), 0, CAP_CYCLES)[:, None]
        np.testing.assert_allclose(session.run(["rul"], {"x": x[:n]})[0], want, rtol=0, atol=RUL_TOLERANCE_CYCLES)


def main() -> None:
    """Train, judge, export and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train_, test_ and RUL_FD001.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx and metrics.json")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write-data", action="store_true", help="also write calibration.npz and test.npz")
    options = parser.parse_args()
    torch.set_num_threads(1)  # more threads gain nothing on layers this small
    training, test = read_training(options.data), read_test(options.data)
    train, validation = split(training)
    x, rul = all_windows(train)
    net, linear = fit_features(
        x, rul, epochs=options.epochs, seed=options.seed, report=lambda line: print(line, flush=True)
    )
    trees = fit_trees(describe(net, x), rul, seed=options.seed)
    valid_x, valid_rul = all_windows(validation)
    test_x, left = last_windows(test)
    told = trees.predict(describe(net, test_x))
    with torch.no_grad():
        linear_told = CAP_CYCLES * linear(net(torch.from_numpy(test_x)))[:, 0].numpy()
    capped = np.minimum(left, np.float32(CAP_CYCLES))
    metrics = {
        "parameters": sum(p.numel() for p in net.parameters()),
        "trees": len(trees.estimators_),
        "leaves": int(sum(estimator.get_n_leaves() for (estimator,) in trees.estimators_)),
        "test_rmse_capped": round(rmse(told, capped), 3),
        "test_rmse_uncapped": round(rmse(told, left), 3),
        "validation_rmse": round(rmse(trees.predict(describe(net, valid_x)), valid_rul), 3),
        "linear_head_test_rmse_capped": round(rmse(linear_told, capped), 3),
    }
    print(json.dumps(metrics))
    options.out.mkdir(parents=True, exist_ok=True)
    export(net, trees, np.ascontiguousarray(valid_x), options.out / "model.onnx")
    (options.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    if options.write_data:
        write_data(training, test, options.out)


if __name__ == "__main__":
    main()
