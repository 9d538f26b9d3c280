"""A study's table: every variant by scenario, against the baseline, as markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from pydantic import JsonValue

from evaluation.aggregates import cohens_d, improvements, lift, minimal_detectable_effect
from evaluation.comparison import Versus
from evaluation.comparison_json import KINDS
from evaluation.intervals import Interval, MarketBootstrap
from evaluation.methods import Method, methods_of
from evaluation.metrics import KPIS, OBJECTIVE, mean_over_markets
from evaluation.study import Study, Variant, as_settings
from evaluation.study_aggregate import StudyAggregate, study_aggregate
from evaluation.study_unit import Played, Results
from evaluation.table import COLUMNS, percent, share


@dataclass(frozen=True, eq=False)
class Row:
    """One variant on one scenario; where it has several runs, a market's figure is their mean."""

    variant: str
    objective: Interval
    """Mean J over markets, USD a market."""
    versus: Versus | None
    """Against the baseline variant on the same markets; None for the baseline."""
    runs: Mapping[str, float]
    """Mean J of each run, USD a market."""
    method: Method | None
    """What can be said over training runs, or why nothing; None where nothing was trained."""
    lift_over_runs: Interval | None
    """Over the baseline: its runs drawn again too where it has enough, else held fixed."""
    kpis: Mapping[str, float]
    incapacities: int


class TrainingCost(NamedTuple):
    """What training one run took; what was trained apart and then composed is added up."""

    iterations: int
    market_steps: int
    """Market-intervals that were learned from; what a difference reward plays again is none."""
    seconds: float
    """Wall clock of the iterations, evaluations on development markets included."""


Costs = Mapping[str, Mapping[str, TrainingCost]]
"""By variant and run."""


@dataclass(frozen=True, eq=False)
class StudyTable:
    """All rows of a study."""

    study: Study
    rows: Mapping[str, Sequence[Row]]
    """By scenario, in the order of the study's variants."""
    commits: Mapping[str, Sequence[str]]
    """By variant: commits of the checkout at which its runs were trained."""
    aggregate: StudyAggregate | None = None
    """Over all scenarios; None where there is one only."""
    costs: Costs = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything as one object, units in the key names (KPIs by their tags)."""
        return {
            "study": self.study,
            "intervals": KINDS,
            "trained_at_commits": self.commits,
            "training_costs": {
                variant: {run: cost._asdict() for run, cost in runs.items()}
                for variant, runs in self.costs.items()
            },
            "over_scenarios": None if self.aggregate is None else self.aggregate.as_json(),
            "scenarios": [
                {"scenario": scenario, "variants": [_row_json(row) for row in rows]}
                for scenario, rows in self.rows.items()
            ],
        }

    def markdown(self) -> str:
        """The document: lifts by variant and scenario, then every scenario with its figures."""
        study = self.study
        parts = [
            f"<!-- written by `interlude study {study.name} --report FILE`: do not edit -->\n",
            f"# Study: {study.name}\n",
            f"{study.description}\n" if study.description else "",
            f"Every training run has {_settings(study.overrides)}.\n" if study.overrides else "",
            f"{study.markets} {study.split} markets of each scenario (seed {study.market_seed}), the same "
            f"for every variant. Differences are over `{study.baseline}`, paired by market. Intervals are "
            "95 %, bootstrapped over markets unless a column says over runs: they hold for these policies "
            "and say nothing about training luck.\n",
            self._variants(),
            self._costs(),
            "## J over the baseline, by scenario\n",
            self._overview(),
            self._over_scenarios(),
            *(self._scenario(scenario) for scenario in self.rows),
            *self._notes(),
        ]
        return "\n".join(part for part in parts if part)

    def _variants(self) -> str:
        rows = [[f"`{name}`", _made_of(v), v.description] for name, v in self.study.variants.items()]
        return _table(["variant", "is", "asks"], rows)

    def _costs(self) -> str:
        if not self.costs:
            return ""
        rows = []
        for variant, runs in self.costs.items():
            mean = np.mean(list(runs.values()), axis=0)
            cells = (f"{mean[0]:,.0f}", f"{mean[1]:,.0f}", f"{mean[2]:,.0f}")
            rows.append([f"`{variant}`", str(len(runs)), *cells])
        head = ["variant", "runs", "iterations a run", "market steps a run", "training seconds a run"]
        return (
            f"{_table(head, rows)}\nMarket steps are those that were learned from. Seconds are of one "
            "machine and hold only against one another.\n"
        )

    def _overview(self) -> str:
        rows = []
        for index, variant in enumerate(self.study.variants):
            found = [rows[index].versus for rows in self.rows.values()]
            rows.append([f"`{variant}`", *(_lift(versus) for versus in found)])
        return _table(["variant", *self.rows], rows)

    def _over_scenarios(self) -> str:
        found = self.aggregate
        if found is None:
            return ""
        rows = f"\n{_table(*found.table())}" if found.rows else ""
        return f"## Over all scenarios\n\n{found.heading()}{rows}"

    def _scenario(self, scenario: str) -> str:
        rows, trained = self.rows[scenario], any(row.method for row in self.rows[scenario])
        head = ["variant", "J, USD a market", "over the baseline", "Cohen's d", "markets won", "verdict"]
        head += ["runs", "J over runs", "over the baseline, over runs"] if trained else []
        figures = ["variant", *(name for name, _, _ in COLUMNS)]
        kpis = [
            [f"`{row.variant}`", *(format(row.kpis[t], style) for _, t, style in COLUMNS)] for row in rows
        ]
        cells = [_cells(row, trained) for row in rows]
        return f"## {scenario}\n\n{_table(head, cells)}\n{_table(figures, kpis)}"

    def _notes(self) -> list[str]:
        notes = []
        refused = {
            row.variant: row.method.refusal for rows in self.rows.values() for row in rows if row.method
        }
        for variant, reason in refused.items():
            if reason is not None:
                notes.append(f"`{variant}` over runs: {reason}.\n")
        commits = sorted({commit for found in self.commits.values() for commit in found})
        if len(commits) > 1:
            notes.append(f"Runs were trained at {len(commits)} commits: {', '.join(commits)}.\n")
        failed = sorted({row.variant for rows in self.rows.values() for row in rows if row.incapacities})
        if failed:
            notes.append(f"A role failed and its stand-in took over in: {', '.join(failed)}.\n")
        return notes


def study_table(
    study: Study, results: Results, commits: Mapping[str, Sequence[str]], costs: Costs | None = None
) -> StudyTable:
    """The table of a study's evaluations."""
    rows = {scenario: _rows(study, by_variant) for scenario, by_variant in results.items()}
    return StudyTable(study, rows, commits, study_aggregate(study, results), costs or {})


