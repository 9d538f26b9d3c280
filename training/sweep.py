"""A sweep: many training runs over a space of parameters, on Ray Tune, the best configuration as YAML.

Tune decides which trials go on. Every trial is a run directory of its own with checkpoints of ours; what Tune
pickles for itself is written to a folder that is removed at the end, and never read by a later sweep.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search.basic_variant import BasicVariantGenerator

from envs.errors import ConfigurationError, InterludeError
from envs.output import format_table, write_json, write_text_atomically
from envs.paths import ROOT
from training.cluster import running_ray
from training.configuration import TrainingConfiguration
from training.run_directory import locked
from training.sweep_space import Choices, Parameter, Point, Range, points
from training.trial import ITERATION, OBJECTIVE, TRIAL, TrialSettings, run_trial

Scheduler = Literal["asha", "pbt", "none"]
REDUCTION: Final = 3
"""ASHA lets the best of every three trials go on at a rung, as its authors do."""
RESULTS, BEST = "results.json", "best.yaml"
ENVIRONMENT: Final = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a run directory has logs of its own
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the sweep as it ends every command
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of a configuration stay what they are
}


@dataclass
class TrialResult:
    """A trial, as far as it came."""

    number: int
    parameters: Point
    run_directory: Path
    state: str = "missing"
    iteration: int = 0
    objective_usd: float | None = None
    """Of the last development flights."""
    lift_fraction: float | None = None
    """Over the base team on the same markets."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Every reading with the parameters it was made with."""


class Book(tune.Callback):
    """Keeps what trials tell; lives with the driver."""

    def __init__(self, settings: TrialSettings, found: list[TrialResult], say: Callable[[str], None]) -> None:
        """Of the trials of a sweep, in the order of their numbers."""
        self._settings, self._found, self._say = settings, found, say
        self._numbers: dict[str, int] = {}

    def _held(self, trial: Any) -> TrialResult:
        """The trial's place; PBT copies whole configurations, the donor's number among them."""
        return self._found[self._numbers.setdefault(trial.trial_id, trial.config[TRIAL])]

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial begins, or goes on."""
        self._held(trial).run_directory = self._settings.path(
            trial.trial_id, self._settings.point(trial.config)
        )

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        """A development flight."""
        held = self._held(trial)
        held.parameters = self._settings.point(trial.config)
        held.state, held.iteration = "stopped early", int(result[ITERATION])
        held.objective_usd = float(result[OBJECTIVE])
        held.lift_fraction = float(result["lift_fraction"])
        held.history.append(
            {
                "iteration": held.iteration,
                "objective_usd": held.objective_usd,
                "lift_fraction": held.lift_fraction,
                "parameters": dict(held.parameters),
            }
        )
        if held.iteration >= self._settings.base["iterations"]:
            held.state = "finished"
        told = ", ".join(f"{key}={_short(value)}" for key, value in held.parameters.items())
        self._say(
            f"trial {held.number} ({told}), iteration {held.iteration}: J {held.objective_usd:.0f} USD "
            f"({100 * held.lift_fraction:+.1f}% on base)"
        )

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial that failed; the others go on."""
        held = self._held(trial)
        lines = Path(trial.error_file).read_text(encoding="utf-8").splitlines() if trial.error_file else []
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "its process died")
        held.state = f"failed: {reason}"
        self._say(f"warning: trial {held.number} {held.state}")


@dataclass(frozen=True)
class SweepTable:
    """What came out, the best trial first."""

    trials: list[TrialResult]
    best: TrainingConfiguration

    def text(self) -> str:
        """For the terminal."""
        keys = list(self.trials[0].parameters)
        rows = [
            (
                str(trial.number),
                *(_short(trial.parameters[key]) for key in keys),
                "-" if trial.objective_usd is None else f"{trial.objective_usd:.0f}",
                "-" if trial.lift_fraction is None else f"{100 * trial.lift_fraction:+.2f} %",
                str(trial.iteration),
                trial.state,
            )
            for trial in self.trials
        ]
        header = ("trial", *keys, "J, USD a market", "lift over base", "iteration", "state")
        note = (
            "J: the last development flights, the same markets for all. The best of many was lucky too:\n"
            "train it again with other seeds and compare it on held-out markets."
        )
        return f"{format_table(header, rows)}\n\n{note}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"best": self.best, "trials": self.trials}


