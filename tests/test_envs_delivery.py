from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import RandomTeam, quiet, started, tiny, with_bids
from support.naive_step import plans

from envs.catalogue import ARM_FIT


@settings(max_examples=15, deadline=None)
@given(campaigns=st.integers(1, 4), seed=st.integers(0, 1000))
def test_plans_are_those_of_the_naive_way(campaigns: int, seed: int) -> None:
    scenario = tiny(campaigns=campaigns, budget_fraction=2.0)
    market, team = started(scenario, 3, seed), RandomTeam(seed)
    for _ in range(3):
        actions = team(market)
        out = market.step(actions).outcome
        state, level_usd = market.market_state, scenario.auction.price_level_usd
        creative, spend = plans(actions, out, market.brief, state.wear, state.on_air, level_usd)
        plan = market.board.creative_plan
        assert np.array_equal(plan.format, creative.format) and np.array_equal(plan.wear, creative.wear)
        assert np.allclose(plan.expected_completion, creative.expected_completion, rtol=1e-12)
        assert np.allclose(market.board.spend_plan.win_rate, spend.win_rate, rtol=1e-12)
        assert np.allclose(market.board.spend_plan.marginal_price_usd, spend.marginal_price_usd, rtol=1e-12)


def test_a_multiplier_of_one_bids_the_price_level() -> None:
    market = started(tiny())
    market.step(with_bids(quiet(market), 0.0))
    level_usd = market.scenario.auction.price_level_usd
    assert (market.board.spend_plan.marginal_price_usd == level_usd).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_what_won_was_bid_as_it_was_sent(seed: int) -> None:
    market, team = (
        started(tiny(budget_fraction=100.0, incidents={"incident_probability": 0.0}), 2, seed),
        RandomTeam(seed),
    )
    for t in range(4):
        arm = market.market_state.on_air.copy()
        out = market.step(team(market)).outcome
        there = ARM_FIT[arm] * market.parameters.attention[:, None, t, None] * out.predicted_won
        np.testing.assert_allclose(out.won_bid_usd, market.board.spend_plan.bid_usd * there, rtol=1e-9)
        assert (out.spend_usd <= out.won_bid_usd * (1.0 + 1e-9)).all()


def test_a_board_once_delivered_never_changes() -> None:
    market, team = started(tiny()), RandomTeam()
    market.step(team(market))
    board = market.board
    arrays = [array for message in board if message is not None for array in message]
    kept = [array.copy() for array in arrays]
    market.step(team(market))
    assert all(np.array_equal(a, b) for a, b in zip(kept, arrays, strict=True))
