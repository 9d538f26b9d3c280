"""What each thing that is learned beside the networks is worth: `python -m training.ladder`.

The desk's rule; the prior that past campaigns taught; an audience agent that tells listeners apart; that and
a desk that reads single impressions; all of it, which is where PPO starts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import typer

from envs.output import format_table
from envs.scenario import Scenario, load_scenario
from envs.state import Float
from evaluation.intervals import Interval, over_markets, over_runs
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.desk import CampaignDesk
from policies.policy import Policy
from policies.registry import DESK_TEAM, learning_desk, make_team
from policies.scripted_bidding import DeskBidding
from policies.scripted_creative import DeskCreative
from policies.team import Team
from training.arm_prior import learn_arm_prior

LISTENERS = "listener-aware"


def on_desk(base: str, desk: CampaignDesk, **others: Policy) -> Team:
    """A base team whose creative and bidding agents stand on a desk, and other roles by their names."""
    acting: dict[str, Policy] = {
        "creative": DeskCreative(desk, "taught"),
        "bidding": DeskBidding(desk, "taught"),
    }
    return Team(f"{base} + prior", {**make_team(base).policies, **acting, **others}, model_aware=True)


def taught_team(base: str, scenario: Scenario, seed: int = 0, prior_markets: int = 1024) -> Team:
    """A base team whose desk starts from what training markets of a scenario teach."""
    prior = learn_arm_prior(scenario, seed, prior_markets)
    return on_desk(base, learning_desk(arm_prior=prior, reads_listeners=make_team(base).reads_listeners))


def ladder(course: Course, prior_markets: int = 1024) -> Iterator[tuple[str, float, Interval]]:
    """Name, mean J in USD and lift over `certainty-equivalent` over markets, from the plainest rung up."""
    teams = [
        make_team(DESK_TEAM),
        taught_team(DESK_TEAM, course.scenario, prior_markets=prior_markets),
        TeamSource(f"{DESK_TEAM}+audience=collaborative")(),
        make_team(LISTENERS),
        taught_team(LISTENERS, course.scenario, prior_markets=prior_markets),
    ]
    base = play(teams[0], course).metrics[OBJECTIVE]
    for team in teams:
        objective = play(team, course).metrics[OBJECTIVE]
        yield team.name, float(objective.mean()), over_markets(objective, base)


def top_rung_by_seed(course: Course, seeds: int, prior_markets: int = 1024) -> tuple[Float, Interval]:
    """Mean J [seeds] in USD of the highest rung, taught by other markets each time, and its lift.

    Raises:
        TooFewRunsError: fewer than five seeds.
    """
    teams = [taught_team(LISTENERS, course.scenario, seed, prior_markets) for seed in range(seeds)]
    means = np.array([play(team, course).metrics[OBJECTIVE].mean() for team in teams])
    return means, over_runs(means, play(make_team(DESK_TEAM), course).metrics[OBJECTIVE].mean())


def main(scenario: str = "default", markets: int = 256, seeds: int = 0) -> None:
    """Prints the ladder on held-out markets, or with `--seeds` its highest rung by training seed."""
    course = Course(load_scenario(scenario), num_markets=markets)
    if seeds:
        means, lift = top_rung_by_seed(course, seeds)
        typer.echo(f"{LISTENERS} + prior, by training seed: {'; '.join(f'{mean:,.0f}' for mean in means)}")
        typer.echo(f"over {DESK_TEAM}, over training seeds: {_said(lift)}")
        return
    rows = [(name, f"{mean:,.0f}", _said(lift)) for name, mean, lift in ladder(course)]
    typer.echo(format_table(("team", "J, USD", f"over {DESK_TEAM}"), rows))


def _said(lift: Interval) -> str:
    return f"{100 * lift.estimate:+.1f} % [{100 * lift.low:.1f}, {100 * lift.high:.1f}]"


if __name__ == "__main__":
    typer.run(main)
