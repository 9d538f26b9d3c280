"""Money, caps and conversions to the last cent, whatever is bid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import RandomTeam, leaves, play, quiet, started, tiny, with_bids, with_directive
from support.naive_market import NaiveMarket

from envs.auction import PRICINGS
from envs.bids import LOST, SERVED, Bids
from envs.catalogue import MAX_CAMPAIGNS, P, S
from envs.constants import constants_of
from envs.dynamics import new_state, play_interval
from envs.generator import draw_markets
from envs.market import VectorMarket
from envs.protocol import Actions
from envs.scenario import Scenario
from envs.scratch import new_scratch
from envs.seeds import market_seeds
from envs.state import Controls, MarketParameters, MarketState, Outcome, empty_outcome

CENT = 0.01
ROUNDING = 1e-9  # of a sum of some hundred doubles


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    pricing = draw(st.sampled_from(PRICINGS))
    slots = st.just(1) if pricing == "second_price" else st.integers(1, 3)
    return tiny(
        campaigns=draw(st.integers(1, 4)),
        intervals=draw(st.sampled_from([1, 5, 8])),
        intervals_per_day=draw(st.sampled_from([1, 3])),
        opportunities_per_interval=60,
        impression_weight=draw(st.sampled_from([1, 10_000])),
        budget_fraction=draw(st.sampled_from([1e-6, 0.02, 0.3, 10.0])),
        daily_cap_fraction=draw(st.sampled_from([None, 0.01, 0.2, 1.0, 5.0])),
        auction={
            "pricing": pricing,
            "slots": draw(st.tuples(slots, slots, slots)),
            "probability_within_table": draw(st.sampled_from([(0.3, 0.5, 0.7), (1.0, 1.0, 1.0)])),
        },
        listeners={"count": 16, "daily_frequency_cap": draw(st.sampled_from([1, 2, 100]))},
        incidents={"incident_probability": draw(st.sampled_from([0.0, 1.0]))},
    )


class Books:
    """Markets played on wild controls with a log of every bid, a market and an interval at a time."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self.rng = scenario, np.random.default_rng(seed)
        self.m: MarketParameters = draw_markets(market_seeds("train", seed, 0, 1), scenario, "train")[0]
        self.m.incident_start[:] = 0
        self.state: MarketState = new_state(self.m, np.zeros((1, scenario.campaigns, S), np.int64))
        self.constants = constants_of(scenario, log=True)

    def tame(self) -> dict[str, Any]:
        """Controls that bid against the rivals, now above and now below them."""
        c, listeners, uniform = self.scenario.campaigns, self.scenario.listeners.count, self.rng.uniform
        return {
            "multiplier": np.exp(uniform(-2, 2, (1, c, S, P))),
            "throttle": uniform(0.3, 1, (1, c, P)),
            "aggression_cap": uniform(0, 8, (1, c)),
            "predicted_affinity": uniform(0, 2, (1, c, listeners)),
        }

    def left_usd(self) -> tuple[float, float]:
        """What our campaigns have left, and the rivals."""
        return float(self.state.budget_left_usd.sum()), float(self.state.rival_left_usd.sum())

    def interval(self, t: int, **changes: Any) -> tuple[Outcome, Bids]:
        scenario = self.scenario
        c, listeners = scenario.campaigns, scenario.listeners.count
        wild = Controls(
            multiplier=self.rng.choice([0.0, 1e-300, 0.3, 1.0, 3.0, 1e300, np.inf], (1, c, S, P)),
            throttle=self.rng.choice([0.0, 0.5, 1.0], (1, c, P)),
            aggression_cap=self.rng.choice([0.0, 1.0, 50.0, np.inf], (1, c)),
            predicted_affinity=self.rng.choice([0.0, 1.0, 50.0], (1, c, listeners)),
        )._replace(**changes)
        out = empty_outcome(1, c, S, P)
        scratch = new_scratch(c, listeners, max(scenario.auction.slots), block=4096)
        play_interval(
            self.m, self.state, self.constants, wild, out, scratch, self.state.on_air.copy(), 0, 1, t
        )
        rows = int(out.bids.sum())
        return out, Bids(*(column[:rows] for column in scratch.made))


