"""What no action can break: budgets, daily and frequency caps, pauses, throttles and grants of video."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import RandomTeam, started, tiny, with_bids, with_directive

from envs.catalogue import ARM_FORMAT, ARMS, MAX_CAMPAIGNS, VIDEO, P, S
from envs.protocol import MAX_MULTIPLIER_LOG, Actions

FREQUENCY_CAP, DAILY_SHARE, CAMPAIGNS = 2, 0.3, 3
SCENARIO = tiny(
    campaigns=CAMPAIGNS,
    opportunities_per_interval=96,
    daily_cap_fraction=DAILY_SHARE,
    listeners={"count": 16, "daily_frequency_cap": FREQUENCY_CAP},
    incidents={"incident_probability": 0.0},
)


def orders(draw: Callable[[st.SearchStrategy[Any]], Any], actions: Actions) -> Actions:
    """Random actions with bids and orders at the ends of their ranges, where limits would break."""
    pause = np.zeros((1, MAX_CAMPAIGNS), np.int64)
    throttle = np.ones((1, MAX_CAMPAIGNS, P))
    pause[0, :CAMPAIGNS] = draw(st.lists(st.integers(0, 1), min_size=CAMPAIGNS, max_size=CAMPAIGNS))
    throttle[0, draw(st.integers(0, CAMPAIGNS - 1)), draw(st.integers(0, P - 1))] = 0.0
    grant = np.array([draw(st.lists(st.integers(0, MAX_CAMPAIGNS), min_size=S, max_size=S))])
    share = np.ones((1, MAX_CAMPAIGNS))
    share[0, :CAMPAIGNS] = draw(
        st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=CAMPAIGNS, max_size=CAMPAIGNS)
    )
    directed = with_directive(
        actions, pause=pause, throttle=throttle, premium_grant=grant, budget_share=share
    )
    bid = draw(st.sampled_from([None, MAX_MULTIPLIER_LOG]))
    return directed if bid is None else with_bids(directed, bid)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**20))
def test_no_action_breaks_a_hard_limit(data: st.DataObject, seed: int) -> None:
    market, team = started(SCENARIO, 1, seed), RandomTeam(seed)
    first_usd = market.parameters.budget_usd.copy()
    spent, today = np.zeros_like(first_usd), np.zeros_like(first_usd)
    for interval in range(SCENARIO.intervals):
        directive, pause = market.board.directive, market.board.creative_pause
        step = market.step(orders(data.draw, team(market)))
        if interval % SCENARIO.intervals_per_day == 0:
            today[:] = 0.0
        paid = step.outcome.spend_usd.sum((2, 3))
        spent, today = spent + paid, today + paid
        left = market.market_state.budget_left_usd
        np.testing.assert_allclose(spent + left, market.feed.budget_usd, rtol=1e-9)
        np.testing.assert_allclose(market.feed.budget_usd.sum(1), first_usd.sum(1), rtol=1e-9)
        assert (left >= 0.0).all()
        assert (today <= DAILY_SHARE * first_usd * (1.0 + 1e-9)).all()
        assert market.market_state.exposures_today.max() <= FREQUENCY_CAP
        paused = directive.pause[:, :CAMPAIGNS] == 1
        stopped = paused[..., None] | (directive.throttle[:, :CAMPAIGNS] == 0.0)
        assert step.outcome.bids.transpose(0, 1, 3, 2)[stopped].sum() == 0.0
        assert paid[paused].sum() == 0.0
        off_air = pause.script[:, :CAMPAIGNS]
        stopped = off_air.all(2)
        assert step.outcome.bids[stopped].sum() == 0.0
        hidden = np.take_along_axis(off_air, ARMS[market.aired, 1], 2) == 1
        assert not (hidden & ~stopped[..., None]).any()
        assert step.outcome.wins.sum(3)[hidden].sum() == 0.0
        video = ARM_FORMAT[market.market_state.on_air] == VIDEO
        assert not (video & ~market.premium_granted(directive)).any()


@pytest.mark.parametrize("fault", ["spend", "frequency"])
def test_limits_bind_where_nothing_else_does(fault: str) -> None:
    """Bids as high as they may be run into both caps, so that the property above is not empty."""
    market: Any = started(SCENARIO, 8, 1)
    team = RandomTeam(1)
    most_today, paid = 0.0, np.zeros((8, CAMPAIGNS))
    for _ in range(SCENARIO.intervals):
        free = with_directive(
            team(market),
            pause=np.zeros((8, MAX_CAMPAIGNS), np.int64),
            throttle=np.ones((8, MAX_CAMPAIGNS, P)),
            aggression_cap=np.full((8, MAX_CAMPAIGNS), 50.0),
            budget_share=np.ones((8, MAX_CAMPAIGNS)),
        )._replace(creative_pause=None)
        paid += market.step(with_bids(free, MAX_MULTIPLIER_LOG)).outcome.spend_usd.sum((2, 3))
        most_today = max(most_today, market.market_state.exposures_today.max())
    if fault == "frequency":
        assert most_today == FREQUENCY_CAP
    else:
        assert (paid / market.parameters.budget_usd).max() > 0.9 * DAILY_SHARE
