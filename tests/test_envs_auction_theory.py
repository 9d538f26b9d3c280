"""What theory says about the auction: closed forms and equilibria (sources in `envs.auction`)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.auction import Pricing, cascading_exposure, clear_auction

Floats = NDArray[np.float64]


def uniform_values(bidders: int, opportunities: int = 200_000, seed: int = 0) -> Floats:
    return np.random.default_rng([seed, bidders]).random((opportunities, bidders))


def lattice(bidders: int, points: int = 400) -> Floats:
    """Every combination of equally spaced values in (0, 1): expectations without noise."""
    line = (np.arange(points) + 0.5) / points
    return np.array(list(itertools.product(line, repeat=bidders)))


def surplus_of_bid(bid: float, value: float, others: Floats, pricing: Pricing) -> float:
    bids = np.concatenate([np.full((len(others), 1), bid), others], axis=1)
    winner, price = clear_auction(bids, 0.0, pricing=pricing)
    return float(np.where(winner == 0, value - price, 0.0).mean())


@pytest.mark.parametrize(
    ("bidders", "revenue", "surplus"), [(2, 1 / 3, 1 / 6), (3, 0.5, 1 / 12), (5, 2 / 3, 1 / 30)]
)
@pytest.mark.parametrize("pricing", ["second_price", "first_price", "generalized_second_price", "vcg"])
def test_revenue_equivalence_on_uniform_values(
    pricing: Pricing, bidders: int, revenue: float, surplus: float
) -> None:
    values = uniform_values(bidders)
    equilibrium = (bidders - 1) / bidders if pricing == "first_price" else 1.0
    winner, price = clear_auction(values * equilibrium, 0.0, pricing=pricing)
    assert price.mean() == pytest.approx(revenue, abs=0.002)
    welfare = np.take_along_axis(values, winner, axis=1).mean()
    assert (welfare - price.mean()) / bidders == pytest.approx(surplus, abs=0.001)


@pytest.mark.parametrize(("bidders", "revenue"), [(1, 1 / 4), (2, 5 / 12)])
def test_the_best_reserve_is_half_the_highest_value(bidders: int, revenue: float) -> None:
    values = lattice(bidders)

    def earned(reserve: float) -> float:
        return float(clear_auction(values, reserve).price.mean())

    assert earned(0.5) == pytest.approx(revenue, abs=0.002)  # Myerson 1981
    assert max(np.arange(0.1, 1.0, 0.1), key=earned) == pytest.approx(0.5)


def test_truthful_bidding_is_a_best_response_at_the_second_price() -> None:
    others = lattice(2)
    truthful = surplus_of_bid(0.7, 0.7, others, "second_price")
    assert truthful == pytest.approx(0.7**3 / 3, abs=1e-3)
    grid = np.linspace(0.0, 1.0, 41)
    assert all(surplus_of_bid(bid, 0.7, others, "second_price") <= truthful + 1e-12 for bid in grid)


@pytest.mark.parametrize("value", [0.9, 0.5])
def test_best_response_at_the_first_price_shades_to_two_thirds(value: float) -> None:
    others = lattice(2) * 2 / 3
    grid = np.arange(0.2, 0.8, 0.01)
    best = max(grid, key=lambda bid: surplus_of_bid(bid, value, others, "first_price"))
    assert best == pytest.approx(value * 2 / 3, abs=0.0101)


@pytest.mark.parametrize(
    ("pricing", "payments"), [("generalized_second_price", [800, 200]), ("vcg", [600, 200])]
)
def test_generalized_second_price_against_vcg(pricing: Pricing, payments: list[float]) -> None:
    clicks = np.array([200.0, 100.0])
    winner, price = clear_auction([[10, 4, 2]], 0, pricing=pricing, slots=2, slot_exposure=clicks)
    assert winner.tolist() == [[0, 1]]
    np.testing.assert_array_equal(price * clicks, [payments])
    scaled = clear_auction([[10, 4, 2]], 0, pricing=pricing, slots=2, slot_exposure=clicks / 200)
    np.testing.assert_array_equal(scaled.price, price)


@pytest.mark.parametrize("pricing", ["generalized_second_price", "vcg"])
@pytest.mark.parametrize("exposure", [None, [0.3], [200.0]])
def test_with_one_slot_every_second_price_rule_agrees(pricing: Pricing, exposure: list[float] | None) -> None:
    values = uniform_values(4, 1000)
    second = clear_auction(values, 0.3, pricing="second_price")
    other = clear_auction(values, 0.3, pricing=pricing, slot_exposure=exposure)
    np.testing.assert_array_equal(second.winner, other.winner)
    np.testing.assert_array_equal(second.price, other.price)


def test_cascading_exposure() -> None:
    continuation = np.array([1.0, 0.8, 0.6])
    exposure = cascading_exposure(continuation)
    np.testing.assert_allclose(exposure, [1.0, 0.8, 0.48])
    heard = np.random.default_rng(5).random((100_000, 3)) < continuation
    np.testing.assert_allclose(np.logical_and.accumulate(heard, axis=1).mean(axis=0), exposure, atol=0.005)


# Equilibria of pods: values and exposures of position auctions, drawn.

VALUES = st.lists(st.floats(0.5, 20.0), min_size=2, max_size=7, unique=True)
EXPOSURE = st.lists(st.floats(0.1, 1.0), min_size=1, max_size=5, unique=True)


def outcome(bids: Any, values: Floats, exposure: Floats, pricing: Pricing, **options: Any) -> Floats:
    """[N, A] surplus of every bidder at bids [N, A]."""
    winner, price = clear_auction(
        bids,
        options.pop("reserve", 0.0),
        pricing=pricing,
        slots=len(exposure),
        slot_exposure=exposure,
        **options,
    )
    surplus = np.zeros(np.shape(bids))
    rows = np.arange(len(surplus))
    for k, x in enumerate(exposure):
        sold = winner[:, k] >= 0
        a = winner[sold, k]
        surplus[rows[sold], a] += (values[a] - price[sold, k]) * x
    return surplus


def deviations(bids: Floats, bidder: int, candidates: Floats) -> Floats:
    """[N, A] everybody's bids, but one bidder tries each of N others."""
    tried = np.tile(bids, (len(candidates), 1))
    tried[:, bidder] = candidates
    return tried


