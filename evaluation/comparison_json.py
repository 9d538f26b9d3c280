"""A comparison as JSON, and the table that documents it (docs/evaluation_json.md)."""

from __future__ import annotations

from typing import Any, Final

from evaluation.comparison import Absolute, Comparison, Headline, Standing, Versus
from evaluation.methods import Method, MethodFigures
from evaluation.metrics import KPIS, OBJECTIVE

INTERVAL: Final = "interval"
PROFILE: Final = "profile"
TYPES: Final = {
    INTERVAL: "`{estimate, low, high, kind, count, confidence}`; `kind` is `over_markets` or `over_runs`, "
    "`count` the markets or training runs it stands on; null where it has no meaning",
    PROFILE: "`{thresholds, share, low, high, kind, count, confidence}`: share of scores above each of the "
    "thresholds",
}
FIELDS: Final[dict[str, tuple[str, str]]] = {
    "scenario": ("text", "name of the scenario"),
    "split": ("text", "`train`, `development` or `held_out`"),
    "seed": ("number", "of the sequence of markets"),
    "first_market": ("number", "where in that sequence the course begins"),
    "markets": ("number", "that every team met"),
    "impression_weight": ("number", "real impressions that a simulated opportunity stands for"),
    "time_acceleration": ("number", "how much faster than in the field slow dynamics run"),
    "real_listening_history": ("true or false", "whether listeners' tastes are real ones"),
    "baseline": ("text", "the team over which lifts are shown"),
    "reference": ("text", "the team whose J counts as 1 in gaps and profiles"),
    "intervals": ("object", "what the two kinds of interval say, in words"),
    "headlines[].result": ("text", "what the project is for"),
    "headlines[].kpi": ("text", "the KPI's tag"),
    "headlines[].team": ("text", "the leading team"),
    "headlines[].value": ("number", "its KPI, in the KPI's unit"),
    "headlines[].over": ("text", "`siloed` or `monolithic`"),
    "headlines[].over_value": ("number", "that baseline's KPI"),
    "headlines[].lift_fraction": (INTERVAL, "value / over_value - 1"),
    "headlines[].verdict": ("text", "`as wanted`, `the wrong way` or `no difference shown`"),
    "methods.<method>.runs": ("list of text", "training runs, each once"),
    "methods.<method>.refused": ("text", "why there is no interval over runs; else null"),
    "methods.<method>.objective_usd": (INTERVAL, "mean J of its runs"),
    "methods.<method>.lift_fraction": (INTERVAL, "over the baseline, which is held fixed"),
    "methods.<method>.interquartile_mean": (INTERVAL, "of its runs' J / the reference's"),
    "methods.<method>.optimality_gap": (INTERVAL, "shortfall of its runs' J / the reference's from 1"),
    "methods.<method>.probability_of_improvement": (INTERVAL, "share of its runs that beat the baseline"),
    "methods.<method>.profile": (PROFILE, "of its runs' J / the reference's"),
    "methods.<method>.versus.<method>.lift_fraction": (INTERVAL, "over another method"),
    "methods.<method>.versus.<method>.better_run": (INTERVAL, "probability that its run beats the other's"),
    "absolute": ("object or null", "the leading team on ten times the markets (`--absolute`)"),
    "absolute.team": ("text", "the leading team"),
    "absolute.first_market": ("number", "where in the sequence those markets begin"),
    "absolute.markets": ("number", "how many"),
    "absolute.objective_usd": (INTERVAL, "mean J"),
    "absolute.lift_fraction": (INTERVAL, "over the baseline on the same markets; null for the baseline"),
    "absolute.kpis.<kpi>": ("number", "mean over markets"),
    "absolute.objective_usd_per_market": ("list of numbers", "J, USD"),
    "kpis.<kpi>.unit": ("text", "see docs/metrics.md"),
    "kpis.<kpi>.formula": ("text", "likewise"),
    "kpis.<kpi>.when_empty": ("text", "its value where the denominator is zero"),
    "teams[].team": ("text", "name; teams stand best first"),
    "teams[].source": ("text", "the TEAM argument"),
    "teams[].knowledge": ("text", "`model-free`, `part model-aware`, `model-aware` or `privileged`"),
    "teams[].learned_roles": ("list of text", "roles that were trained"),
    "teams[].training_seeds": ("list of numbers", "they stand on"),
    "teams[].objective_usd": (INTERVAL, "mean J a market"),
    "teams[].interquartile_mean_usd": (INTERVAL, "J of the middle half of the markets"),
    "teams[].optimality_gap": (INTERVAL, "mean shortfall of J / the reference's from 1, by market"),
    "teams[].profile": (PROFILE, "of J / the reference's by market"),
    "teams[].versus.<team>.lift_fraction": (INTERVAL, "mean J / the other's - 1"),
    "teams[].versus.<team>.difference_usd": (INTERVAL, "mean J - the other's, a market"),
    "teams[].versus.<team>.cohens_d": ("number", "mean paired difference in its standard deviations"),
    "teams[].versus.<team>.probability_of_improvement": (INTERVAL, "share of markets won, ties half"),
    "teams[].versus.<team>.minimal_detectable_fraction": ("number", "least lift shown with a power of .8"),
    "teams[].versus.<team>.verdict": ("text", "`better`, `worse`, `not told apart` or `the same`"),
    "teams[].lift_fraction.<team>": (INTERVAL, "as `versus`, in short"),
    "teams[].probability_of_improvement.<team>": ("number", "likewise"),
    "teams[].kpis.<kpi>": ("number", "mean over the markets that have one; null if none has"),
    "teams[].objective_usd_per_market": ("list of numbers", "J, in the order of the markets"),
    "teams[].incapacities": ("list of objects", "roles that failed: `{role, interval, reason}`"),
    "teams[].wall_seconds": ("number", "that playing it took: the one figure that differs from run to run"),
}
"""Path of every leaf > (type, meaning)."""
KINDS: Final = {
    "over_markets": "these policies, other markets; paired; says nothing about training luck",
    "over_runs": "other training runs of the same method",
}


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything as one object, units in the key names (KPIs by their tags)."""
    course = comparison.course
    return {
        "scenario": course.scenario.name,
        "split": course.split,
        "seed": course.seed,
        "first_market": course.first_market,
        "markets": course.num_markets,
        "impression_weight": course.scenario.impression_weight,
        "time_acceleration": course.scenario.time_acceleration,
        "real_listening_history": course.taste_pool is not None,
        "baseline": comparison.baseline,
        "reference": comparison.reference,
        "intervals": KINDS,
        "headlines": [_headline(found, comparison.hero) for found in comparison.headlines],
        "methods": {name: _method(method) for name, method in comparison.methods.items()},
        "absolute": None if comparison.absolute is None else _absolute(comparison.absolute),
        "kpis": {
            tag: {"unit": kpi.unit, "formula": kpi.formula, "when_empty": kpi.when_empty}
            for tag, kpi in KPIS.items()
        },
        "teams": [_team(standing) for standing in comparison.standings],
    }


def _headline(found: Headline, hero: Standing) -> dict[str, Any]:
    return {
        "result": found.result,
        "kpi": found.tag,
        "team": hero.entrant.name,
        "value": found.value,
        "over": found.over,
        "over_value": found.over_value,
        "lift_fraction": found.lift,
        "verdict": found.verdict,
    }


def _method(method: Method) -> dict[str, Any]:
    figures = {} if method.figures is None else _figures(method.figures)
    return {"runs": method.runs, "refused": method.refusal, **figures}


def _figures(figures: MethodFigures) -> dict[str, Any]:
    return {
        "objective_usd": figures.objective,
        "lift_fraction": figures.lift,
        "interquartile_mean": figures.interquartile_mean,
        "optimality_gap": figures.optimality_gap,
        "probability_of_improvement": figures.probability_of_improvement,
        "profile": figures.profile,
        "versus": {
            other: {"lift_fraction": versus.lift, "better_run": versus.better_run}
            for other, versus in figures.versus.items()
        },
    }


def _absolute(absolute: Absolute) -> dict[str, Any]:
    return {
        "team": absolute.result.team,
        "first_market": absolute.course.first_market,
        "markets": absolute.course.num_markets,
        "objective_usd": absolute.objective,
        "lift_fraction": absolute.lift,
        "kpis": absolute.result.means(),
        "objective_usd_per_market": absolute.result.metrics[OBJECTIVE],
    }


def _team(standing: Standing) -> dict[str, Any]:
    entrant, result = standing.entrant, standing.result
    return {
        "team": entrant.name,
        "source": entrant.argument,
        "knowledge": entrant.knowledge,
        "learned_roles": entrant.learned_roles,
        "training_seeds": entrant.training_seeds,
        "objective_usd": standing.objective,
        "interquartile_mean_usd": standing.interquartile_mean,
        "optimality_gap": standing.optimality_gap,
        "profile": standing.profile,
        "versus": {other: _versus(versus) for other, versus in standing.versus.items()},
        "lift_fraction": standing.lift,
        "probability_of_improvement": standing.probability_of_improvement,
        "kpis": result.means(),
        "objective_usd_per_market": result.metrics[OBJECTIVE],
        "incapacities": result.incapacities,
        "wall_seconds": result.wall_seconds,
    }


def _versus(versus: Versus) -> dict[str, Any]:
    return {
        "lift_fraction": versus.lift,
        "difference_usd": versus.difference,
        "cohens_d": versus.cohens_d,
        "probability_of_improvement": versus.probability_of_improvement,
        "minimal_detectable_fraction": versus.minimal_detectable_fraction,
        "verdict": versus.verdict,
    }
