"""Who is better: teams on the same markets, their figures, and how sure each comparison is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from envs.errors import InterludeError
from evaluation.intervals import (
    Interval,
    MarketBootstrap,
    TooFewRunsError,
    interquartile_mean,
    over_runs,
    probability_of_improvement,
)
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.rollout import Course, Progress, TeamResult, play, play_with_workers, worker_pool
from evaluation.sources import ALL_SCRIPTED, Entrant, Knowledge, TeamSource, expand
from policies.team import Team

DEFAULT_BASELINE: Final = "shadow-price"
SILOED: Final = "siloed"
"""The monolithic ad server that headline results are measured against: each agent minds its own."""
HEADLINES: Final = (
    ("ad relevance", "listeners/relevance"),
    ("wasted spend", "spend/wasted_fraction"),
    ("listener satisfaction", "listeners/health"),
)
"""What the project is for: (result, KPI)."""

Watch = Callable[[str, int], None]
"""Is told a team's name and how many of its markets have been played."""


@dataclass(frozen=True)
class Headline:
    """One of the results the project is for: a KPI of the leading team over the siloed one."""

    result: str
    tag: str
    value: float
    siloed: float
    lift: Interval

    @property
    def verdict(self) -> str:
        """What the interval allows to be said."""
        if not self.lift.excludes_zero:
            return "no difference shown"
        wanted = (self.lift.estimate > 0) == (KPIS[self.tag].better == "more")
        return "as wanted" if wanted else "the wrong way"


@dataclass(frozen=True, eq=False)
class Standing:
    """One team and where it stands."""

    entrant: Entrant
    result: TeamResult
    objective: Interval
    """Mean J over markets, USD a market."""
    lift: Mapping[str, Interval]
    """Lift of J over every other team, by its name."""
    probability_of_improvement: Mapping[str, float]
    """Share of markets on which it beats every other team."""

    def mean(self, tag: str) -> float:
        """A KPI's mean over markets."""
        return float(self.result.metrics[tag].mean())


@dataclass(frozen=True, eq=False)
class Comparison:
    """Teams on one course, best first."""

    course: Course
    baseline: str
    standings: tuple[Standing, ...]
    hero: Standing
    """The team the headlines are about: the best learned one, else the best that reads no hidden truth."""
    headlines: tuple[Headline, ...]
    methods: Mapping[str, Interval | str]
    """By method: lift over the baseline over training runs, or why there is no such interval."""

    def standing(self, name: str) -> Standing:
        """A team's standing by its name."""
        return next(standing for standing in self.standings if standing.entrant.name == name)

    def as_json(self) -> dict[str, Any]:
        """Everything as one JSON object, units in the key names (KPIs by their tags)."""
        course = self.course
        return {
            "scenario": course.scenario.name,
            "split": course.split,
            "seed": course.seed,
            "markets": course.num_markets,
            "impression_weight": course.scenario.impression_weight,
            "time_acceleration": course.scenario.time_acceleration,
            "real_listening_history": course.taste_pool is not None,
            "baseline": self.baseline,
            "intervals": {
                "over_markets": "these policies, other markets; paired; says nothing about training luck",
                "over_runs": "other training runs of the same method",
            },
            "headlines": [
                {
                    "result": headline.result,
                    "kpi": headline.tag,
                    "team": self.hero.entrant.name,
                    "value": headline.value,
                    "siloed": headline.siloed,
                    "lift_fraction": headline.lift,
                    "verdict": headline.verdict,
                }
                for headline in self.headlines
            ],
            "methods": {
                name: {"lift_fraction": found} if isinstance(found, Interval) else {"refused": found}
                for name, found in self.methods.items()
            },
            "kpis": {tag: {"unit": kpi.unit, "formula": kpi.formula} for tag, kpi in KPIS.items()},
            "teams": [self._team_json(standing) for standing in self.standings],
        }

    def _team_json(self, standing: Standing) -> dict[str, Any]:
        entrant, result = standing.entrant, standing.result
        return {
            "team": entrant.name,
            "source": entrant.argument,
            "knowledge": entrant.knowledge,
            "learned_roles": entrant.learned_roles,
            "training_seeds": entrant.training_seeds,
            "objective_usd": standing.objective,
            "objective_interquartile_mean_usd": interquartile_mean(result.metrics[OBJECTIVE]),
            "lift_fraction": standing.lift,
            "probability_of_improvement": standing.probability_of_improvement,
            "kpis": {tag: standing.mean(tag) for tag in result.metrics},
            "objective_usd_per_market": result.metrics[OBJECTIVE],
            "incapacities": result.incapacities,
            "wall_seconds": result.wall_seconds,
        }


