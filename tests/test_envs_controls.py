from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import RandomTeam, started, tiny
from support.naive_step import budgets, multipliers, next_arms

from envs.catalogue import ARMS, K, S, V
from envs.controls import enact, new_controls, spread, take_off_air
from envs.protocol import Actions, Board, CreativePause, quiet_board


def heard(said: Actions) -> Board:
    """The orchestrator's messages, delivered."""
    assert said.creative_pause is not None
    quiet = quiet_board(len(said.bidding), said.bidding.shape[1])
    return quiet._replace(directive=said.orchestrator, creative_pause=said.creative_pause)


@settings(max_examples=20, deadline=None)
@given(campaigns=st.integers(1, 4), seed=st.integers(0, 1000))
def test_controls_are_those_of_the_naive_way(campaigns: int, seed: int) -> None:
    market = started(tiny(campaigns=campaigns), 3, seed)
    actions, said = RandomTeam(seed)(market), RandomTeam(seed + 1)(market)
    board, directive = heard(said), said.orchestrator
    controls, on_air = new_controls(3, campaigns, 32), np.full((3, campaigns, 4), -1)
    left, budget = market.market_state.budget_left_usd.copy(), market.feed.budget_usd.copy()
    enact(board, actions, market.market_state, market.feed, controls, on_air)
    expected = budgets(left, directive.budget_share[:, :campaigns])
    assert np.allclose(market.market_state.budget_left_usd, expected, rtol=1e-12)
    assert np.allclose(market.feed.budget_usd - budget, expected - left, rtol=1e-9, atol=1e-12)
    assert np.allclose(controls.multiplier, multipliers(actions.bidding), rtol=1e-12)
    airing = board.creative_pause.script[:, :campaigns].min(2) == 0
    running = ((1 - directive.pause[:, :campaigns]) * airing)[..., None]
    assert np.array_equal(controls.throttle, directive.throttle[:, :campaigns] * running)
    assert np.array_equal(controls.aggression_cap, directive.aggression_cap[:, :campaigns])
    assert np.array_equal(on_air, next_arms(actions.creative, directive))


def test_equal_weights_move_no_cent_and_a_market_without_money_stays_so() -> None:
    market = started(tiny(campaigns=3), 2)
    actions, state = RandomTeam()(market), market.market_state
    same = np.full((2, 4), 0.7)
    same[:, 3] = 2.0  # of a campaign that does not exist
    state.budget_left_usd[1] = 0.0
    left = state.budget_left_usd.copy()
    controls, on_air = new_controls(2, 3, 32), np.zeros((2, 3, 4), np.int64)
    enact(
        heard(actions._replace(orchestrator=actions.orchestrator._replace(budget_share=same))),
        actions,
        market.market_state,
        market.feed,
        controls,
        on_air,
    )
    assert np.array_equal(state.budget_left_usd, left)
    uneven = actions.orchestrator._replace(budget_share=np.tile([0.5, 1.0, 2.0, 1.0], (2, 1)))
    enact(heard(actions._replace(orchestrator=uneven)), actions, state, market.feed, controls, on_air)
    assert np.isclose(state.budget_left_usd[0].sum(), left[0].sum())
    assert (state.budget_left_usd[1] == 0.0).all()


def test_listeners_get_the_value_of_their_segment() -> None:
    market = started(tiny(), 2)
    by_segment, by_listener = np.random.default_rng(0).random((2, 4, 4)), np.zeros((2, 2, 32))
    spread(by_segment, market.parameters.segment_start, by_listener)
    for b in range(2):
        expected = by_segment[b, :2][:, market.parameters.listener_segment[b]]
        assert np.array_equal(by_listener[b], expected)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_the_next_creative_airs_in_a_paused_ones_place(data: st.DataObject) -> None:
    paused = np.array([data.draw(st.lists(st.integers(0, 1), min_size=V, max_size=V)) for _ in range(4)])
    arms = st.lists(st.integers(0, K - 1), min_size=S, max_size=S)
    before = np.array([[data.draw(arms) for _ in range(2)]])
    on_air = before.copy()
    take_off_air(CreativePause(paused[None]), on_air)
    for c, s in np.ndindex(2, S):
        was, now = ARMS[before[0, c, s]], ARMS[on_air[0, c, s]]
        assert (was[[0, 2, 3]] == now[[0, 2, 3]]).all()
        expected = next((v % V for v in range(was[1], was[1] + V) if not paused[c, v % V]), was[1])
        assert now[1] == expected
