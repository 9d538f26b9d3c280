from __future__ import annotations

import copy
import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.naive_auction import Lot, naive_sale

from envs.auction import PRICINGS, RULE, AuctionResult, Pricing, clear_auction, clear_slot

Case = dict[str, Any]

BID = st.one_of(
    st.integers(0, 6).map(float),  # many ties
    st.floats(0.0, 100.0),
    st.sampled_from([math.nan, math.inf, -math.inf, -1.0]),
)


@st.composite
def auctions(draw: st.DrawFn, most_slots: int = 4, distinct: bool = False) -> Case:
    opportunities, bidders = draw(st.integers(0, 3)), draw(st.integers(0, 6))
    pricing = draw(st.sampled_from(PRICINGS))
    slots = 1 if pricing == "second_price" else draw(st.integers(1, most_slots))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    shape = opportunities, bidders
    finite = st.floats(0.0, 100.0, width=16)
    bids = hnp.arrays(dtype, shape, elements=finite if distinct else BID, unique=distinct, fill=st.nothing())
    exposure = st.lists(st.sampled_from([200.0, 1.0, 0.8, 0.6, 0.3]), min_size=slots, max_size=slots)
    return {
        "bids": draw(bids),
        "reserve": draw(
            st.sampled_from([0.0, 2.0, 101.0])
            | hnp.arrays(np.float64, opportunities, elements=st.sampled_from([0.0, 0.5, 2.0, 3.25]))
        ),
        "pricing": pricing,
        "slots": slots,
        "slot_exposure": draw(st.none() | exposure.map(lambda values: sorted(values, reverse=True))),
        "category": draw(st.none() | hnp.arrays(np.int64, bidders, elements=st.integers(-1, 2))),
        "seed": draw(st.integers(0, 2**64 - 1)),
    }


def clear(case: Case) -> AuctionResult:
    options = {key: value for key, value in case.items() if key not in ("bids", "reserve")}
    return clear_auction(case["bids"], case["reserve"], **options)


def lots(case: Case) -> list[Lot]:
    opportunities, bidders = case["bids"].shape
    floors = np.broadcast_to(case["reserve"], opportunities).tolist()
    exposure = [1.0] * case["slots"] if case["slot_exposure"] is None else case["slot_exposure"]
    category = [-1] * bidders if case["category"] is None else case["category"].tolist()
    return [
        Lot(bids, floor, exposure, category, case["seed"], opportunity=n)
        for n, (bids, floor) in enumerate(zip(case["bids"].tolist(), floors, strict=True))
    ]


