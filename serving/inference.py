"""The bundle's networks by the Open Inference Protocol, version 2 (JSON over HTTP)."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from policies.bundle import Bundle
from policies.tensors import ModelSpec, model_spec

DATATYPE: Final = {"float32": "FP32", "int64": "INT64", "bool": "BOOL"}
MOST_ROWS: Final = 4096


class TensorTold(BaseModel):
    """One input."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[str, Field(max_length=64)]
    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=10**6)], ...], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=8)]
    data: list[Any]


class InferenceTold(BaseModel):
    """A request; `outputs` names what is wanted, all if left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Annotated[str, Field(max_length=128)] | None = None
    inputs: Annotated[list[TensorTold], Field(max_length=16)]
    outputs: Annotated[list[dict[str, Any]], Field(max_length=16)] | None = None


_TOLD = TypeAdapter(InferenceTold)


def model_names(bundle: Bundle) -> list[str]:
    """The bundle's networks."""
    return sorted(bundle.models)


def _spec(bundle: Bundle, name: str) -> ModelSpec:
    return model_spec(name, bundle.manifest.memory)


def model_metadata(bundle: Bundle, name: str) -> dict[str, Any]:
    """Inputs and outputs of a network; −1 is a free axis."""
    spec = _spec(bundle, name)

    def told(tensor: Any) -> dict[str, Any]:
        free = spec.axes[:1] if tensor.name == "orchestrator" else spec.axes
        return {
            "name": tensor.name,
            "datatype": DATATYPE[tensor.dtype],
            "shape": [-1] * len(free) + list(tensor.shape),
        }

    return {
        "name": name,
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [told(tensor) for tensor in spec.inputs],
        "outputs": [told(tensor) for tensor in spec.outputs],
    }


def run_model(bundle: Bundle, name: str, body: bytes) -> dict[str, Any]:
    """One inference.

    Raises:
        ValueError: tensors are missing, or are not what the network takes.
    """
    told, spec = _TOLD.validate_json(body), _spec(bundle, name)
    given = {tensor.name: tensor for tensor in told.inputs}
    arrays = {}
    for tensor in spec.inputs:
        sent = given.get(tensor.name)
        if sent is None:
            raise ValueError(f"input {tensor.name!r} is missing")
        if sent.datatype != DATATYPE[tensor.dtype]:
            raise ValueError(f"input {tensor.name!r} is {DATATYPE[tensor.dtype]}, got {sent.datatype!r}")
        free = len(spec.axes[:1] if tensor.name == "orchestrator" else spec.axes)
        if sent.shape[free:] != tensor.shape or math.prod(sent.shape[:free]) > MOST_ROWS:
            raise ValueError(f"input {tensor.name!r} has shape {list(sent.shape)}, see its metadata")
        try:
            arrays[tensor.name] = np.array(sent.data, tensor.dtype).reshape(sent.shape)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"input {tensor.name!r}: {error}") from error
    try:
        found = bundle.models[name](arrays)
    except Exception as error:  # onnxruntime has a dozen of its own, of no common class
        raise ValueError(f"{name} cannot run on these inputs: {error}"[:300]) from error
    wanted = {output.get("name") for output in told.outputs} if told.outputs else set(found)
    outputs = [
        {
            "name": output,
            "datatype": DATATYPE[str(array.dtype)],
            "shape": list(array.shape),
            "data": np.nan_to_num(array).ravel().tolist()
            if array.dtype.kind == "f"
            else array.ravel().tolist(),
        }
        for output, array in found.items()
        if output in wanted
    ]
    return {"model_name": name, "model_version": "1", "id": told.id or "", "outputs": outputs}
