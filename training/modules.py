"""The networks as RLlib modules: actors that runners and learners hold, a critic that only learners do."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from envs.spaces import action_space, joint_action_space, observation_space
from policies.networks import BiddingActor, CreativeActor, monolith
from policies.orchestrator_actor import OrchestratorActor
from policies.tensors import ROLES_OF_CAMPAIGNS
from training.batch import CRITIC
from training.configuration import TEAM, TrainingConfiguration
from training.critic import Critic
from training.losses import bidding_outputs, creative_outputs, orchestrator_outputs
from training.rllib import (
    MultiRLModuleSpec,
    RLModuleSpec,
    TorchRLModule,
)
from training.warm_up import WarmUp, apply_statistics

Columns = dict[str, Tensor]
Outputs = dict[str, Any]


class CreativeModule(TorchRLModule):
    """RLlib's view of the creative actor."""

    def setup(self) -> None:
        """Builds the network and sets its encoder."""
        self.actor = CreativeActor(_settings(self).networks)
        apply_statistics(self.actor, self.model_config["statistics"])

    def _forward(self, batch: Columns, **kwargs: Any) -> Outputs:
        return creative_outputs(self.actor, batch)


class BiddingModule(TorchRLModule):
    """RLlib's view of the bidding actor."""

    def setup(self) -> None:
        """Builds the network and sets its encoder."""
        self.actor = BiddingActor(_settings(self).networks)
        apply_statistics(self.actor, self.model_config["statistics"])

    def _forward(self, batch: Columns, **kwargs: Any) -> Outputs:
        return bidding_outputs(self.actor, batch)


class OrchestratorModule(TorchRLModule):
    """RLlib's view of the orchestrator's actor."""

    def setup(self) -> None:
        """Builds the network and sets its encoders."""
        self.actor = OrchestratorActor(_settings(self).networks)
        apply_statistics(self.actor, self.model_config["statistics"])

    def _forward(self, batch: Columns, **kwargs: Any) -> Outputs:
        return orchestrator_outputs(self.actor, batch)


class TeamModule(TorchRLModule):
    """RLlib's view of a monolithic policy: both actors, their first layers in common."""

    def setup(self) -> None:
        """Builds the network and sets its encoders."""
        self.creative, self.bidding = monolith(_settings(self).networks)
        for actor in (self.creative, self.bidding):
            apply_statistics(actor, self.model_config["statistics"])

    def _forward(self, batch: Columns, **kwargs: Any) -> Outputs:
        return creative_outputs(self.creative, batch) | bidding_outputs(self.bidding, batch)


class CriticModule(TorchRLModule):
    """RLlib's view of the shared critic: learner-only, so that no runner can act on the hidden truth."""

    def setup(self) -> None:
        """Builds the networks and sets their encoders."""
        settings = _settings(self)
        self.critic = Critic(settings.networks, settings.critic, tuple(self.model_config["truth"]))
        apply_statistics(self.critic.observable, self.model_config["statistics"])

    def _forward(self, batch: Columns, **kwargs: Any) -> Outputs:
        return {"values": self.critic(batch["own"], batch["market"])}


ACTORS: dict[str, type[TorchRLModule]] = {
    "creative": CreativeModule,
    "bidding": BiddingModule,
    "orchestrator": OrchestratorModule,
    TEAM: TeamModule,
}


def actor_path(role: str, *, monolithic: bool) -> tuple[str, str]:
    """Where a role's actor is: its module, and the attribute there."""
    return (TEAM, role) if monolithic and role in ROLES_OF_CAMPAIGNS else (role, "actor")


def module_spaces(module: str) -> tuple[Any, Any]:
    """Observation and action space of one agent of a module; a team chooses for both of its roles."""
    if module == TEAM:
        return observation_space("creative"), joint_action_space("creative", "bidding")
    role = "orchestrator" if module == CRITIC else module
    return observation_space(role), action_space(role)


def module_specs(configuration: TrainingConfiguration, warm_up: WarmUp) -> MultiRLModuleSpec:
    """What RLlib builds: one module for each learned role or one for both, and the critic."""
    model = {
        "training": configuration.model_dump(mode="json"),
        "statistics": warm_up.statistics,
        "truth": warm_up.truth_sizes,
    }
    specs = {}
    for module in (*configuration.actor_modules, CRITIC):
        seen, chosen = module_spaces(module)
        specs[module] = RLModuleSpec(
            module_class=ACTORS.get(module, CriticModule),
            observation_space=seen,
            action_space=chosen,
            learner_only=module == CRITIC,
            model_config=model,
        )
    return MultiRLModuleSpec(rl_module_specs=specs)


def _settings(module: TorchRLModule) -> TrainingConfiguration:
    return TrainingConfiguration.model_validate(module.model_config["training"])
