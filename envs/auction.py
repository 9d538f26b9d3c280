"""The auction: bids and a reserve in, winners and prices out. A pure function.

Sources: Vickrey, "Counterspeculation, auctions, and competitive sealed tenders" (1961); Edelman,
Ostrovsky & Schwarz, "Internet advertising and the generalized second-price auction" (2007); Varian,
"Position auctions" (2007). Ties: Philox4x32-10 (Salmon et al. 2011), see `envs.philox`.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numba import uint64
from numpy.typing import ArrayLike, NDArray

from envs.kernel import allocating_kernel, inlined, inner_kernel, kernel
from envs.philox import philox4x32

Pricing = Literal["second_price", "first_price", "generalized_second_price", "vcg"]
PRICINGS: Final[tuple[Pricing, ...]] = get_args(Pricing)

TIE_BREAK_STREAM: Final = 0x7135
"""Philox stream of the tie-break, apart from every stream of the market."""

_MASK = np.uint64(0xFFFFFFFF)
_FIRST_PRICE, _NEXT_PRICE, _VCG = 0, 1, 2
RULE: Final[dict[str, int]] = {
    "first_price": _FIRST_PRICE,
    "second_price": _NEXT_PRICE,
    "generalized_second_price": _NEXT_PRICE,
    "vcg": _VCG,
}
"""The number by which kernels know a pricing rule."""


class _Cleared(NamedTuple):
    winner: NDArray[np.int32]
    price: NDArray[np.floating]


class AuctionResult(_Cleared):
    """What an auction decided: unpacks into `winner, price`.

    Attributes:
        winner: [..., N, slots] index of the winning bidder, -1 where the slot is unsold.
        price: [..., N, slots] what the winner pays per impression (per exposure where slots differ); 0
            where the slot is unsold.
        refused_bids: [...] bids of each market that were NaN, infinite or negative, and so no bid.
    """

    refused_bids: NDArray[np.int64]

    def __new__(
        cls, winner: NDArray[np.int32], price: NDArray[np.floating], refused_bids: NDArray[np.int64]
    ) -> AuctionResult:
        """A pair with a note."""
        made = super().__new__(cls, winner, price)
        made.refused_bids = refused_bids
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What copies and pickles are made from."""
        return (*self, self.refused_bids)


@inner_kernel
def _tied_before(bidder, other, seed, interval, opportunity):  # type: ignore[no-untyped-def]
    """Whether a bidder stands before another of the same bid: the larger hash, else the lower index."""
    low_key, high_key = seed & _MASK, seed >> uint64(32)
    high, low, _, _ = philox4x32(bidder, opportunity, interval, TIE_BREAK_STREAM, low_key, high_key)
    other_high, other_low, _, _ = philox4x32(
        other, opportunity, interval, TIE_BREAK_STREAM, low_key, high_key
    )
    if high != other_high:
        return high > other_high
    if low != other_low:
        return low > other_low
    return bidder < other


@inlined
def _outranks(bid, bidder, other_bid, other, seed, interval, opportunity):  # type: ignore[no-untyped-def]
    """Whether a bid stands before another: the higher, else as `_tied_before` says."""
    return bid > other_bid or (bid == other_bid and _tied_before(bidder, other, seed, interval, opportunity))


@inner_kernel
def clear_pod(  # type: ignore[no-untyped-def]
    bids,
    category,
    bidders,
    floor,
    exposure,
    slots,
    rule,
    seed,
    interval,
    opportunity,
    ranked_bid,
    ranked_bidder,
    shadow,
    winner,
    price,
):
    """Sells one opportunity's slots to the first `bidders` of bids [A]; gives how many bids were refused.

    Fills winner [≥ slots] (an index of bids, −1 unsold) and price [≥ slots]. `ranked_*` [≥ slots + 1] hold
    the best slots + 1 bids that may stand beside each other, best first and 0 where there is none, each
    with the best bid of its own category that it keeps out (`shadow`), which its price must cover as well.
    """
    count, refused = 0, 0
    for a in range(bidders):
        bid = bids[a]
        if not (bid >= 0.0 and bid < np.inf):
            refused += 1
            continue
        if bid < floor:
            continue
        kept_out = bid - bid
        hole = -1
        if category[a] >= 0:
            for j in range(count):
                if category[ranked_bidder[j]] == category[a]:
                    hole = j
                    break
        if hole >= 0:
            rival = ranked_bidder[hole]
            if not _outranks(bid, a, ranked_bid[hole], rival, seed, interval, opportunity):
                shadow[hole] = max(shadow[hole], bid)
                continue
            kept_out = ranked_bid[hole]
        elif count <= slots:
            hole = count
            count += 1
        elif _outranks(bid, a, ranked_bid[slots], ranked_bidder[slots], seed, interval, opportunity):
            hole = slots
        else:
            continue
        while hole > 0 and _outranks(
            bid, a, ranked_bid[hole - 1], ranked_bidder[hole - 1], seed, interval, opportunity
        ):
            ranked_bid[hole] = ranked_bid[hole - 1]
            ranked_bidder[hole] = ranked_bidder[hole - 1]
            shadow[hole] = shadow[hole - 1]
            hole -= 1
        ranked_bid[hole] = bid
        ranked_bidder[hole] = a
        shadow[hole] = kept_out
    for j in range(count, slots + 1):
        ranked_bid[j] = 0.0
    for k in range(slots):
        if k >= count:
            winner[k] = -1
            price[k] = 0.0
            continue
        winner[k] = ranked_bidder[k]
        least = max(floor, shadow[k])
        if rule == _FIRST_PRICE:
            price[k] = ranked_bid[k]
        elif rule == _NEXT_PRICE:
            price[k] = max(ranked_bid[k + 1], least)
        else:
            harm = 0.0  # per exposure: the weights sum to 1, so that no bid is too large for it
            for j in range(k, slots):
                after = exposure[j + 1] if j + 1 < slots else 0.0
                harm += (exposure[j] - after) / exposure[k] * max(ranked_bid[j + 1], least)
            price[k] = min(max(harm, least), ranked_bid[k])
    return refused


