from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import (
    RandomTeam,
    leaves,
    play,
    quiet,
    started,
    tiny,
    with_bids,
    with_directive,
)

from envs.catalogue import ARMS, MAX_CAMPAIGNS, VIDEO, S, arm_index
from envs.errors import InterludeError, UnknownNameError
from envs.market import VectorMarket
from envs.observation import SCHEMAS
from envs.response import HEALTH_MAX
from envs.scenario import Scenario, load_scenario
from envs.seeds import market_seeds

VARIANTS = {
    "one campaign": tiny(campaigns=1),
    "four campaigns": tiny(campaigns=4, rivals={"count": 16}),
    "first price": tiny(auction={"pricing": "first_price"}),
    "reactive": tiny(campaigns=3, intervals=14, rivals={"reactive": True}, budget_fraction=2.0),
    "incidents": tiny(incidents={"incident_probability": 1.0}, intervals=12, listeners={"count": 48}),
}


def trace(market: VectorMarket, team: Any) -> list[np.ndarray]:
    """All that comes out of a flight, the observations of its reset included; first axis = market."""
    found = [*leaves(market._observations()), market.state(), market.privileged_state()]
    while market.interval < market.scenario.intervals:
        step = market.step(team(market))
        found += [
            *leaves(step.observations),
            *leaves(step.rewards),
            *leaves(step.outcome),
            *leaves(step.worth),
        ]
        found += [
            market.state(),
            market.privileged_state(),
            *leaves(market.board),
            *leaves(market.expectation()),
        ]
    return found


@pytest.mark.parametrize("scenario", VARIANTS.values(), ids=VARIANTS)
def test_a_market_alone_equals_the_same_market_in_a_batch_of_64(scenario: Scenario) -> None:
    together = trace(started(scenario, 64, seed=3), RandomTeam())
    for k in (0, 7, 63):
        alone = VectorMarket(scenario, 1)
        alone.reset(market_seeds("train", 3, k, 1))
        for whole, one in zip(together, trace(alone, RandomTeam()), strict=True):
            assert whole.dtype == one.dtype
            assert whole[k].tobytes() == one[0].tobytes()


def test_order_in_a_batch_does_not_matter() -> None:
    seeds = market_seeds("train", 3, 0, 5)
    forward, backward = VectorMarket(tiny(), 5), VectorMarket(tiny(), 5)
    forward.reset(seeds)
    backward.reset(seeds[::-1])
    for a, b in zip(trace(forward, RandomTeam()), trace(backward, RandomTeam()), strict=True):
        assert np.array_equal(a, b[::-1])


def test_a_second_flight_leaves_no_trace_of_the_first() -> None:
    market = started(tiny(), 2)
    fresh = trace(market, RandomTeam())
    for other in (RandomTeam(5), RandomTeam()):
        market.reset(market_seeds("train", 0, 0, 2))
        again = trace(market, other)
    assert all(np.array_equal(a, b) for a, b in zip(fresh, again, strict=True))


def test_another_seed_or_interval_draws_differently() -> None:
    market = started(tiny(opportunities_per_interval=200), 2)
    steps = play(market, quiet)
    seen = np.array([step.outcome.price_usd for step in steps])  # tight budgets may leave no wins to compare
    assert not np.array_equal(seen[:, 0], seen[:, 1])
    assert not any(np.array_equal(seen[t], seen[t + 1]) for t in range(5))


def test_float32_actions_do_the_same_as_their_float64_values() -> None:
    def single(tree: Any) -> Any:
        if isinstance(tree, tuple):
            return type(tree)(*(single(part) for part in tree))
        return None if tree is None else tree.astype(np.float32) if tree.dtype.kind == "f" else tree

    def double(tree: Any) -> Any:
        if isinstance(tree, tuple):
            return type(tree)(*(double(part) for part in tree))
        return None if tree is None else tree.astype(np.float64) if tree.dtype.kind == "f" else tree

    team = RandomTeam()
    one = trace(started(tiny(), 2), lambda market: single(team(market)))
    two = trace(started(tiny(), 2), lambda market: double(single(team(market))))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_step_before_reset_and_after_the_end_and_bad_arguments() -> None:
    market = VectorMarket(tiny(), 1)
    with pytest.raises(InterludeError, match=r"step\(\) before reset\(\)"):
        market.step(quiet(started(tiny())))
    market.reset(market_seeds("train", 0, 0, 1))
    assert [step.terminated for step in play(market, quiet)] == 5 * [False] + [True]
    with pytest.raises(InterludeError, match="ended after 6 intervals"):
        market.step(quiet(market))
    market.reset(market_seeds("train", 0, 1, 1))
    market.step(quiet(market))
    with pytest.raises(ValueError, match="expected 1 seeds"):
        market.reset(market_seeds("train", 0, 0, 2))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        VectorMarket(tiny(), 0)
    with pytest.raises(UnknownNameError, match="held_out"):
        VectorMarket(tiny(), 1, split="test")  # type: ignore[arg-type]


