"""The bundle's networks by the Open Inference Protocol, version 2: what HTTP and gRPC share, and JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from policies.bundle import Bundle
from policies.tensors import ModelSpec

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
    return bundle.spec(name)


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


class Sent(NamedTuple):
    """A tensor that a client sent: its values in any form that NumPy reads."""

    datatype: str
    shape: tuple[int, ...]
    values: Any


def infer(
    bundle: Bundle, name: str, given: Mapping[str, Sent], wanted: Collection[str] = ()
) -> dict[str, NDArray[Any]]:
    """Outputs of a network, those that are wanted or all.

    Raises:
        ValueError: tensors are missing, or are not what the network takes.
    """
    spec, arrays = _spec(bundle, name), {}
    for tensor in spec.inputs:
        sent = given.get(tensor.name)
        if sent is None:
            raise ValueError(f"input {tensor.name!r} is missing")
        if sent.datatype != DATATYPE[tensor.dtype]:
            raise ValueError(f"input {tensor.name!r} is {DATATYPE[tensor.dtype]}, got {sent.datatype!r}")
        free = len(spec.axes[:1] if tensor.name == "orchestrator" else spec.axes)
        fits = min(sent.shape, default=0) >= 0 and math.prod(sent.shape[:free]) <= MOST_ROWS
        if sent.shape[free:] != tensor.shape or not fits:
            raise ValueError(f"input {tensor.name!r} has shape {list(sent.shape)}, see its metadata")
        try:
            arrays[tensor.name] = np.array(sent.values, tensor.dtype).reshape(sent.shape)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"input {tensor.name!r}: {error}") from error
    try:
        found = bundle.models[name](arrays)
    except Exception as error:  # onnxruntime has a dozen of its own, of no common class
        raise ValueError(f"{name} cannot run on these inputs: {error}"[:300]) from error
    return {output: array for output, array in found.items() if not wanted or output in wanted}


def run_model(bundle: Bundle, name: str, body: bytes) -> dict[str, Any]:
    """One inference, JSON in and out.

    Raises:
        ValueError: as `infer`.
    """
    told = _TOLD.validate_json(body)
    given = {tensor.name: Sent(tensor.datatype, tensor.shape, tensor.data) for tensor in told.inputs}
    wanted = {str(output.get("name")) for output in told.outputs or ()}
    outputs = [
        {
            "name": output,
            "datatype": DATATYPE[str(array.dtype)],
            "shape": list(array.shape),
            "data": np.nan_to_num(array).ravel().tolist()
            if array.dtype.kind == "f"
            else array.ravel().tolist(),
        }
        for output, array in infer(bundle, name, given, wanted).items()
    ]
    return {"model_name": name, "model_version": "1", "id": told.id or "", "outputs": outputs}
