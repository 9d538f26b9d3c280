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


def measured(comparison: Comparison, name: str, watch: Watch | None = None) -> tuple[str, dict[str, Any]]:
    """A comparison's scores against a measure: as text, and as a JSON object."""
    done = 0

    def progress(markets: int) -> None:
        nonlocal done
        done += markets
        if watch is not None:
            watch(name, done)

    measure = measure_of(comparison.course, name, progress)
    found = fractions(comparison, measure)
    return as_text(measure, found), as_json(measure, found)


def measure_of(course: Course, name: str, progress: Progress | None = None) -> Measure:
    """The measure of a course by name (see `check` for what may be raised)."""
    if name == "exact":
        bound = course_bound(course, progress)
        return Measure(bound.kind, bound.bound_usd, bound.gap_fraction)
    return Measure(name, best_known(course, progress=progress).objective_usd, None)


def fractions(comparison: Comparison, measure: Measure) -> dict[str, FractionOfBound]:
    """Every team's share of the measure and its regret, by name, best first."""
    return {
        standing.entrant.name: fraction_of_bound(standing.result.metrics[OBJECTIVE], measure.value_usd)
        for standing in comparison.standings
    }


def as_text(measure: Measure, found: Mapping[str, FractionOfBound]) -> str:
    """The fractions as a table with its heading."""
    gap = "" if measure.gap_fraction is None else f", duality gap {100 * measure.gap_fraction:.4f} %"
    columns = ("team", f"share of {measure.value_usd.mean():,.0f} USD [95 %]", "regret USD a market [95 %]")
    rows = [
        (
            name,
            _told(one.fraction, 100.0, ".1f", " %"),
            _told(one.regret_usd, 1.0, ",.0f"),
        )
        for name, one in found.items()
    ]
    return f"J against the {measure.title}{gap}:\n{format_table(columns, rows)}"


def _told(interval: Interval, factor: float, style: str, unit: str = "") -> str:
    estimate, low, high = (
        format(factor * value, style) for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate}{unit} [{low}, {high}]"


def as_json(measure: Measure, found: Mapping[str, FractionOfBound]) -> dict[str, Any]:
    """The same as one JSON object."""
    return {
        "kind": measure.kind,
        "meaning": measure.title,
        "duality_gap_fraction": measure.gap_fraction,
        "usd_per_market": measure.value_usd,
        "teams": {
            name: {"fraction": one.fraction, "regret_usd": one.regret_usd} for name, one in found.items()
        },
    }
