from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from envs.auction import PRICINGS, TIE_BREAK_STREAM, AuctionResult, Pricing, cascading_exposure, clear_auction
from envs.philox import philox4x32

Case = dict[str, Any]
Category = NDArray[np.int64]

# A second implementation: ranking by sorting, prices by their definition (least bid that keeps the slot;
# what the winner's presence costs the others).


def tie_key(seed: int, opportunity: int, bidder: int) -> tuple[int, int]:
    key = seed & 0xFFFFFFFF, seed >> 32
    words = philox4x32(bidder, opportunity, 0, TIE_BREAK_STREAM, *key)  # type: ignore[no-untyped-call]
    return int(words[0]), int(words[1])


def naive_ranking(
    bids: list[float],
    floor: float,
    category: Category,
    seed: int,
    n: int,
    without: int | None = None,
    replaced: tuple[int, float] | None = None,
) -> list[int]:
    """Bidders in order, at most one a category; `replaced` = (bidder, its other bid), `without` stays out."""
    bids = list(bids)
    if replaced is not None:
        bids[replaced[0]] = replaced[1]
    order = sorted(
        (
            a
            for a, bid in enumerate(bids)
            if a != without and math.isfinite(bid) and bid >= 0 and bid >= floor
        ),
        key=lambda a: (bids[a], tie_key(seed, n, a)),
        reverse=True,
    )
    ranking: list[int] = []
    for a in order:
        if category[a] < 0 or all(category[a] != category[other] for other in ranking):
            ranking.append(a)
    return ranking


def naive_price(
    bids: list[float],
    floor: float,
    category: Category,
    seed: int,
    n: int,
    pricing: Pricing,
    exposure: list[float],
    k: int,
) -> float:
    ranking = naive_ranking(bids, floor, category, seed, n)
    bidder = ranking[k]
    if pricing == "first_price":
        return bids[bidder]
    if pricing == "vcg":
        values = [bids[a] for a in ranking] + [floor] * len(exposure)
        others = [bids[a] for a in naive_ranking(bids, floor, category, seed, n, without=bidder)]
        others += [floor] * len(exposure)
        now = sum(x * v for j, (x, v) in enumerate(zip(exposure, values, strict=False)) if j != k)
        return (sum(x * v for x, v in zip(exposure, others, strict=False)) - now) / exposure[k]
    for threshold in sorted({floor, *(b for b in bids if math.isfinite(b) and floor <= b <= bids[bidder])}):
        above = np.nextafter(threshold, np.inf)  # the least bid that keeps the slot, up to a tie
        kept = naive_ranking(bids, floor, category, seed, n, replaced=(bidder, above))
        if bidder in kept[: k + 1]:
            return threshold
    raise AssertionError("no bid keeps the slot")


def naive_auction(case: Case) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    bids, slots, category, seed = case["bids"], case["slots"], case["category"], case["seed"]
    winner = np.full((len(bids), slots), -1)
    price = np.zeros((len(bids), slots))
    for n, (row, floor) in enumerate(zip(bids.tolist(), case["reserve"].tolist(), strict=True)):
        for k, a in enumerate(naive_ranking(row, floor, category, seed, n)[:slots]):
            winner[n, k] = a
            price[n, k] = naive_price(
                row, floor, category, seed, n, case["pricing"], case["slot_exposure"], k
            )
    return winner, price


BID = st.one_of(
    st.integers(0, 6).map(float),  # many ties
    st.floats(0.0, 100.0),
    st.sampled_from([math.nan, math.inf, -math.inf, -1.0]),
)


@st.composite
def auctions(draw: st.DrawFn) -> Case:
    opportunities, bidders = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    pricing = draw(st.sampled_from(PRICINGS))
    slots = 1 if pricing == "second_price" else draw(st.integers(1, 4))
    return {
        "bids": draw(hnp.arrays(np.float64, (opportunities, bidders), elements=BID)),
        "reserve": draw(
            hnp.arrays(np.float64, opportunities, elements=st.sampled_from([0.0, 0.5, 2.0, 3.25]))
        ),
        "pricing": pricing,
        "slots": slots,
        "slot_exposure": sorted(
            draw(st.lists(st.sampled_from([1.0, 0.8, 0.6, 0.3]), min_size=slots, max_size=slots)),
            reverse=True,
        ),
        "category": draw(hnp.arrays(np.int64, bidders, elements=st.integers(-1, 2))),
        "seed": draw(st.integers(0, 2**64 - 1)),
    }