def _rows(study: Study, results: Mapping[str, Mapping[str, Played]]) -> list[Row]:
    names, base = list(study.variants), list(study.variants).index(study.baseline)
    objective = np.stack(
        [np.mean([p.metrics[OBJECTIVE] for p in results[v].values()], 0) for v in names]
    )  # [K, n]
    bootstrap = MarketBootstrap(objective)
    won = bootstrap.shares(np.stack([improvements(row, objective[base]) for row in objective]))
    runs = {v: {run: float(p.metrics[OBJECTIVE].mean()) for run, p in results[v].items()} for v in names}
    mean = float(objective[base].mean())
    methods = methods_of({v: runs[v] for v in names if study.variants[v].is_method}, mean, mean)
    rows = []
    for a, name in enumerate(names):
        differences, played = objective[a] - objective[base], list(results[name].values())
        least = np.asarray(minimal_detectable_effect(differences))
        versus = Versus(
            lift=bootstrap.lift(a, base),
            difference=bootstrap.difference(a, base),
            cohens_d=cohens_d(differences),
            probability_of_improvement=won[a],
            minimal_detectable_fraction=float(lift(mean + least, np.asarray(mean))),
        )
        rows.append(
            Row(
                variant=name,
                objective=bootstrap.mean(a),
                versus=None if a == base else versus,
                runs=runs[name],
                method=methods.get(name),
                lift_over_runs=None if a == base else _lift_over_runs(methods.get(name), study.baseline),
                kpis={
                    tag: float(np.mean([mean_over_markets(p.metrics[tag]) for p in played])) for tag in KPIS
                },
                incapacities=sum(p.incapacities for p in played),
            )
        )
    return rows


def _lift_over_runs(method: Method | None, baseline: str) -> Interval | None:
    if method is None or method.figures is None:
        return None
    versus = method.figures.versus.get(baseline)
    return method.figures.lift if versus is None else versus.lift


def _settings(overrides: Mapping[str, JsonValue]) -> str:
    return ", ".join(f"`{setting}`" for setting in as_settings(overrides))


def _made_of(variant: Variant) -> str:
    """What a variant is, in one cell."""
    if variant.compose:
        parts = [f"{role} of `{source}`" for role, source in variant.compose.items()]
        return ", ".join([*parts, *(f"`+{role}={source}`" for role, source in variant.replace.items())])
    if variant.training is None:
        return ", ".join(f"`{variant.replaced(team)}`" for team in (variant.team, *variant.runs) if team)
    words = [f"trained: `{variant.training}`", *(f"`{setting}`" for setting in variant.settings())]
    return ", ".join([*words, *(f"`+{role}={source}`" for role, source in variant.replace.items())])


def _lift(versus: Versus | None) -> str:
    return "baseline" if versus is None else percent(versus.lift)


def _cells(row: Row, trained: bool) -> list[str]:
    j, versus = row.objective, row.versus
    cells = [f"`{row.variant}`", f"{j.estimate:,.0f} [{j.low:,.0f}, {j.high:,.0f}]", _lift(versus)]
    if versus is None:
        cells += ["", "", ""]
    else:
        cells += [f"{versus.cohens_d:+.2f}", share(versus.probability_of_improvement), versus.verdict]
    if trained:
        cells += [str(len(row.runs)) if row.method else "", *_over_runs(row)]
    return cells


def _over_runs(row: Row) -> list[str]:
    if row.method is None:
        return ["", ""]
    if row.method.figures is None:
        return ["refused", "refused"]
    j = row.method.figures.objective
    return [f"{j.estimate:,.0f} [{j.low:,.0f}, {j.high:,.0f}]", percent(row.lift_over_runs)]


def _row_json(row: Row) -> dict[str, Any]:
    figures, versus = (row.method.figures if row.method else None), row.versus
    return {
        "variant": row.variant,
        "objective_usd": row.objective,
        "versus_baseline": None
        if versus is None
        else {
            "lift_fraction": versus.lift,
            "difference_usd": versus.difference,
            "cohens_d": versus.cohens_d,
            "probability_of_improvement": versus.probability_of_improvement,
            "minimal_detectable_fraction": versus.minimal_detectable_fraction,
            "verdict": versus.verdict,
        },
        "objective_usd_by_run": row.runs,
        "over_runs": None
        if row.method is None
        else {
            "refused": row.method.refusal,
            "objective_usd": None if figures is None else figures.objective,
            "lift_fraction": row.lift_over_runs,
        },
        "kpis": row.kpis,
        "incapacities": row.incapacities,
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


TABLE: Final = "table"
"""Stem of the files in the study's directory: `table.md`, `table.json`."""
