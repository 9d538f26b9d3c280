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
from training.losses import bidding_loss, creative_loss
from training.rollout import Rollout, learning_team, play_rollout
from training.warm_up import WarmUp, apply_statistics


class PlainTrainer:
    """PPO of two actors and a critic in one loop."""

    def __init__(self, configuration: TrainingConfiguration, warm_up: WarmUp) -> None:
        """Builds networks, optimisers and markets."""
        torch.manual_seed(configuration.seed)
        self.configuration = configuration
        networks, ppo = configuration.networks, configuration.ppo
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
            name: torch.optim.Adam(module.parameters(), lr=ppo.learning_rate, eps=1e-5, fused=True)
            for name, module in self.modules.items()
        }
        self.market = VectorMarket(configuration.load_scenario(), configuration.sampling.markets)
        actors = {"creative": self.creative, "bidding": self.bidding}
        self.team = learning_team(configuration, actors, sample=True)

    def iteration(self, number: int, seeds: NDArray[np.uint64]) -> Rollout:
        """A flight of the markets with these seeds, and one update."""
        ppo = self.configuration.ppo
        rollout = play_rollout(self.market, self.team, seeds, self.configuration)
        batch, _ = learning_batch(rollout.columns, self.critic, ppo)
        share = min(1.0, number / self.configuration.iterations)
        for optimizer in self.optimizers.values():
            rate = ppo.learning_rate + share * (ppo.final_learning_rate - ppo.learning_rate)
            optimizer.param_groups[0]["lr"] = rate
        generator = permutation_generator(self.configuration.seed, number)
        for part in minibatches(batch, ppo.epochs, ppo.minibatches, generator):
            creative, bidding, critic = part["creative"], part["bidding"], part[CRITIC]
            inputs = (creative[name] for name in ("plain", "grouped", "arm_log_score", "arm_mask"))
            chosen = (creative[name] for name in ("arm", "arm_log_probability", "advantage"))
            loss, _ = creative_loss(self.creative.logits(*inputs), *chosen, ppo)
            mean = self.bidding.mean(bidding["plain"], bidding["grouped"])
            chosen = (bidding[name] for name in ("action", "action_log_probability", "advantage"))
            loss = loss + bidding_loss(mean, self.bidding.log_std, *chosen, ppo)[0]
            loss = loss + critic_loss(self.critic(critic["own"], critic["market"]), critic["target"])
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for name, module in self.modules.items():
                nn.utils.clip_grad_norm_(module.parameters(), ppo.gradient_clip)
                self.optimizers[name].step()
        return rollout
