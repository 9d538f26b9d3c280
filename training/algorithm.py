"""The algorithm: RLlib's PPO with a training step of its own."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from envs.errors import InterludeError
from training.configuration import TEAM, TrainingConfiguration
from training.learner import ITERATION, PROGRESS, MarketLearner
from training.modules import module_specs
from training.profiler import Phases
from training.rllib import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    PPO,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
    PPOConfig,
)
from training.rollout import Rollout, joined
from training.runner import MarketRunner
from training.sampling import Answer, Asked, Loss, gather, play, request
from training.warm_up import WarmUp

BRIEF_PROBE_SECONDS: Final = 1.0
"""How long an iteration waits for a lost runner while others work,"""
PROBE_EVERY_SECONDS: Final = 10.0
"""how often it does,"""
RESTART_SECONDS: Final = 60.0
"""and how long it waits when none works."""
PAUSE_SECONDS: Final = 0.5
RESTARTS: Final = 100
"""Of one runner; then the run goes on without it."""


class MarketPPO(PPO):
    """One iteration: a flight of every runner's markets, one update, new weights to the runners."""

    flight = 0
    """How many flights were played: decides which markets come next."""
    progress: float | None = None
    """Share of the run that is over, set before each `train()`; by default by iterations."""

    def setup(self, config: Any) -> None:
        """Builds runners and learners."""
        super().setup(config)
        self.training = TrainingConfiguration.model_validate(self.config.env_config["training"])
        self.rollouts: list[Rollout] = []
        self.losses: list[Loss] = []
        """Runners lost in the iteration just played."""
        self.phases = Phases()
        self._ahead: Asked | None = None
        """The next flight, where it is played while the last one is learned from."""
        self._next_probe_seconds = 0.0

    def training_step(self) -> None:
        """Samples, learns and spreads the weights.

        Raises:
            InterludeError: a fault in a market, or no runner answered several times in a row.
        """
        self.losses = []
        with self.phases("sampling"), self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            self.rollouts = self._sample()
        with self.phases("learning"), self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            done = self.flight / self.training.iterations
            told = {
                ITERATION: self.flight,
                PROGRESS: min(1.0, done if self.progress is None else self.progress),
                NUM_ENV_STEPS_SAMPLED_LIFETIME: self.metrics.peek(
                    (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME)
                ),
            }
            learners = self.training.num_learners
            data = {"batch": self.rollouts} if learners == 0 else {"batches": shards(self.rollouts, learners)}
            results = self.learner_group.update(**data, timesteps=told, num_epochs=self.training.ppo.epochs)
            self.metrics.aggregate(results, key=LEARNER_RESULTS)
        with self.phases("weights"), self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=list(self.training.actor_modules),
                inference_only=True,
            )
        self.flight += 1

    def _sample(self) -> list[Rollout]:
        """One flight of every healthy runner, and with `sampling.overlap` the next one asked for."""
        group, sampling = self.env_runner_group, self.training.sampling
        if group.num_remote_workers() == 0:
            return self._taken([play(group.local_env_runner, self.flight)])
        for _ in range(sampling.max_failures + 1):
            asked, self._ahead = self._ahead or request(group, self.flight), None
            answers, losses = gather(group, asked, sampling.timeout_seconds)
            self.losses += losses
            if answers:
                if sampling.overlap:  # runners take the weights spread last before they play
                    self._ahead = request(group, self.flight + 1)
                return self._taken(answers)
            self.restore_env_runners(group)
        told = "; ".join(map(str, self.losses)) or "none of them is alive"
        raise InterludeError(
            f"no env runner gave samples in {sampling.max_failures + 1} attempts at flight {self.flight} "
            f"({told}): see Ray's log, raise sampling.timeout_seconds, or set sampling.num_env_runners=0"
        )

    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Takes back runners that Ray has started again, with the weights and the flight of the others.

        RLlib waits half a minute for each that is lost, every iteration: too long where its node is gone.
        """
        alive = env_runner_group.num_healthy_remote_workers()
        lost = env_runner_group.num_remote_workers() - alive
        if lost == 0 or (alive and time.monotonic() < self._next_probe_seconds):
            return []
        began = time.monotonic()
        restored: list[int] = []
        while not restored:  # a call to a runner that is being started fails at once, and is made again
            restored = env_runner_group.probe_unhealthy_env_runners(timeout_seconds=BRIEF_PROBE_SECONDS)
            if alive or time.monotonic() > began + RESTART_SECONDS:
                break
            time.sleep(PAUSE_SECONDS)
        self._next_probe_seconds = time.monotonic() + PROBE_EVERY_SECONDS
        if restored:
            env_runner_group.foreach_env_runner(
                "set_state",
                kwargs={"state": env_runner_group.local_env_runner.get_state()},
                local_env_runner=False,
                remote_worker_ids=restored,
                timeout_seconds=RESTART_SECONDS,
            )
        return restored

    def _taken(self, answers: list[Answer]) -> list[Rollout]:
        for answer in answers:
            if answer.fault is not None:
                raise answer.fault
        self.metrics.aggregate([answer.metrics for answer in answers], key=ENV_RUNNER_RESULTS)
        return [rollout for answer in answers for rollout in answer.rollouts]


def shards(rollouts: list[Rollout], parts: int) -> list[list[Rollout]]:
    """Rollouts cut into `parts` of whole markets, one a learner."""
    columns = joined(rollouts)
    size = columns["reward"].shape[1] // parts
    return [
        [Rollout({n: a[:, i * size : (i + 1) * size] for n, a in columns.items()}, {}, rollouts[0].bids_usd)]
        for i in range(parts)
    ]


def build_algorithm(
    configuration: TrainingConfiguration,
    warm_up: WarmUp,
    listening_history: Path | None = None,
) -> MarketPPO:
    """An algorithm ready to train; Ray must be running."""
    rows = configuration.sampling.markets * configuration.load_scenario().intervals
    runners, learners = configuration.sampling.num_env_runners, configuration.num_learners
    batch = rows * max(1, runners) // max(1, learners)
    env_config = {
        "training": configuration.model_dump(mode="json"),
        "warm_up": asdict(warm_up),
        "listening_history": str(listening_history) if listening_history else None,
    }
    config = (
        PPOConfig(algo_class=MarketPPO)
        .environment("interlude-ad-market", env_config=env_config, disable_env_checking=True)
        .env_runners(
            env_runner_cls=MarketRunner,
            num_env_runners=runners,
            num_envs_per_env_runner=configuration.sampling.markets,
            rollout_fragment_length=configuration.load_scenario().intervals,
        )
        .multi_agent(
            policies=list(configuration.actor_modules),
            policy_mapping_fn=team_of if configuration.networks.monolithic else role_of,
        )
        .rl_module(rl_module_spec=module_specs(configuration, warm_up))
        .learners(learner_class=MarketLearner, num_learners=learners)
        .training(
            train_batch_size_per_learner=batch,
            minibatch_size=batch // configuration.ppo.minibatches,
            num_epochs=configuration.ppo.epochs,
            use_kl_loss=False,
        )
        .fault_tolerance(
            restart_failed_env_runners=True,
            max_num_env_runner_restarts=RESTARTS,
            delay_between_env_runner_restarts_s=1.0,
        )
        .debugging(seed=configuration.seed, log_level="ERROR")
    )
    algorithm: MarketPPO = config.build_algo()
    return algorithm


def role_of(agent_id: str, episode: Any = None, **kwargs: Any) -> str:
    """Role of an agent: `creative_2` → `creative`."""
    return agent_id.rpartition("_")[0]


def team_of(agent_id: str, episode: Any = None, **kwargs: Any) -> str:
    """The module of every agent of a monolithic policy."""
    return TEAM
