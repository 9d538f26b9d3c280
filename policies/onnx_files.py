"""Trained networks as ONNX files, and the proof that they answer as PyTorch does. Loads torch."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from envs.catalogue import ARMS
from policies.desk import CAMPAIGN_BELIEF
from policies.encoder import Encoder
from policies.exported import BundleError, ExportedModel
from policies.memory import GatedMemory
from policies.networks import CreativeActor
from policies.tensors import TOLERANCE, Arrays, ModelSpec, difference, disagreements, flat, model_spec

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
        memory: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Creatives [N, S, 4] and logits [N, S, K]; of a recurrent actor also its memory [N, S, units]."""
        seen = (observation, campaign_belief, segment_belief, arm_log_score, arm_mask)
        found = self.actor(*seen) if memory is None else self.actor(*seen, memory)
        logits, *remembered = found if isinstance(found, tuple) else (found,)
        return self.arms[logits.argmax(-1)], logits, *remembered


def spec_of(name: str, network: nn.Module) -> ModelSpec:
    """Inputs and outputs of a network that was loaded."""
    actor = network.actor if isinstance(network, ServedCreative) else network
    memory = getattr(actor, "memory", None)
    units = memory.units if isinstance(memory, GatedMemory) else 0
    encoders = [part for part in actor.children() if isinstance(part, Encoder)]  # the campaign's comes first
    seen = encoders[0]
    return model_spec(name, units, credit=seen.extra[0] > CAMPAIGN_BELIEF, tally=seen.tallies)


@torch.inference_mode()
def run_torch(name: str, network: nn.Module, tensors: Arrays) -> Arrays:
    """Outputs of a network in PyTorch, by name, with the leading axes of the inputs."""
    spec = spec_of(name, network)
    found = network(*(torch.from_numpy(tensors[tensor.name]) for tensor in spec.inputs))
    outputs = found if isinstance(found, tuple) else (found,)
    return {tensor.name: value.numpy() for tensor, value in zip(spec.outputs, outputs, strict=True)}


def onnx_bytes(name: str, network: nn.Module, seen: Arrays) -> bytes:
    """A network as an ONNX file with free batch axes, without traces of the machine it was made on."""
    spec = spec_of(name, network)
    rows = {tensor.name: seen[tensor.name][0] for tensor in spec.inputs}
    rows = rows if "C" in spec.axes else flat(rows)
    free = {axis: torch.export.Dim(axis) for axis in spec.axes}
    shapes = tuple(
        {i: free[axis] for i, axis in enumerate(spec.axes[: 1 if key == "orchestrator" else None])}
        for key in rows
    )
    with _quiet():
        program = torch.onnx.export(
            network.eval(),
            tuple(torch.from_numpy(array) for array in rows.values()),
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
    """Runs PyTorch and onnxruntime on the flights that were seen, each with its own memory from end to end.

    Raises:
        BundleError: they differ by more than the tolerance.
    """
    report: dict[str, Any] = {
        "observations": int(np.prod(seen["observation"].shape[:3])),
        "tolerance": TOLERANCE,
        "largest_difference": {},
    }
    for name, network in networks.items():
        spec = spec_of(name, network)
        expected = _whole_flights(partial(run_torch, name, network), spec, seen)
        model = ExportedModel(files[f"{name}/model.onnx"], f"{name}/model.onnx")
        found = _whole_flights(model, spec, seen)
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


def _whole_flights(answer: Callable[[Arrays], Arrays], spec: ModelSpec, seen: Arrays) -> Arrays:
    """Answers [T, N, …] to flights seen [T, B, C, …], from an empty memory that is carried along."""
    intervals, markets, campaigns = seen["observation"].shape[:3]
    memory = spec.empty_memory(markets * campaigns)
    answers = []
    for interval in range(intervals):
        fed = {t.name: seen[t.name][interval] for t in spec.inputs if t not in spec.memory}
        answers.append(answer((fed if "C" in spec.axes else flat(fed)) | memory))
        memory = spec.carried(answers[-1])
    return {name: np.stack([found[name] for found in answers]) for name in answers[0]}


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
