"""The clairvoyant bound: equal to scipy's LP, above every purchase, attained by the dual-price bidder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from evaluation.bounds import (
    Bound,
    clairvoyant_bound,
    clairvoyant_bound_of_choices,
    distribution_oracle,
    dual_price_purchase,
    dual_prices_of_periods,
)

seeds = st.integers(0, 2**32 - 1)


def market(seed: int, n: int) -> tuple[Any, Any, float]:
    """Values, prices and a budget that buys some of them."""
    rng = np.random.default_rng(seed)
    value, price = rng.lognormal(0.0, 0.7, n), rng.lognormal(0.0, 0.9, n)
    return value, price, float(rng.uniform(0.0, 0.6) * price.sum())


def by_scipy(gain: Any, cost: Any, budget: float) -> float:
    solved = linprog(-gain, A_ub=cost[None], b_ub=[budget], bounds=(0.0, 1.0), method="highs")
    return -float(solved.fun)


def dual_function(gain: Any, cost: Any, budget: float, dual: float) -> float:
    return float(dual * budget + np.maximum(0.0, gain - dual * cost).sum())


def consistent(bound: Bound, gain: Any, cost: Any, budget: float) -> None:
    assert bound.attained_usd == pytest.approx(gain[bound.taken].sum())
    assert bound.spend_usd == pytest.approx(cost[bound.taken].sum())
    assert bound.spend_usd <= budget * (1 + 1e-12) + 1e-12
    assert bound.attained_usd <= bound.bound_usd * (1 + 1e-12) + 1e-12


@given(seeds, st.integers(1, 40), st.sampled_from([0.0, 0.04, 1.0]))
@settings(max_examples=60, deadline=None)
def test_it_equals_the_linear_program(seed: int, n: int, in_vain: float) -> None:
    """Primal by scipy, dual by its formula: one number, for value, profit and what lies between."""
    value, price, budget = market(seed, n)
    gain = value - in_vain * price
    bound = clairvoyant_bound(gain, price, budget)
    assert bound.bound_usd == pytest.approx(by_scipy(gain, price, budget), rel=1e-7, abs=1e-9)
    assert bound.bound_usd == pytest.approx(dual_function(gain, price, budget, bound.dual), rel=1e-9)
    consistent(bound, gain, price, budget)


@given(seeds, st.floats(0.0, 5.0))
@settings(max_examples=40, deadline=None)
def test_any_dual_price_bounds_from_above(seed: int, dual: float) -> None:
    value, price, budget = market(seed, 30)
    bound = clairvoyant_bound(value - price, price, budget)
    assert dual_function(value - price, price, budget, dual) >= bound.bound_usd * (1 - 1e-12)


@given(seeds, st.sampled_from(["second_price", "first_price"]))
@settings(max_examples=100, deadline=None)
def test_no_bidder_beats_it(seed: int, pricing: str) -> None:
    """Whatever is bid, by second price or by first, until the money is gone."""
    value, price, budget = market(seed, 60)
    bound = clairvoyant_bound(value - price, price, budget).bound_usd
    rng = np.random.default_rng(seed + 1)
    for _ in range(5):
        left, gain = budget, 0.0
        for v, d, bid in zip(value, price, rng.lognormal(rng.normal(), 1.0, 60) * value, strict=True):
            offer = min(bid, left)
            if offer > d:
                paid = d if pricing == "second_price" else offer
                left, gain = left - paid, gain + v - paid
        assert gain <= bound * (1 + 1e-12) + 1e-12


@pytest.mark.parametrize("in_vain", [0.0, 0.04, 1.0])
def test_the_dual_price_bidder_attains_it(in_vain: float) -> None:
    """To .1 %: one opportunity among many is all that whole ones cost."""
    value, price, _ = market(7, 20_000)
    budget = 0.1 * price.sum()
    bound = clairvoyant_bound(value - in_vain * price, price, budget)
    won = dual_price_purchase(value, price, budget, bound.dual, in_vain)
    assert price[won].sum() <= budget
    assert (value - in_vain * price)[won].sum() >= 0.999 * bound.bound_usd
    assert bound.gap_fraction < 1e-4


@given(seeds, st.integers(1, 60), st.integers(1, 6), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_price_a_period_uses_the_budget_up(seed: int, n: int, periods: int, alike: bool) -> None:
    """Whole ones within the budget, none left that fits in its turn, never less than by one price."""
    gain, cost, budget = market(seed, n)
    if alike:  # many of one worth, which no price tells apart
        gain, cost = np.ceil(gain), np.ceil(cost)
    period = np.random.default_rng(seed).integers(0, periods, n)
    bound = clairvoyant_bound(gain, cost, budget)
    prices = dual_prices_of_periods(gain, cost, period, periods, budget, bound.bid_dual)
    won = gain > prices[period] * cost
    assert cost[won].sum() <= budget * (1 + 1e-12)
    by_one_price = gain > bound.bid_dual * (1 + 1e-9) * cost
    assert gain[by_one_price].sum() - 1e-9 <= gain[won].sum() <= bound.bound_usd * (1 + 1e-12)
    left, worth = budget - cost[won].sum(), gain / cost
    for t in range(periods):
        missed = ~won & (period == t)
        if missed.any():
            following = missed & (worth >= worth[missed].max() * (1 - 1e-12))
            assert cost[following].sum() > left - 1e-9


def test_a_price_a_period_comes_nearer_than_one_price_does() -> None:
    """Two cheap ones and one that fits by a piece only: at one price the cheap ones alone are had."""
    gain, cost = np.array([4.0, 4.0, 15.0, 1.0]), np.array([1.0, 1.0, 9.0, 7.0])
    period = np.array([0, 1, 1, 0])
    bound = clairvoyant_bound(gain, cost, 10.0)
    assert bound.bid_dual == pytest.approx(15.0 / 9.0)  # which only fits by a piece
    prices = dual_prices_of_periods(gain, cost, period, 2, 10.0, bound.bid_dual)
    assert (gain > prices[period] * cost).tolist() == [True, True, False, True]
    assert prices[1] == pytest.approx(0.5 * (4.0 + 15.0 / 9.0))


def test_a_budget_that_does_not_bind_has_no_price() -> None:
    bound = clairvoyant_bound([3.0, -1.0, 2.0], [1.0, 1.0, 1.0], 10.0)
    assert (bound.bound_usd, bound.dual, bound.gap_usd) == (5.0, 0.0, 0.0)
    assert bound.taken.tolist() == [True, False, True]


def test_the_gap_is_what_whole_opportunities_cost() -> None:
    """Budget 3, prices 2: one and a half can be bought, one whole; the fraction stands in the bound alone."""
    bound = clairvoyant_bound([4.0, 4.0], [2.0, 2.0], 3.0)
    assert (bound.bound_usd, bound.attained_usd, bound.gap_usd, bound.dual) == (6.0, 4.0, 2.0, 2.0)


def test_what_costs_nothing_is_taken_and_a_budget_of_zero_buys_nothing_else() -> None:
    bound = clairvoyant_bound([1.0, 5.0], [0.0, 1.0], 0.0)
    assert bound.taken.tolist() == [True, False]
    assert bound.bound_usd == pytest.approx(1.0)


@given(seeds, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_choices_of_groups_lie_between_one_choice_and_the_best_of_each(
    seed: int, k: int, groups: int
) -> None:
    """Against all combinations by scipy: none exceeds it; and the best alternative of each exceeds it."""
    rng = np.random.default_rng(seed)
    value, price, budget = market(seed, 12)
    gain = value[:, None] * rng.lognormal(0.0, 0.5, (12, k)) - 0.1 * price[:, None]
    group = rng.integers(0, groups, 12)
    bound = clairvoyant_bound_of_choices(gain, price, group, budget)
    for combination in np.ndindex(*(k,) * groups):
        own = gain[np.arange(12), np.array(combination)[group]]
        assert bound.bound_usd >= by_scipy(own, price, budget) * (1 - 1e-7)
    assert bound.bound_usd <= clairvoyant_bound(gain.max(1), price, budget).bound_usd * (1 + 1e-9)
    consistent(bound, gain[np.arange(12), bound.choice[group]], price, budget)


def test_one_alternative_is_the_plain_bound() -> None:
    value, price, budget = market(3, 200)
    plain = clairvoyant_bound(value - price, price, budget)
    chosen = clairvoyant_bound_of_choices((value - price)[:, None], price, np.zeros(200, int), budget)
    assert chosen.bound_usd == pytest.approx(plain.bound_usd, rel=1e-9)
    assert chosen.dual == pytest.approx(plain.dual, rel=1e-9)
    np.testing.assert_array_equal(chosen.taken, plain.taken)


def test_an_alternative_that_cannot_run_is_not_chosen() -> None:
    bound = clairvoyant_bound_of_choices([[-np.inf, 1.0], [-np.inf, 1.0]], [1.0, 1.0], [0, 1], 1.0)
    assert bound.choice.tolist() == [1, 1]
    assert bound.bound_usd == pytest.approx(1.0)


def test_the_distribution_oracle_bids_half_its_value_against_uniform_prices() -> None:
    """First price, prices uniform on [0, 1], no budget: argmax (v − b)·b = v / 2, gain v² / 4."""
    table = (np.arange(1, 2001)) / 2000
    value = np.array([0.2, 0.5, 1.0])
    oracle = distribution_oracle(value, np.ones(3), table, 1e9)
    np.testing.assert_allclose(oracle.bid_usd, value / 2, atol=1e-3)
    assert oracle.expected_gain_usd == pytest.approx((value**2 / 4).sum(), rel=1e-3)
    assert oracle.dual == 0.0


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_distribution_oracle_is_the_best_bid_of_all_and_keeps_its_budget(seed: int) -> None:
    rng = np.random.default_rng(seed)
    value, scale = rng.lognormal(0.0, 0.5, 50), rng.lognormal(0.0, 0.3, 50)
    table = np.sort(np.round(rng.lognormal(-0.5, 0.6, 40), 1) + 0.1)  # lumpy, as real prices are
    budget = 0.2 * scale.sum() * table.mean()
    oracle = distribution_oracle(value, scale, table, budget, probability_within_table=0.7)
    assert oracle.expected_spend_usd <= budget

    def chance(bid: Any) -> Any:
        return 0.7 * np.searchsorted(table, bid, side="right") / len(table)

    cost = (1.0 + oracle.dual) * scale[:, None]
    every = ((value[:, None] - cost * table) * chance(table)).max(1).clip(0.0)
    own = (value - (1.0 + oracle.dual) * oracle.bid_usd) * chance(oracle.bid_usd / scale * (1 + 1e-12))
    np.testing.assert_allclose(own, every, atol=1e-6)


def test_knowing_prices_beats_knowing_their_distribution() -> None:
    """The clairvoyant bids exactly d: at first price its bound is far above the distribution oracle."""
    rng = np.random.default_rng(5)
    table = np.sort(rng.gamma(2.0, 0.5, 500))
    value, price = rng.lognormal(0.0, 0.4, 5000), rng.choice(table, 5000)
    budget = 0.1 * price.sum()
    oracle = distribution_oracle(value, np.ones(5000), table, budget)
    won = oracle.bid_usd >= price
    assert (value - oracle.bid_usd)[won].sum() == pytest.approx(oracle.expected_gain_usd, rel=0.05)
    assert oracle.expected_gain_usd < clairvoyant_bound(value - price, price, budget).bound_usd


@pytest.mark.parametrize(
    ("gain", "cost", "budget", "words"),
    [
        ([1.0], [1.0, 2.0], 1.0, "same N"),
        ([np.nan], [1.0], 1.0, "NaN"),
        ([1.0], [-1.0], 1.0, "at least 0"),
        ([1.0], [1.0], -1.0, "budget"),
    ],
)
def test_misuse_is_named(gain: Any, cost: Any, budget: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        clairvoyant_bound(gain, cost, budget)
