"""One trial of a sweep: a whole training session that reports to Ray Tune."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ray import tune

from envs.configuration import apply_overrides, validate
from envs.output import write_json
from training import checkpoint as store
from training.configuration import TrainingConfiguration
from training.run_directory import BusyDirectoryError, RunDirectory
from training.session import Record, Session
from training.sweep_space import Point, overrides

TRIAL, ITERATION, OBJECTIVE = "trial", "iteration", "objective_usd"
"""Keys of what a trial gets and tells, beside the parameters and the development figures."""
READING: Final = "reading.json"
HANDOVER_SECONDS: Final = 60.0


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a sweep share; small, for it travels to every one of them."""

    base: dict[str, Any]
    """The configuration that parameters are put into, as plain data."""
    keys: tuple[str, ...]
    directory: Path
    population: bool
    """Whether trials take over each other's networks (PBT): then they hand them to Tune."""

    def point(self, config: dict[str, Any]) -> Point:
        """The parameters among what Tune gives a trial."""
        return {key: config[key] for key in self.keys}

    def configuration(self, point: Point) -> TrainingConfiguration:
        """The configuration of a point.

        Raises:
            ConfigurationError: an unknown key, or a value that is not valid.
        """
        settings = apply_overrides(self.base, overrides(point))
        return validate(TrainingConfiguration, settings, "sweep")

    def path(self, name: str, point: Point) -> Path:
        """Where a trial's run is kept: by what it learns, so that the same trial is never run twice.

        In a population what it learns with changes on the way, and its name at Tune must do.
        """
        if self.population:
            return self.directory / "population" / name
        configuration = self.configuration(point)
        return self.directory / "trials" / f"{configuration.hash}__s{configuration.seed}"


def run_trial(config: dict[str, Any], settings: TrialSettings) -> None:
    """Trains; tells Tune of every development flight, and what an earlier call of the same trial had told."""
    point = settings.point(config)
    given = tune.get_checkpoint()
    path = settings.path(tune.get_context().get_trial_id(), point)
    run, resume = _opened(path, settings.configuration(point), point)

    def report(record: Record) -> None:
        if "development" not in record:
            return
        told = {ITERATION: record["iteration"], **record["development"]}
        if not settings.population:
            tune.report(told)
            return
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(run.path / store.FOLDER, Path(folder) / store.FOLDER)
            write_json(Path(folder) / READING, record)
            tune.report(told, checkpoint=tune.Checkpoint.from_directory(folder))

    try:
        if given is not None:
            with given.as_directory() as folder:
                taken = store.load(Path(folder))[0]
                reading = json.loads((Path(folder) / READING).read_text(encoding="utf-8"))
            store.save(run.path, taken)
            resume = True
            if taken.counters.iteration >= settings.base["iterations"]:  # of one that had finished already
                run.rewind_progress(taken.counters.iteration - 1)
                run.append_progress({**reading, "taken_over": True})
                report(reading)
        elif resume:
            run.rewind_progress(store.load(run.path)[0].counters.iteration)
            for line in run.progress_file.read_text(encoding="utf-8").splitlines():
                report(json.loads(line))
        Session(run, report=report).train(resume=resume)
    finally:
        run.close()


def _opened(path: Path, configuration: TrainingConfiguration, point: Point) -> tuple[RunDirectory, bool]:
    """A trial's run directory, and whether it holds a checkpoint to go on from."""
    deadline = time.monotonic() + HANDOVER_SECONDS
    while True:
        try:
            if any((path / folder).is_dir() for folder in (store.FOLDER, f"{store.FOLDER}.previous")):
                return RunDirectory.reopen(path, overrides(point)), True
            shutil.rmtree(path, ignore_errors=True)  # stopped before there was anything to keep
            return RunDirectory.create(path, configuration), False
        except BusyDirectoryError:  # the process that had this trial before is still ending
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
