"""What a study's variants come to over all its scenarios, each scenario's J as a fraction of the baseline's.

Over markets, a market's seed is drawn together with what became of it in every scenario, for the scenarios
share their seeds. Over training runs, the stratified bootstrap of Agarwal et al. 2021 draws a method's runs
anew within every scenario. But a study plays the same run in all scenarios, and a lucky one is lucky in
several: intervals of whole runs draw a run with all its scenarios, and are to be believed where wider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.state import Float
from evaluation.aggregates import interquartile_mean, optimality_gap
from evaluation.intervals import (
    Interval,
    MarketBootstrap,
    TooFewRunsError,
    check_runs,
    lift_over_runs,
    over_runs,
)
from evaluation.metrics import OBJECTIVE
from evaluation.study import Study
from evaluation.study_unit import Results
from evaluation.table import percent


@dataclass(frozen=True)
class OverRuns:
    """A method's training runs over all scenarios."""

    lift: Interval | None
    """Over the baseline, whose runs are drawn again too where it has enough; None for the baseline."""
    lift_whole: Interval | None
    """The same with every run drawn together with all its scenarios."""
    interquartile_mean: Interval
    """Of the J of all runs and scenarios, as fractions of the baseline's."""
    optimality_gap: Interval
    """Mean shortfall of the same below 1."""


@dataclass(frozen=True)
class AggregateRow:
    """One variant over all scenarios."""

    variant: str
    lift: Interval | None
    """Mean over scenarios of the lift over the baseline, over markets; None for the baseline."""
    over_runs: OverRuns | None
    """None where nothing was trained, or there are too few runs."""
    refusal: str | None
    """Why there is nothing over runs, where something was trained."""


@dataclass(frozen=True)
class StudyAggregate:
    """Every variant of a study over all its scenarios."""

    scenarios: tuple[str, ...]
    baseline: str
    rows: tuple[AggregateRow, ...]
    """In the order of the study's variants; none where the baseline loses money in a scenario."""
    losing: tuple[str, ...]
    """Scenarios in which it does, so that a fraction of its J has no meaning."""

    def as_json(self) -> dict[str, Any]:
        """One object, units in the key names."""
        return {
            "scenarios": self.scenarios,
            "fractions_of": self.baseline,
            "baseline_loses_money_in": self.losing,
            "variants": [
                {
                    "variant": row.variant,
                    "lift_fraction": row.lift,
                    "over_runs": None
                    if row.over_runs is None and row.refusal is None
                    else {
                        "refused": row.refusal,
                        **{
                            key: None if row.over_runs is None else getattr(row.over_runs, field)
                            for key, field in _OVER_RUNS.items()
                        },
                    },
                }
                for row in self.rows
            ],
        }

    def heading(self) -> str:
        """What the table is of, as a paragraph."""
        if self.losing:
            return (
                f"None: `{self.baseline}` loses money in {', '.join(self.losing)}, and a fraction of a loss "
                "has no meaning.\n"
            )
        over_runs = (
            " Over runs, runs are drawn within every scenario (stratified), or whole, with all their "
            "scenarios: a run that is lucky in one may be so in all, and then the wider interval is the one "
            "to believe."
        )
        return (
            f"J of every scenario as a fraction of `{self.baseline}`'s there, scenarios weighed alike. Over "
            f"markets, a seed is drawn with all its scenarios.{over_runs if self.trained else ''}\n"
        )

    @property
    def trained(self) -> bool:
        """Whether any variant stands for training runs."""
        return any(row.over_runs is not None or row.refusal is not None for row in self.rows)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and cells."""
        head = ["variant", "over the baseline, over markets"]
        if self.trained:
            head += ["over runs", "over runs, drawn whole", "interquartile mean", "optimality gap"]
        return head, [
            [f"`{row.variant}`", _lift(row.lift), *(_over_runs_cells(row) if self.trained else [])]
            for row in self.rows
        ]


_OVER_RUNS = {
    "lift_fraction": "lift",
    "lift_fraction_of_whole_runs": "lift_whole",
    "interquartile_mean": "interquartile_mean",
    "optimality_gap": "optimality_gap",
}


def study_aggregate(study: Study, results: Results) -> StudyAggregate | None:
    """The aggregate of a study's evaluations; None where there is one scenario only."""
    scenarios = tuple(results)
    if len(scenarios) < 2:
        return None
    scores = {variant: _scores(results, variant) for variant in study.variants}  # [R, K, n]
    reference = scores[study.baseline].mean((0, 2))  # [K]
    losing = tuple(
        scenario for scenario, usd in zip(scenarios, reference.tolist(), strict=True) if usd <= 0.0
    )
    if losing:
        return StudyAggregate(scenarios, study.baseline, (), losing)
    lifts = _lifts_over_markets(scores, study.baseline)
    fractions = {variant: own.mean(2) / reference for variant, own in scores.items()}  # [R, K]
    rows = []
    for name, variant in study.variants.items():
        found, refusal = None, None
        if variant.is_method:
            try:
                found = _over_runs(fractions, name, study)
            except TooFewRunsError as refused:
                refusal = str(refused)
        rows.append(AggregateRow(name, lifts.get(name), found, refusal))
    return StudyAggregate(scenarios, study.baseline, tuple(rows), ())


def _scores(results: Results, variant: str) -> Float:
    """[R, K, n] J of every run of a variant, in every scenario and market."""
    runs = next(iter(results.values()))[variant]
    return np.array(
        [[by_variant[variant][run].metrics[OBJECTIVE] for by_variant in results.values()] for run in runs]
    )


def _lifts_over_markets(scores: Mapping[str, Float], baseline: str) -> dict[str, Interval]:
    names = list(scores)
    scenarios = scores[baseline].shape[1]
    bootstrap = MarketBootstrap(np.concatenate([scores[name].mean(0) for name in names]))

    def rows(name: str) -> Sequence[int]:
        return range(names.index(name) * scenarios, (names.index(name) + 1) * scenarios)

    return {
        name: bootstrap.mean_lift(list(zip(rows(name), rows(baseline), strict=True)))
        for name in names
        if name != baseline
    }


def _over_runs(fractions: Mapping[str, Float], name: str, study: Study) -> OverRuns:
    own, base = fractions[name], fractions[study.baseline]
    check_runs(len(own))

    def lift(whole: bool) -> Interval | None:
        if name == study.baseline:
            return None
        if study.variants[study.baseline].is_method:
            try:
                return lift_over_runs(own, base, whole=whole)
            except TooFewRunsError:
                pass  # the baseline's: it is held fixed
        return over_runs(own, base.mean(0), whole=whole)

    return OverRuns(
        lift=lift(whole=False),
        lift_whole=lift(whole=True),
        interquartile_mean=over_runs(own, aggregate=interquartile_mean),
        optimality_gap=over_runs(own, aggregate=optimality_gap),
    )


def _lift(lift: Interval | None) -> str:
    return "baseline" if lift is None else percent(lift)


def _over_runs_cells(row: AggregateRow) -> list[str]:
    found = row.over_runs
    if found is None:
        return [("refused" if row.refusal else "")] * 4
    return [
        _lift(found.lift),
        _lift(found.lift_whole),
        *(
            f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]"
            for one in (found.interquartile_mean, found.optimality_gap)
        ),
    ]