@settings(max_examples=50, deadline=None)
@given(scenarios(), st.integers(0, 10_000))
def test_what_is_billed_is_what_is_debited_and_never_more_than_there_is(
    scenario: Scenario, seed: int
) -> None:
    """The ledger, the log and the budgets agree by campaign; budgets, daily caps and frequency caps hold."""
    books = Books(scenario, seed)
    m, state, day = books.m, books.state, scenario.intervals_per_day
    paid, exposed = np.zeros((2, scenario.campaigns)), np.zeros((scenario.campaigns, 16))
    total, today = paid
    for t in range(scenario.intervals):
        if t % day == 0:
            today[:], exposed[:] = 0.0, 0
        out, log = books.interval(t)
        billed = np.zeros((scenario.campaigns, S, P))
        np.add.at(billed, (log.campaign, log.segment, log.placement), log.paid_usd)
        served = log.status == SERVED
        np.add.at(exposed, (log.campaign[served], log.listener[served]), 1)
        assert (log.paid_usd[~served] == 0.0).all() and (log.paid_usd <= log.bid_usd).all()
        assert np.allclose(out.spend_usd[0], billed, rtol=0, atol=ROUNDING)
        total += billed.sum((-1, -2))
        today += billed.sum((-1, -2))
        budget, left = m.budget_usd[0], state.budget_left_usd[0]
        assert (left >= 0.0).all() and (total <= budget + ROUNDING).all()
        assert np.allclose(budget - total, left, rtol=0, atol=ROUNDING * (1 + budget))
        if scenario.daily_cap_fraction is not None:
            cap = scenario.daily_cap_fraction * budget
            assert (today <= cap + ROUNDING).all() and (state.day_left_usd >= 0.0).all()
            assert np.allclose(cap - today, state.day_left_usd[0], rtol=0, atol=ROUNDING * (1 + cap))
        assert (exposed <= scenario.listeners.daily_frequency_cap).all()
        assert np.array_equal(exposed, state.exposures_today[0].T)


@st.composite
def stalls(draw: st.DrawFn) -> Scenario:
    """Any rule of pricing, pods where it sells them, purses that run dry or never do."""
    pricing = draw(st.sampled_from(PRICINGS))
    slots = st.just(1) if pricing == "second_price" else st.integers(1, 3)
    return tiny(
        campaigns=draw(st.integers(1, 3)),
        intervals=3,
        intervals_per_day=3,
        opportunities_per_interval=40,
        budget_fraction=draw(st.sampled_from([0.01, 0.3, 1e6])),
        auction={
            "pricing": pricing,
            "slots": draw(st.tuples(slots, slots, slots)),
            "slot_exposure": draw(st.sampled_from([(1.0, 0.8, 0.48), (1.0, 1.0, 1.0)])),
            "competitive_separation": draw(st.booleans()),
            "probability_within_table": draw(st.sampled_from([(0.3, 0.5, 0.7), (1.0, 1.0, 1.0)])),
        },
        rivals={
            "count": draw(st.integers(1, 8)),
            "daily_budget_fraction": draw(st.sampled_from([0.001, 0.06, 100.0])),
        },
        listeners={"count": 32, "daily_frequency_cap": draw(st.sampled_from([1, 100]))},
    )


def sold(books: Books, t: int) -> tuple[float, float, float]:
    """An interval in USD: what ours were debited, what rivals were, and the revenue counted sale by sale.

    The revenue is of a second implementation, which asks what each slot was sold for and never who paid.
    """
    controls, ours, theirs = books.tame(), *books.left_usd()
    naive = NaiveMarket(books.m, books.state, books.constants)
    naive.play(Controls(**controls), books.state.on_air.copy(), t)
    _, log = books.interval(t, **controls)
    ours_left, theirs_left = books.left_usd()
    assert abs(ours - ours_left - log.paid_usd.sum()) < CENT / 100 + ROUNDING * ours
    return float(log.paid_usd.sum()), theirs - theirs_left, naive.revenue_usd