@settings(max_examples=100, deadline=None)
@given(VALUES, EXPOSURE, st.floats(0.0, 6.0), st.booleans(), st.integers(0, 2**32))
def test_truth_is_dominant_under_vcg(
    values_list: list[float], exposure_list: list[float], reserve: float, separated: bool, seed: int
) -> None:
    """Whatever the others bid, no bid of one's own beats one's value: with reserve and separation too."""
    values, exposure = np.array(values_list), np.array(sorted(exposure_list, reverse=True))
    rng = np.random.default_rng(seed)
    options = {
        "reserve": reserve,
        "category": rng.integers(-1, 3, len(values)) if separated else None,
        "seed": seed,
    }
    bids = rng.uniform(0.0, 20.0, len(values))
    for bidder in range(len(values)):
        bids[bidder] = values[bidder]
        tried = deviations(bids, bidder, np.append(rng.uniform(0.0, 25.0, 40), [0.0, *bids]))
        truthful = outcome(bids[None], values, exposure, "vcg", **options)[0, bidder]
        assert truthful >= 0.0
        assert (outcome(tried, values, exposure, "vcg", **options)[:, bidder] <= truthful + 1e-9).all()
        bids[bidder] = rng.uniform(0.0, 20.0)


def lowest_envy_free_bids(values: Floats, exposure: Floats) -> Floats:
    """Bids of bidders sorted by value: each of slot k bids to be indifferent to slot k − 1 at its price."""
    bids = values.copy()  # whoever gets no slot bids the value, and so may the first
    padded = np.append(exposure, np.zeros(max(0, len(values) - len(exposure))))[: len(values)]
    for k in range(min(len(values), len(exposure)) - 1, 0, -1):
        following = bids[k + 1] if k + 1 < len(values) else 0.0
        bids[k] = values[k] - padded[k] / padded[k - 1] * (values[k] - following)
    return bids


@settings(max_examples=100, deadline=None)
@example([1.0, 2.0, 1.5, 0.5, 0.5000000000000001], [1.0, 0.5, 0.75, 0.625])
@given(VALUES, EXPOSURE)
def test_generalized_second_price_has_a_locally_envy_free_equilibrium_with_the_payments_of_vcg(
    values_list: list[float], exposure_list: list[float]
) -> None:
    """Edelman, Ostrovsky & Schwarz 2007, theorem 1: VCG's positions and payments; nobody gains by leaving."""
    # Values or slots that differ by an ulp are one: who stands where would be rounding.
    values = np.array(sorted({round(x, 3) for x in values_list}, reverse=True))
    exposure = np.array(sorted({round(x, 3) for x in exposure_list}, reverse=True))
    bids, slots = lowest_envy_free_bids(values, exposure), len(exposure)
    gsp = clear_auction(
        bids[None], 0.0, pricing="generalized_second_price", slots=slots, slot_exposure=exposure
    )
    vcg = clear_auction(values[None], 0.0, pricing="vcg", slots=slots, slot_exposure=exposure)
    np.testing.assert_array_equal(gsp.winner, vcg.winner)
    np.testing.assert_allclose(gsp.price, vcg.price, rtol=1e-9, atol=1e-9)

    surplus = outcome(bids[None], values, exposure, "generalized_second_price")[0]
    candidates = np.concatenate([bids * (1 - 1e-9), bids * (1 + 1e-9), np.linspace(0.0, 25.0, 26)])
    for bidder in range(len(values)):
        tried = outcome(deviations(bids, bidder, candidates), values, exposure, "generalized_second_price")[
            :, bidder
        ]
        assert (tried <= surplus[bidder] + 1e-6).all()
    for k in range(1, min(slots, len(values))):  # nobody would swap places with the one above
        assert exposure[k - 1] * (values[k] - gsp.price[0, k - 1]) <= surplus[k] + 1e-9


def test_truth_is_no_equilibrium_of_the_generalized_second_price() -> None:
    values, exposure = np.array([10.0, 9.0, 2.0]), np.array([1.0, 0.9])
    truthful = outcome(values[None], values, exposure, "generalized_second_price")[0]
    shaded = outcome([[8.0, 9.0, 2.0]], values, exposure, "generalized_second_price")[0]
    assert truthful[0] == pytest.approx(1.0) and shaded[0] == pytest.approx(0.9 * 8.0)