@kernel
def clear_slot(bids, bidders, floor, rule, seed, interval, opportunity):  # type: ignore[no-untyped-def]
    """One slot, as `clear_pod` sells it: (winner or −1, price, best and second bid that reach the floor).

    Separation changes nothing here: the winner pays the second bid, of its own category or not.
    """
    winner, best, second = -1, 0.0, 0.0
    for a in range(bidders):
        bid = bids[a]
        if not (bid >= floor and bid < np.inf):
            continue
        if winner < 0 or _outranks(bid, a, best, winner, seed, interval, opportunity):
            winner, best, second = a, bid, best
        elif bid > second:
            second = bid
    price = 0.0
    if winner >= 0:
        price = best if rule == _FIRST_PRICE else max(second, floor)
    return winner, price, best, second


@allocating_kernel
def _clear_all(  # type: ignore[no-untyped-def]
    bids, reserve, seeds, category, exposure, rule, winner, price, refused
):
    """Clears [M, N] auctions of A bidders into `winner` and `price` [M, N, K] and `refused` [M]."""
    markets, opportunities, bidders = bids.shape
    slots = winner.shape[2]
    ranked_bid = np.zeros(slots + 1, bids.dtype)
    ranked_bidder = np.zeros(slots + 1, np.int64)
    shadow = np.zeros(slots + 1, bids.dtype)
    for m in range(markets):
        for n in range(opportunities):
            refused[m] += clear_pod(
                bids[m, n],
                category,
                bidders,
                reserve[m, n],
                exposure,
                slots,
                rule,
                seeds[m],
                0,
                n,
                ranked_bid,
                ranked_bidder,
                shadow,
                winner[m, n],
                price[m, n],
            )


def clear_auction(
    bids: ArrayLike,
    reserve: ArrayLike,
    *,
    pricing: Pricing = "second_price",
    slots: int = 1,
    slot_exposure: ArrayLike | None = None,
    category: ArrayLike | None = None,
    seed: ArrayLike = 0,
) -> AuctionResult:
    """Sell every opportunity's slots to the highest eligible bids.

    A bid is eligible when it is finite and not below the reserve (equal is enough); a NaN, infinite or
    negative one counts as no bid and is counted. A bidder wins at most one slot of an opportunity (a
    pod); the best bid gets the first slot. Prices, per impression of the slot won:

    * `first_price`: the bid itself.
    * `second_price` (one slot): the larger of the second bid and the reserve (Vickrey 1961).
    * `generalized_second_price`: the larger of the next-ranked bid and the reserve (Edelman et al. 2007).
    * `vcg`: what the winner's presence costs the others, the seller valuing an unsold slot at the
      reserve: sum over j >= k of (x_j - x_{j+1}) max(b_{j+1}, reserve) / x_k, x the exposure (Varian 2007).

    Under competitive separation a winner also keeps out its category's next bid, so the last two never
    charge less than that bid: the price stays the least that would have kept the slot (GSP), or the
    others' loss (VCG). With one slot all three second-price rules agree.

    Equal bids stand in the order of a hash, larger first: words 0 and 1 of Philox4x32-10 at counter
    (bidder, opportunity n, 0, `TIE_BREAK_STREAM`), keyed by the seed. So a tie's outcome depends neither
    on the batch nor on the order of arrival, and is fair over opportunities.

    Args:
        bids: [..., N, A] in any one currency unit per exposure; float32 stays float32, else float64.
        reserve: scalar or broadcastable to [..., N], same unit, finite and >= 0. It is rounded to the
            bids' type, so that an equal bid wins in float32 too.
        pricing: one of `PRICINGS`.
        slots: slots of each opportunity, at least 1. More slots than bidders stay unsold.
        slot_exposure: [slots] positive, finite, non-increasing: how often each slot is heard, relative to
            any unit (1 each by default). A slot's expected payment is price * exposure.
        category: [A] int. At most one winner per category and opportunity; negative means no category.
        seed: int or [...] ints, one per market, for ties.

    Returns:
        `AuctionResult` with `winner` and `price` [..., N, slots], `refused_bids` [...].
        Always reserve <= price <= bid of the winner.

    Raises:
        ValueError: on any other shape or value, saying which and what is valid.
    """
    bid_array = _real("bids", bids)
    if bid_array.ndim < 2:
        raise ValueError(f"bids must have shape [..., N, A] (opportunities, bidders), got {bid_array.shape}")
    if bid_array.dtype != np.float32:
        bid_array = bid_array.astype(np.float64, copy=False)
    *lead, opportunities, bidders = bid_array.shape

    if pricing not in PRICINGS:
        raise ValueError(f"unknown pricing {pricing!r}; valid: {', '.join(PRICINGS)}")
    if isinstance(slots, bool) or not isinstance(slots, int | np.integer) or slots < 1:
        raise ValueError(f"slots must be an integer >= 1, got {slots!r}")
    if pricing == "second_price" and slots > 1:
        raise ValueError(
            f"second_price sells one slot, got slots={slots}; "
            "use generalized_second_price, vcg or first_price for pods"
        )

    with np.errstate(over="ignore"):  # a reserve beyond float32 is infinite: nothing is sold, as it should
        floor = _checked_reserve(reserve, (*lead, opportunities)).astype(bid_array.dtype)
    exposure = _checked_exposure(slot_exposure, int(slots))
    categories = np.full(bidders, -1, np.int64)
    if category is not None:
        given = _array("category", category)
        if given.shape != (bidders,) or given.dtype.kind not in "iu":
            raise ValueError(f"category must be [A] = [{bidders}] integers, got {given.dtype} {given.shape}")
        categories = given.astype(np.int64)

    markets = int(np.prod(lead, dtype=np.int64))
    winner = np.empty((markets, opportunities, int(slots)), np.int32)
    price = np.empty(winner.shape, bid_array.dtype)
    refused = np.zeros(markets, np.int64)
    _clear_all(
        np.ascontiguousarray(bid_array.reshape(markets, opportunities, bidders)),
        np.ascontiguousarray(floor.reshape(markets, opportunities)),
        _checked_seeds(seed, tuple(lead)).reshape(markets),
        categories,
        exposure,
        RULE[pricing],
        winner,
        price,
        refused,
    )
    shape = (*lead, opportunities, int(slots))
    return AuctionResult(winner.reshape(shape), price.reshape(shape), refused.reshape(lead))