def compare(
    teams: Sequence[str | Team],
    course: Course,
    *,
    baseline: str = DEFAULT_BASELINE,
    sample: bool = False,
    workers: int = 1,
    watch: Watch | None = None,
) -> Comparison:
    """Plays teams through a course and compares them; baseline and `siloed` take part in any case.

    Args:
        teams: TEAM arguments (see `evaluation.sources`), or teams.
        course: the markets that all of them meet.
        baseline: the team whose J lifts are measured against.
        sample: whether learned policies sample their actions.
        workers: processes that play; no figure depends on it. Teams given as objects are played here.
        watch: is told of progress.

    Raises:
        InterludeError: two teams share a name.
        UnknownNameError: a TEAM that means nothing.
    """
    if baseline == ALL_SCRIPTED:
        raise InterludeError(f"the baseline is one team, and {ALL_SCRIPTED!r} stands for several")
    named = [team for team in teams if isinstance(team, str)]
    sources = expand([*named, baseline, SILOED], sample)
    entered: list[tuple[Entrant, TeamSource | None]] = [(source.resolve(), source) for source in sources]
    entered += [(_entrant_of(team), None) for team in teams if isinstance(team, Team)]
    for name in _twice(entered):  # two runs of one name: their paths tell them apart
        for entrant, source in entered:
            if source is not None and entrant.name == name:
                entrant.team.name = entrant.argument
    twice = _twice(entered)
    if twice:
        raise InterludeError(f"teams need different names to be told apart; named twice: {', '.join(twice)}")
    results = []
    with worker_pool(workers) as pool:
        for entrant, source in entered:
            progress = _counted(watch, entrant.name)
            if pool is not None and source is not None:
                results.append(play_with_workers(pool, source, course, progress))
            else:
                results.append(play(entrant.team, course, progress))
    entrants = [entrant for entrant, _ in entered]
    base = next(entrant.name for entrant in entrants if entrant.argument == baseline)
    return _comparison(entrants, results, course, base)


def _twice(entered: Sequence[tuple[Entrant, TeamSource | None]]) -> list[str]:
    """Names that more than one entrant has."""
    names = [entrant.name for entrant, _ in entered]
    return sorted({name for name in names if names.count(name) > 1})


def _comparison(
    entrants: Sequence[Entrant], results: Sequence[TeamResult], course: Course, baseline: str
) -> Comparison:
    names = [entrant.name for entrant in entrants]
    bootstrap = MarketBootstrap([result.metrics[OBJECTIVE] for result in results])
    standings = [
        Standing(
            entrant=entrant,
            result=result,
            objective=bootstrap.mean(a),
            lift={other: bootstrap.lift(a, b) for b, other in enumerate(names) if b != a},
            probability_of_improvement={
                other: probability_of_improvement(result.metrics[OBJECTIVE], results[b].metrics[OBJECTIVE])
                for b, other in enumerate(names)
                if b != a
            },
        )
        for a, (entrant, result) in enumerate(zip(entrants, results, strict=True))
    ]
    standings.sort(key=lambda standing: -standing.objective.estimate)
    fair = [standing for standing in standings if standing.entrant.knowledge != "privileged"]
    hero = next((standing for standing in fair if standing.entrant.learned), (fair or standings)[0])
    siloed = next(standing for standing in standings if standing.entrant.argument == SILOED)
    return Comparison(
        course=course,
        baseline=baseline,
        standings=tuple(standings),
        hero=hero,
        headlines=tuple(_headline(result, tag, hero, siloed) for result, tag in HEADLINES),
        methods=_methods(standings, baseline),
    )


def _headline(result: str, tag: str, hero: Standing, siloed: Standing) -> Headline:
    values = np.stack([hero.result.metrics[tag], siloed.result.metrics[tag]])
    return Headline(result, tag, hero.mean(tag), siloed.mean(tag), MarketBootstrap(values).lift(0, 1))


def _methods(standings: Sequence[Standing], baseline: str) -> dict[str, Interval | str]:
    """Lift over the baseline of every method with several training runs, or why it has no interval."""
    runs: dict[str, dict[tuple[int, ...], Standing]] = defaultdict(dict)
    for standing in standings:
        if standing.entrant.method is not None:  # a run that is there twice counts once
            runs[standing.entrant.method].setdefault(standing.entrant.training_seeds, standing)
    base = next(s.objective.estimate for s in standings if s.entrant.name == baseline)
    found: dict[str, Interval | str] = {}
    for group in runs.values():
        label = ", ".join(sorted(standing.entrant.name for standing in group.values()))
        try:
            found[label] = over_runs([standing.objective.estimate for standing in group.values()], base)
        except TooFewRunsError as refusal:
            found[label] = str(refusal)
    return found


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