def test_a_poisoned_market_says_where() -> None:
    market = started(tiny(), 3)
    market.parameters.affinity_hint[1, 1, 2] = np.nan
    with pytest.raises(InterludeError, match=rf"'affinity_hint' is nan in interval 1 .*{market.seeds[1]}"):
        market.step(quiet(market))


def test_budgets_are_never_overspent_and_resplits_conserve_them() -> None:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 1000), log_multiplier=st.sampled_from([-4.0, 0.0, 4.0]), every=st.booleans())
    def check(seed: int, log_multiplier: float, every: bool) -> None:
        market = started(tiny(campaigns=3), 2, seed)
        total = market.parameters.budget_usd.sum(1)
        team = RandomTeam(seed)
        while market.interval < 6:
            actions = team(market)
            step = market.step(actions if every else with_bids(actions, log_multiplier))
            feed, left = market.feed, market.market_state.budget_left_usd
            assert (left >= 0).all() and (feed.spend_usd >= 0).all()
            assert (feed.spend_usd <= feed.budget_usd * (1 + 1e-9) + 1e-9).all()
            assert np.allclose(feed.budget_usd - feed.spend_usd, left, atol=1e-8)
            assert np.allclose(feed.budget_usd.sum(1), total)
            assert np.allclose(feed.spend_usd.sum(1) + left.sum(1), total)
            assert (np.abs(market.pacing_error()) <= 1.0).all()
            assert np.isfinite(step.rewards.team).all()

    check()


def test_budget_shares_move_money_one_interval_later_and_equal_ones_move_none() -> None:
    market = started(tiny())
    share = np.ones((1, MAX_CAMPAIGNS))
    share[0, 1] = 2.0
    actions = quiet(market)._replace(bidding=np.full((1, 2, 8), -4.0))
    before = market.feed.budget_usd.copy()
    market.step(with_directive(actions, budget_share=share))
    assert np.array_equal(market.feed.budget_usd, before)
    market.step(with_directive(actions, budget_share=2.0 * np.ones((1, MAX_CAMPAIGNS))))
    moved = market.feed.budget_usd.copy()
    assert moved[0, 1] > before[0, 1] and moved.sum() == pytest.approx(before.sum())
    wish = before * [1.0, 2.0]
    assert np.allclose(moved, wish * before.sum() / wish.sum())
    market.step(actions)
    assert np.array_equal(market.feed.budget_usd, moved)


@pytest.mark.parametrize("granted", [False, True])
def test_video_needs_a_grant(granted: bool) -> None:
    market = started(tiny())
    actions = quiet(market)
    actions.creative[..., 0] = VIDEO
    grant = np.zeros((1, S), np.int64)
    grant[0, 1] = 2 if granted else 4  # campaign 1, or one that does not exist
    market.step(with_directive(actions, premium_grant=grant))
    assert (ARMS[market.market_state.on_air, 0] == 0).all()
    market.step(actions)
    video = ARMS[market.market_state.on_air, 0] == VIDEO
    assert video[0, 1, 1] == granted and video.sum() == granted
    assert market.board.creative_plan.format[0, 1, 1] == (VIDEO if granted else 0)
    market.step(actions)
    assert not (ARMS[market.market_state.on_air, 0] == VIDEO).any()


def test_creatives_are_trafficked_one_interval_ahead() -> None:
    market = started(tiny(campaigns=1, opportunities_per_interval=300, budget_fraction=5.0))
    actions = with_bids(quiet(market), 2.0)
    actions.creative[..., 0] = 2  # display is not eligible in podcasts
    first = market.step(actions).outcome
    assert np.array_equal(market.market_state.on_air, arm_index(actions.creative))
    second = market.step(actions).outcome
    assert first.bids[..., 1].sum() > 0 and second.bids[..., 1].sum() == 0 < second.bids[..., 2].sum()


def test_a_table_of_single_listeners_stays_until_the_next() -> None:
    market = started(tiny())
    table = np.zeros((1, 2, 32))
    table[:, 1] = 1.0
    assert market.step(quiet(market)).outcome.bids[0, 0].sum() > 0
    first = market.step(quiet(market)._replace(listener_affinity=table)).outcome
    second = market.step(quiet(market)).outcome
    for out in (first, second):
        assert out.bids[0, 0].sum() == 0 < out.bids[0, 1].sum()
    market.reset(market.seeds)
    assert market.step(quiet(market)).outcome.bids[0, 0].sum() > 0


