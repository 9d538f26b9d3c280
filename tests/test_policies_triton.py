import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from support.runs import export_takes_networks_of, exported

from envs.paths import ROOT
from policies.export import export
from policies.triton import triton_files

# The fields of Triton's model_config.proto (message ModelConfig) that a repository of ours may use, with
# their numbers there: (message, field, number, type, label).
INT32, INT64, STRING, ENUM, MESSAGE = 5, 3, 9, 14, 11
FIELDS = {
    "ModelTensor": [
        ("name", 1, STRING, 1, ""),
        ("data_type", 2, ENUM, 1, "DataType"),
        ("dims", 3, INT64, 3, ""),
    ],
    "ModelInstanceGroup": [("count", 2, INT32, 1, ""), ("kind", 4, ENUM, 1, "Kind")],
    "ModelConfig": [
        ("name", 1, STRING, 1, ""),
        ("platform", 2, STRING, 1, ""),
        ("max_batch_size", 4, INT32, 1, ""),
        ("input", 5, MESSAGE, 3, "ModelTensor"),
        ("output", 6, MESSAGE, 3, "ModelTensor"),
        ("instance_group", 7, MESSAGE, 3, "ModelInstanceGroup"),
    ],
}
ENUMS = {
    "DataType": {"TYPE_INVALID": 0, "TYPE_BOOL": 1, "TYPE_INT64": 9, "TYPE_FP32": 11},
    "Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2},
}


def model_config() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label, of in fields:
            added = message.field.add(name=field, number=number, type=kind, label=label)
            if of:
                added.type_name = f".inference.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    reference = ROOT / "checkpoints" / "reference"
    manifest = json.loads((reference / "manifest.json").read_text())
    networks = {name: (reference / name / "model.onnx").read_bytes() for name in manifest["models"]}
    return triton_files(manifest["models"], networks)


@pytest.mark.parametrize("name", ["bidding", "creative", "critic"])
def test_a_configuration_is_what_triton_reads_and_what_the_network_takes(
    files: dict[str, bytes], name: str
) -> None:
    config = text_format.Parse(files[f"{name}/config.pbtxt"].decode(), model_config()())
    assert (config.name, config.platform, config.max_batch_size) == (name, "onnxruntime_onnx", 0)
    graph = onnx.load_from_string(files[f"{name}/1/model.onnx"]).graph
    kinds = {onnx.TensorProto.FLOAT: 11, onnx.TensorProto.INT64: 9, onnx.TensorProto.BOOL: 1}
    for told, values in ((config.input, graph.input), (config.output, graph.output)):
        found = {v.name: v.type.tensor_type for v in values}
        assert {tensor.name for tensor in told} == set(found)
        for tensor in told:
            shape = [axis.dim_value or -1 for axis in found[tensor.name].shape.dim]
            assert list(tensor.dims) == shape and tensor.data_type == kinds[found[tensor.name].elem_type]


def test_a_run_is_exported_in_either_layout(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bundle = exported(tmp_path_factory.getbasetemp())
    export_takes_networks_of(bundle, monkeypatch)
    export(run, tmp_path / "triton", layout="triton")
    folders = {path.name for path in (tmp_path / "triton").iterdir() if path.is_dir()}
    assert folders == {"creative", "bidding", "critic"}
    for folder in folders:
        assert {path.name for path in (tmp_path / "triton" / folder).iterdir()} == {"config.pbtxt", "1"}
