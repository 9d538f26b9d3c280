"""The same learning without RLlib: the practical ceiling of `interlude benchmark`, and a check of the rest.

Read from top to bottom it is what the runner, the learner and the algorithm do together.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.networks import BiddingActor, CreativeActor, monolith
from policies.orchestrator_actor import OrchestratorActor
from policies.weights import Actor
from training.batch import CRITIC, learning_batch, minibatches, permutation_generator
from training.configuration import TrainingConfiguration
from training.critic import Critic, critic_loss
from training.losses import actor_loss, bidding_outputs, creative_outputs, orchestrator_outputs
from training.rollout import Actors, Rollout, learning_team, play_rollout, training_market
from training.warm_up import WarmUp, apply_statistics


class PlainTrainer:
    """PPO of the learned roles' actors and a critic in one loop."""

    def __init__(self, configuration: TrainingConfiguration, warm_up: WarmUp) -> None:
        """Builds networks, optimisers and markets."""
        torch.manual_seed(configuration.seed)
        self.configuration = configuration
        networks = configuration.networks
        self.creative, self.bidding = (
            monolith(networks) if networks.monolithic else (CreativeActor(networks), BiddingActor(networks))
        )
        self.critic = Critic(networks, configuration.critic, warm_up.truth_sizes)
        self.orchestrator = OrchestratorActor(networks)
        for network in (self.creative, self.bidding, self.critic.observable, self.orchestrator):
            apply_statistics(network, warm_up.statistics)
        every: dict[str, Actor] = {
            "creative": self.creative,
            "bidding": self.bidding,
            "orchestrator": self.orchestrator,
        }
        actors: Actors = {role: every[role] for role in configuration.learned_roles}
        self.modules: dict[str, nn.Module] = {CRITIC: self.critic}
        for name, roles in configuration.actor_modules.items():
            self.modules[name] = nn.ModuleDict({role: actors[role] for role in roles})
        self.optimizers = {
            name: torch.optim.Adam(module.parameters(), eps=1e-5, fused=True)
            for name, module in self.modules.items()
        }
        self.market = training_market(configuration, configuration.sampling.markets)
        self.team = learning_team(configuration, actors, sample=True, desk=warm_up.desk(configuration))

    def iteration(self, number: int, seeds: NDArray[np.uint64]) -> Rollout:
        """A flight of the markets with these seeds, and one update."""
        ppo = self.configuration.ppo
        rollout = play_rollout(self.market, self.team, seeds, self.configuration)
        networks = self.configuration.networks
        batch, _ = learning_batch(
            *(rollout.columns, self.critic, ppo),
            whole_flights=bool(networks.memory),
            together=networks.monolithic,
        )
        share = min(1.0, number / self.configuration.iterations)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = ppo.learning_rate(name, share)
        generator = permutation_generator(self.configuration.seed, number)
        for part in minibatches(batch, ppo.epochs, ppo.minibatches, generator):
            row = part[CRITIC]
            loss = critic_loss(self.critic(row["own"], row["market"]), row["target"])
            for name, roles in self.configuration.actor_modules.items():
                for role in roles:
                    loss = loss + self._actor_loss(role, part[name], share)
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for name, module in self.modules.items():
                nn.utils.clip_grad_norm_(module.parameters(), ppo.gradient_clip)
                self.optimizers[name].step()
        return rollout

    def _actor_loss(self, role: str, row: dict[str, Tensor], share: float) -> Tensor:
        if role == "creative":
            outputs = creative_outputs(self.creative, row)
        elif role == "bidding":
            outputs = bidding_outputs(self.bidding, row)
        else:
            outputs = orchestrator_outputs(self.orchestrator, row)
        return actor_loss(role, outputs, row, self.configuration.ppo, self.configuration.teacher, share)[0]
