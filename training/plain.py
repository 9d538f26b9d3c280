"""The same learning without RLlib: the practical ceiling of `interlude benchmark`, and a check of the rest.

Read from top to bottom it is what the runner, the learner and the algorithm do together.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from envs.market import VectorMarket
from policies.networks import BiddingActor, CreativeActor
from training.batch import CRITIC, learning_batch, minibatches, permutation_generator
from training.configuration import TrainingConfiguration
from training.critic import Critic, critic_loss
from training.losses import bidding_loss, bidding_outputs, creative_loss, creative_outputs, taught_loss
from training.rollout import Actors, Rollout, learning_team, play_rollout
from training.warm_up import WarmUp, apply_statistics


class PlainTrainer:
    """PPO of two actors and a critic in one loop."""

    def __init__(self, configuration: TrainingConfiguration, warm_up: WarmUp) -> None:
        """Builds networks, optimisers and markets."""
        torch.manual_seed(configuration.seed)
        self.configuration = configuration
        networks = configuration.networks
        self.creative, self.bidding = CreativeActor(networks), BiddingActor(networks)
        self.critic = Critic(networks, configuration.critic, warm_up.truth_sizes)
        for network in (self.creative, self.bidding, self.critic.observable):
            apply_statistics(network, warm_up.statistics)
        self.modules: dict[str, nn.Module] = {
            "creative": self.creative,
            "bidding": self.bidding,
            CRITIC: self.critic,
        }
        self.optimizers = {
            name: torch.optim.Adam(module.parameters(), eps=1e-5, fused=True)
            for name, module in self.modules.items()
        }
        self.market = VectorMarket(configuration.load_scenario(), configuration.sampling.markets)
        actors: Actors = {"creative": self.creative, "bidding": self.bidding}
        self.team = learning_team(configuration, actors, sample=True, desk=warm_up.desk())

    def iteration(self, number: int, seeds: NDArray[np.uint64]) -> Rollout:
        """A flight of the markets with these seeds, and one update."""
        ppo = self.configuration.ppo
        rollout = play_rollout(self.market, self.team, seeds, self.configuration)
        whole = bool(self.configuration.networks.memory)
        batch, _ = learning_batch(rollout.columns, self.critic, ppo, whole_flights=whole)
        share = min(1.0, number / self.configuration.iterations)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = ppo.learning_rate(name, share)
        generator = permutation_generator(self.configuration.seed, number)
        for part in minibatches(batch, ppo.epochs, ppo.minibatches, generator):
            row = part["creative"]
            found = creative_outputs(self.creative, row)
            chosen = (row["arm"], row["arm_log_probability"], row["advantage"])
            loss = creative_loss(found["logits"], *chosen, ppo)[0]
            loss = loss + taught_loss(found, row, self.configuration.teacher, share)[0]
            row = part["bidding"]
            found = bidding_outputs(self.bidding, row)
            chosen = (row["action"], row["action_log_probability"], row["advantage"])
            loss = loss + bidding_loss(found["mean"], found["log_std"], *chosen, ppo)[0]
            loss = loss + taught_loss(found, row, self.configuration.teacher, share)[0]
            row = part[CRITIC]
            loss = loss + critic_loss(self.critic(row["own"], row["market"]), row["target"])
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for name, module in self.modules.items():
                nn.utils.clip_grad_norm_(module.parameters(), ppo.gradient_clip)
                self.optimizers[name].step()
        return rollout
