"""Do the intervals hold what they promise: measured where the truth is known.

`python -m evaluation.coverage docs` writes `coverage.md`. Training runs are drawn from made-up populations,
whose mean and interquartile mean are known; markets from thousands that were played, which stand for all
there are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from envs.errors import InterludeError
from envs.output import write_text_atomically
from envs.scenario import load_scenario
from evaluation.aggregates import (
    CONFIDENCE,
    POWER,
    Aggregate,
    Float,
    interquartile_mean,
    lift,
    markets_needed,
    mean,
    minimal_detectable_effect,
)
from evaluation.handicap import paused
from evaluation.intervals import MIN_RUNS, Interval, MarketBootstrap, interval_over_runs
from evaluation.metrics import OBJECTIVE
from evaluation.reference import markdown_table
from evaluation.rollout import Course, play
from policies.registry import make_team

DOCUMENT: Final = "coverage.md"
NOTE: Final = "<!-- written by `python -m evaluation.coverage docs`: change the code, not this file -->\n"
RUNS: Final = (3, 5, 10, 20)
TASKS: Final = (1, 5)
MARKETS: Final = (16, 64, 256)
PAUSES: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
AGGREGATES: Final[Mapping[str, Aggregate]] = {"mean": mean, "interquartile mean": interquartile_mean}
PAIRS: Final = (("certainty-equivalent", "shadow-price"), ("shadow-price", "siloed"))
_SPREAD: Final = 0.15
_MANY: Final = 1_000_001

Population = Callable[[Float], Float]
"""Quantile function of what a training run scores."""


def _normal(u: Float) -> Float:
    from scipy.stats import norm

    scores: Float = 1.0 + _SPREAD * norm.ppf(u)
    return scores


def _some_fail(u: Float) -> Float:
    """A fifth of the runs ends far below the others: what reinforcement learning is known for."""
    from scipy.stats import norm

    scores: Float = np.where(u < 0.2, 0.5 + 0.1 * norm.ppf(u / 0.2), 1.0 + 0.05 * norm.ppf((u - 0.2) / 0.8))
    return scores


POPULATIONS: Final[Mapping[str, Population]] = {"normal": _normal, "a fifth fails": _some_fail}


@dataclass(frozen=True)
class RunCoverage:
    """How often an interval over runs held the truth."""

    population: str
    aggregate: str
    tasks: int
    runs: int
    coverage: float


@dataclass(frozen=True)
class MarketCoverage:
    """How often an interval over markets held the truth."""

    pair: tuple[str, str]
    markets: int
    lift: float
    """On all markets there are."""
    mean: float
    """Coverage of the interval of mean J."""
    lifts: float
    """Coverage of the paired interval of the lift."""
    detected: float
    """Share of intervals of the difference that exclude 0."""


@dataclass(frozen=True)
class Detection:
    """How large a known handicap is, and how many markets show it."""

    pause_probability: float
    lift: float
    markets_needed: int
    detected: float
    """Share of intervals on so many markets that exclude 0; the power aimed at is `POWER`."""


def run_coverage(repetitions: int, resamples: int, seed: int = 0) -> list[RunCoverage]:
    """Coverage of `over_runs` for every population, aggregate, number of tasks and of runs."""
    rng, found = np.random.default_rng(seed), []
    grid = (np.arange(_MANY) + 0.5) / _MANY
    for population, quantile in POPULATIONS.items():
        for name, aggregate in AGGREGATES.items():
            truth = float(aggregate(quantile(grid)))
            for tasks in TASKS:
                for runs in RUNS:
                    hits = 0
                    for repetition in range(repetitions):
                        scores = quantile(rng.uniform(size=(runs, tasks)))
                        interval = interval_over_runs(scores, aggregate, resamples, CONFIDENCE, repetition)
                        hits += _holds(interval, truth)
                    found.append(RunCoverage(population, name, tasks, runs, hits / repetitions))
    return found


def market_coverage(
    objective: Mapping[str, Float], repetitions: int, resamples: int, seed: int = 0
) -> list[MarketCoverage]:
    """Coverage of `over_markets` for J by team of the markets that stand for all there are."""
    rng, found = np.random.default_rng(seed), []
    for a, b in PAIRS:
        every = np.stack([objective[a], objective[b]])
        truth_mean, other = every.mean(1)
        truth = float(lift(truth_mean, other))
        for markets in MARKETS:
            hits = np.zeros(3)
            for repetition in range(repetitions):
                drawn = every[:, rng.integers(0, every.shape[1], markets)]
                bootstrap = MarketBootstrap(drawn, resamples=resamples, seed=repetition)
                hits += (
                    _holds(bootstrap.mean(0), float(truth_mean)),
                    _holds(bootstrap.lift(0, 1), truth),
                    bootstrap.difference(0, 1).excludes_zero,
                )
            found.append(MarketCoverage((a, b), markets, truth, *(hits / repetitions).tolist()))
    return found


def detection(
    whole: Float, handicapped: Mapping[float, Float], repetitions: int, resamples: int, seed: int = 0
) -> list[Detection]:
    """How many markets show each handicap, from J [n] with and without it on the same markets."""
    rng, found = np.random.default_rng(seed), []
    for probability, objective in handicapped.items():
        differences = objective - whole
        needed = markets_needed(differences, float(differences.mean()))
        hits = 0
        for repetition in range(repetitions):
            drawn = differences[rng.integers(0, len(differences), needed)]
            hits += MarketBootstrap(drawn[None], resamples=resamples, seed=repetition).mean(0).excludes_zero
        gain = float(lift(objective.mean(keepdims=True), whole.mean(keepdims=True))[0])
        found.append(Detection(probability, gain, needed, hits / repetitions))
    return found


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def coverage_text(scenario: str, markets: int, repetitions: int, resamples: int) -> str:
    """`docs/coverage.md`: plays the markets, then draws from them."""
    course = Course(load_scenario(scenario), "held_out", 0, markets)
    objective = {
        name: play(make_team(name), course).metrics[OBJECTIVE] for name in dict.fromkeys(sum(PAIRS, ()))
    }
    leader = PAIRS[1][0]
    handicapped = {p: play(paused(make_team(leader), p), course).metrics[OBJECTIVE] for p in PAUSES}
    runs = run_coverage(repetitions, resamples)
    of_markets = market_coverage(objective, repetitions, resamples)
    found = detection(objective[leader], handicapped, min(repetitions, 400), resamples)
    parts = [
        NOTE,
        "# Do the intervals hold what they promise\n",
        f"Nominal coverage is {CONFIDENCE:.0%}; {repetitions:,} repetitions of {resamples:,} resamples each, "
        f"so that a coverage of {CONFIDENCE:g} is good to {_noise(repetitions):.3f}.\n",
        "## Over training runs\n",
        "Percentile bootstrap, runs drawn again within every task. `normal`: a run scores 1 ± 0.15 of the "
        "reference. `a fifth fails`: one in five ends at half of it.\n",
        _run_table(runs),
        f"`over_runs` refuses fewer than {MIN_RUNS} runs. Even at {MIN_RUNS} the interval is narrower than "
        "it says, and far too narrow where runs fail now and then: a small sample may hold none that did. "
        "Report ten runs or more, and the interquartile mean, where a claim depends on it.\n",
        "## Over markets\n",
        f"J of {markets:,} held-out markets of scenario {scenario} stands for all markets there are; samples "
        "of it are drawn with replacement, teams in pairs.\n",
        _market_table(of_markets),
        "## What it takes to see a difference\n",
        f"`{leader}` against itself with a handicap: in each interval each campaign is paused with the "
        "probability given. Two copies of one team differ by exactly 0 on every market. Budgets that were "
        "not spent in a pause are spent later, so that less value is lost than time. Markets for a power of "
        f"{POWER:.0%}, by how the paired differences scatter, and how often that many showed it:\n",
        _detection_table(found),
        _course_text(objective),
    ]
    return "\n".join(parts)


def _noise(repetitions: int) -> float:
    """Half width of the 95 % interval of a measured coverage of .95."""
    return float(1.96 * (CONFIDENCE * (1.0 - CONFIDENCE) / repetitions) ** 0.5)


def _run_table(found: Sequence[RunCoverage]) -> str:
    rows: dict[tuple[str, str, int], list[str]] = {}
    for one in found:
        rows.setdefault((one.population, one.aggregate, one.tasks), []).append(f"{one.coverage:.3f}")
    head = ("population", "aggregate", "tasks", *(f"{runs} runs" for runs in RUNS))
    return markdown_table(head, [(p, a, str(t), *figures) for (p, a, t), figures in rows.items()])


def _market_table(found: Sequence[MarketCoverage]) -> str:
    head = ("team over team", "true lift", "markets", "mean J", "lift", "difference shown")
    rows = [
        (
            f"`{one.pair[0]}` over `{one.pair[1]}`",
            f"{100 * one.lift:+.1f} %",
            str(one.markets),
            f"{one.mean:.3f}",
            f"{one.lifts:.3f}",
            f"{one.detected:.0%}",
        )
        for one in found
    ]
    return markdown_table(head, rows)


def _detection_table(found: Sequence[Detection]) -> str:
    rows = [
        (
            f"{one.pause_probability:g}",
            f"{100 * one.lift:+.2f} %",
            f"{one.markets_needed:,}",
            f"{one.detected:.0%}",
        )
        for one in found
    ]
    return markdown_table(("paused", "J", "markets needed", "shown"), rows)


def _course_text(objective: Mapping[str, Float]) -> str:
    """The least lift that a course shows, by its number of markets."""
    rows = []
    for a, b in PAIRS:
        differences, base = objective[a] - objective[b], objective[b].mean()
        scale = np.sqrt(len(differences))
        least = minimal_detectable_effect(differences) * scale / base
        figures = [f"{100 * least / np.sqrt(n):.1f} %" for n in (64, 256, 512, 5120)]
        rows.append((f"`{a}` over `{b}`", *figures))
    return (
        "The least lift of J that a course shows with that power, for teams as unlike as these:\n\n"
        + markdown_table(("teams", "64 markets", "256", "512", "5120"), rows)
    )


def main(arguments: Sequence[str]) -> int:
    """Measures the coverage of all intervals; writes the document into the folder named."""
    parser = argparse.ArgumentParser("python -m evaluation.coverage", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where coverage.md is written; an existing folder")
    parser.add_argument("--scenario", default="default", help="[default: %(default)s]")
    parser.add_argument("--markets", type=int, default=4096, help="that are played [default: %(default)s]")
    parser.add_argument("--repetitions", type=int, default=4000, help="[default: %(default)s]")
    parser.add_argument("--resamples", type=int, default=1000, help="[default: %(default)s]")
    chosen = parser.parse_args(arguments)
    try:
        if not chosen.folder.is_dir():
            raise InterludeError(f"{chosen.folder} is not a folder")
        text = coverage_text(chosen.scenario, chosen.markets, chosen.repetitions, chosen.resamples)
        write_text_atomically(chosen.folder / DOCUMENT, text)
    except InterludeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
