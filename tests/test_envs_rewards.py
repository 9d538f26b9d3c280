from __future__ import annotations

import numpy as np
import pytest
from support.markets import RandomTeam, play, quiet, started, tiny, with_bids

from envs.rewards import rewards_of, segment_size, worth_of


def test_worth_and_rewards_are_what_they_say() -> None:
    scenario = tiny(campaigns=3)
    market = started(scenario, 4)
    step = market.step(RandomTeam()(market))
    step = market.step(RandomTeam()(market))
    out, values = step.outcome, scenario.values
    worth = worth_of(out, market.parameters, scenario)
    people = scenario.impression_weight * segment_size(market.parameters)
    assert people.sum(1) == pytest.approx(32 * scenario.impression_weight)
    assert np.allclose(worth.completions, values.completion_usd * out.completions.sum(-1))
    assert np.allclose(worth.conversions, values.conversion_usd * out.conversions_caused)
    gain = values.recall_gain_usd * (out.recall - out.recall_before)
    level = values.recall_level_usd * out.recall / scenario.intervals
    assert np.allclose(worth.recall, people[:, None] * (gain + level))
    assert np.allclose(worth.health, values.health_usd * people * (out.health - out.health_before))
    assert np.allclose(worth.waste, out.wasted_usd.sum(-1))

    own = worth.completions + worth.conversions + worth.recall - worth.waste
    rewards = step.rewards
    assert np.allclose(rewards.team, own.sum((1, 2)) + worth.health.sum(1))
    assert np.allclose(rewards.campaign.sum(1), rewards.team)
    assert np.allclose(rewards.segment.sum(-1), rewards.campaign)
    dislikes = values.completion_usd * out.dislikes.sum((-1, -2))
    assert np.allclose(rewards.creative, (worth.completions + worth.recall).sum(-1) - dislikes)


def test_only_spending_far_ahead_of_plan_is_penalised() -> None:
    scenario = tiny()
    market = started(scenario)
    step = market.step(quiet(market))
    at = {e: rewards_of(step.outcome, step.worth, np.array([[e, 0.0]]), scenario) for e in (-1.0, 0.25, 0.45)}
    assert np.array_equal(at[-1.0].bidding, at[0.25].bidding)
    volume = scenario.opportunities_per_interval * scenario.auction.price_level_usd
    assert at[0.25].bidding[0, 0] - at[0.45].bidding[0, 0] == pytest.approx(0.2 * 0.1 * volume)
    assert at[0.45].bidding[0, 1] == at[0.25].bidding[0, 1]
    assert np.array_equal(at[0.45].team, at[0.25].team)


def test_who_buys_nothing_earns_only_what_listeners_remember_anyway() -> None:
    market = started(tiny(values={"recall_level_usd": 0.0}))
    steps = play(market, lambda m: with_bids(quiet(m), -4.0)._replace(bidding=np.full((1, 2, 8), -4.0)))
    for step in steps:
        assert step.outcome.spend_usd.sum() == 0.0
        assert (step.worth.completions == 0).all() and (step.worth.waste == 0).all()
        assert (step.worth.recall < 0).all()
