"""Flights that are logged, and their logs as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.markets import RandomTeam, quiet

from envs.event_log import EventLog, column_of, read_table
from envs.event_schema import TABLES
from envs.market import VectorMarket
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Outcome

MARKETS = 5


def logged(scenario: Scenario, folder: Path, threads: int = 1) -> tuple[VectorMarket, list[Outcome]]:
    """A flight of random agents, logged as the run `random`."""
    market = VectorMarket(scenario, MARKETS, log=True, threads=threads)
    market.reset(market_seeds("train", 1, 0, MARKETS))
    team, outcomes = RandomTeam(), []
    with EventLog(folder, "random", market) as events:
        while market.interval < scenario.intervals:
            actions = team(market)._replace(bidding=quiet(market).bidding + 1.0)
            outcomes.append(market.step(actions).outcome)
            events.add(actions)
    return market, outcomes


def columns(folder: Path, table: str) -> dict[str, Any]:
    """All columns of the run as arrays, words as indices."""
    rows = read_table(folder, table, "random")
    return {
        column.name: column_of(rows, table, column.name)
        for column in TABLES[table].columns
        if column.kind not in ("text", "numbers")
    }