def test_states_have_the_documented_layout() -> None:
    market = started(tiny(campaigns=3), 5)
    step = market.step(RandomTeam()(market))
    whole, one = SCHEMAS["orchestrator"].size, SCHEMAS["bidding"].size
    state = market.state()
    assert state.shape == (5, whole + MAX_CAMPAIGNS * one) and state.dtype == np.float32
    assert np.array_equal(state[:, :whole], step.observations.orchestrator[:, 0])
    blocks = state[:, whole:].reshape(5, MAX_CAMPAIGNS, one)
    assert np.array_equal(blocks[:, :3], step.observations.bidding) and (blocks[:, 3] == 0).all()
    hidden = market.privileged_state()
    assert hidden.shape[0] == 5 and hidden.dtype == np.float32 and np.isfinite(hidden).all()


def test_the_state_is_that_of_the_last_step_whatever_is_done_with_its_observations() -> None:
    market = started(tiny(), 2)
    step = market.step(RandomTeam()(market))
    state = market.state()
    said = leaves(market.board)
    before = [array.copy() for array in said]
    for view in leaves(step.observations):
        view[...] = 5
    for array, was in zip(said, before, strict=True):
        np.testing.assert_array_equal(array, was)
    market.state()[...] = 5.0
    assert np.array_equal(market.state(), state)


def test_incidents_are_hidden_from_observations_and_known_to_the_privileged_state() -> None:
    scenario = tiny(intervals=12, incidents={"incident_probability": 1.0})
    market, calm = started(scenario, 16), started(scenario, 16)
    calm.parameters.incident_kind[:] = 0
    assert all(
        np.array_equal(a, b)
        for a, b in zip(leaves(market._observations()), leaves(calm._observations()), strict=True)
    )
    for _ in range(8):
        outcome = market.step(quiet(market)).outcome
    assert (outcome.incident > 0).any()
    t = market.interval
    m = market.parameters
    struck = ((m.incident_start <= t) & (t < m.incident_start + m.incident_length)).any(1)
    assert np.array_equal(market.privileged_state()[:, 2:7].any(1), struck)


def test_the_default_market_is_one_worth_playing() -> None:
    market = started(load_scenario("default"), 4)
    steps = play(market, lambda m: with_bids(quiet(m), -0.5))
    spent = market.feed.spend_usd.sum() / market.feed.budget_usd.sum()
    wins = sum(step.outcome.wins.sum() for step in steps) / sum(
        step.outcome.opportunities.sum() for step in steps
    )
    health = market.market_state.health.mean()
    assert 0.2 < spent <= 1.0 and 0.02 < wins < 0.9 and 0.3 < health <= HEALTH_MAX
    assert sum(step.outcome.conversions_caused.sum() for step in steps) > 0


@pytest.mark.parametrize("threads", [2, 3, 9])
def test_threads_change_nothing(threads: int) -> None:
    scenario = tiny(campaigns=3, incidents={"incident_probability": 1.0})
    seeds, team = market_seeds("train", 5, 0, 5), RandomTeam()
    alone, shared = VectorMarket(scenario, 5), VectorMarket(scenario, 5, threads=threads)
    for left, right in zip(
        [alone.reset(seeds), *play(alone, team)], [shared.reset(seeds), *play(shared, team)], strict=True
    ):
        for one, other in zip(leaves(left), leaves(right), strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(leaves(alone.market_state), leaves(shared.market_state), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_threads_is_an_error() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        VectorMarket(tiny(), 1, threads=0)


def test_what_agents_see_does_not_tell_worthless_impressions_apart() -> None:
    """Frequency grows by the impressions billed, whether a bot, nobody or a listener was there."""
    scenario = tiny(intervals=8, opportunities_per_interval=200, incidents={"incident_probability": 1.0})
    market = started(scenario, 4)
    market.parameters.incident_kind[:] = 1  # invalid traffic
    people = np.diff(market.parameters.segment_start, axis=1)[:, None]
    before = np.zeros((4, 2, S))
    wins, wasted = 0.0, 0.0
    for _ in range(scenario.intervals):
        outcome = market.step(with_bids(quiet(market), 2.0)).outcome
        np.testing.assert_allclose((outcome.frequency - before) * people, outcome.wins.sum(-1), atol=1e-9)
        before = outcome.frequency
        wins, wasted = wins + outcome.wins.sum(), wasted + outcome.wasted_usd.sum()
    assert wins > 100 and wasted > 0


@pytest.mark.parametrize("pool", [np.zeros((3, 2)), np.zeros(8), np.full((3, 8), np.nan)])
def test_tastes_that_are_none_are_refused(pool: Any) -> None:
    with pytest.raises(ValueError, match="taste_pool must be"):
        VectorMarket(tiny(), 1, taste_pool=pool)


@pytest.mark.parametrize("seeds", [[1.5], [-1]])
def test_seeds_are_whole_numbers(seeds: list[float]) -> None:
    with pytest.raises(ValueError, match="seeds must be whole numbers from 0"):
        VectorMarket(tiny(), 1).reset(np.array(seeds))
