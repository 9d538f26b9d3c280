"""Runs a study: trains and evaluates what is missing, unit by unit; whatever is finished is never redone.

| path | holds |
|---|---|
| `runs/<key>/` | a training unit: a run directory, and `finished.json` once it is whole |
| `evaluations/<key>.json` | an evaluation unit |
| `table.md`, `table.json` | the study's table |

A unit's key is a hash of all that it depends on, so a changed study redoes what changed and no more. A
training unit that was broken off goes on from its last checkpoint. Its key covers configuration, seed,
scenario, tuned knobs, observations and the market's kernels, not the training code, for a comment there is
no reason to train for days again: `finished.json` has the commit, and the table says where commits differ.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from envs.errors import ConfigurationError, InterludeError
from envs.kernel import SOURCE_DIGEST
from envs.observation import schema_hash
from envs.output import write_json, write_text_atomically
from envs.paths import ROOT
from envs.scenario import load_scenario
from evaluation.rollout import BATCH_SIZE, Course
from evaluation.sources import TeamSource
from evaluation.study import Study, Variant
from evaluation.study_table import TABLE, Costs, StudyTable, TrainingCost, study_table
from evaluation.study_unit import EvaluationUnit, Played, Results, digest
from policies.folders import read_manifest
from policies.registry import DESK_TEAM, tuned_knobs
from training.configuration import TrainingConfiguration, load_training
from training.run_directory import RunDirectory, git_commit, locked

FINISHED: Final = "finished.json"
Report = Callable[[dict[str, Any]], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingUnit:
    """One training run of a study."""

    configuration: TrainingConfiguration

    @cached_property
    def key(self) -> str:
        """Names the run by what decides what it learns."""
        own = {"name", "description", "scenario"}
        configuration = self.configuration.model_dump(mode="json", exclude=own)
        scenario = self.configuration.load_scenario().model_dump(mode="json", exclude={"description"})
        knobs = [tuned_knobs(team) for team in (self.configuration.base_team, DESK_TEAM)]
        return digest(configuration, scenario, knobs, schema_hash(), SOURCE_DIGEST)

    def path(self, directory: Path) -> Path:
        """Its run directory."""
        return directory / "runs" / self.key

    def finished(self, directory: Path) -> dict[str, Any] | None:
        """What was kept of it, None until it is whole."""
        try:
            kept = json.loads((self.path(directory) / FINISHED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return kept if isinstance(kept, dict) else None

    def cost(self, directory: Path) -> TrainingCost:
        """What it took, once it is whole."""
        told = read_manifest(self.path(directory) / "policies")
        return TrainingCost(told["iteration"], told["market_steps"], told["elapsed_seconds"])

    def train(self, directory: Path, report: Report, say: Say) -> None:
        """Trains it, from its last checkpoint where there is one; marks it finished when it is."""
        from training.session import Session

        path = self.path(directory)
        resume = any((path / name / "manifest.json").is_file() for name in _CHECKPOINTS)
        if resume:
            run = RunDirectory.reopen(path, [])
        else:
            shutil.rmtree(path, ignore_errors=True)  # stopped before anything was learned
            run = RunDirectory.create(path, self.configuration)
        try:
            Session(run, report=report, say=say).train(resume=resume)
            write_json(path / FINISHED, {"key": self.key, "git_commit": git_commit()})
        finally:
            run.close()


_CHECKPOINTS = ("checkpoint", "checkpoint.previous")


class Member(NamedTuple):
    """One team of a variant: a run by its seed or path, or the team itself."""

    variant: str
    run: str
    argument: str
    """TEAM, once what has to be trained is."""
    trainings: tuple[TrainingUnit, ...] = ()
    """None for a team that exists, several where roles are trained apart."""


class Step(NamedTuple):
    """A unit of a plan, and where it stands."""

    kind: str
    """`train` or `evaluate`."""
    variants: str
    run: str
    scenario: str
    key: str
    """Empty for an evaluation of what is not trained yet: it depends on what will have been learned."""
    state: str
    """`finished`, `begun` or `missing`."""


@dataclass
class StudyRun:
    """A study in its directory.

    Everything that it names is looked up when it is made, so that a fault shows before the first hour.

    Raises:
        UnknownNameError: a team, role, scenario or training configuration that does not exist.
        ConfigurationError: one that is not valid.
    """

    study: Study
    directory: Path
    say: Say = lambda text: None
    report: Report = lambda record: None
    """Is told of every iteration of a training run."""

    def __post_init__(self) -> None:
        """Resolves the study's names."""
        self.courses = {name: self._course(name) for name in self.study.scenarios}
        self.members = [
            m for name, variant in self.study.variants.items() for m in self._members(name, variant)
        ]

    def plan(self) -> list[Step]:
        """Every unit once, and where it stands; nothing is run."""
        steps = []
        for unit, members in self._trainings():
            begun = "begun" if unit.path(self.directory).exists() else "missing"
            state = "finished" if unit.finished(self.directory) else begun
            steps.append(
                Step("train", _names(members), members[0].run, unit.configuration.scenario, unit.key, state)
            )
        seen: set[tuple[str, str]] = set()
        for scenario in self.courses:
            for member in self.members:
                if (member.argument, scenario) in seen:
                    continue
                seen.add((member.argument, scenario))
                same = [other for other in self.members if other.argument == member.argument]
                key, state = "", "missing"
                if all(unit.finished(self.directory) for unit in member.trainings):
                    evaluation = self._evaluation(member, scenario)
                    key, kept = evaluation.key, evaluation.load(self._evaluations)
                    state = "missing" if kept is None else "finished"
                steps.append(Step("evaluate", _names(same), member.run, scenario, key, state))
        return steps

    def run(self, pool: Executor | None = None) -> StudyTable:
        """Trains and evaluates what is missing, then writes the table.

        Raises:
            InterludeError: another process works in the directory, or it cannot be written.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InterludeError(f"cannot write {self.directory}: {error.strerror or error}") from error
        lock = locked(self.directory)
        try:
            self._train()
            table = study_table(self.study, self._evaluate(pool), self._commits(), self._costs())
            write_text_atomically(self.directory / f"{TABLE}.md", table.markdown())
            write_json(self.directory / f"{TABLE}.json", table.as_json())
        finally:
            lock.close()
        return table

    def _train(self) -> None:
        missing = [(u, members) for u, members in self._trainings() if not u.finished(self.directory)]
        if not missing:
            return
        from training.cluster import running_ray

        sizes = [u.configuration.sampling.num_env_runners + u.configuration.num_learners for u, _ in missing]
        with running_ray(max(sizes)):
            for index, (unit, members) in enumerate(missing):
                self.say(f"[training {index + 1} of {len(missing)}] {_names(members)}, {members[0].run}")
                unit.train(self.directory, self.report, self.say)

    def _evaluate(self, pool: Executor | None) -> Results:
        results: dict[str, dict[str, dict[str, Played]]] = {}
        for scenario in self.courses:
            for member in self.members:
                unit = self._evaluation(member, scenario)
                played = unit.load(self._evaluations)
                if played is None:
                    self.say(f"[evaluation] {scenario}: {member.variant}, {member.run}")
                    played = unit.play(self._evaluations, pool)
                results.setdefault(scenario, {}).setdefault(member.variant, {})[member.run] = played
        return results

    def _commits(self) -> dict[str, list[str]]:
        found: dict[str, set[str]] = {}
        for member in self.members:
            for unit in member.trainings:
                kept = unit.finished(self.directory) or {}
                found.setdefault(member.variant, set()).add(str(kept.get("git_commit")))
        return {variant: sorted(commits) for variant, commits in found.items()}

    def _costs(self) -> Costs:
        found: dict[str, dict[str, TrainingCost]] = {}
        for member in self.members:
            if member.trainings:
                parts = [unit.cost(self.directory) for unit in member.trainings]
                total = TrainingCost(*(sum(column) for column in zip(*parts, strict=True)))
                found.setdefault(member.variant, {})[member.run] = total
        return found

    @property
    def _evaluations(self) -> Path:
        return self.directory / "evaluations"

    def _evaluation(self, member: Member, scenario: str) -> EvaluationUnit:
        return EvaluationUnit(member.argument, self.courses[scenario], self.study.sample)

    def _trainings(self) -> list[tuple[TrainingUnit, list[Member]]]:
        """Every training unit once, with the members that share it."""
        found: dict[str, tuple[TrainingUnit, list[Member]]] = {}
        for member in self.members:
            for unit in member.trainings:
                found.setdefault(unit.key, (unit, []))[1].append(member)
        return list(found.values())

    def _course(self, scenario: str) -> Course:
        study = self.study
        batch = min(study.markets, BATCH_SIZE)
        return Course(load_scenario(scenario), study.split, study.market_seed, study.markets, batch)

    def _members(self, name: str, variant: Variant) -> list[Member]:
        if not variant.compose and variant.training is None:
            named = (variant.team,) if variant.team is not None else variant.runs
            members = [Member(name, team, variant.replaced(team)) for team in named if team is not None]
            for member in members:
                TeamSource(member.argument, self.study.sample).resolve()
            return members
        TeamSource(variant.replaced(DESK_TEAM)).resolve()
        make = self._composed if variant.compose else self._trained
        return [make(name, variant, seed) for seed in self.study.seeds]

    def _trained(self, name: str, variant: Variant, seed: int) -> Member:
        unit = self._unit(variant, seed)
        run = str(unit.path(self.directory))
        return Member(name, f"seed {seed}", variant.replaced(run), (unit,))

    def _composed(self, name: str, variant: Variant, seed: int) -> Member:
        """The first role's run, and every other role out of its own."""
        units = {}
        for role, source in variant.compose.items():
            units[role] = self._unit(self.study.variants[source], seed)
            learned = units[role].configuration.learned_roles
            if role not in learned:
                raise ConfigurationError(
                    f"variants.{name}.compose.{role}: {source!r} does not learn {role}; it learns "
                    f"{', '.join(learned)}"
                )
        first, *others = ((role, str(unit.path(self.directory))) for role, unit in units.items())
        team = "".join([first[1], *(f"+{role}={run}" for role, run in others)])
        trainings = {unit.key: unit for unit in units.values()}
        return Member(name, f"seed {seed}", variant.replaced(team), tuple(trainings.values()))

    def _unit(self, variant: Variant, seed: int) -> TrainingUnit:
        return TrainingUnit(load_training(str(variant.training), self.study.settings(variant), seed))


def default_directory(study: Study) -> Path:
    """`checkpoints/studies/{name}`."""
    return ROOT / "checkpoints" / "studies" / study.name


def _names(members: list[Member]) -> str:
    return ", ".join(dict.fromkeys(member.variant for member in members))