@settings(max_examples=300, deadline=None)
@given(auctions(most_slots=8))
def test_agrees_with_the_naive_implementation(case: Case) -> None:
    result = clear(case)
    single = case["bids"].dtype == np.float32
    assert result.price.dtype == case["bids"].dtype
    for n, lot in enumerate(lots(case)):
        winner, price = naive_sale(lot, case["pricing"])
        assert result.winner[n].tolist() == winner
        np.testing.assert_allclose(result.price[n], price, rtol=1e-6 if single else 1e-9, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(auctions(most_slots=8))
def test_payments_eligibility_and_separation(case: Case) -> None:
    bids = case["bids"]
    result = clear(case)
    valid = np.isfinite(bids) & (bids >= 0.0)
    assert result.refused_bids == (~valid).sum()
    sold = result.winner >= 0
    assert (result.price[~sold] == 0.0).all()
    for lot, row, price, ok in zip(lots(case), result.winner, result.price, valid, strict=True):
        own = np.array(lot.bids)
        eligible = ok & (own >= lot.floor)
        winners = row[row >= 0]
        assert eligible[winners].all()
        assert len(set(winners.tolist())) == len(winners)
        assert (row[len(winners) :] == -1).all(), "slots fill from the first"
        if eligible.any():
            assert own[row[0]] == own[eligible].max()
        assert (np.diff(own[winners]) <= 0.0).all()
        paid = price[: len(winners)]
        assert (lot.floor <= paid).all() and (paid <= own[winners]).all()
        named = [lot.category[a] for a in winners if lot.category[a] >= 0]
        assert len(set(named)) == len(named)


@settings(max_examples=100, deadline=None)
@given(auctions())
def test_what_bidders_pay_is_what_the_seller_gets(case: Case) -> None:
    winner, price = clear(case)
    exposure = np.array([lot.exposure for lot in lots(case)] or np.ones((0, case["slots"])))
    payment = price * exposure
    by_bidder = [payment[winner == a].sum() for a in range(case["bids"].shape[1])]
    assert sum(by_bidder) == pytest.approx(payment.sum(), rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(auctions())
def test_the_rules_charge_in_order(case: Case) -> None:
    first, next_price, vcg = (
        clear({**case, "pricing": pricing}) for pricing in ("first_price", "generalized_second_price", "vcg")
    )
    np.testing.assert_array_equal(first.winner, next_price.winner)
    np.testing.assert_array_equal(first.winner, vcg.winner)
    assert (vcg.price <= next_price.price * (1 + 1e-6)).all() and (next_price.price <= first.price).all()
    if case["slots"] == 1:
        np.testing.assert_array_equal(vcg.price, next_price.price)


@settings(max_examples=100, deadline=None)
@given(auctions(most_slots=1))
def test_the_short_cut_for_one_slot_sells_as_the_pod_does(case: Case) -> None:
    result, rule, seed = clear(case), RULE[case["pricing"]], np.uint64(case["seed"])
    for n, lot in enumerate(lots(case)):
        bids, floor = case["bids"][n], case["bids"].dtype.type(lot.floor)
        winner, price, best, second = clear_slot(bids, len(bids), floor, rule, seed, 0, n)
        assert (winner, price) == (result.winner[n, 0], result.price[n, 0])
        eligible = sorted(bid for bid in lot.bids if math.isfinite(bid) and bid >= max(0.0, floor))
        assert [second, best] == [0.0, 0.0, *eligible][-2:]


@settings(max_examples=200, deadline=None)
@given(auctions(), st.floats(0.0, 50.0), st.data())
def test_a_higher_bid_never_loses_what_a_lower_one_won(
    case: Case, raise_by: float, data: st.DataObject
) -> None:
    before = clear(case)
    sold = np.argwhere(before.winner >= 0)
    assume(len(sold))
    n, position = data.draw(st.sampled_from(sold.tolist()))
    a = before.winner[n, position]
    case["bids"][n, a] += raise_by
    assert a in clear(case).winner[n][: position + 1]


@settings(max_examples=100, deadline=None)
@given(auctions(), st.floats(0.0, 50.0), st.data())
def test_a_winner_cannot_change_its_price_and_keep_its_slot_unless_it_pays_its_bid(
    case: Case, raise_by: float, data: st.DataObject
) -> None:
    assume(case["pricing"] != "first_price")
    before = clear(case)
    first = np.flatnonzero(before.winner[:, 0] >= 0)
    assume(len(first))
    n = data.draw(st.sampled_from(first.tolist()))
    case["bids"][n, before.winner[n, 0]] += raise_by
    after = clear(case)
    np.testing.assert_array_equal(after.winner[n, 0], before.winner[n, 0])
    np.testing.assert_array_equal(after.price[n, 0], before.price[n, 0])


@settings(max_examples=100, deadline=None)
@given(auctions(), st.floats(0.0, 5.0))
def test_a_higher_reserve_sells_no_more_and_no_cheaper(case: Case, raise_by: float) -> None:
    before = clear(case)
    after = clear({**case, "reserve": case["reserve"] + raise_by})
    still = after.winner >= 0
    np.testing.assert_array_equal(after.winner[still], before.winner[still])
    assert (after.price[still] >= before.price[still] * (1 - 1e-6)).all()


@settings(max_examples=100, deadline=None)
@given(auctions(distinct=True), st.randoms(use_true_random=False))
def test_permuting_the_bidders_permutes_the_result(case: Case, shuffler: random.Random) -> None:
    order = list(range(case["bids"].shape[1]))
    shuffler.shuffle(order)
    category = None if case["category"] is None else case["category"][order]
    before, after = clear(case), clear({**case, "bids": case["bids"][:, order], "category": category})
    back = np.append(np.array(order, int), -1)
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


def test_competitive_separation_charges_the_rival_that_is_kept_out() -> None:
    bids = [[10.0, 9.0, 4.0, 2.0]]
    options: Case = {"slots": 2, "category": [7, 7, 3, -1]}
    gsp = clear_auction(bids, 1.0, pricing="generalized_second_price", **options)
    assert gsp.winner.tolist() == [[0, 2]] and gsp.price.tolist() == [[9.0, 2.0]]
    vcg = clear_auction(bids, 1.0, pricing="vcg", slot_exposure=[1.0, 0.5], **options)
    assert vcg.winner.tolist() == [[0, 2]] and vcg.price.tolist() == [[9.0, 2.0]]


def test_a_bid_equal_to_the_reserve_wins_in_either_precision() -> None:
    for dtype in (np.float32, np.float64):
        winner, price = clear_auction(np.array([[0.7, 0.1]], dtype), 0.7)
        assert winner.item() == 0 and price.item() == dtype(0.7)


def test_unsold() -> None:
    for bids, reserve in (([[1.0, 2.0]], 3.0), ([[math.nan, -1.0]], 0.0), (np.empty((4, 0)), 0.0)):
        result = clear_auction(bids, reserve)
        assert (result.winner == -1).all() and (result.price == 0.0).all()
    assert clear_auction(np.empty((2, 0, 3)), 0.0).winner.shape == (2, 0, 1)
    more_slots_than_bidders = clear_auction([[5.0]], 1.0, pricing="vcg", slots=3)
    assert more_slots_than_bidders.winner.tolist() == [[0, -1, -1]]
    assert more_slots_than_bidders.price.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (2, 0, 3), (0, 5, 3), (2, 3, 0, 1), (0, 0)])