def clear(case: Case) -> AuctionResult:
    options = {key: value for key, value in case.items() if key not in ("bids", "reserve")}
    return clear_auction(case["bids"], case["reserve"], **options)


@settings(max_examples=300, deadline=None)
@given(auctions())
def test_agrees_with_the_naive_implementation(case: Case) -> None:
    result = clear(case)
    winner, price = naive_auction(case)
    np.testing.assert_array_equal(result.winner, winner)
    np.testing.assert_allclose(result.price, price, rtol=1e-9, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(auctions())
def test_payments_eligibility_and_separation(case: Case) -> None:
    bids, reserve = case["bids"], case["reserve"]
    result = clear(case)
    valid = np.isfinite(bids) & (bids >= 0.0)
    assert result.refused_bids == (~valid).sum()
    sold = result.winner >= 0
    assert (result.price[~sold] == 0.0).all()
    for n, row in enumerate(result.winner):
        eligible = valid[n] & (bids[n] >= reserve[n])
        winners = row[row >= 0]
        assert eligible[winners].all()
        assert len(set(winners.tolist())) == len(winners)
        assert (row[len(winners) :] == -1).all(), "slots fill from the first"
        if eligible.any():
            assert bids[n][row[0]] == bids[n][eligible].max()
        assert (np.diff(bids[n][winners]) <= 0.0).all()
        paid = result.price[n][: len(winners)]
        assert (reserve[n] <= paid).all() and (paid <= bids[n][winners]).all()
        named = [c for c in case["category"][winners].tolist() if c >= 0]
        assert len(set(named)) == len(named)


@settings(max_examples=200, deadline=None)
@given(auctions(), st.floats(0.0, 50.0), st.data())
def test_a_higher_bid_never_loses_what_a_lower_one_won(
    case: Case, raise_by: float, data: st.DataObject
) -> None:
    before = clear(case)
    n = data.draw(st.integers(0, len(case["bids"]) - 1))
    winners = before.winner[n][before.winner[n] >= 0]
    assume(len(winners))
    a = int(data.draw(st.sampled_from(winners.tolist())))
    position = before.winner[n].tolist().index(a)
    case["bids"][n, a] += raise_by
    assert a in clear(case).winner[n][: position + 1]


@settings(max_examples=100, deadline=None)
@given(auctions(), st.randoms(use_true_random=False))
def test_permuting_the_bidders_permutes_the_result(case: Case, shuffler: random.Random) -> None:
    rows = [row[np.isfinite(row)] for row in case["bids"]]
    assume(all(len(np.unique(row)) == len(row) for row in rows))
    order = list(range(case["bids"].shape[1]))
    shuffler.shuffle(order)
    before = clear(case)
    after = clear({**case, "bids": case["bids"][:, order], "category": case["category"][order]})
    back = np.append(order, -1)
    np.testing.assert_array_equal(back[after.winner], before.winner)
    np.testing.assert_array_equal(after.price, before.price)


@pytest.mark.parametrize("pricing", PRICINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_batch_equals_its_markets_one_by_one(pricing: Pricing, dtype: type[np.floating[Any]]) -> None:
    generator = np.random.default_rng(3)
    bids = generator.integers(0, 5, (2, 3, 50, 6)).astype(dtype)  # ties everywhere
    bids[0, 1, 4, 2] = np.nan
    reserve = generator.random((2, 3, 50))
    seed = generator.integers(0, 2**63, (2, 3), dtype=np.uint64)
    slots = 1 if pricing == "second_price" else 3
    options: Case = {"pricing": pricing, "slots": slots, "category": [0, 0, 1, 1, 2, -1]}
    batch = clear_auction(bids, reserve, seed=seed, **options)
    assert batch.price.dtype == dtype and batch.winner.shape == batch.price.shape == (2, 3, 50, slots)
    for market in itertools.product(range(2), range(3)):
        alone = clear_auction(bids[market], reserve[market], seed=int(seed[market]), **options)
        np.testing.assert_array_equal(alone.winner, batch.winner[market])
        np.testing.assert_array_equal(alone.price, batch.price[market])
        assert alone.refused_bids == batch.refused_bids[market] == (market == (0, 1))


# Closed forms.


def uniform_values(bidders: int, opportunities: int = 200_000, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng([seed, bidders]).random((opportunities, bidders))


@pytest.mark.parametrize(
    ("bidders", "revenue", "surplus"), [(2, 1 / 3, 1 / 6), (3, 0.5, 1 / 12), (5, 2 / 3, 1 / 30)]
)
@pytest.mark.parametrize("pricing", ["second_price", "first_price"])
def test_revenue_equivalence_on_uniform_values(
    pricing: Pricing, bidders: int, revenue: float, surplus: float
) -> None:
    values = uniform_values(bidders)
    equilibrium = 1.0 if pricing == "second_price" else (bidders - 1) / bidders
    winner, price, _ = clear_auction(values * equilibrium, 0.0, pricing=pricing)
    assert price.mean() == pytest.approx(revenue, abs=0.003)
    welfare = np.take_along_axis(values, winner, axis=1).mean()
    assert (welfare - price.mean()) / bidders == pytest.approx(surplus, abs=0.001)


def surplus_of_bid(bid: float, value: float, others: NDArray[np.float64], pricing: Pricing) -> float:
    bids = np.concatenate([np.full((len(others), 1), bid), others], axis=1)
    winner, price, _ = clear_auction(bids, 0.0, pricing=pricing)
    return float(np.where(winner == 0, value - price, 0.0).mean())


def test_truthful_bidding_is_a_best_response_at_the_second_price() -> None:
    others = uniform_values(2)
    truthful = surplus_of_bid(0.7, 0.7, others, "second_price")
    assert truthful == pytest.approx(0.7**3 / 3, abs=0.002)
    assert all(
        surplus_of_bid(bid, 0.7, others, "second_price") <= truthful for bid in np.linspace(0.0, 1.0, 21)
    )


def test_best_response_at_the_first_price_shades_to_two_thirds() -> None:
    others = uniform_values(2) * 2 / 3
    grid = np.arange(0.40, 0.80, 0.02)
    best = max(grid, key=lambda bid: surplus_of_bid(bid, 0.9, others, "first_price"))
    assert best == pytest.approx(0.600, abs=0.021)


@pytest.mark.parametrize(
    ("pricing", "payments"), [("generalized_second_price", [800, 200]), ("vcg", [600, 200])]
)
def test_generalized_second_price_against_vcg(pricing: Pricing, payments: list[float]) -> None:
    clicks = np.array([200.0, 100.0])
    winner, price, _ = clear_auction([[10, 4, 2]], 0, pricing=pricing, slots=2, slot_exposure=clicks)
    assert winner.tolist() == [[0, 1]]
    np.testing.assert_allclose(price * clicks, [payments])
    scaled = clear_auction([[10, 4, 2]], 0, pricing=pricing, slots=2, slot_exposure=clicks / 200)
    np.testing.assert_allclose(scaled.price, price)


@pytest.mark.parametrize("pricing", ["generalized_second_price", "vcg"])
def test_with_one_slot_every_second_price_rule_agrees(pricing: Pricing) -> None:
    values = uniform_values(4, 1000)
    second = clear_auction(values, 0.3, pricing="second_price")
    other = clear_auction(values, 0.3, pricing=pricing)
    np.testing.assert_array_equal(second.winner, other.winner)
    np.testing.assert_array_equal(second.price, other.price)


def test_vcg_is_truthful_under_separation_and_generalized_second_price_is_not() -> None:
    others = np.array([8.0, 5.0, 4.0, 1.0])
    category, exposure = [0, 0, 1, -1, 2], [1.0, 0.9, 0.6]

    def surplus(bid: float, pricing: Pricing) -> float:
        winner, price, _ = clear_auction(
            [[bid, *others]],
            0.5,
            pricing=pricing,
            slots=3,
            slot_exposure=exposure,
            category=category,
        )
        won = np.flatnonzero(winner[0] == 0)
        return sum((9.0 - float(price[0, k])) * exposure[k] for k in won)

    grid = np.linspace(0.0, 12.0, 97)
    assert max(surplus(bid, "vcg") for bid in grid) <= surplus(9.0, "vcg") + 1e-12
    others[0] = 3.0
    assert max(surplus(bid, "generalized_second_price") for bid in grid) > surplus(
        9.0, "generalized_second_price"
    )


def test_cascading_exposure() -> None:
    continuation = np.array([1.0, 0.8, 0.6])
    exposure = cascading_exposure(continuation)
    np.testing.assert_allclose(exposure, [1.0, 0.8, 0.48])
    heard = np.random.default_rng(5).random((100_000, 3)) < continuation
    np.testing.assert_allclose(np.logical_and.accumulate(heard, axis=1).mean(axis=0), exposure, atol=0.005)


# Edges.


def test_competitive_separation_charges_the_rival_that_is_kept_out() -> None:
    bids = [[10.0, 9.0, 4.0, 2.0]]
    options: Case = {"slots": 2, "category": [7, 7, 3, -1]}
    gsp = clear_auction(bids, 1.0, pricing="generalized_second_price", **options)
    assert gsp.winner.tolist() == [[0, 2]] and gsp.price.tolist() == [[9.0, 2.0]]
    vcg = clear_auction(bids, 1.0, pricing="vcg", slot_exposure=[1.0, 0.5], **options)
    assert vcg.winner.tolist() == [[0, 2]] and vcg.price.tolist() == [[9.0, 2.0]]


def test_a_bid_equal_to_the_reserve_wins_in_either_precision() -> None:
    for dtype in (np.float32, np.float64):
        winner, price, _ = clear_auction(np.array([[0.7, 0.1]], dtype), 0.7)
        assert winner.item() == 0 and price.item() == dtype(0.7)


def test_unsold() -> None:
    for bids, reserve in (([[1.0, 2.0]], 3.0), ([[math.nan, -1.0]], 0.0), (np.empty((4, 0)), 0.0)):
        result = clear_auction(bids, reserve)
        assert (result.winner == -1).all() and (result.price == 0.0).all()
    assert clear_auction(np.empty((2, 0, 3)), 0.0).winner.shape == (2, 0, 1)
    more_slots_than_bidders = clear_auction([[5.0]], 1.0, pricing="vcg", slots=3)
    assert more_slots_than_bidders.winner.tolist() == [[0, -1, -1]]
    assert more_slots_than_bidders.price.tolist() == [[1.0, 0.0, 0.0]]


def test_ties_are_fair_seeded_and_repeatable() -> None:
    bids = np.ones((30_000, 3))
    winner = clear_auction(bids, 0.0, seed=11).winner
    np.testing.assert_array_equal(winner, clear_auction(bids, 0.0, seed=11).winner)
    assert (winner != clear_auction(bids, 0.0, seed=12).winner).any()
    np.testing.assert_allclose(np.bincount(winner.ravel(), minlength=3) / len(bids), 1 / 3, atol=0.012)
    pods = clear_auction(bids, 0.0, pricing="vcg", slots=3, seed=11).winner
    assert (np.sort(pods, axis=1) == [0, 1, 2]).all()


def test_the_bids_are_not_written_to() -> None:
    bids = uniform_values(3, 10)
    bids.flags.writeable = False
    clear_auction(bids, 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": 2}, "second_price sells one slot"),
        ({"pricing": "third_price"}, "valid: second_price, first_price"),
        ({"slots": 0}, "slots must be an integer >= 1"),
        ({"slots": 1.5}, "slots must be an integer >= 1"),
        ({"reserve": -0.1}, "reserve must be finite and >= 0, got -0.1"),
        ({"reserve": math.nan}, "reserve must be finite"),
        ({"reserve": [0.1, 0.2]}, "reserve must broadcast"),
        ({"bids": [1.0, 2.0]}, r"bids must have shape \[..., N, A\]"),
        ({"bids": [["a", "b"]]}, "bids must be real numbers"),
        ({"category": [0]}, r"category must be \[A\] = \[3\] integers"),
        ({"category": [0.0, 1.0, 2.0]}, r"category must be \[A\] = \[3\] integers"),
        ({"pricing": "vcg", "slots": 2, "slot_exposure": [0.5, 1.0]}, "non-increasing"),
        ({"pricing": "vcg", "slots": 2, "slot_exposure": [1.0, 0.0]}, "positive"),
        ({"pricing": "vcg", "slots": 2, "slot_exposure": [1.0]}, "slot_exposure must have shape"),
        ({"seed": 0.5}, "seed must be an integer"),
        ({"seed": [1, 2]}, "seed must be an integer or one per market"),
    ],
)
def test_faults_are_named(change: Case, message: str) -> None:
    arguments = {"bids": [[1.0, 2.0, 3.0]], "reserve": 0.0, **change}
    with pytest.raises(ValueError, match=message):
        clear_auction(arguments.pop("bids"), arguments.pop("reserve"), **arguments)
