"""An auction once more, in plain Python: ranking by sorting, prices by what they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from envs.auction import TIE_BREAK_STREAM
from envs.philox import philox4x32


class Lot(NamedTuple):
    """One opportunity on sale."""

    bids: Sequence[float]
    floor: float
    exposure: Sequence[float]  # of every slot
    category: Sequence[int]  # of every bidder, negative = none
    seed: int = 0
    interval: int = 0
    opportunity: int = 0


def valid(bid: float) -> bool:
    return math.isfinite(bid) and bid >= 0.0


def ranking(lot: Lot) -> list[int]:
    """Bidders that may stand beside each other, best first."""

    def order(bidder: int) -> tuple[float, int, int, int]:
        address = bidder, lot.opportunity, lot.interval, TIE_BREAK_STREAM
        words = philox4x32(*address, lot.seed & 0xFFFFFFFF, lot.seed >> 32)
        return lot.bids[bidder], int(words[0]), int(words[1]), -bidder

    eligible = [a for a, bid in enumerate(lot.bids) if valid(bid) and bid >= lot.floor]
    ranked: list[int] = []
    for a in sorted(eligible, key=order, reverse=True):
        if lot.category[a] < 0 or all(lot.category[a] != lot.category[other] for other in ranked):
            ranked.append(a)
    return ranked


def most_welfare(lot: Lot, absent: int) -> float:
    """The most that slots can be worth without one bidder; the seller values an unsold one at the floor.

    Every assignment is tried.
    """

    @cache
    def best(slot: int, free: frozenset[int]) -> float:
        if slot == len(lot.exposure):
            return 0.0
        worth = [lot.exposure[slot] * lot.floor + best(slot + 1, free)]
        for a in free:
            named = lot.category[a] >= 0
            rest = {o for o in free if o != a and not (named and lot.category[o] == lot.category[a])}
            worth.append(lot.exposure[slot] * lot.bids[a] + best(slot + 1, frozenset(rest)))
        return max(worth)

    takers = (a for a, bid in enumerate(lot.bids) if valid(bid) and bid >= lot.floor and a != absent)
    return best(0, frozenset(takers))


def least_keeping_bid(lot: Lot, slot: int) -> float:
    """The infimum of bids with which the winner of a slot would still have got it or a better one."""
    bidder = ranking(lot)[slot]
    thresholds = {lot.floor, *(b for b in lot.bids if valid(b) and lot.floor <= b <= lot.bids[bidder])}
    for threshold in sorted(thresholds):
        bids = list(lot.bids)
        bids[bidder] = math.nextafter(threshold, math.inf)
        if bidder in ranking(lot._replace(bids=bids))[: slot + 1]:
            return threshold
    raise AssertionError("no bid keeps the slot")


def harm(lot: Lot, slot: int) -> float:
    """What a winner's presence costs all others, per exposure of its slot."""
    ranked, slots = ranking(lot), len(lot.exposure)
    bidder = ranked[slot]
    worth = [lot.bids[a] for a in ranked[:slots]] + [lot.floor] * slots
    others = math.fsum(x * worth[k] for k, x in enumerate(lot.exposure) if k != slot)
    return (most_welfare(lot, bidder) - others) / lot.exposure[slot]


def naive_sale(lot: Lot, pricing: str) -> tuple[list[int], list[float]]:
    """Winner (−1 unsold) and price of every slot."""
    slots = len(lot.exposure)
    winners = ranking(lot)[:slots]
    price = {
        "first_price": lambda slot: lot.bids[winners[slot]],
        "second_price": lambda slot: least_keeping_bid(lot, slot),
        "generalized_second_price": lambda slot: least_keeping_bid(lot, slot),
        "vcg": lambda slot: harm(lot, slot),
    }[pricing]
    unsold = slots - len(winners)
    return winners + [-1] * unsold, [price(slot) for slot in range(len(winners))] + [0.0] * unsold


def price_to_beat(lot: Lot, bidder: int | None, category: int) -> float:
    """The infimum of bids that would win a slot, for a bidder or for one of a category that has not bid."""
    bids, categories = list(lot.bids), list(lot.category)
    if bidder is None:
        bidder = len(bids)
        bids.append(0.0)
        categories.append(category)
    others = {bid for a, bid in enumerate(bids) if a != bidder and valid(bid) and bid >= lot.floor}
    for threshold in sorted({lot.floor, *others}):
        bids[bidder] = math.nextafter(threshold, math.inf)
        if bidder in ranking(lot._replace(bids=bids, category=categories))[: len(lot.exposure)]:
            return threshold
    raise AssertionError("no bid wins")
