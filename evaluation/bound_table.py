"""The table of docs/bounds.md: how near teams come to the exact bound, market by market, in expectation.

`python -m evaluation.bound_table --markets 128 --split held_out` prints it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import typer

from envs.output import format_table
from envs.scenario import load_scenario
from envs.seeds import SPLITS
from envs.state import Float
from evaluation.clairvoyant_team import clairvoyant_team
from evaluation.linear_market import NoBoundError, bound_kind, course_bound, expected_gain
from evaluation.rollout import Course, opened
from policies.registry import make_team, team_names
from policies.team import Team


def expected_shares(course: Course, teams: Sequence[Team]) -> dict[str, Float]:
    """Expected J of what each team bought over the bound, by name: [n] shares, none above 1.

    Raises:
        NoBoundError: the course's scenario has no exact bound.
    """
    if bound_kind(course.scenario) != "exact":
        raise NoBoundError(f"scenario {course.scenario.name!r} has an upper bound only: compare realised J")
    bound = course_bound(course).bound_usd
    gained = {team.name: np.zeros(course.num_markets) for team in teams}
    for start, count in course.batches():
        for team in teams:
            market, observations = opened(team, course, start, count, log=True)
            for _ in range(course.scenario.intervals):
                observations = market.step(team.act(observations, market.impressions)).observations
                gained[team.name][start : start + count] += expected_gain(market)
    return {name: gain / bound for name, gain in gained.items()}


def main(markets: int = 128, split: str = "held_out", seed: int = 0) -> None:
    """Prints the table for the clairvoyant and every scripted team in scenario `linear`."""
    kind = next(known for known in SPLITS if known == split)
    course = Course(load_scenario("linear"), kind, seed, markets)
    teams = [clairvoyant_team(), *map(make_team, team_names())]
    shares = sorted(expected_shares(course, teams).items(), key=lambda one: -one[1].mean())
    rows = [
        (name, *(f"{100 * value:.2f} %" for value in (share.min(), share.mean(), share.max())))
        for name, share in shares
    ]
    typer.echo(format_table(("team", "least", "mean", "most"), rows))


if __name__ == "__main__":
    typer.run(main)