@settings(max_examples=100, deadline=None)
@given(stalls(), st.integers(0, 10_000))
def test_payments_of_all_bidders_are_the_revenue(scenario: Scenario, seed: int) -> None:
    """At first and second price, GSP and VCG, pods that are left early and rivals without money included."""
    books = Books(scenario, seed)
    for t in range(2):  # the third interval ends a day, which fills the rivals' purses
        ours, theirs, revenue = sold(books, t)
        assert theirs >= 0.0 and abs(ours + theirs - revenue) < CENT / 100


@pytest.mark.parametrize("pricing", PRICINGS)
def test_both_sides_pay_under_every_rule(pricing: str) -> None:
    """So that the sum above is one of two terms that differ from 0, pods among them."""
    slots = (1, 1, 1) if pricing == "second_price" else (3, 2, 1)
    scenario = tiny(
        campaigns=2,
        intervals_per_day=3,
        opportunities_per_interval=200,
        budget_fraction=1e6,
        auction={"pricing": pricing, "slots": slots, "probability_within_table": (1.0, 1.0, 1.0)},
    )
    ours, theirs, revenue = sold(Books(scenario, 1), 0)
    assert min(ours, theirs) > 0.1 * revenue and abs(ours + theirs - revenue) < CENT / 100


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), multiplier=st.sampled_from([0.3, 1.0, 3.0]))
def test_the_log_alone_tells_the_revenue_where_we_bid_everywhere(seed: int, multiplier: float) -> None:
    """First price, one slot, one campaign that bids everywhere: each sale is the higher bid of the two."""
    scenario = tiny(
        campaigns=1,
        opportunities_per_interval=200,
        budget_fraction=1e6,
        auction={"pricing": "first_price"},
        rivals={"daily_budget_fraction": 100.0},
        listeners={"count": 64, "daily_frequency_cap": 100},
    )
    books = Books(scenario, seed)
    everywhere = {
        "multiplier": np.full((1, 1, S, P), multiplier),
        "throttle": np.ones((1, 1, P)),
        "aggression_cap": np.full((1, 1), 50.0),
        "predicted_affinity": np.ones((1, 1, 64)),
    }
    rivals_usd = books.state.rival_left_usd.sum()
    out, log = books.interval(0, **everywhere)
    assert out.bids.sum() == out.opportunities.sum()
    reserve = constants_of(scenario).reserve_usd[log.placement]
    theirs = (log.status == LOST) & (log.price_to_beat_usd > reserve)  # NaN: nobody we know of
    revenue = log.paid_usd.sum() + log.price_to_beat_usd[theirs].sum()
    debited = books.m.budget_usd.sum() - books.state.budget_left_usd.sum()
    debited += rivals_usd - books.state.rival_left_usd.sum()
    assert abs(debited - revenue) < CENT / 100
    assert theirs.any() or multiplier > 0.3


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1000))
def test_directives_move_money_and_make_none(scenario: Scenario, seed: int) -> None:
    """Over whole flights of random teams, budget re-splits among them."""
    market, team = started(scenario, 2, seed), RandomTeam(seed)
    m, spent, today = market.parameters, np.zeros((2, scenario.campaigns)), np.zeros((2, scenario.campaigns))
    total_usd = m.budget_usd.sum(1)
    for t in range(scenario.intervals):
        if t % scenario.intervals_per_day == 0:
            today[:] = 0.0
        out = market.step(with_bids(team(market), 4.0)).outcome
        spent += out.spend_usd.sum((-1, -2))
        today += out.spend_usd.sum((-1, -2))
        feed, left = market.feed, market.market_state.budget_left_usd
        scale = ROUNDING * (1 + total_usd[:, None])
        assert np.allclose(feed.spend_usd, spent, rtol=1e-12)
        assert (left >= 0.0).all() and (np.abs(feed.budget_usd - spent - left) <= scale).all()
        assert (
            np.allclose(feed.budget_usd.sum(1), total_usd) and (spent.sum(1) <= total_usd * (1 + 1e-9)).all()
        )
        if scenario.daily_cap_fraction is not None:  # of the first budget, whatever directives moved
            assert (today <= scenario.daily_cap_fraction * m.budget_usd + ROUNDING).all()


