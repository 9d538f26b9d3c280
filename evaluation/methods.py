"""A method and its training runs: which runs belong together, and what can be said of the method.

`NAME=RUN,RUN,...` groups runs by hand, a folder that holds run directories (or bundles) groups what is in
it. Runs given one by one are grouped by the configuration they share but for the seed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from envs.errors import ConfigurationError, InterludeError
from evaluation.aggregates import THRESHOLDS, Float, fractions_of, interquartile_mean, optimality_gap
from evaluation.intervals import (
    Interval,
    Profile,
    TooFewRunsError,
    better_run_over_runs,
    lift_over_runs,
    over_runs,
    profile_over_runs,
)

_GROUP: Final = re.compile(r"(?P<name>[\w.-]+)=(?P<runs>[^=].*)")
_MARKS: Final = ("config.yaml", "manifest.json")
"""Files that make a folder a run directory or a bundle."""


@dataclass(frozen=True)
class MethodVersus:
    """One method against another, the training runs of both drawn again."""

    lift: Interval
    """Lift of mean J."""
    better_run: Interval
    """Probability that a run of the one beats a run of the other."""


@dataclass(frozen=True, eq=False)
class MethodFigures:
    """What an `over_runs` interval may stand on: five training runs or more."""

    objective: Interval
    """Mean J of its runs, USD a market."""
    lift: Interval
    """Lift of J over the baseline, which is held fixed."""
    interquartile_mean: Interval
    """Of its runs' J as fractions of the reference."""
    optimality_gap: Interval
    probability_of_improvement: Interval
    """Share of its runs whose mean J beats the baseline's."""
    profile: Profile
    versus: Mapping[str, MethodVersus] = field(default_factory=dict)
    """By the name of every other method that has enough runs."""


@dataclass(frozen=True, eq=False)
class Method:
    """A method, its runs, and its figures or why there are none."""

    name: str
    runs: tuple[str, ...]
    """Names of its training runs, each counted once."""
    figures: MethodFigures | None
    refusal: str | None = None


def ungrouped(arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """TEAM arguments one by one, and which of them were given as one method.

    Raises:
        InterludeError: two groups of one name.
        ConfigurationError: a group without runs.
    """
    single: list[str] = []
    groups: dict[str, list[str]] = {}
    for argument in arguments:
        found = _group(argument)
        if found is None:
            single.append(argument)
            continue
        name, runs = found
        if name in groups:
            raise InterludeError(f"two methods are called {name!r}: give one of them as NAME=RUN,RUN,...")
        groups[name] = list(dict.fromkeys(runs))
        single += groups[name]
    return single, groups


def _group(argument: str) -> tuple[str, list[str]] | None:
    """Name and runs of a TEAM argument that stands for several runs."""
    match = _GROUP.fullmatch(argument)
    if match is not None:
        runs = [run for run in match["runs"].split(",") if run]
        if len(runs) == 1 and (inside := _runs_in(Path(runs[0]))):
            runs = inside
        return match["name"], runs
    inside = _runs_in(Path(argument))
    return (Path(argument).resolve().name, inside) if inside else None


def _runs_in(folder: Path) -> list[str]:
    """Run directories and bundles right inside a folder that is neither itself; none for anything else."""
    if not folder.is_dir() or any((folder / mark).is_file() for mark in _MARKS):
        return []
    return sorted(
        str(child)
        for child in folder.iterdir()
        if child.is_dir() and any((child / mark).is_file() for mark in _MARKS)
    )


def check_trained(name: str, run: str, learned: bool) -> None:
    """Refuses a member of a method that was never trained.

    Raises:
        ConfigurationError: the run learned no role.
    """
    if not learned:
        raise ConfigurationError(
            f"method {name!r}: {run} learned no role; a method's runs are run directories or bundles of "
            f"training runs that differ in their seed"
        )


def methods_of(
    runs: Mapping[str, Mapping[str, float]], baseline: float, reference: float
) -> dict[str, Method]:
    """What can be said of every method.

    Args:
        runs: mean J of each run, by method and run.
        baseline: mean J of the baseline on the same markets.
        reference: mean J that counts as 1.
    """
    scores = {name: np.array(list(own.values())) for name, own in runs.items()}
    enough: list[str] = []
    found: dict[str, Method] = {}
    for name, own in runs.items():
        try:
            figures = _figures(scores[name], baseline, reference)
        except TooFewRunsError as refusal:
            found[name] = Method(name, tuple(own), None, str(refusal))
        else:
            enough.append(name)
            found[name] = Method(name, tuple(own), figures)
    for name, method in found.items():
        if method.figures is None:
            continue
        versus = {
            other: MethodVersus(
                lift_over_runs(scores[name], scores[other]), better_run_over_runs(scores[name], scores[other])
            )
            for other in enough
            if other != name
        }
        found[name] = replace(method, figures=replace(method.figures, versus=versus))
    return found


def _figures(scores: Float, baseline: float, reference: float) -> MethodFigures:
    """Figures of runs' mean J [R]."""
    fractions = fractions_of(scores, np.asarray(reference))
    return MethodFigures(
        objective=over_runs(scores),
        lift=over_runs(scores, baseline),
        interquartile_mean=over_runs(fractions, aggregate=interquartile_mean),
        optimality_gap=over_runs(fractions, aggregate=optimality_gap),
        probability_of_improvement=over_runs((scores > baseline) + 0.5 * (scores == baseline)),
        profile=profile_over_runs(fractions, THRESHOLDS),
    )
