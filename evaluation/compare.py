"""Who is better: teams on the same markets, their figures, and how sure each comparison is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from envs.errors import InterludeError
from evaluation.aggregates import (
    THRESHOLDS,
    Float,
    cohens_d,
    fractions_of,
    improvements,
    interquartile_mean,
    lift,
    minimal_detectable_effect,
    optimality_gap,
)
from evaluation.comparison import Absolute, Comparison, Headline, Standing, Versus
from evaluation.intervals import MarketBootstrap
from evaluation.methods import Method, check_trained, methods_of, ungrouped
from evaluation.metrics import HEADLINES, OBJECTIVE
from evaluation.rollout import Course, Progress, TeamResult, play, play_with_workers, worker_pool
from evaluation.sources import ALL_SCRIPTED, Entrant, Knowledge, TeamSource, expand
from policies.team import Team

DEFAULT_BASELINE: Final = "shadow-price"
SILOED: Final = "siloed"
"""The ad server whose agents mind their own business each: it takes part in every comparison."""
MONOLITHIC: Final = "monolithic"
"""One learner for all roles: a team or method of this name that takes part is a headline's baseline too."""
REFERENCE: Final = "oracle"
"""The team whose J counts as 1 where it takes part; else the baseline's does."""
ABSOLUTE_FACTOR: Final = 10
"""The absolute metric (Colas et al. 2018, Gorsane et al. 2022) is measured on so many times the markets."""

ABSOLUTE_LABEL: Final = " (absolute)"
"""Stands behind a team's name while it is played for its absolute metric."""

Watch = Callable[[str, int], None]
"""Is told a team's name and how many of its markets have been played."""

__all__ = [
    "ABSOLUTE_FACTOR",
    "ABSOLUTE_LABEL",
    "DEFAULT_BASELINE",
    "MONOLITHIC",
    "SILOED",
    "Absolute",
    "Comparison",
    "Headline",
    "Standing",
    "Versus",
    "Watch",
    "compare",
]


@dataclass(frozen=True)
class _Entered:
    """A team that was entered: how workers make it (None for an object), and how its results are read."""

    entrant: Entrant
    source: TeamSource | None

    def play(self, course: Course, pool: Executor | None, watch: Watch | None, label: str = "") -> TeamResult:
        """Plays it through a course."""
        progress = _counted(watch, self.entrant.name + label)
        if pool is not None and self.source is not None:
            return replace(play_with_workers(pool, self.source, course, progress), team=self.entrant.name)
        return play(self.entrant.team, course, progress)


def compare(
    teams: Sequence[str | Team],
    course: Course,
    *,
    baseline: str = DEFAULT_BASELINE,
    sample: bool = False,
    workers: int = 1,
    absolute: bool = False,
    watch: Watch | None = None,
) -> Comparison:
    """Plays teams through a course and compares them; baseline and `siloed` take part in any case.

    Args:
        teams: TEAM arguments (see `evaluation.sources` and, for several runs of a method,
            `evaluation.methods`), or teams.
        course: the markets that all of them meet.
        baseline: the team whose J lifts are measured against.
        sample: whether learned policies sample their actions.
        workers: processes that play; no figure depends on it. Teams given as objects are played here.
        absolute: whether the leading team is played again, on ten times the markets.
        watch: is told of progress.

    Raises:
        InterludeError: two teams share a name.
        UnknownNameError: a TEAM that means nothing.
        ConfigurationError: a method with a run that was never trained.
    """
    if baseline == ALL_SCRIPTED:
        raise InterludeError(f"the baseline is one team, and {ALL_SCRIPTED!r} stands for several")
    named, groups = ungrouped([team for team in teams if isinstance(team, str)])
    entered = _entered([*named, baseline, SILOED], [team for team in teams if isinstance(team, Team)], sample)
    by_argument = {team.entrant.argument: team.entrant for team in entered}
    for method, runs in groups.items():
        for run in runs:
            check_trained(method, run, by_argument[run].learned)
    base = by_argument[baseline]
    with worker_pool(workers) as pool:
        results = [team.play(course, pool, watch) for team in entered]
        comparison = _comparison([team.entrant for team in entered], results, course, base.name, groups)
        if absolute:
            chosen = [t for t in entered if t.entrant.name in (comparison.hero.entrant.name, base.name)]
            again = _own_markets(course)
            replayed = [team.play(again, pool, watch, ABSOLUTE_LABEL) for team in chosen]
            comparison = replace(comparison, absolute=_absolute(replayed, again, comparison))
    return comparison


def _own_markets(course: Course) -> Course:
    """The course of the absolute metric: what follows the markets by which the team was chosen."""
    return replace(
        course,
        first_market=course.first_market + course.num_markets,
        num_markets=ABSOLUTE_FACTOR * course.num_markets,
    )


def _entered(arguments: Sequence[str], teams: Sequence[Team], sample: bool) -> list[_Entered]:
    """All teams that take part, under names that tell them apart."""
    entered = [_Entered(source.resolve(), source) for source in expand(arguments, sample)]
    entered += [_Entered(_entrant_of(team), None) for team in teams]
    for name in _twice(entered):  # two runs of one name: their paths tell them apart
        for one in entered:
            if one.source is not None and one.entrant.name == name:
                one.entrant.team.name = one.entrant.argument
    twice = _twice(entered)
    if twice:
        raise InterludeError(f"teams need different names to be told apart; named twice: {', '.join(twice)}")
    return entered


def _twice(entered: Sequence[_Entered]) -> list[str]:
    """Names that more than one entrant has."""
    names = [one.entrant.name for one in entered]
    return sorted({name for name in names if names.count(name) > 1})


