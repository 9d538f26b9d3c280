"""The same learning on stock RLlib: the PettingZoo environment, RLlib's own runner, connectors and learner.

What `interlude benchmark` compares with. The networks have the sizes of ours; the value function is one
per policy, since stock PPO knows no shared critic. Recurrent actors have PyTorch's GRU, whose states RLlib's
connectors carry, cut and pad.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from envs import ad_market_v0, spaces
from envs.catalogue import CREATIVE_CHOICES, S
from envs.market import Observations
from envs.observation import ROLES
from envs.protocol import Actions
from policies.encoder import campaign_encoder
from policies.networks import NetworkSettings, ValueNetwork, linear
from policies.policy import flight_of
from policies.registry import make_team
from training.algorithm import role_of
from training.configuration import TrainingConfiguration
from training.rllib import (
    PPO,
    Columns,
    MultiAgentEnv,
    MultiRLModuleSpec,
    PPOConfig,
    RLModuleSpec,
    TorchDiagGaussian,
    TorchMultiCategorical,
    TorchRLModule,
    ValueFunctionAPI,
)

Views = dict[str, Any]


class StockMarket(MultiAgentEnv):
    """`ad_market_v0.parallel_env` for RLlib: learned agents outside, the base team's other roles inside."""

    def __init__(self, config: dict[str, Any]) -> None:
        """`config` holds the training configuration and the seed of the first market."""
        super().__init__()
        self.training = TrainingConfiguration.model_validate(config["training"])
        self.inner = ad_market_v0.parallel_env(self.training.load_scenario())
        team = make_team(self.training.base_team)
        self.scripted = {
            role: p for role, p in team.policies.items() if role not in self.training.learned_roles
        }
        learned = [a for a in self.inner.possible_agents if role_of(a) in self.training.learned_roles]
        self.possible_agents, self.agents = learned, list(learned)
        self.observation_spaces = {agent: self.inner.observation_space(agent) for agent in learned}
        self.action_spaces = {agent: self.inner.action_space(agent) for agent in learned}
        self.seed = int(getattr(config, "worker_index", 0)) * 1000 + int(getattr(config, "vector_index", 0))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Views, Views]:
        """A new flight."""
        self.views, infos = self.inner.reset(seed=self.seed)
        self.seed += 100_000
        for policy in self.scripted.values():
            policy.start(flight_of(self.inner.market))
        return self._learned(self.views), self._learned(infos)

    def step(self, actions: Views) -> tuple[Views, Views, Views, Views, Views]:
        """One interval."""
        views = self.views
        every = {role: [view for agent, view in views.items() if role_of(agent) == role] for role in ROLES}
        seen: dict[str, Any] = {role: np.stack(rows)[None] for role, rows in every.items()}
        observations = Observations(**seen)
        answers = {role: policy.act(getattr(observations, role)) for role, policy in self.scripted.items()}
        silent = {"creative": np.zeros((1, 1, S, 4), np.int64), "bidding": np.zeros((1, 1, 8))}
        scripted = spaces.encode(Actions(**{**silent, **answers}))
        step = self.inner.step({**scripted, **{agent: self._within(a) for agent, a in actions.items()}})
        self.views, rewards, terminated, truncated, infos = step
        ended = {"__all__": all(terminated.values())}
        return (
            self._learned(self.views),
            self._learned(rewards),
            {**self._learned(terminated), **ended},
            {**self._learned(truncated), "__all__": False},
            self._learned(infos),
        )

    def _learned(self, by_agent: Views) -> Views:
        return {agent: by_agent[agent] for agent in self.possible_agents}

    def _within(self, action: Any) -> Any:
        return action if np.issubdtype(action.dtype, np.integer) else np.clip(action, -4.0, 4.0)


