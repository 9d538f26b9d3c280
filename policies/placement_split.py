"""How an orchestrator splits spending over placements: less where listeners bring less than was foretold."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.catalogue import P
from envs.observation import SCHEMAS
from envs.state import Bool, Float

KEPT: Final = 0.9
"""Share of the counts that is kept from one interval to the next: what is told is of about the last ten."""
PRIOR_COMPLETIONS: Final = 300.0
"""Completions foretold that weigh as much as the belief that a placement is like the others."""
GAIN: Final = 0.5
"""Power of a placement's return, against all placements', by which bids there are throttled."""
LOWEST: Final = 0.3
_SCHEMA = SCHEMAS["monitor"]


class PlacementSplit:
    """Throttles by placement, of completions that all campaigns together saw against those foretold.

    A placement's return is (seen + k × overall) / (foretold + k) / overall, k being `PRIOR_COMPLETIONS` and
    overall the ratio of all placements. Where it is below 1 bids are throttled by its root, over the best
    placement's; the bidding agents' pacing spends elsewhere what is not spent there. Above 1 nothing is done:
    an orchestrator can hold back, never make anybody bid.
    """

    def __init__(self, gain: float = GAIN) -> None:
        """A gain of 0 leaves bids as they are."""
        self.gain = gain

    def start(self, markets: int) -> None:
        """A new flight: nothing was seen."""
        self._seen, self._foretold = np.zeros((markets, P)), np.zeros((markets, P))
        self.returns = np.ones((markets, P))

    def throttle(self, monitor: Float, untracked: Bool) -> Float:
        """[B, P] factors on bids in [LOWEST, 1].

        Args:
            monitor: [B, ·] what the monitor sees.
            untracked: [B, P] where completions are not counted, so that none tells nothing.
        """
        seen, foretold = (
            np.where(untracked, 0.0, _SCHEMA.view(monitor, f"{which}completions").sum(1))
            for which in ("", "expected_")
        )
        self._seen, self._foretold = KEPT * self._seen + seen, KEPT * self._foretold + foretold
        overall = (self._seen.sum(1, keepdims=True) + 1.0) / (self._foretold.sum(1, keepdims=True) + 1.0)
        above = self._seen / overall + PRIOR_COMPLETIONS
        self.returns = above / (self._foretold + PRIOR_COMPLETIONS)
        held = np.where(untracked, 1.0, np.minimum(1.0, self.returns) ** self.gain)
        factor: Float = np.clip(held / held.max(1, keepdims=True), LOWEST, 1.0)
        return factor