def _comparison(
    entrants: Sequence[Entrant],
    results: Sequence[TeamResult],
    course: Course,
    baseline: str,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    names = [entrant.name for entrant in entrants]
    reference = REFERENCE if REFERENCE in names else baseline
    objective = np.stack([result.metrics[OBJECTIVE] for result in results])  # [K, n]
    standings = _standings(entrants, results, objective, objective[names.index(reference)])
    fair = [standing for standing in standings if standing.entrant.knowledge != "privileged"]
    hero = next((standing for standing in fair if standing.entrant.learned), (fair or standings)[0])
    mean_objective = dict(zip(names, objective.mean(1).tolist(), strict=True))
    runs = _runs_by_method(standings, groups or {})
    methods = methods_of(
        {method: {run: mean_objective[run] for run in own} for method, own in runs.items()},
        baseline=mean_objective[baseline],
        reference=mean_objective[reference],
    )
    return Comparison(
        course=course,
        baseline=baseline,
        reference=reference,
        standings=tuple(standings),
        hero=hero,
        headlines=tuple(_headlines(hero, standings, methods)),
        methods=methods,
    )


def _standings(
    entrants: Sequence[Entrant], results: Sequence[TeamResult], objective: Float, reference: Float
) -> list[Standing]:
    """Every team's standing, best first; J [K, n], that of the reference [n]."""
    bootstrap, names = MarketBootstrap(objective), [entrant.name for entrant in entrants]
    pairs = [(a, b) for a in range(len(names)) for b in range(len(names)) if b != a]
    won = (
        bootstrap.shares(np.stack([improvements(objective[a], objective[b]) for a, b in pairs]))
        if pairs
        else []
    )
    versus: dict[str, dict[str, Versus]] = defaultdict(dict)
    for (a, b), share in zip(pairs, won, strict=True):
        differences = objective[a] - objective[b]
        least = np.asarray(minimal_detectable_effect(differences))
        mean = np.asarray(objective[b].mean())
        versus[names[a]][names[b]] = Versus(
            lift=bootstrap.lift(a, b),
            difference=bootstrap.difference(a, b),
            cohens_d=cohens_d(differences),
            probability_of_improvement=share,
            minimal_detectable_fraction=float(lift(mean + least, mean)),
        )
    standings = []
    for a, (entrant, result) in enumerate(zip(entrants, results, strict=True)):
        fractions = fractions_of(objective[a], reference)
        standings.append(
            Standing(
                entrant=entrant,
                result=result,
                objective=bootstrap.mean(a),
                interquartile_mean=bootstrap.aggregate(objective[a], interquartile_mean),
                optimality_gap=bootstrap.aggregate(fractions, optimality_gap),
                profile=bootstrap.profile(fractions, THRESHOLDS),
                versus=versus[entrant.name],
            )
        )
    return sorted(standings, key=lambda standing: -standing.objective.estimate)


def _headlines(
    hero: Standing, standings: Sequence[Standing], methods: Mapping[str, Method]
) -> list[Headline]:
    """What the hero does better than each kind of ad server it is to replace."""
    found = []
    for baseline in (SILOED, MONOLITHIC):
        names = methods[baseline].runs if baseline in methods else (baseline,)
        others = [standing for standing in standings if standing.entrant.name in names]
        if not others or (baseline == MONOLITHIC and hero in others):
            continue
        for result, tag in HEADLINES:
            theirs = np.mean([other.result.metrics[tag] for other in others], 0)
            bootstrap = MarketBootstrap([hero.result.metrics[tag], theirs])
            found.append(
                Headline(result, tag, hero.mean(tag), baseline, float(theirs.mean()), bootstrap.lift(0, 1))
            )
    return found


def _runs_by_method(
    standings: Sequence[Standing], groups: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Names of every method's runs: grouped by the user, else by the configuration they share."""
    by_argument = {standing.entrant.argument: standing for standing in standings}
    found = {name: [by_argument[run] for run in runs] for name, runs in groups.items()}
    taken = {run for runs in groups.values() for run in runs}
    shared: dict[str, list[Standing]] = defaultdict(list)
    for standing in standings:
        if standing.entrant.method is not None and standing.entrant.argument not in taken:
            shared[standing.entrant.method].append(standing)
    for runs in shared.values():
        found[", ".join(sorted(standing.entrant.name for standing in _apart(runs)))] = runs
    return {name: [standing.entrant.name for standing in _apart(runs)] for name, runs in found.items()}


def _apart(runs: Sequence[Standing]) -> list[Standing]:
    """Runs that differ in what they were trained from: one that is there twice counts once."""
    kept: dict[Any, Standing] = {}
    for standing in runs:
        entrant = standing.entrant
        kept.setdefault((entrant.method, entrant.training_seeds or entrant.argument), standing)
    return list(kept.values())


def _absolute(results: Sequence[TeamResult], course: Course, comparison: Comparison) -> Absolute:
    by_name = {result.team: result for result in results}
    hero, base = by_name[comparison.hero.entrant.name], by_name[comparison.baseline]
    bootstrap = MarketBootstrap([hero.metrics[OBJECTIVE], base.metrics[OBJECTIVE]])
    return Absolute(
        course=course,
        result=hero,
        objective=bootstrap.mean(0),
        lift=None if hero is base else bootstrap.lift(0, 1),
    )


def _entrant_of(team: Team) -> Entrant:
    """A team given as an object, by what it says of itself."""
    knowledge: Knowledge = "model-aware" if team.model_aware else "model-free"
    return Entrant(team.name, team, "privileged" if team.privileged else knowledge)


def _counted(watch: Watch | None, name: str) -> Progress | None:
    """Progress of one team, from markets more to markets in all."""
    if watch is None:
        return None
    played = 0

    def told(markets: int) -> None:
        nonlocal played
        played += markets
        watch(name, played)

    watch(name, 0)
    return told
