from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import RandomTeam, started, tiny
from support.naive_sight import observe_all

from envs.crew import Crew
from envs.market import VectorMarket
from envs.observation import CLOCK, ROLES, SCHEMAS
from envs.sight import SURVEY_SD, look, new_sight


def same_as_naive(market: VectorMarket) -> None:
    """Equal to the last bit but one: a sum's order and a power differ by less than float32 can show."""
    seen, naive = market._observations(), observe_all(market)
    for role in ROLES:
        here, there = getattr(seen, role), naive[role]
        assert here.shape == there.shape and here.dtype == there.dtype == np.float32
        off = np.abs(here - there) > np.spacing(np.abs(there))
        names = {name for name, block in SCHEMAS[role].slices.items() if off[..., block].any()}
        assert not names, f"{role}: {names}"


@settings(max_examples=25, deadline=None)
@given(
    campaigns=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    opportunities=st.sampled_from([1, 24, 300]),
    budget_fraction=st.sampled_from([1e-4, 0.06, 3.0]),
    incident=st.sampled_from([0.0, 1.0]),
    event=st.sampled_from([0.0, 1.0]),
)
def test_the_kernels_see_what_the_table_of_fields_says(
    campaigns: int, seed: int, opportunities: int, budget_fraction: float, incident: float, event: float
) -> None:
    scenario = tiny(
        campaigns=campaigns,
        intervals=12,
        opportunities_per_interval=opportunities,
        budget_fraction=budget_fraction,
        incidents={"incident_probability": incident, "event_probability": event},
    )
    market, team = started(scenario, 2, seed), RandomTeam(seed)
    same_as_naive(market)
    while market.interval < scenario.intervals:
        market.step(team(market))
        same_as_naive(market)


def test_it_overwrites_whatever_stood_there() -> None:
    market = started(tiny(campaigns=3), 2)
    market.step(RandomTeam()(market))
    clean, dirty = new_sight(2, 3), new_sight(2, 3)
    for array in dirty:
        array[...] = 7.0
    assert look(market, clean, Crew(market.num_markets, 1)) and look(
        market, dirty, Crew(market.num_markets, 1)
    )
    for one, other in zip(clean, dirty, strict=True):
        assert one.tobytes() == other.tobytes()


def test_only_what_is_no_number_is_told_of() -> None:
    market = started(tiny(), 2)
    market.brief.wear_out[1, 1] = np.inf
    sight = new_sight(2, 2)
    assert look(market, sight, Crew(market.num_markets, 1))
    field = SCHEMAS["bidding"].by_name["brief_wear_out"]
    assert SCHEMAS["bidding"].view(sight.campaign, "brief_wear_out")[1, 1] == field.high
    market.brief.wear_out[1, 1] = np.nan
    assert not look(market, sight, Crew(market.num_markets, 1))


def test_every_role_begins_with_the_clock() -> None:
    names = [field.name for field in CLOCK.fields]
    for role in ROLES:
        assert [field.name for field in SCHEMAS[role].fields[: len(names)]] == names


def test_the_survey_is_noisy_but_unbiased_and_changes_every_interval() -> None:
    market = started(tiny(campaigns=4), 64)
    first = SCHEMAS["bidding"].view(market._observations().bidding, "recall_survey")
    step = market.step(RandomTeam()(market))
    second = SCHEMAS["bidding"].view(step.observations.bidding, "recall_survey")
    error = second - step.outcome.recall
    assert abs(error.mean()) < 4 * SURVEY_SD / np.sqrt(error.size)
    assert error.std() == pytest.approx(SURVEY_SD, rel=0.1)
    assert not np.isclose(first, error).any()
