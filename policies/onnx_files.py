"""Trained networks as ONNX files, and the proof that they answer as PyTorch does. Loads torch."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn

from envs.catalogue import ARMS
from policies.bundle import BundleError, ExportedModel
from policies.networks import CreativeActor
from policies.tensors import CRITIC, MODELS, TOLERANCE, Arrays, difference, disagreements, flat

OPSET: Final = 20


class ServedCreative(nn.Module):
    """A creative actor that decodes the likeliest arm of each segment."""

    arms: Tensor

    def __init__(self, actor: CreativeActor) -> None:
        """Takes the actor as it is."""
        super().__init__()
        self.actor = actor
        self.register_buffer("arms", torch.from_numpy(ARMS))

    def forward(
        self,
        observation: Tensor,
        campaign_belief: Tensor,
        segment_belief: Tensor,
        arm_log_score: Tensor,
        arm_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Creatives [N, S, 4] and logits [N, S, K]."""
        logits = self.actor(observation, campaign_belief, segment_belief, arm_log_score, arm_mask)
        return self.arms[logits.argmax(-1)], logits


@torch.inference_mode()
def run_torch(name: str, network: nn.Module, tensors: Arrays) -> Arrays:
    """Outputs of a network in PyTorch, by name, with the leading axes of the inputs."""
    spec = MODELS[name]
    found = network(*(torch.from_numpy(tensors[tensor.name]) for tensor in spec.inputs))
    outputs = found if isinstance(found, tuple) else (found,)
    return {tensor.name: value.numpy() for tensor, value in zip(spec.outputs, outputs, strict=True)}


def onnx_bytes(name: str, network: nn.Module, seen: Arrays) -> bytes:
    """A network as an ONNX file with free batch axes, without traces of the machine it was made on."""
    spec = MODELS[name]
    rows = {tensor.name: seen[tensor.name][0] for tensor in spec.inputs}
    rows = rows if name == CRITIC else flat(rows)
    free = {axis: torch.export.Dim(axis) for axis in spec.axes}
    shapes = {
        key: {i: free[axis] for i, axis in enumerate(spec.axes[: 1 if key == "orchestrator" else None])}
        for key in rows
    }
    with _quiet():
        program = torch.onnx.export(
            network.eval(),
            kwargs={key: torch.from_numpy(array) for key, array in rows.items()},
            input_names=list(rows),
            output_names=[tensor.name for tensor in spec.outputs],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise BundleError(f"{name}: torch exported nothing")
    model = program.model_proto
    for holder in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def check_parity(
    files: Mapping[str, bytes], networks: Mapping[str, nn.Module], seen: Arrays
) -> dict[str, Any]:
    """Runs PyTorch and onnxruntime on everything that was seen.

    Raises:
        BundleError: they differ by more than the tolerance.
    """
    markets = flat({key: array for key, array in seen.items() if key != "seeds"})
    rows = flat({key: array for key, array in markets.items() if key != "orchestrator"})
    report: dict[str, Any] = {
        "observations": len(rows["observation"]),
        "tolerance": TOLERANCE,
        "largest_difference": {},
    }
    for name, network in networks.items():
        tensors = markets if name == CRITIC else rows
        expected = run_torch(name, network, tensors)
        found = ExportedModel(files[f"{name}/model.onnx"], f"{name}/model.onnx")(tensors)
        for output, array in expected.items():
            if output == "creative":
                apart = float(disagreements(expected["logits"], array, found[output]))
                report["creative_disagreements"] = int(apart)
            else:
                apart = difference(output, array, found[output])
                report["largest_difference"][output] = apart
            if not apart <= TOLERANCE:
                raise BundleError(f"{name}: onnxruntime's {output!r} differs from PyTorch's by {apart:.2g}")
    return report


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings about itself."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
