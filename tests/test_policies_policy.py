from __future__ import annotations

import gc
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from support.markets import started, tiny

from envs.market import VectorMarket
from envs.seeds import market_seeds
from envs.state import MarketParameters, MarketState
from policies.policy import Flight, flight_of, policy_seeds
from policies.registry import make_team
from policies.teams import TEAMS

TRUTH = (VectorMarket, MarketParameters, MarketState)


def reaches_truth(thing: Any, market: VectorMarket) -> bool:
    """Whether any chain of references leads to a market or to an array of what it hides."""
    hidden = {id(array) for array in (*market.parameters, *market.market_state)}
    seen: set[int] = set()
    waiting = [thing]
    while waiting:
        here = waiting.pop()
        if id(here) in seen or isinstance(here, type | ModuleType | FunctionType | BuiltinFunctionType):
            continue
        if isinstance(here, TRUTH) or id(here) in hidden:
            return True
        if isinstance(here, np.ndarray):
            waiting.append(here.base)
        seen.add(id(here))
        waiting += gc.get_referents(here)
    return False


@pytest.mark.parametrize("name", TEAMS)
def test_only_privileged_policies_are_given_the_market(name: str) -> None:
    market, team = started(tiny(), 2), make_team(name)
    team.start(flight_of(market, privileged=team.privileged, listening=team.reads_listeners))
    team.act(market._observations())
    told = {role: reaches_truth(policy, market) for role, policy in team.policies.items()}
    assert told == {role: policy.privileged for role, policy in team.policies.items()}
    assert not any(
        reaches_truth(policy, market) for policy in team.stand_ins.values() if not policy.privileged
    )
    assert any(told.values()) == (TEAMS[name].knowledge == "privileged")


def test_a_flight_tells_of_the_market_only_when_asked_to() -> None:
    market = started(tiny(), 3)
    plain, privileged = flight_of(market), flight_of(market, privileged=True)
    assert plain.market is None and not reaches_truth(plain, market)
    assert privileged.market is market and reaches_truth(privileged, market)
    reading = flight_of(market, listening=True)
    assert plain.listening is None and reading.market is None and not reaches_truth(reading, market)
    public = {"scenario", "num_markets", "num_campaigns", "seeds", "listening"}
    assert set(Flight.__dataclass_fields__) == {*public, "market", "journeys"}
    assert plain.journeys is None  # of the attribution agent alone


def test_a_policys_seeds_are_not_those_of_its_market() -> None:
    seeds = market_seeds("train", 0, 0, 1000)
    mine = policy_seeds(seeds)
    assert mine.dtype == np.uint64 and len(np.unique(mine)) == 1000
    assert not np.isin(mine, seeds).any()
    assert np.array_equal(policy_seeds(seeds[7:9]), mine[7:9])
