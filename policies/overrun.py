"""Whether campaigns spend more than their bids, as they state them, should spend."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.state import Float

ELASTICITY: Final = 1.2
"""Of spending to the level of bids: 1.15 within campaigns, by least squares on development flights."""
KEPT: Final = 0.8
"""Share of the past that is kept from one interval to the next."""
PRIOR_WINS: Final = 3.0
"""Impressions at what all campaigns pay that count as bought and foretold: few wins tell little."""
STEP_LOW, STEP_HIGH = -1.0, 0.5
"""How far an interval may move the log of what is usual, before smoothing: a fault shall not become usual."""
LEAST_INTERVALS: Final = 1.5
"""How many intervals, as weighed, have to be known before anything is said."""


class Overrun:
    """Log of spending over what was to be expected, for each campaign; 0 where too little is known.

    Expected is opportunities × (stated bid × throttle in force)^ELASTICITY × the campaign's own usual rate, a
    smoothed mean of logs. A platform that multiplies bids shows itself here an interval after it begins,
    before anybody is ahead of plan; so do opportunities that cost more than they used to.
    """

    def start(self, markets: int, campaigns: int) -> None:
        """A new flight: nothing is usual yet."""
        self._usual, self._weight = np.zeros((markets, campaigns)), np.zeros((markets, campaigns))

    def read(self, spend_usd: Float, wins: Float, opportunities: Float, bid_usd: Float) -> Float:
        """[B, C] log factors of one interval.

        Args:
            spend_usd: [B, C].
            wins: [B, C].
            opportunities: [B].
            bid_usd: [B, C] stated marginal price × throttle in force; 0 where nothing was stated.
        """
        offered = opportunities[:, None]
        stated = (bid_usd > 0.0) & (offered > 0.0)
        log_bid = ELASTICITY * np.log(np.where(stated, bid_usd, 1.0))
        usual = self._usual / np.maximum(1e-9, self._weight)
        paid = spend_usd.sum(1, keepdims=True) / np.maximum(1.0, wins.sum(1, keepdims=True))
        prior = PRIOR_WINS * paid + 1e-6
        expected = offered * np.exp(usual + log_bid)
        log_overrun = np.log((spend_usd + prior) / (expected + prior))
        rate = np.log(np.maximum(1e-9, spend_usd / np.maximum(1.0, offered))) - log_bid
        moved = np.where(self._weight > 0.0, usual + np.clip(rate - usual, STEP_LOW, STEP_HIGH), rate)
        known, learns = stated & (self._weight > LEAST_INTERVALS), stated & (spend_usd > 0.0)
        self._usual = np.where(learns, KEPT * self._usual + moved, self._usual)
        self._weight = np.where(learns, KEPT * self._weight + 1.0, self._weight)
        found: Float = np.where(known, log_overrun, 0.0)
        return found
