"""What the platform keeps of a flight beside the market's own state (a numba kernel)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from envs.kernel import kernel
from envs.state import Float, Outcome

SMOOTHING: Final = 0.3
"""Weight of the newest interval in running means of prices and win rates."""


class Feed(NamedTuple):
    """Budgets, spend and running means; every interval changes them in place."""

    budget_usd: Float  # [B, C] as re-split by directives
    spend_usd: Float  # [B, C] so far
    price_usd: Float  # [B, C, S, P] running mean of the price to beat
    win_rate: Float  # [B, C, S, P] running mean


@kernel
def _keep(opportunities, wins, spend_usd, price_usd, priced, feed, elapsed, pacing_error, first, end):  # type: ignore[no-untyped-def]
    _, campaigns, segments, placements = wins.shape
    budget_usd, spent_usd, mean_price_usd, win_rate = feed
    for b in range(first, end):
        for c in range(campaigns):
            total = 0.0
            for s in range(segments):
                for p in range(placements):
                    total += spend_usd[b, c, s, p]
                    if priced[b, c, s, p] > 0.0:
                        newest = price_usd[b, c, s, p] / priced[b, c, s, p]
                        mean_price_usd[b, c, s, p] += SMOOTHING * (newest - mean_price_usd[b, c, s, p])
                    if opportunities[b, s, p] > 0.0:
                        newest = wins[b, c, s, p] / opportunities[b, s, p]
                        win_rate[b, c, s, p] += SMOOTHING * (newest - win_rate[b, c, s, p])
            spent_usd[b, c] += total
            error = spent_usd[b, c] / max(1e-9, budget_usd[b, c]) - elapsed
            error = -1.0 if error < -1.0 else error  # NaN stays
            pacing_error[b, c] = 1.0 if error > 1.0 else error


def keep_accounts(feed: Feed, outcome: Outcome, elapsed_fraction: float) -> Float:
    """Books an interval into the feed, in place.

    Args:
        feed: the accounts.
        outcome: what the interval brought.
        elapsed_fraction: share of the flight gone after it.

    Returns:
        [B, C] pacing error: share spent − share of the flight gone, in [−1, 1]; without a budget nothing
        can be spent, and that share is 0.
    """
    pacing_error = np.empty_like(feed.spend_usd)
    out, markets = outcome, len(pacing_error)
    _keep(
        *(out.opportunities, out.wins, out.spend_usd, out.price_usd, out.priced),
        *(feed, elapsed_fraction, pacing_error, 0, markets),
    )
    return pacing_error
