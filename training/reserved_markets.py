"""Which training markets are kept from flights: those that scales and priors are measured on."""

from __future__ import annotations

from typing import Final

WARM_UP_MARKETS: Final = 32
FIRST_WARM_UP: Final = (1 << 30) - WARM_UP_MARKETS
FIRST_PRIOR: Final = (1 << 30) - (1 << 20)
MOST_PRIOR_MARKETS: Final = FIRST_WARM_UP - FIRST_PRIOR
"""The last markets of a run's own sequence, which training never reaches."""
