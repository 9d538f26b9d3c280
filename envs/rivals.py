"""The other side of the auction: what rivals bid for an opportunity, and how they pace (numba kernels)."""

from __future__ import annotations

import math

from envs import constants as con
from envs.kernel import inlined, inner_kernel
from envs.philox import UNIT

FIRST_PRICE_WORD, WORDS_PER_RIVAL = 4, 2
"""An opportunity's random words from this one on tell its prices: depth, and owner with participation."""
_HALF = 1.0 / 65536.0


@inlined
def _owner(pick, share, s, p, rivals, campaigns, bidder, first, bidders):  # type: ignore[no-untyped-def]
    """Which rival owns a price: by share [S, P, R], and nobody owns two prices of one pod."""
    r = 0
    for rival in range(rivals - 1):  # all of them: cheaper than a search that branches at random
        r += 1 if pick > share[s, p, rival] else 0
    a = first
    while a < bidders:
        if bidder[a] == campaigns + r:
            r = (r + 1) % rivals
            a = first
        else:
            a += 1
    return r


@inlined
def rival_bids(  # type: ignore[no-untyped-def]
    words,
    j,
    s,
    p,
    slots,
    within,
    rank_of_quality,
    ladder,
    quantile,
    landscape,
    level_usd,
    campaigns,
    ours,
    separation,
    auction,
):
    """Adds the rivals' bids to an auction: the highest from the table, the next as order statistics below it.

    Args:
        words: [words, block] raw random words of opportunities.
        j: column of this one.
        s: its segment.
        p: its placement.
        slots: of its pod.
        within: P(market price within the table) here.
        rank_of_quality: in (0, 1) where the highest price has the rank of the quality; negative where not.
        ladder: [ranks, LADDER + 1] of `Constants`.
        quantile: [P, Q] price table.
        landscape: (share [S, P, R], level [R, S, P], drift [R], vertical [R], money left [R], pace [R]).
        level_usd: price level of this opportunity.
        campaigns: C; rival r is bidder C + r.
        ours: how many bids of ours stand first.
        separation: whether two of a vertical keep each other out of a pod.
        auction: (bids, categories, bidders); filled from `ours` on.

    Returns:
        How many slots go beyond the table's end, and how many bidders there are.
    """
    share, level, drift, vertical, left, pace = landscape
    bid, category, bidder = auction
    rivals, table_size = left.shape[0], quantile.shape[1]
    sold, bidders, depth = 0, ours, 1.0
    for rank in range(min(slots + 1, rivals)):
        word = FIRST_PRICE_WORD + WORDS_PER_RIVAL * rank
        at = (words[word, j] + 0.5) * UNIT * con.LADDER
        step = int(at)
        depth *= ladder[rank, step] + (at - step) * (ladder[rank, step + 1] - ladder[rank, step])
        if depth >= within:
            sold += 1  # beyond the table's end: this slot cannot be won
            if sold >= slots:
                break
            continue
        if rank == 0 and rank_of_quality >= 0.0:
            depth = within * rank_of_quality
        pick = ((words[word + 1, j] >> 16) + 0.5) * _HALF
        r = _owner(pick, share, s, p, rivals, campaigns, bidder, ours, bidders)
        quoted = quantile[p, int(depth / within * table_size)] * level_usd * level[r, s, p] * drift[r]
        takes_part = ((words[word + 1, j] & 0xFFFF) + 0.5) * _HALF
        if left[r] >= quoted and takes_part < pace[r]:
            bid[bidders] = quoted
            category[bidders] = vertical[r] if separation else -1
            bidder[bidders] = campaigns + r
            bidders += 1
    return sold, bidders


@inner_kernel
def update_rivals(m, st, k, out, b, t):  # type: ignore[no-untyped-def]
    """Rivals pace over the day or burn; reactive ones answer our share of wins."""
    day = k.intervals_per_day
    left, budget, pace = st.rival_left_usd[b], m.rival_budget_usd[b], st.rival_pace[b]
    share = 0.0
    if k.reactive:
        won, sold = 0.0, 1.0
        for value in out.wins[b].flat:
            won += value
        for value in out.opportunities[b].flat:
            sold += value
        share = won / sold
    for r in range(left.shape[0]):
        if m.rival_paces[b, r]:
            planned = budget[r] * ((t % day) + 1) / day
            ahead = (planned - (budget[r] - left[r])) / budget[r]
            pace[r] = min(1.0, max(0.3, pace[r] * math.exp(ahead + share)))
        if (t + 1) % day == 0:
            left[r] = budget[r] * (1.0 + 0.5 * share)
