"""The environment runner: RLlib's worker, which plays whole flights of B markets at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
import torch

from envs.market import VectorMarket
from envs.seeds import market_seeds
from evaluation.metrics import OBJECTIVE, mean_over_markets
from policies.weights import Actor
from training.configuration import TrainingConfiguration
from training.modules import actor_path, module_spaces
from training.reserved_markets import FIRST_PRIOR
from training.rllib import (
    COMPONENT_RL_MODULE,
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    INPUT_ENV_SINGLE_SPACES,
    INPUT_ENV_SPACES,
    NUM_AGENT_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    SAMPLE_TIMER,
    WEIGHTS_SEQ_NO,
    Checkpointable,
    EnvRunner,
)
from training.rollout import Actors, Rollout, learning_team, play_rollout, taste_pool, training_market
from training.warm_up import WarmUp

FLIGHT = "flight"
KPI = "kpi"


def first_market(flight: int, worker: int, runners: int, count: int) -> int:
    """Index of the first of `count` markets of a worker's flight: no two flights share one.

    Worker 0 is the local one; remote workers count from 1.
    """
    return (flight * max(1, runners) + max(0, worker - 1)) * count


class MarketRunner(EnvRunner, Checkpointable):
    """Plays one flight of `sampling.markets` markets a call, each flight on markets never played before.

    The markets of flight n of runner w are a pure function of the run's seed, n and w: runners never share
    one, a restarted runner goes on where the driver is, and no generator needs to be saved. Exploration
    noise is drawn from the markets' own seeds.
    """

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        """RLlib hands over its configuration; ours is in `env_config`."""
        super().__init__(config=config, **kwargs)
        self.training = TrainingConfiguration.model_validate(self.config.env_config["training"])
        self.flight = 0
        self._weights_seq_no = 0
        self.num_env_steps_sampled_lifetime = 0
        self.market: VectorMarket | None = None
        torch.set_num_threads(1)
        self.make_module()
        if self.worker_index or self.config.num_env_runners == 0:
            self.make_env()

    def make_env(self) -> None:
        """Makes the batch of markets and the team that plays them."""
        history = self.config.env_config.get("listening_history")
        pool = taste_pool(Path(history) if history else None)
        self.market = training_market(self.training, self.training.sampling.markets, pool)
        actors: Actors = {role: self._actor(role) for role in self.training.learned_roles}
        desk = WarmUp(**self.config.env_config["warm_up"]).desk(self.training)
        self.team = learning_team(self.training, actors, sample=True, desk=desk)

    def _actor(self, role: str) -> Actor:
        module, attribute = actor_path(role, monolithic=self.training.networks.monolithic)
        actor: Actor = getattr(self.module[module], attribute)
        return actor

    def make_module(self) -> None:
        """Builds the learned actors, without the critic."""
        spec = self.config.get_multi_rl_module_spec(spaces=self.get_spaces(), inference_only=True)
        self.module = spec.build()

    def get_spaces(self) -> dict[str, Any]:
        """Spaces by module, as RLlib wants to know them before it builds learners."""
        spaces: dict[str, Any] = {module: module_spaces(module) for module in self.training.actor_modules}
        both = tuple(dict(zip(spaces, side, strict=True)) for side in zip(*spaces.values(), strict=True))
        return {INPUT_ENV_SPACES: both, INPUT_ENV_SINGLE_SPACES: both, **spaces}

    def assert_healthy(self) -> None:
        """RLlib's health check."""
        if self.module is None:
            raise RuntimeError("the runner has no module")

    def sample(self, *, flight: int | None = None, **kwargs: Any) -> list[Rollout]:
        """Plays a flight of all markets to its end.

        Args:
            flight: which one; by default the next.
            kwargs: RLlib's `num_timesteps`, `num_episodes`, `explore`, `force_reset`: a flight is never cut.
        """
        if self.market is None:
            raise RuntimeError("this runner has no markets: it only holds weights")
        if flight is not None:
            self.flight = flight
        count = self.market.num_markets
        start = first_market(self.flight, self.worker_index, self.config.num_env_runners, count)
        if start + count > FIRST_PRIOR:
            raise ValueError("this run has used up its training markets: go on with another seed")
        seeds = market_seeds("train", self.training.seed, start, count)
        with self.metrics.log_time(SAMPLE_TIMER):
            rollout = play_rollout(self.market, self.team, seeds, self.training)
        self.flight += 1
        self._log(rollout)
        return [rollout]

    def _log(self, rollout: Rollout) -> None:
        steps, markets = rollout.env_steps(), len(rollout.kpis[OBJECTIVE])
        self.num_env_steps_sampled_lifetime += steps
        log = self.metrics.log_value
        log(NUM_ENV_STEPS_SAMPLED, steps, reduce="sum")
        log(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum", with_throughput=True)
        log(NUM_EPISODES, markets, reduce="sum")
        log(NUM_EPISODES_LIFETIME, markets, reduce="lifetime_sum")
        log(EPISODE_RETURN_MEAN, float(rollout.kpis[OBJECTIVE].mean()), window=1)
        log(EPISODE_LEN_MEAN, float(steps / markets), window=1)
        log(WEIGHTS_SEQ_NO, self._weights_seq_no, window=1)
        for role in self.training.learned_roles:
            log((NUM_AGENT_STEPS_SAMPLED, role), rollout.agent_steps(), reduce="sum")
        for tag, values in rollout.kpis.items():
            log((KPI, tag.replace("/", "_")), float(mean_over_markets(values)), window=1)

    def get_metrics(self) -> Any:
        """What `sample` logged, reduced."""
        return self.metrics.reduce()

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Counters and the actors' weights."""
        state: dict[str, Any] = {
            FLIGHT: self.flight,
            NUM_ENV_STEPS_SAMPLED_LIFETIME: self.num_env_steps_sampled_lifetime,
        }
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(
                components=self._get_subcomponents(COMPONENT_RL_MODULE, components),
                not_components=self._get_subcomponents(COMPONENT_RL_MODULE, not_components),
                **kwargs,
            )
            state[WEIGHTS_SEQ_NO] = self._weights_seq_no
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes weights unless it has newer ones, and counters."""
        if COMPONENT_RL_MODULE in state:
            number = state.get(WEIGHTS_SEQ_NO, 0)
            if number == 0 or self._weights_seq_no < number:
                weights = state[COMPONENT_RL_MODULE]
                self.module.set_state(ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights)
            self._weights_seq_no = max(number, self._weights_seq_no)
        self.flight = state.get(FLIGHT, self.flight)
        lifetime = state.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, self.num_env_steps_sampled_lifetime)
        self.num_env_steps_sampled_lifetime = lifetime

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """How RLlib makes another of these."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """The part with a state of its own."""
        return [(COMPONENT_RL_MODULE, self.module)]
