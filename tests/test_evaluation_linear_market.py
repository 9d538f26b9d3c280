"""The clairvoyant bound in our own market: exact where value is linear, refused where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.markets import RandomTeam, leaves

from envs.errors import InterludeError
from envs.market import VectorMarket
from envs.scenario import Scenario, load_scenario, scenario_names
from envs.seeds import market_seeds
from envs.state import Float
from evaluation.clairvoyant_team import clairvoyant_team
from evaluation.linear_market import (
    NoBoundError,
    attended_share,
    bound_kind,
    course_bound,
    expected_gain,
    flight_opportunities,
    fraction_of_bound,
    market_bound,
    why_no_bound,
)
from evaluation.rollout import Course
from policies.policy import flight_of
from policies.registry import make_team, team_names
from policies.team import Team

MARKETS = 3


def linear(**changes: Any) -> Scenario:
    return load_scenario("linear").model_copy(update=changes)


def started(scenario: Scenario, markets: int = MARKETS) -> VectorMarket:
    market = VectorMarket(scenario, markets, split="held_out", log=True)
    market.reset(market_seeds("held_out", 0, 0, markets))
    return market


def played(market: VectorMarket, team: Team) -> tuple[Float, Float]:
    """[B] expected and realised J of a flight."""
    observations = market.reset(market.seeds)
    team.start(flight_of(market, privileged=team.privileged, listening=team.reads_listeners))
    expected, realised = np.zeros(market.num_markets), np.zeros(market.num_markets)
    for _ in range(market.scenario.intervals):
        step = market.step(team.act(observations, market.impressions))
        observations = step.observations
        expected += expected_gain(market)
        realised += step.rewards.team
    assert not team.incapacities
    return expected, realised


def test_the_linear_scenario_is_the_only_shipped_one_with_a_bound() -> None:
    assert [name for name in scenario_names() if not why_no_bound(load_scenario(name))] == ["linear"]
    assert bound_kind(load_scenario("linear")) == "exact"


def test_every_team_stays_under_the_bound_on_every_market() -> None:
    market = VectorMarket(linear(intervals=12), MARKETS, impressions=True)
    market.reset(market_seeds("train", 0, 0, MARKETS))
    bound = np.array([market_bound(market, b).bound_usd for b in range(MARKETS)])
    for name in team_names():
        expected, _ = played(market, make_team(name))
        assert (expected <= bound * (1 + 1e-9)).all(), name
        assert (expected > -bound).all()


def test_at_first_price_the_same_number_bounds() -> None:
    """The clairvoyant would bid exactly the price to beat; who bids value / dual pays for not knowing it."""
    fields = load_scenario("linear").model_dump() | {"intervals": 12}
    second, first = (
        started(Scenario(**(fields | {"auction": fields["auction"] | {"pricing": pricing}})))
        for pricing in ("second_price", "first_price")
    )
    bound = np.array([market_bound(first, b).bound_usd for b in range(MARKETS)])
    np.testing.assert_allclose(bound, [market_bound(second, b).bound_usd for b in range(MARKETS)])
    for team in (clairvoyant_team(), make_team("siloed")):
        expected, _ = played(first, team)
        assert (expected < 0.9 * bound).all()


def test_uniform_random_actions_stay_under_it_too() -> None:
    market = started(linear(intervals=6))
    bound = np.array([market_bound(market, b).bound_usd for b in range(MARKETS)])
    for seed in range(5):
        team, gain = RandomTeam(seed), np.zeros(MARKETS)
        market.reset(market.seeds)
        for _ in range(market.scenario.intervals):
            market.step(team(market))
            gain += expected_gain(market)
        assert (gain <= bound * (1 + 1e-9)).all()


def test_the_dual_price_bidder_attains_it_in_the_market() -> None:
    """To .05 % on every market: by the auctions themselves, through an agent's own actions."""
    market = started(load_scenario("linear"))
    bounds = [market_bound(market, b) for b in range(MARKETS)]
    bound = np.array([one.bound_usd for one in bounds])
    expected, _ = played(market, clairvoyant_team())
    assert (expected >= 0.9995 * bound).all()
    assert (expected <= bound).all()
    assert max(one.gap_fraction for one in bounds) < 1e-4


def test_expected_gain_is_what_is_realised_on_average() -> None:
    """Closed forms against the market's own draws: within four standard errors of their difference."""
    market = started(linear(intervals=12), 24)
    expected, realised = played(market, make_team("siloed"))
    noise = realised - expected
    assert abs(noise.mean()) < 4.0 * noise.std(ddof=1) / np.sqrt(len(noise))
    assert np.abs(noise).mean() < 0.2 * np.abs(realised).mean()


def test_completions_are_valued_by_their_closed_form_too() -> None:
    scenario = linear(intervals=8)
    values = scenario.values.model_copy(update={"completion_usd": 0.01, "conversion_usd": 0.0})
    market = started(scenario.model_copy(update={"values": values}), 8)
    expected, realised = played(market, make_team("value-aware"))
    np.testing.assert_allclose(realised.sum(), expected.sum(), rtol=0.05)


