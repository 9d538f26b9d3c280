"""Flights of teams, interval by interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from envs.market import Observations, Step, VectorMarket
from envs.protocol import Actions
from envs.scenario import Scenario
from envs.seeds import Split, market_seeds
from policies.policy import flight_of
from policies.team import Team


class Moment(NamedTuple):
    """One interval: what was seen, what was done, what it brought."""

    observations: Observations
    actions: Actions
    step: Step
    market: VectorMarket


def flight(
    team: Team,
    scenario: Scenario,
    count: int = 4,
    seed: int = 0,
    split: Split = "development",
    first: int = 0,
) -> Iterator[Moment]:
    """Plays a team to the flight's end."""
    market = VectorMarket(scenario, count, split=split, impressions=team.reads_listeners)
    observations = market.reset(market_seeds(split, seed, first, count))
    team.start(flight_of(market, privileged=team.privileged, listening=team.reads_listeners))
    for _ in range(scenario.intervals):
        actions = team.act(observations, market.impressions)
        step = market.step(actions)
        yield Moment(observations, actions, step, market)
        observations = step.observations
