"""A served team against the same team in this process, on the same markets."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from envs.exchange import Exchange
from envs.market import VectorMarket
from envs.scenario import Scenario
from envs.seeds import Split, market_seeds
from policies import load_team
from policies.policy import flight_of
from policies.team import Team
from serving.client import Connection, play_over_http, served_scenario


def compare(
    bundle: str | Path, url: str, token: str, split: Split, seed: int, markets: int
) -> dict[str, Any]:
    """Plays a team over HTTP and in this process.

    Args:
        bundle: what the service serves.
        url: of the service; its flight is replaced.
        token: for its writing endpoints.
        split: `train` or `development`.
        seed: of the sequence of markets.
        markets: how many.

    Returns:
        Objectives in USD, how often stand-ins answered for roles that were late or failed, the mean paired
        difference with its 95 % interval (Student's t), and whether they are equal: 0 lies in the interval,
        or every difference is below a thousandth of the objective (of one market only this counts).
    """
    started = time.perf_counter()
    connection = Connection(url, token)
    scenario = served_scenario(connection)
    exchange = Exchange(scenario, split=split)
    seeds = market_seeds(split, seed, 0, markets)
    team = load_team(bundle)
    flights = [play_over_http(connection, exchange, one, order=team.reads_order) for one in seeds]
    served = np.array([objective_usd for objective_usd, _ in flights])
    stand_ins: Counter[str] = sum((Counter(failed) for _, failed in flights), Counter())
    connection.close()
    here = play_here(team, scenario, split, seeds)
    apart = served - here
    half = np.inf
    if markets > 1:
        half = student.ppf(0.975, markets - 1) * apart.std(ddof=1) / np.sqrt(markets)
    mean = float(apart.mean())
    return {
        "markets": markets,
        "in_process_usd": here.tolist(),
        "served_usd": served.tolist(),
        "difference_usd": mean,
        "difference_low_usd": float(mean - half),
        "difference_high_usd": float(mean + half),
        "equal": bool((markets > 1 and abs(mean) <= half) or (np.abs(apart) <= 1e-3 * np.abs(here)).all()),
        "stand_ins": dict(stand_ins),
        "seconds": time.perf_counter() - started,
    }


def play_here(team: Team, scenario: Scenario, split: Split, seeds: Any) -> Any:
    """Objectives [markets] of a team in this process, USD."""
    reads = team.reads_listeners
    market = VectorMarket(scenario, len(seeds), split=split, impressions=reads)
    observations = market.reset(seeds)
    team.start(flight_of(market, listening=reads, order=team.reads_order))
    objective_usd = np.zeros(len(seeds))
    for _ in range(scenario.intervals):
        step = market.step(team.act(observations, market.impressions))
        observations = step.observations
        objective_usd += step.rewards.team
    return objective_usd