@pytest.mark.parametrize("pricing", PRICINGS)
def test_nothing_on_sale_or_nobody_to_buy(shape: tuple[int, ...], pricing: Pricing) -> None:
    slots = 1 if pricing == "second_price" else 2
    result = clear_auction(np.empty(shape), 0.0, pricing=pricing, slots=slots)
    assert result.winner.shape == result.price.shape == (*shape[:-1], slots)
    assert result.refused_bids.shape == shape[:-2]
    assert (result.winner == -1).all() and (result.price == 0.0).all() and result.refused_bids.sum() == 0


@pytest.mark.parametrize("pricing", PRICINGS)
def test_a_zero_bid_wins_what_costs_nothing_and_is_told_from_no_bid(pricing: Pricing) -> None:
    result = clear_auction([[math.nan, 0.0, -0.0]], 0.0, pricing=pricing, seed=5)
    (winner, price), refused = result, result.refused_bids
    assert winner.item() in (1, 2) and price.item() == 0.0 and refused == 1
    assert clear_auction([[0.0]], 1e-300, pricing=pricing).winner.item() == -1


@pytest.mark.parametrize("pricing", PRICINGS)
def test_a_single_bidder_pays_the_reserve_or_its_bid(pricing: Pricing) -> None:
    winner, price = clear_auction([[5.0], [2.0], [1.0]], [2.0, 2.0, 2.0], pricing=pricing)
    assert winner.ravel().tolist() == [0, 0, -1]
    assert price.ravel().tolist() == [5.0 if pricing == "first_price" else 2.0, 2.0, 0.0]