@settings(max_examples=30, deadline=None)
@given(scenarios(), st.integers(0, 1000))
def test_every_conversion_is_reported_once_or_settled_at_the_end(scenario: Scenario, seed: int) -> None:
    market, team = started(scenario, 2, seed), RandomTeam(seed)
    caused, reported = np.zeros((2, scenario.campaigns, S)), np.zeros((2, scenario.campaigns, S))
    while market.interval < scenario.intervals:
        out = market.step(team(market)).outcome
        caused += out.conversions_caused
        reported += out.conversions
        waiting = market.market_state.conversion_pool.sum(-1)
        assert np.array_equal(caused, reported + waiting)
        last = market.interval == scenario.intervals
        assert np.array_equal(out.conversions_settled, waiting if last else np.zeros_like(caused))
    assert np.array_equal(caused, reported + out.conversions_settled)


def spend_by_day(scenario: Scenario, team: Any) -> tuple[np.ndarray, VectorMarket]:
    market = started(scenario, 8)
    spent = [step.outcome.spend_usd.sum((-1, -2)) for step in play(market, team)]
    return np.array(spent).reshape(-1, scenario.intervals_per_day, *spent[0].shape).sum(1), market


def capped(fraction: float | None) -> Scenario:
    return tiny(
        intervals=8,
        intervals_per_day=2,
        opportunities_per_interval=300,
        budget_fraction=0.02,
        daily_cap_fraction=fraction,
        listeners={"count": 32, "daily_frequency_cap": 100},
    )


def greedy(market: VectorMarket) -> Actions:
    return with_bids(quiet(market), 4.0)


def test_a_daily_cap_spreads_what_would_be_gone_on_the_first_day() -> None:
    free, market = spend_by_day(capped(None), greedy)
    budget = market.parameters.budget_usd
    assert (free[0] > 0.9 * budget).all() and np.isinf(market.market_state.day_left_usd).all()
    days, market = spend_by_day(capped(0.25), greedy)
    assert (days <= 0.25 * budget + ROUNDING).all()
    assert (days > 0.2 * budget).all()
    assert np.array_equal(market.parameters.budget_usd, budget)


def test_a_daily_cap_is_of_the_first_budget_whatever_directives_move() -> None:
    share = np.ones((8, MAX_CAMPAIGNS))
    share[:, 1] = 2.0
    days, market = spend_by_day(capped(0.25), lambda m: with_directive(greedy(m), budget_share=share))
    first, now = market.parameters.budget_usd, market.feed.budget_usd
    assert (now[:, 1] > 1.2 * first[:, 1]).all()
    assert (days <= 0.25 * first + ROUNDING).all() and (days[1:3, :, 1] > 0.2 * first[:, 1]).all()


def test_a_cap_that_never_binds_changes_nothing() -> None:
    flights = []
    for fraction in (None, 100.0):
        market = started(capped(fraction), 3)
        flights.append([market._observations(), *play(market, RandomTeam())])
    for one, other in zip(*flights, strict=True):
        for a, b in zip(leaves(one), leaves(other), strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("multiplier", [np.nan, -1.0, -np.inf])
def test_a_bid_that_is_no_price_is_no_bid(multiplier: float) -> None:
    books = Books(tiny(), 0)
    out, log = books.interval(
        0,
        multiplier=np.full((1, 2, S, P), multiplier),
        aggression_cap=np.full((1, 2), 50.0),
        throttle=np.ones((1, 2, P)),
    )
    assert out.bids.sum() == 0.0 and len(log.item) == 0 and out.opportunities.sum() > 0