class _StockModule(TorchRLModule, ValueFunctionAPI):
    """An actor and its own value function on raw observations; with `networks.memory` a recurrent actor."""

    remembers: tuple[int, ...] = ()
    """Shape of what has a memory of its own."""

    def setup(self) -> None:
        settings = NetworkSettings.model_validate(self.model_config["networks"])
        self.encoder = campaign_encoder(belief=False)
        own = self.encoder.plain_size + S * self.encoder.grouped_size
        self.value = ValueNetwork(own, 0, settings.critic_hidden, 1, others=False)
        hidden = self.build(settings, own)
        self.units = settings.memory
        if self.units:
            self.memory = torch.nn.GRU(hidden, self.units, batch_first=True)
            self.recalled = linear(self.units, hidden, bias=False)

    def build(self, settings: NetworkSettings, own: int) -> int:
        raise NotImplementedError

    def seen(self, plain: Tensor, grouped: Tensor) -> Tensor:
        raise NotImplementedError

    def act(self, hidden: Tensor) -> Tensor:
        raise NotImplementedError

    def get_initial_state(self) -> dict[str, Tensor]:
        """An empty memory, where there is one: what RLlib takes for a stateful module."""
        return {"memory": torch.zeros(*self.remembers, self.units)} if self.units else {}

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        hidden = self.seen(*self.encoder(batch[Columns.OBS]))
        if not self.units:
            return {Columns.ACTION_DIST_INPUTS: self.act(hidden)}
        memories, last = self._remember(hidden, batch[Columns.STATE_IN]["memory"])
        outputs = self.act(hidden + self.recalled(memories))
        return {Columns.ACTION_DIST_INPUTS: outputs, Columns.STATE_OUT: {"memory": last}}

    def _remember(self, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Memories [N, T, ..., units] over hidden [N, T, ..., H], and the last one [N, ..., units]."""
        alone = hidden.movedim(1, -2)  # [N, ..., T, H]
        rows = alone.flatten(0, -3)
        memories, _ = self.memory(rows, memory.reshape(1, len(rows), self.units).contiguous())
        memories = memories.reshape(*alone.shape[:-1], self.units)
        return memories.movedim(-2, 1), memories[..., -1, :]

    def compute_values(self, batch: dict[str, Tensor], embeddings: Any = None) -> Tensor:
        plain, grouped = self.encoder(batch[Columns.OBS])
        value: Tensor = self.value(torch.cat([plain, grouped.flatten(-2)], -1), plain)
        return value.squeeze(-1)


class StockCreative(_StockModule):
    """Format, script, length and call to action of each segment, as the environment's space has them."""

    remembers = (S,)

    def build(self, settings: NetworkSettings, own: int) -> int:
        """The layers of `CreativeActor`."""
        hidden = settings.creative_hidden
        self.campaign = linear(self.encoder.plain_size, hidden, 1.0)
        self.segment = linear(self.encoder.grouped_size, hidden, 1.0, bias=False)
        self.hidden, self.output = linear(hidden, hidden), linear(hidden, sum(CREATIVE_CHOICES), 0.01)
        lengths = list(CREATIVE_CHOICES) * S
        self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(input_lens=lengths)
        return hidden

    def seen(self, plain: Tensor, grouped: Tensor) -> Tensor:
        """First layer [..., S, hidden]."""
        return torch.relu(self.campaign(plain).unsqueeze(-2) + self.segment(grouped))

    def act(self, hidden: Tensor) -> Tensor:
        """Logits [..., S * 10]."""
        logits: Tensor = self.output(torch.relu(self.hidden(hidden))).flatten(-2)
        return logits


class StockBidding(_StockModule):
    """Log-multipliers."""

    def build(self, settings: NetworkSettings, own: int) -> int:
        """The layers of `BiddingActor`."""
        hidden, actions = settings.bidding_hidden, self.action_space.shape[0]
        self.first, self.hidden = linear(own, hidden), linear(hidden, hidden)
        self.output = linear(hidden, actions, 0.01)
        self.log_std = torch.nn.Parameter(torch.full((actions,), settings.log_std))
        self.action_dist_cls = TorchDiagGaussian
        return hidden

    def seen(self, plain: Tensor, grouped: Tensor) -> Tensor:
        """First layer [..., hidden]."""
        return torch.relu(self.first(torch.cat([plain, grouped.flatten(-2)], -1)))

    def act(self, hidden: Tensor) -> Tensor:
        """Mean and log standard deviation [..., 2 * (1 + P + S)]."""
        mean = self.output(torch.relu(self.hidden(hidden)))
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)


def build_stock(configuration: TrainingConfiguration, environments: int, market_steps: int) -> Any:
    """Stock PPO on `environments` copies of the PettingZoo market, `market_steps` an iteration."""
    ppo, campaigns = configuration.ppo, configuration.load_scenario().campaigns
    intervals = configuration.load_scenario().intervals  # a memory is learned over whole flights
    model = {"networks": configuration.networks.model_dump(), "max_seq_len": intervals}
    modules = {"creative": StockCreative, "bidding": StockBidding}
    specs = {
        role: RLModuleSpec(module_class=modules[role], model_config=model)
        for role in configuration.learned_roles
    }
    config = (
        PPOConfig(algo_class=PPO)
        .environment(StockMarket, env_config={"training": configuration.model_dump(mode="json")})
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=environments,
            rollout_fragment_length=max(1, market_steps // environments),
        )
        .multi_agent(policies=list(configuration.learned_roles), policy_mapping_fn=role_of)
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        .training(
            train_batch_size_per_learner=market_steps,
            minibatch_size=max(1, market_steps * campaigns // ppo.minibatches),
            num_epochs=ppo.epochs,
            lr=ppo.creative_learning_rate,
            gamma=ppo.gamma,
            lambda_=ppo.lambda_,
            clip_param=ppo.clip,
            grad_clip=ppo.gradient_clip,
            entropy_coeff=ppo.creative_entropy,
            use_kl_loss=False,
        )
        .debugging(seed=configuration.seed, log_level="ERROR")
    )
    return config.build_algo()
