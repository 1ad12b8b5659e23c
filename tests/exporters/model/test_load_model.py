from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgehybrid.errors import ModelError
from edgehybrid.exporters import load_model


def test_good_model_is_loaded(zoo: Any, tmp_path: Path) -> None:
    """Inputs, outputs, opset and the free batch are known; weights are no inputs."""
    model = zoo.model(zoo.hybrid(), tmp_path)

    assert ["x: float32[batch, 1, 12, 16]"] == [spec.describe() for spec in model.inputs]
    assert ["y: float32[batch, 5]"] == [spec.describe() for spec in model.outputs]
    assert 18 == model.opset


def test_every_node_gets_a_name_of_its_own(zoo: Any, tmp_path: Path) -> None:
    """Unnamed and doubly named nodes become distinguishable; named ones keep their names."""
    graph = zoo.conv()
    for node in graph.proto.graph.node[1:]:
        node.name = "" if node.op_type == "Conv" else "same"
    names = [node.name for node in zoo.model(graph, tmp_path).graph.proto.graph.node]

    assert len(names) == len(set(names))
    assert "" not in names
    assert "n0" == names[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "There is no model file"), (b"", "is empty"), (b"PK\x03\x04 not a model at all", "no ONNX file")],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A missing, empty or foreign file is named as such, with a fix."""
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(path)

    assert caught.value.fix


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder is no model file."""
    with pytest.raises(ModelError, match="folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_model_is_refused(zoo: Any, tmp_path: Path, share: float) -> None:
    """A file that ends early is refused, wherever it ends."""
    content = zoo.hybrid().to_bytes()
    path = tmp_path / "m.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError):
        load_model(path)


def test_valid_protobuf_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """A graph that reads a value nobody makes is no valid model."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["nobody"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())
    with pytest.raises(ModelError, match="not a valid model"):
        load_model(path)


def test_empty_graph_is_refused(tmp_path: Path) -> None:
    """A protobuf without a graph computes nothing."""
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=9, producer_name="nobody").SerializeToString())
    with pytest.raises(ModelError, match="no graph"):
        load_model(path)


@pytest.mark.parametrize("domain", ["", "my.own"])
def test_unknown_operator_is_named(zoo: Any, tmp_path: Path, domain: str) -> None:
    """An operator that the runtime lacks is named, in the standard domain or in another."""
    graph = zoo.dense()
    graph.proto.graph.node[0].op_type = "Frobnicate"
    graph.proto.graph.node[0].domain = domain
    if domain:
        graph.proto.opset_import.append(helper.make_opsetid(domain, 1))
    with pytest.raises(ModelError, match=r"Frobnicate.*lacks"):
        zoo.model(graph, tmp_path)


def test_old_opset_is_refused(zoo: Any, tmp_path: Path) -> None:
    """Opset 12 is too old, and the message says how to convert."""
    graph = zoo.dense()
    graph.proto.opset_import[0].version = 12
    with pytest.raises(ModelError, match="opset 12") as caught:
        zoo.model(graph, tmp_path)

    assert "convert_version" in caught.value.fix


def test_shape_override_replaces_a_free_axis(zoo: Any, tmp_path: Path) -> None:
    """``shapes`` fixes a free axis; an unknown input is refused with the names there are."""
    path = zoo.save(zoo.dense(), tmp_path / "m.onnx")

    assert (1, 32) == load_model(path, {"x": (1, 32)}).inputs[0].shape
    with pytest.raises(ModelError, match="no input 'z'") as caught:
        load_model(path, {"z": (1, 32)})
    assert "x" in caught.value.fix


@pytest.fixture
def external(zoo: Any, tmp_path: Path) -> Path:
    """A model whose weights lie in ``weights.bin`` beside it."""
    path = tmp_path / "inside" / "m.onnx"
    path.parent.mkdir()
    proto = onnx.ModelProto()
    proto.CopyFrom(zoo.dense().proto)
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    return path


def redirect(path: Path, location: str) -> None:
    """Point every external tensor of ``path`` to ``location``."""
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(proto.SerializeToString())


def test_external_data_is_read(zoo: Any, external: Path) -> None:
    """External weights come inside, and the model computes the same."""
    feeds = zoo.feeds(zoo.dense())

    np.testing.assert_array_equal(zoo.run(zoo.dense(), feeds), zoo.run(load_model(external).graph, feeds))


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "C:\\weights.bin"])
def test_external_data_outside_is_refused(external: Path, location: str) -> None:
    """Weights outside the model's folder are never read."""
    redirect(external, location)
    with pytest.raises(ModelError, match="outside"):
        load_model(external)


def test_external_data_behind_a_link_is_refused(external: Path, tmp_path: Path) -> None:
    """A link in the folder that leads out of it is outside."""
    weights = external.parent / "weights.bin"
    weights.rename(tmp_path / "elsewhere.bin")
    weights.symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(ModelError, match="link"):
        load_model(external)


def test_missing_external_data_is_named(external: Path) -> None:
    """A missing weights file is named; a short one is told from it."""
    weights = external.parent / "weights.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:100])
    with pytest.raises(ModelError, match="too short"):
        load_model(external)
    weights.unlink()
    with pytest.raises(ModelError, match=r"weights\.bin.*missing"):
        load_model(external)
