"""Bids at first price: what is bid is paid, so that bids lie below value, by the odds of winning.

A campaign's best bid is argmax (v − λ b) G(b), G the chance to win with b and λ the dual price of budget
(Balseiro & Gur 2019; Balseiro, Kroer & Kumar 2023). It bids v / λ as a bidder without a budget would, and
that bid b is best for exactly the value v = b + G(b) / g(b), g the slope of G (Myerson 1981).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from envs.state import Float


def best_bids(value: Float, bids: Float, win_probability: Float) -> Float:
    """The bids b that maximise (value − b) G(b), any shape.

    Args:
        value: what a win is worth, over the dual price of budget; same unit as bids.
        bids: [n] rising, positive.
        win_probability: [n] G at the bids, rising.
    """
    slope = np.gradient(win_probability, bids)
    worth = bids + win_probability / np.maximum(1e-12, slope)
    chosen: Float = np.interp(value, np.maximum.accumulate(worth), bids)
    return chosen


@lru_cache
def _log_normal_odds(price_sd: float) -> tuple[Float, Float]:
    """Bids as factors on the mean price, and the chance that a log-normal price lies below."""
    score = np.linspace(-6.0, 6.0, 481)
    chance = np.array([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in score])
    return np.exp(price_sd * score - 0.5 * price_sd**2), chance


def shaded(value: Float, price: Float, price_sd: float) -> Float:
    """Best first-price bids, any shape, USD.

    Args:
        value: what a win is worth, over the dual price of budget, USD.
        price: observed running mean of the price to beat, USD. Opportunities beyond every price do not
            move the best bid: they scale its odds alone.
        price_sd: standard deviation of the log price.
    """
    mean = np.maximum(1e-9, price)
    bids: Float = np.minimum(value, mean * best_bids(value / mean, *_log_normal_odds(price_sd)))
    return bids