@dataclass
class Sweep:
    """A sweep in a directory: run again, it goes on with what was stopped and repeats nothing."""

    configuration: TrainingConfiguration
    parameters: tuple[Parameter, ...]
    samples: int | None
    scheduler: Scheduler
    directory: Path | None = None
    workers: int = 1
    """Trials at a time; a population takes turns, at least two at a time."""
    say: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        """Draws the points and checks every one, before anything is run."""
        every = self.configuration.development.every
        if every == 0:
            raise ConfigurationError("a sweep compares development flights: development.every must not be 0")
        drawn = points(self.parameters, self.samples, self.configuration.seed)
        base = self.configuration.model_dump(mode="json")
        # Trials share processors, so that a budget of time would compare luck; and what Tune stops or clones
        # at a reading must be on disk at that reading.
        base |= {"time_budget_seconds": None, "checkpoint_every": every}
        self.settings = TrialSettings(
            base,
            tuple(parameter.key for parameter in self.parameters),
            self.directory or default_directory(self.configuration, self.scheduler),
            self.scheduler == "pbt",
        )
        for parameter in self.parameters:
            for end in (parameter.low, parameter.high) if isinstance(parameter, Range) else parameter.values:
                self.settings.configuration({**drawn[0], parameter.key: end})
        self.found = [
            TrialResult(number, point, self.settings.path(str(number), point))
            for number, point in enumerate(drawn)
        ]
        for trial in self.found:
            self.settings.configuration(trial.parameters)

    def run(self, ray_address: str | None = None) -> SweepTable:
        """Runs all trials; writes `results.json` and `best.yaml`.

        Raises:
            InterludeError: the directory is in use, holds a population, or no trial came to a reading.
        """
        directory = self.settings.directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InterludeError(f"cannot write {directory}: {error.strerror or error}") from error
        with locked(directory):
            if self.settings.population and (directory / "population").exists():
                raise InterludeError(
                    f"{directory} holds a population: PBT cannot go on with it, choose another directory"
                )
            scratch = directory / ".tune"
            shutil.rmtree(scratch, ignore_errors=True)
            try:
                self._tune(scratch, ray_address)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            table = self._table()
            write_json(directory / RESULTS, table.as_json())
            write_text_atomically(directory / BEST, table.best.to_yaml())
        return table

    def _tune(self, scratch: Path, ray_address: str | None) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        remote = self.configuration.sampling.num_env_runners + self.configuration.num_learners
        bundles = [{"CPU": 1.0}] * (1 + remote)
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        noise = redirect_stdout(sys.stderr)  # Tune prints, and standard output is for the result
        spare = 2 if self.settings.population else 0  # `running_ray` has two CPUs of its own
        with running_ray(max(0, self.workers * len(bundles) - spare), ray_address), noise:
            trainable = tune.with_parameters(run_trial, settings=self.settings)
            tune.Tuner(
                tune.with_resources(trainable, tune.PlacementGroupFactory(bundles)),
                param_space={TRIAL: tune.choice(range(len(self.found)))}
                | {parameter.key: _domain(parameter) for parameter in self.parameters},
                tune_config=tune.TuneConfig(
                    metric=OBJECTIVE,
                    mode="max",
                    num_samples=len(self.found),
                    search_alg=BasicVariantGenerator(
                        points_to_evaluate=[{TRIAL: t.number, **t.parameters} for t in self.found],
                        # A population must be alive together: there Ray's CPUs are the limit, and Tune takes
                        # turns. Else this is, and a trial is finished before the next begins.
                        max_concurrent=0 if self.settings.population else self.workers,
                    ),
                    scheduler=self._scheduler(),
                ),
                # No num_to_keep: with 1, PBT deletes the checkpoint that another trial is about to take over.
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(scratch),
                    verbose=0,
                    stop={ITERATION: self.configuration.iterations},  # or PBT would change what is finished
                    callbacks=[Book(self.settings, self.found, self.say)],
                ),
            ).fit()

    def _scheduler(self) -> Any:
        every, iterations = self.configuration.development.every, self.configuration.iterations
        if self.scheduler == "asha":
            grace = max(1, min(iterations, max(every, iterations // REDUCTION**2)))
            return ASHAScheduler(
                time_attr=ITERATION, max_t=iterations, grace_period=grace, reduction_factor=REDUCTION
            )
        if self.scheduler == "pbt":
            return PopulationBasedTraining(
                time_attr=ITERATION,
                perturbation_interval=every,
                hyperparam_mutations={p.key: _domain(p, mutation=True) for p in self.parameters},
                custom_explore_fn=self._inside,
            )
        return None

    def _inside(self, config: dict[str, Any]) -> dict[str, Any]:
        """PBT multiplies by .8 and 1.2 without looking where that leads."""
        ranges = {p.key: p.clamped(config[p.key]) for p in self.parameters if isinstance(p, Range)}
        return {**config, **ranges}

    def _table(self) -> SweepTable:
        ranked = sorted(self.found, key=lambda t: -math.inf if t.objective_usd is None else t.objective_usd)
        ranked.reverse()
        best = ranked[0]
        if best.objective_usd is None:
            told = "\n  ".join(f"trial {trial.number} {trial.state}" for trial in ranked)
            raise InterludeError(f"no trial came to a development flight:\n  {told}")
        told = (
            f"Best of {len(ranked)} trials ({self.scheduler}): J {best.objective_usd:.0f} USD on "
            f"{self.configuration.development.markets} development markets at iteration {best.iteration}."
        )
        name = {"name": f"{self.configuration.name}-best", "description": told}
        return SweepTable(ranked, self.settings.configuration(best.parameters).model_copy(update=name))


def default_directory(configuration: TrainingConfiguration, scheduler: Scheduler) -> Path:
    """`checkpoints/sweeps/{name}__{hash}__{scheduler}`: the same sweep finds its trials again."""
    name = f"{configuration.name}__{configuration.hash}__s{configuration.seed}__{scheduler}"
    return ROOT / "checkpoints" / "sweeps" / name


def _domain(parameter: Parameter, *, mutation: bool = False) -> Any:
    if isinstance(parameter, Choices):
        return list(parameter.values) if mutation else tune.choice(parameter.values)
    return tune.loguniform(parameter.low, parameter.high)


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
