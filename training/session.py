"""One training session: from a run directory to trained policies, whatever happens in between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from envs.state import Float
from evaluation.metrics import OBJECTIVE, mean_over_markets
from evaluation.rollout import Course, play
from policies.critic_orchestrator import OWN_CRITIC, CriticOrchestrator, critic_of_network
from policies.registry import make_team
from policies.weights import actors_of
from training import checkpoint as store
from training.algorithm import MarketPPO, build_algorithm
from training.batch import HEAD_PARTS
from training.checkpoint import Checkpoint, Counters
from training.cluster import running_ray
from training.configuration import TrainingConfiguration
from training.profiler import FILE, profiled
from training.rllib import (
    LEARNER_RESULTS,
    TIMERS,
)
from training.rollout import Rollout, learned_desk, learning_team, taste_pool
from training.run_directory import RunDirectory
from training.tensorboard import RunWriter
from training.warm_up import warm_up

Record = dict[str, Any]
LEARNER_METRICS = (
    *("policy_loss", "value_loss", "entropy", "kl", "clipped_fraction", "gradient_norm", "learning_rate"),
    *("teacher_gap", "belief_error", "explained_variance", "observable_explained_variance", "value_mean"),
    *(f"explained_variance_{head}" for head in HEAD_PARTS),
)


@dataclass
class Session:
    """Trains a run from where it stands to its end.

    On Ctrl-C or SIGTERM the last whole iteration is saved before the exception goes on.
    """

    run: RunDirectory
    listening_history: Path | None = None
    ray_address: str | None = None
    report: Callable[[Record], None] = lambda record: None
    say: Callable[[str], None] = lambda text: None
    profile: bool = False
    """Write where the time goes into the run directory."""
    last: Record = field(default_factory=dict)

    def train(self, *, resume: bool = False) -> Record:
        """Plays all iterations and leaves checkpoint, policies, log and event files in the run directory."""
        configuration = self.run.configuration
        found = self._found() if resume else None
        if found and self._over(found.counters):
            return self._was_over(found.counters)
        workers = configuration.sampling.num_env_runners + configuration.num_learners
        begin = "going on with" if found else "training"
        self.say(f"{begin} {configuration.name} on scenario {configuration.scenario} in {self.run.path}")
        pool = taste_pool(self.listening_history)
        start = found.warm_up if found else warm_up(configuration, pool)
        with running_ray(workers, self.ray_address):
            algorithm = build_algorithm(configuration, start, self.listening_history)
            try:
                if found:
                    store.restore(algorithm, found)
                file = self.run.path / FILE
                with profiled(file, algorithm.phases, self.say) if self.profile else nullcontext():
                    return self._loop(algorithm, found or store.capture(algorithm, Counters(), start))
            finally:
                algorithm.stop()

    def _was_over(self, counters: Counters) -> Record:
        """Says what would let a run that is over go on; its last record."""
        configuration = self.run.configuration
        limits = [f"iterations={configuration.iterations}"]
        if configuration.time_budget_seconds is not None:
            limits.append(f"time_budget_seconds={configuration.time_budget_seconds:g}")
        self.say(
            f"{self.run.path} is over: it stands at iteration {counters.iteration} after "
            f"{counters.elapsed_seconds:.0f} s of {' and '.join(limits)}; raise them with --set to go on"
        )
        lines = self.run.progress_file.read_text(encoding="utf-8").splitlines()
        last: Record = json.loads(lines[-1]) if lines else {}
        return last

    def _found(self) -> Checkpoint:
        found, faults = store.load(self.run.path)
        for fault in faults:
            self.say(f"warning: {fault}; going on from the checkpoint before it")
        self.run.rewind_progress(found.counters.iteration)
        return found

    def _loop(self, algorithm: MarketPPO, state: Checkpoint) -> Record:
        configuration = self.run.configuration
        writer = RunWriter(self.run.path, configuration, resumed=state.counters.iteration > 0)
        self._base: Float | None = None
        if configuration.development.every and state.counters.best_objective_usd is None:
            state, start = self._develop(state)
            self.say(f"before training: J {start['objective_usd']:,.0f} USD on development markets")
        began = time.monotonic() - state.counters.elapsed_seconds
        saved: Checkpoint | None = None
        losses = 0
        try:
            while not self._over(state.counters):
                algorithm.progress = progress(configuration, state.counters)
                result = algorithm.train()
                done = state.counters
                counters = replace(
                    done,
                    iteration=done.iteration + 1,
                    market_steps=done.market_steps + sum(r.env_steps() for r in algorithm.rollouts),
                    elapsed_seconds=time.monotonic() - began,
                )
                state = store.capture(algorithm, counters, state.warm_up)
                record = iteration_record(configuration, result, algorithm.rollouts, counters, done)
                losses += len(algorithm.losses)
                if configuration.sampling.num_env_runners:
                    record["runners"] = self._runners(algorithm, losses)
                if self._is_due(configuration.development.every, counters):
                    with algorithm.phases("development"):
                        state, record["development"] = self._develop(state)
                self.last = record
                self.run.append_progress(record)
                writer.write(record, algorithm.rollouts)
                if self._is_due(configuration.checkpoint_every, counters):
                    with algorithm.phases("saving"):
                        self._save(state)
                    saved = state
                self.report(record)
        except (KeyboardInterrupt, SystemExit):
            self._save(state)
            self.say(f"interrupted: iteration {state.counters.iteration} is saved; --resume goes on from it")
            raise
        finally:
            writer.close()
        if saved is not state:
            self._save(state)
        return self.last

    def _runners(self, algorithm: MarketPPO, losses: int) -> Record:
        """How many remote runners gave samples; the losses of this iteration are told."""
        asked, answered = self.run.configuration.sampling.num_env_runners, len(algorithm.rollouts)
        for loss in algorithm.losses:
            self.say(f"warning: {loss}; the iteration has {answered} of {asked} runners")
        return {"asked": asked, "answered": answered, "lost_so_far": losses}

    def _save(self, state: Checkpoint) -> None:
        store.save(self.run.path, state)
        measured = state.counters.best_objective_usd is not None
        store.save_policies(self.run.path, state, self.run.configuration, keep_actors=measured)

    def _over(self, counters: Counters) -> bool:
        return progress(self.run.configuration, counters) >= 1.0

    def _is_due(self, every: int, counters: Counters) -> bool:
        return every > 0 and (counters.iteration % every == 0 or self._over(counters))

    def _develop(self, state: Checkpoint) -> tuple[Checkpoint, Record]:
        """Objective of the deterministic actors and of the base team on the same development markets.

        The policies that are best there are the run's policies, those before training among them. They are
        judged with the base team's orchestrator; what they earn where the critic splits budgets is told too.
        """
        configuration = self.run.configuration
        pool = taste_pool(self.listening_history)
        markets = configuration.development.markets
        course = Course(configuration.load_scenario(), "development", 0, markets, taste_pool=pool)
        if self._base is None:
            base = make_team(configuration.base_team, attribution=configuration.attribution)
            self._base = play(base, course).metrics[OBJECTIVE]
        networks = store.networks_of(state, configuration)
        team = learning_team(
            configuration, actors_of(networks), sample=False, desk=state.warm_up.desk(configuration)
        )
        mine = play(team, course).metrics[OBJECTIVE]
        split = {}
        if configuration.orchestrator == OWN_CRITIC:
            director = CriticOrchestrator(critic_of_network(networks["critic"]), learned_desk(team))
            split_team = replace(team, policies={**team.policies, "orchestrator": director})
            split = {"by_critic_objective_usd": float(play(split_team, course).metrics[OBJECTIVE].mean())}
        objective_usd, counters = float(mine.mean()), state.counters
        if counters.best_objective_usd is None or objective_usd > counters.best_objective_usd:
            counters = replace(counters, best_iteration=counters.iteration, best_objective_usd=objective_usd)
            state = replace(state, counters=counters)
            store.save_policies(self.run.path, state, configuration)
        return state, {
            "objective_usd": objective_usd,
            "best_objective_usd": counters.best_objective_usd,
            "best_iteration": counters.best_iteration,
            "base_objective_usd": float(self._base.mean()),
            "lift_fraction": float(mine.mean() / self._base.mean() - 1.0),
            "better_fraction": float((mine > self._base).mean()),
            **split,
        }


def progress(configuration: TrainingConfiguration, counters: Counters) -> float:
    """Share of the run that is over, by iterations or, where it is set, by the time budget."""
    share = counters.iteration / configuration.iterations
    if configuration.time_budget_seconds is not None:
        share = max(share, counters.elapsed_seconds / configuration.time_budget_seconds)
    return min(1.0, share)


def iteration_record(
    configuration: TrainingConfiguration,
    result: Record,
    rollouts: list[Rollout],
    counters: Counters,
    before: Counters,
) -> Record:
    """What is logged of an iteration."""
    kpis = {
        tag: float(mean_over_markets(np.concatenate([r.kpis[tag] for r in rollouts])))
        for tag in rollouts[0].kpis
    }
    learner = {
        module: {name: float(values[name]) for name in LEARNER_METRICS if name in values}
        for module, values in result[LEARNER_RESULTS].items()
    }
    seconds = max(1e-9, counters.elapsed_seconds - before.elapsed_seconds)
    return {
        "iteration": counters.iteration,
        "market_steps": counters.market_steps,
        "elapsed_seconds": counters.elapsed_seconds,
        "progress": progress(configuration, counters),
        "kpis": kpis,
        "learner": {module: values for module, values in learner.items() if values},
        "throughput": {
            "market_steps_per_second": (counters.market_steps - before.market_steps) / seconds,
            "sample_seconds": float(result[TIMERS]["env_runner_sampling_timer"]),
            "learn_seconds": float(result[TIMERS]["learner_update_timer"]),
        },
    }
