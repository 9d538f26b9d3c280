from __future__ import annotations

import numpy as np
from support.markets import RandomTeam, started, tiny
from support.naive_step import accounts

from envs.accounts import SMOOTHING, Feed, keep_accounts
from envs.state import empty_outcome


def test_every_interval_is_booked_as_the_naive_way_has_it() -> None:
    market, team = started(tiny(campaigns=3, budget_fraction=2.0), 4), RandomTeam()
    for t in range(6):
        actions = team(market)
        before = Feed(*(array.copy() for array in market.feed))
        step = market.step(actions)
        expected = accounts(before._replace(budget_usd=market.feed.budget_usd), step.outcome)
        for name, mine, naive in zip(Feed._fields, market.feed, expected, strict=True):
            assert np.allclose(mine, naive, rtol=1e-12, atol=1e-15), name
        spent = market.feed.spend_usd / market.feed.budget_usd - (t + 1) / 6
        assert np.allclose(market.pacing_error(), np.clip(spent, -1.0, 1.0), rtol=1e-12)
    assert market.feed.spend_usd.sum() > 0


def feed_of(budget_usd: float) -> Feed:
    cell = (1, 1, 4, 3)
    return Feed(np.full((1, 1), budget_usd), np.zeros((1, 1)), np.full(cell, 2.0), np.full(cell, 0.5))


def test_running_means_stand_still_where_nothing_was_seen() -> None:
    out, feed = empty_outcome(1, 1, 4, 3), feed_of(10.0)
    out.priced[0, 0, 1, 2], out.price_usd[0, 0, 1, 2] = 2.0, 6.0
    out.opportunities[0, 3, 0], out.wins[0, 0, 3, 0] = 4.0, 1.0
    keep_accounts(feed, out, 0.5)
    price, rate = np.full((4, 3), 2.0), np.full((4, 3), 0.5)
    price[1, 2], rate[3, 0] = 2.0 + SMOOTHING * (3.0 - 2.0), 0.5 + SMOOTHING * (0.25 - 0.5)
    assert np.allclose(feed.price_usd[0, 0], price) and np.allclose(feed.win_rate[0, 0], rate)


def test_pacing_is_spend_against_time_and_stays_within_its_bounds() -> None:
    out = empty_outcome(1, 1, 4, 3)
    assert keep_accounts(feed_of(0.0), out, 0.25)[0, 0] == -0.25
    out.spend_usd[0, 0, 0, 0] = 4.0
    assert keep_accounts(feed_of(10.0), out, 0.25)[0, 0] == 4.0 / 10.0 - 0.25
    assert keep_accounts(feed_of(1.0), out, 0.25)[0, 0] == 1.0
    out.spend_usd[0, 0, 0, 0] = np.nan
    assert np.isnan(keep_accounts(feed_of(10.0), out, 0.25)[0, 0])
