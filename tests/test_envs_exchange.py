from typing import Any

import numpy as np
import pytest
from support.markets import tiny

from envs.catalogue import ARMS, NEEDS_SCREEN, PLACEMENT_FIT
from envs.errors import ConfigurationError
from envs.exchange import Exchange, Notice, Opportunity
from envs.market import VectorMarket
from envs.protocol import Actions
from envs.scenario import Scenario
from envs.seeds import market_seeds
from policies.policy import flight_of
from policies.registry import make_team


class Shadow:
    """Bids as the market itself would by these controls, keeping budgets and caps by its own books."""

    def __init__(self, market: VectorMarket) -> None:
        self.market, self.heard = market, 0
        self.budget = market.parameters.budget_usd[0].copy()
        self.today: dict[tuple[int, int], int] = {}

    def bid(self, o: Opportunity) -> Any:
        market, offers = self.market, np.zeros(self.market.num_campaigns)
        ctl, k, t = market._controls, market.constants, o.interval
        for c in range(market.num_campaigns):
            format_ = ARMS[market.aired[0, c, o.segment], 0]
            if NEEDS_SCREEN[format_] and not o.visible:
                continue
            if self.today.get((c, o.listener), 0) >= k.frequency_cap:
                continue
            wish = min(ctl.multiplier[0, c, o.segment, o.placement], ctl.aggression_cap[0, c])
            wish *= ctl.throttle[0, c, o.placement] * PLACEMENT_FIT[format_, o.placement]
            wish *= market.parameters.attention[0, t, o.placement] * k.price_level_usd
            worth = wish * ctl.predicted_affinity[0, c, o.listener] * o.quality
            offers[c] = min(worth, self.budget[c])
        return offers

    def hear(self, o: Opportunity, notices: list[Notice]) -> None:
        self.heard += len(notices)
        for notice in notices:
            if notice.served:
                self.budget[notice.campaign] -= notice.paid_usd
                key = (notice.campaign, o.listener)
                self.today[key] = self.today.get(key, 0) + 1


def a_scenario(**changes: Any) -> Scenario:
    return tiny(campaigns=2, intervals=6, **changes)


def test_bids_from_outside_play_the_market_that_they_would_play_inside() -> None:
    scenario, seeds = a_scenario(), market_seeds("development", 0, 0, 1)
    market, exchange = VectorMarket(scenario, 1, split="development"), Exchange(scenario)
    observations = market.reset(seeds)
    exchange.reset(seeds)
    team = make_team("value-aware")
    team.start(flight_of(market))
    shadow, wins = Shadow(market), 0.0
    for t in range(scenario.intervals):
        if t % scenario.intervals_per_day == 0:
            shadow.today.clear()
        actions: Actions = team.act(observations)
        # The market plays first, and the exchange by the controls that it played with.
        left = market.market_state.budget_left_usd.copy()
        step = market.step(actions)
        shadow.budget += (step.outcome.spend_usd.sum((2, 3)) + market.market_state.budget_left_usd - left)[0]
        aired = market.aired[0].copy()
        outside = exchange.play(shadow, aired)
        for name in ("opportunities", "bids", "wins", "completions", "clicks", "conversions", "health"):
            expected = getattr(step.outcome, name)
            np.testing.assert_array_equal(getattr(outside.outcome, name), expected, err_msg=f"{name}, {t}")
        np.testing.assert_allclose(outside.outcome.spend_usd, step.outcome.spend_usd, rtol=1e-9)
        np.testing.assert_allclose(outside.rewards.team, step.rewards.team, rtol=1e-9)
        observations, wins = step.observations, wins + step.outcome.wins.sum()
    assert wins > 0 and shadow.heard >= wins


def test_faults_of_the_bidder_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="overspend"):
        Exchange(a_scenario(), split="held_out")