def test_integer_bids_are_as_good_as_floating_ones() -> None:
    for dtype in (np.int32, np.uint8, np.int64):
        result = clear_auction(
            np.array([[3, 7, 5]], dtype), 4, pricing="vcg", slots=3, slot_exposure=[4, 2, 1]
        )
        assert result.winner.tolist() == [[1, 2, -1]] and result.price.dtype == np.float64
        assert result.price.tolist() == [[4.5, 4.0, 0.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pricing", PRICINGS)
def test_the_largest_bids_do_not_overflow(pricing: Pricing, dtype: type[np.floating[Any]]) -> None:
    slots = 1 if pricing == "second_price" else 2
    largest = np.finfo(dtype).max
    bids = np.array([[largest, largest / 2, largest / 4]], dtype)
    result = clear_auction(bids, 0.0, pricing=pricing, slots=slots, slot_exposure=[200.0] * slots)
    expected = {"first_price": [1, 1 / 2], "second_price": [1 / 2], "vcg": [1 / 4, 1 / 4]}
    wanted = np.array(expected.get(pricing, [1 / 2, 1 / 4])) * largest
    np.testing.assert_allclose(result.price[0], wanted, rtol=1e-6)
    assert clear_auction(bids, 1e300 if dtype == np.float32 else largest).winner.item() == (
        -1 if dtype == np.float32 else 0
    )


def test_the_reserve_may_be_one_for_all_or_one_each() -> None:
    bids = np.full((2, 3, 2), 1.0)
    for reserve in (2.0, [0.5, 2.0, 0.5], [[0.5], [2.0]]):
        sold = clear_auction(bids, reserve).winner[..., 0] >= 0
        np.testing.assert_array_equal(sold, np.broadcast_to(np.asarray(reserve) <= 1.0, (2, 3)))
    with pytest.raises(ValueError, match="reserve must broadcast"):
        clear_auction(bids, np.full((1, 2, 3), 0.5))


def test_slots_heard_equally_often_cost_what_the_first_loser_bids() -> None:
    bids = [[9.0, 8.0, 7.0, 6.0, 5.0]]
    _, price = clear_auction(bids, 1.0, pricing="vcg", slots=3)
    assert price.tolist() == [[6.0, 6.0, 6.0]]
    everybody = clear_auction(bids, 1.0, pricing="vcg", slots=8)
    assert everybody.winner.tolist() == [[0, 1, 2, 3, 4, -1, -1, -1]]
    assert everybody.price.tolist() == [[1.0] * 5 + [0.0] * 3]


def test_negative_categories_are_none_and_one_category_sells_one_slot() -> None:
    bids = [[9.0, 8.0, 7.0]]
    options: Case = {"pricing": "generalized_second_price", "slots": 3}
    apart = clear_auction(bids, 1.0, category=[-1, -1, -7], **options)
    np.testing.assert_array_equal(apart.winner, clear_auction(bids, 1.0, **options).winner)
    same = clear_auction(bids, 1.0, category=[4, 4, 4], **options)
    assert same.winner.tolist() == [[0, -1, -1]] and same.price.tolist() == [[8.0, 0.0, 0.0]]
    below_the_reserve = clear_auction(bids, 8.5, category=[4, 4, 4], **options)
    assert below_the_reserve.price.tolist() == [[8.5, 0.0, 0.0]]


def test_ties_are_fair_seeded_and_repeatable() -> None:
    bids = np.ones((30_000, 3))
    winner = clear_auction(bids, 0.0, seed=11).winner
    np.testing.assert_array_equal(winner, clear_auction(bids, 0.0, seed=11).winner)
    assert (winner != clear_auction(bids, 0.0, seed=12).winner).any()
    np.testing.assert_allclose(np.bincount(winner.ravel(), minlength=3) / len(bids), 1 / 3, atol=0.012)
    pods = clear_auction(bids, 0.0, pricing="vcg", slots=3, seed=11).winner
    assert (np.sort(pods, axis=1) == [0, 1, 2]).all()


def test_the_bids_are_not_written_to() -> None:
    bids, reserve = np.random.default_rng(1).random((10, 3)), np.full(10, 0.1)
    bids.flags.writeable = reserve.flags.writeable = False
    clear_auction(bids, reserve)


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
        ({"bids": [[1.0, 2.0], [3.0]]}, "bids must have rows of one length, got ragged ones"),
        ({"bids": [[1.0, None]]}, "no bid is NaN, not None"),
        ({"bids": np.ma.masked_invalid([[1.0, math.nan]])}, r"masked entries.*bids\.filled\(np\.nan\)"),
        ({"bids": [np.ma.masked_equal([1.0, 9.0], 9.0)]}, "bids must not have masked entries"),
        ({"reserve": [[0.1], [0.2, 0.3]]}, "reserve must have rows of one length"),
        ({"reserve": np.ma.masked_equal([0.1], 0.1)}, "reserve must not have masked entries"),
        ({"reserve": "a"}, "reserve must be real numbers"),
        ({"pricing": ["vcg"]}, "valid: second_price, first_price"),
        ({"category": [[0], [1, 2]]}, "category must have rows of one length"),
        ({"seed": [[0], [1, 2]]}, "seed must have rows of one length"),
        ({"category": [0]}, r"category must be \[A\] = \[3\] integers"),
        ({"category": [0.0, 1.0, 2.0]}, r"category must be \[A\] = \[3\] integers"),
        ({"pricing": "vcg", "slots": 2, "slot_exposure": [0.5, 1.0]}, "non-increasing"),
        ({"pricing": "vcg", "slots": 2, "slot_exposure": [1.0, 0.0]}, "positive"),
        ({"pricing": "vcg", "slots": 2, "slot_exposure": [1.0]}, "slot_exposure must have shape"),
        ({"pricing": "vcg", "slots": 2, "slot_exposure": ["a", "b"]}, "slot_exposure must be real numbers"),
        ({"seed": 0.5}, "seed must be an integer"),
        ({"seed": [1, 2]}, "seed must be an integer or one per market"),
    ],
)
def test_faults_are_named(change: Case, message: str) -> None:
    arguments = {"bids": [[1.0, 2.0, 3.0]], "reserve": 0.0, **change}
    with pytest.raises(ValueError, match=message):
        clear_auction(arguments.pop("bids"), arguments.pop("reserve"), **arguments)


def test_what_a_mask_was_filled_with_is_no_bid() -> None:
    bids = np.ma.masked_equal([[1.0, 9.0, 2.0]], 9.0)
    result = clear_auction(bids.filled(math.nan), 0.0)
    assert (result.winner.tolist(), result.price.tolist(), result.refused_bids) == ([[2]], [[1.0]], 1)
    whole = clear_auction(np.ma.masked_array([[1.0, 9.0, 2.0]]), 0.0)  # nothing masked: nothing to lose
    assert whole.winner.tolist() == [[1]]


def test_a_result_unpacks_into_two_and_copies_whole() -> None:
    result = clear_auction([[math.nan, 2.0]], 0.0)
    winner, price = result
    twin = copy.deepcopy(result)
    assert winner.tolist() == twin.winner.tolist() == [[1]] and price.tolist() == twin.price.tolist()
    assert twin.refused_bids.tolist() == result.refused_bids.tolist()
