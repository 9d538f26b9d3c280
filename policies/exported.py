"""An exported network and the policy that acts by it: numpy and onnxruntime, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from envs.errors import InterludeError
from envs.observation import Observation
from envs.state import Float
from policies.desk import CampaignDesk, DeskPolicy
from policies.policy import Flight
from policies.tally import Tally
from policies.tensors import Arrays, ModelSpec, desk_tensors, flat, tally_tensors


class BundleError(InterludeError):
    """A bundle that cannot be used; the message names the file or what does not fit."""


class ExportedModel:
    """An ONNX network, run on one thread."""

    def __init__(self, data: bytes, path: str | Path) -> None:
        """`path` is for messages.

        Raises:
            BundleError: the bytes are no network that onnxruntime can run.
        """
        self.path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen of its own, of no common class
            raise BundleError(f"{path}: onnxruntime cannot load it: {error}") from error
        self.inputs, self.outputs = (
            {tensor.name: tuple(tensor.shape) for tensor in tensors}
            for tensors in (self._session.get_inputs(), self._session.get_outputs())
        )

    def check(self, spec: ModelSpec) -> None:
        """Refuses a network of other tensors.

        Raises:
            BundleError: naming what it takes or gives, and what it should.
        """
        for verb, found, expected in (
            ("takes", self.inputs, spec.inputs),
            ("gives", self.outputs, spec.outputs),
        ):
            told = {tensor.name: tensor.shape for tensor in expected}
            if {name: shape[len(shape) - len(told.get(name, ())) :] for name, shape in found.items()} != told:
                raise BundleError(
                    f"{self.path} {verb} {_listed(found)}; by the manifest it would be "
                    f"{_listed(told)}: export the run again"
                )

    def __call__(self, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
        """Outputs by name; tensors that the network does not read may be given too."""
        found = self._session.run(list(self.outputs), {name: tensors[name] for name in self.inputs})
        return dict(zip(self.outputs, found, strict=True))


class ExportedPolicy(DeskPolicy):
    """Drives a role by an exported network: any number of markets and campaigns, N = B × C rows at once.

    The memory of a recurrent network is held from a flight's start to its end, and then forgotten.
    """

    def __init__(
        self,
        model: ExportedModel,
        spec: ModelSpec,
        desk: CampaignDesk,
        name: str,
        model_aware: bool,
        claims_video: bool = False,
        tally: Tally | None = None,
    ) -> None:
        """The first output is the role's action; the desk is shared with the other learned role.

        Args:
            model: the network.
            spec: its inputs and outputs.
            desk: that feeds it.
            name: of the team.
            model_aware: whether the network reads what the desk makes of the simulator's equations.
            claims_video: a creative agent that claims video at the desk's worth.
            tally: the role's own, where the network stands on one.
        """
        super().__init__(desk, name)
        self.model, self.spec, self.model_aware = model, spec, model_aware
        self.claims_video, self.tally = claims_video, tally
        self.premium_value_usd: Float | None = None

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self._memory = self.spec.empty_memory(flight.num_markets * flight.num_campaigns)
        self._level_usd = flight.scenario.auction.price_level_usd
        if self.tally is not None:
            self.tally.start()

    def act(self, observation: Observation) -> NDArray[Any]:
        """Actions [B, C, …] for observations [B, C, ·]: creatives as integers, log-multipliers as floats.

        `premium_value_usd` then holds the desk's claims on video where it makes some, as in the run.
        """
        self.desk.advance(observation)
        self.premium_value_usd = self.desk.premium_value_usd if self.claims_video else None
        fed = desk_tensors(self.desk, observation)
        if self.tally is not None:
            fed |= tally_tensors(self.tally, observation, self._level_usd)
        answer = self.model(flat(fed) | self._memory)
        self._memory = self.spec.carried(answer)
        rows = answer[self.spec.outputs[0].name]
        action = rows.reshape(*observation.shape[:2], *rows.shape[1:])
        return action if action.dtype == np.int64 else action.astype(np.float64)


def _listed(shapes: Mapping[str, tuple[Any, ...]]) -> str:
    return ", ".join(f"{name} [{' × '.join(map(str, shape))}]" for name, shape in shapes.items())
