"""A bundle's networks as a Triton model repository: `<model>/config.pbtxt` and `<model>/1/model.onnx`.

Only the networks: what feeds them (desk, beliefs, the rules of other roles) is the bundle's runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

DATA_TYPE: Final = {"float32": "TYPE_FP32", "int64": "TYPE_INT64", "bool": "TYPE_BOOL"}


def triton_files(models: Mapping[str, Mapping[str, Any]], networks: Mapping[str, bytes]) -> dict[str, bytes]:
    """The repository's files by path.

    Args:
        models: `manifest["models"]`, inputs and outputs of each network.
        networks: ONNX files by name.
    """
    files = {}
    for name, data in networks.items():
        files[f"{name}/config.pbtxt"] = model_configuration(name, models[name]).encode()
        files[f"{name}/1/model.onnx"] = data
    return files


def model_configuration(name: str, model: Mapping[str, Any]) -> str:
    """`config.pbtxt` of one network; free axes are dimensions of −1, since the critic has two."""
    return (
        f'name: "{name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 0\n'
        + _tensors("input", model["inputs"])
        + _tensors("output", model["outputs"])
        + "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )


def _tensors(kind: str, tensors: Iterable[Mapping[str, Any]]) -> str:
    rows = []
    for tensor in tensors:
        dims = ", ".join(str(axis) if isinstance(axis, int) else "-1" for axis in tensor["shape"])
        rows.append(
            f'  {{ name: "{tensor["name"]}" data_type: {DATA_TYPE[tensor["dtype"]]} dims: [ {dims} ] }}'
        )
    return f"{kind} [\n" + ",\n".join(rows) + "\n]\n"