def test_nothing_that_is_bought_changes_what_can_be_bought() -> None:
    """The opportunities of a flight are the same before it and in the middle of a busy one."""
    market = started(linear(intervals=6), 1)
    before = flight_opportunities(market)
    team = make_team("oracle")
    observations = market.reset(market.seeds)
    team.start(flight_of(market, privileged=True))
    for _ in range(4):
        observations = market.step(team.act(observations, market.impressions)).observations
    assert market.interval == 4
    for one, other in zip(before, flight_opportunities(market), strict=True):
        np.testing.assert_array_equal(one, other)
    assert market.interval == 4


def test_asking_for_the_bound_leaves_the_market_alone() -> None:
    market = started(linear(intervals=4), 1)
    before = [leaf.copy() for leaf in leaves(market.market_state)]
    market_bound(market)
    for one, other in zip(before, leaves(market.market_state), strict=True):
        np.testing.assert_array_equal(one, other)


def test_steady_listeners_are_rested_after_every_interval() -> None:
    market = started(linear(intervals=3), 1)
    market.step(RandomTeam(1)(market))
    state = market.market_state
    for field in ("annoyance", "exposures", "memory_fast", "wear", "ads_heard"):
        assert not getattr(state, field).any()
    assert (state.health == 1.0).all() and (state.memory_slow == state.memory_slow.flat[0]).all()
    assert (state.budget_left_usd <= market.parameters.budget_usd).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"campaigns": 2}, "several campaigns"),
        ({"rivals": {"reactive": True, "daily_budget_fraction": 1e6}}, "react"),
        ({"rivals": {"daily_budget_fraction": 0.06}}, "run out"),
        ({"values": {"recall_gain_usd": 0.1}}, "recall is valued"),
        ({"values": {"health_usd": 0.1, "recall_gain_usd": 0.0, "recall_level_usd": 0.0}}, "health"),
        ({"listeners": {"steady": False}}, "recall raises"),
        ({"auction": {"pricing": "vcg", "slots": (2, 1, 1)}}, "pods"),
    ],
)
def test_where_no_bound_holds_it_says_why(changes: Any, words: str) -> None:
    scenario = Scenario(**(load_scenario("linear").model_dump() | changes))
    with pytest.raises(NoBoundError, match=words):
        bound_kind(scenario)
    assert issubclass(NoBoundError, InterludeError)


def test_without_steady_listeners_fatigue_keeps_it_an_upper_bound() -> None:
    """Completions alone valued: wear-out, fatigue and churn only take from the fully worn-in value."""
    fields = load_scenario("linear").model_dump()
    fields |= {"intervals": 12, "opportunities_per_interval": 400, "budget_fraction": 0.1}
    fields["listeners"] |= {"steady": False, "daily_frequency_cap": 5, "count": 64}
    fields["values"] |= {"completion_usd": 0.05, "conversion_usd": 0.0}
    scenario = Scenario(**fields)
    assert bound_kind(scenario) == "upper"
    market = started(scenario, 4)
    bound = np.array([market_bound(market, b).bound_usd for b in range(4)])
    for name in ("siloed", "oracle"):
        _, realised = played(market, make_team(name))
        assert (realised < bound).all()
        assert (realised > 0.2 * bound).all()


def test_invalid_traffic_takes_its_share() -> None:
    fields = load_scenario("linear").model_dump()
    fields["incidents"] |= {"incident_probability": 1.0, "kinds": ("invalid_traffic",)}
    fields["held_out"] |= {"incident_kinds": ("invalid_traffic",)}
    market = started(Scenario(**fields), 1)
    m = market.parameters
    start, placement = m.incident_start[0, 0], m.incident_placement[0, 0]
    assert attended_share(market, 0, start)[placement] == pytest.approx(0.21)
    assert attended_share(market, 0, 0) == pytest.approx(np.full(3, 0.96))


def test_the_bound_of_a_course_is_that_of_its_markets() -> None:
    scenario = linear(intervals=4)
    course = course_bound(Course(scenario, "held_out", 0, 2))
    market = started(scenario, 2)
    np.testing.assert_allclose(course.bound_usd, [market_bound(market, b).bound_usd for b in range(2)])
    assert course.kind == "exact" and 0.0 <= course.gap_fraction < 0.01


def test_fraction_and_regret_of_a_bound() -> None:
    """Half of the bound on every market: the fraction is .5 without any doubt, regret the other half."""
    bound = np.array([2.0, 4.0, 6.0])
    found = fraction_of_bound(bound / 2, bound)
    assert (found.fraction.estimate, found.fraction.low, found.fraction.high) == (0.5, 0.5, 0.5)
    assert found.regret_usd.estimate == 2.0
    assert np.isnan(fraction_of_bound(bound, -bound).fraction.estimate)
