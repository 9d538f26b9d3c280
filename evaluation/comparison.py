"""What a comparison holds: every team's standing, each pair's difference, the headline results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.intervals import Interval, Profile
from evaluation.methods import Method
from evaluation.metrics import KPIS, mean_over_markets
from evaluation.rollout import Course, TeamResult
from evaluation.sources import Entrant

Verdict = Literal["better", "worse", "not told apart", "the same"]


@dataclass(frozen=True)
class Versus:
    """One team against another on the same markets: how large the difference is, then how sure."""

    lift: Interval
    """Mean J / the other's mean J - 1."""
    difference: Interval
    """Mean J - the other's, USD a market."""
    cohens_d: float
    """Mean paired difference in its own standard deviations."""
    probability_of_improvement: Interval
    """Share of markets won, ties counted half."""
    minimal_detectable_fraction: float
    """Least lift that this many markets show with a power of .8, by how these differences scatter."""

    @property
    def verdict(self) -> Verdict:
        """What the interval of the difference allows to be said."""
        ends = (self.difference.estimate, self.difference.low, self.difference.high)
        if ends == (0.0, 0.0, 0.0):
            return "the same"
        if not self.difference.excludes_zero:
            return "not told apart"
        return "better" if self.difference.estimate > 0.0 else "worse"


@dataclass(frozen=True)
class Headline:
    """One of the results the project is for: a KPI of the leading team over a baseline's."""

    result: str
    tag: str
    value: float
    over: str
    """The baseline: `siloed` or `monolithic`."""
    over_value: float
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
    interquartile_mean: Interval
    """J of the middle half of the markets, USD a market."""
    optimality_gap: Interval
    """Mean shortfall of J / the reference's J, market by market; NaN where the reference loses money."""
    profile: Profile
    """Share of markets on which J exceeds a fraction of the reference's."""
    versus: Mapping[str, Versus]
    """Against every other team, by its name."""

    @property
    def lift(self) -> dict[str, Interval]:
        """Lift of J over every other team, by its name."""
        return {name: versus.lift for name, versus in self.versus.items()}

    @property
    def probability_of_improvement(self) -> dict[str, float]:
        """Share of markets on which it beats every other team."""
        return {name: versus.probability_of_improvement.estimate for name, versus in self.versus.items()}

    def mean(self, tag: str) -> float:
        """A KPI's mean over the markets that have one."""
        return float(mean_over_markets(self.result.metrics[tag]))


@dataclass(frozen=True, eq=False)
class Absolute:
    """The leading team once more, on ten times the markets, none of which had a part in choosing it."""

    course: Course
    result: TeamResult
    objective: Interval
    """Mean J over markets, USD a market."""
    lift: Interval | None
    """Lift of J over the baseline on the same markets; None for the baseline itself."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Teams on one course, best first."""

    course: Course
    baseline: str
    reference: str
    """The team whose J counts as 1 in optimality gaps and profiles."""
    standings: tuple[Standing, ...]
    hero: Standing
    """The team the headlines are about: the best learned one, else the best that reads no hidden truth."""
    headlines: tuple[Headline, ...]
    """Over `siloed`, and over `monolithic` where it takes part."""
    methods: Mapping[str, Method]
    """Methods with several training runs, and what can be said of them."""
    absolute: Absolute | None = None

    def standing(self, name: str) -> Standing:
        """A team's standing by its name."""
        return next(standing for standing in self.standings if standing.entrant.name == name)

    def as_json(self) -> dict[str, Any]:
        """Everything as one JSON object: see docs/evaluation_json.md."""
        from evaluation.comparison_json import as_json

        return as_json(self)