def cascading_exposure(continuation: ArrayLike) -> NDArray[np.float64]:
    """Exposure [slots] of a pod heard in order: the running product of P(slot heard | the one before was)."""
    exposure: NDArray[np.float64] = np.multiply.accumulate(np.asarray(continuation, np.float64))
    return exposure


def _array(name: str, values: ArrayLike) -> NDArray[Any]:
    """As an array, whole: what is masked or missing would be read as something else."""
    parts = values if isinstance(values, list | tuple) else (values,)
    if any(np.ma.is_masked(part) for part in parts):
        raise ValueError(
            f"{name} must not have masked entries, for what stands below a mask would count: fill them first "
            "(no bid is NaN: bids.filled(np.nan))"
        )
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name} must have rows of one length, got ragged ones: fill the shorter (no bid is NaN)"
        ) from None


def _real(name: str, values: ArrayLike) -> NDArray[Any]:
    array = _array(name, values)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype} (no bid is NaN, not None)")
    return array


def _checked_reserve(reserve: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    floor = _real("reserve", reserve).astype(np.float64, copy=False)
    bad = ~(np.isfinite(floor) & (floor >= 0.0))
    if bad.any():
        raise ValueError(f"reserve must be finite and >= 0, got {floor[bad].flat[0]}")
    try:
        return np.broadcast_to(floor, shape)
    except ValueError:
        raise ValueError(f"reserve must broadcast to [..., N] = {shape}, got shape {floor.shape}") from None


def _checked_exposure(slot_exposure: ArrayLike | None, slots: int) -> NDArray[np.float64]:
    if slot_exposure is None:
        return np.ones(slots)
    exposure = _real("slot_exposure", slot_exposure).astype(np.float64, copy=False)
    if exposure.shape != (slots,):
        raise ValueError(f"slot_exposure must have shape [slots] = ({slots},), got {exposure.shape}")
    if not (np.isfinite(exposure) & (exposure > 0.0)).all() or (np.diff(exposure) > 0.0).any():
        raise ValueError(f"slot_exposure must be positive, finite, non-increasing, got {exposure.tolist()}")
    return exposure


def _checked_seeds(seed: ArrayLike, lead: tuple[int, ...]) -> NDArray[np.uint64]:
    if isinstance(seed, int):
        return np.full(lead, seed & 0xFFFFFFFFFFFFFFFF, np.uint64)
    seeds = _array("seed", seed)
    if seeds.dtype.kind not in "iu":
        raise ValueError(f"seed must be an integer or integers [...], got dtype {seeds.dtype}")
    try:
        return np.broadcast_to(seeds.astype(np.uint64), lead).copy()
    except ValueError:
        raise ValueError(
            f"seed must be an integer or one per market {lead}, got shape {seeds.shape}"
        ) from None
