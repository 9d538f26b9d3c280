"""Scores of a comparison as fractions of a bound, or of the best play known, called what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from envs.errors import UnknownNameError
from envs.output import format_table
from envs.scenario import load_scenario
from envs.state import Float
from evaluation.best_known import best_known
from evaluation.compare import Comparison, Watch
from evaluation.intervals import Interval
from evaluation.linear_market import FractionOfBound, bound_kind, course_bound, fraction_of_bound
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, Progress

MEASURES: Final = ("exact", "best-known")
_TITLES: Final = {
    "exact": "clairvoyant bound (exact)",
    "upper": "clairvoyant bound (without fatigue: above what can be had)",
    "best-known": "best-known clairvoyant play (no bound)",
}
_CAUTIONS: Final = {
    "exact": "With every price and value known, this much can be had in expectation and no more; J holds "
    "the luck of outcomes too, which can lift a share a little over 100 %.",
    "upper": "Out of reach, for it leaves out how listeners tire: a team lacks less than it shows.",
    "best-known": "The best play that a search with the truth in hand found on the same markets. It is no "
    "bound: a longer search may find more.",
}


@dataclass(frozen=True, eq=False)
class Measure:
    """What J is measured against on a course."""

    kind: str
    """exact, upper or best-known."""
    value_usd: Float  # [n]
    gap_fraction: float | None
    """Duality gap / bound; None where there is no bound."""

    @property
    def title(self) -> str:
        """What it is, in words."""
        return _TITLES[self.kind]

    @property
    def label(self) -> str:
        """The same without what stands in brackets."""
        return self.title.partition(" (")[0]

    @property
    def caution(self) -> str:
        """How a share of it is read."""
        return _CAUTIONS[self.kind]


@dataclass(frozen=True, eq=False)
class Fractions:
    """Every team of a comparison against one measure."""

    measure: Measure
    teams: Mapping[str, FractionOfBound]
    """Share and regret by name, best first."""

    @property
    def heading(self) -> str:
        """What the scores are measured against."""
        gap = self.measure.gap_fraction
        told = "" if gap is None else f", duality gap {100 * gap:.4f} %"
        return f"J against the {self.measure.title}{told}"

    def columns(self) -> tuple[str, str, str]:
        """Of `rows`."""
        share = f"share of {self.measure.value_usd.mean():,.0f} USD [95 %]"
        return ("team", share, "regret USD a market [95 %]")

    def rows(self) -> list[tuple[str, str, str]]:
        """A team each."""
        return [
            (name, _told(one.fraction, 100.0, ".1f", " %"), _told(one.regret_usd, 1.0, ",.0f"))
            for name, one in self.teams.items()
        ]

    def text(self) -> str:
        """The table with its heading."""
        return f"{self.heading}:\n{format_table(self.columns(), self.rows())}"

    def as_json(self) -> dict[str, Any]:
        """The same as one JSON object."""
        return {
            "kind": self.measure.kind,
            "meaning": self.measure.title,
            "duality_gap_fraction": self.measure.gap_fraction,
            "usd_per_market": self.measure.value_usd,
            "teams": {
                name: {"fraction": one.fraction, "regret_usd": one.regret_usd}
                for name, one in self.teams.items()
            },
        }


def check(name: str, scenario: str) -> None:
    """Raises what `measured` would, before anything is played.

    Raises:
        UnknownNameError: neither `exact` nor `best-known`.
        NoBoundError: `exact` where no bound holds; every reason is named.
    """
    if name not in MEASURES:
        raise UnknownNameError("bound", name, MEASURES)
    if name == "exact":
        bound_kind(load_scenario(scenario))


def measured(comparison: Comparison, name: str, watch: Watch | None = None) -> Fractions:
    """A comparison's scores against a measure by name (see `check` for what may be raised)."""
    done = 0

    def progress(markets: int) -> None:
        nonlocal done
        done += markets
        if watch is not None:
            watch(name, done)

    return fractions(comparison, measure_of(comparison.course, name, progress))


def measure_of(course: Course, name: str, progress: Progress | None = None) -> Measure:
    """The measure of a course by name (see `check` for what may be raised)."""
    if name == "exact":
        bound = course_bound(course, progress)
        return Measure(bound.kind, bound.bound_usd, bound.gap_fraction)
    return Measure(name, best_known(course, progress=progress).objective_usd, None)


def fractions(comparison: Comparison, measure: Measure) -> Fractions:
    """Every team's share of the measure and its regret."""
    return Fractions(
        measure,
        {
            standing.entrant.name: fraction_of_bound(standing.result.metrics[OBJECTIVE], measure.value_usd)
            for standing in comparison.standings
        },
    )


def _told(interval: Interval, factor: float, style: str, unit: str = "") -> str:
    estimate, low, high = (
        format(factor * value, style) for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate}{unit} [{low}, {high}]"
