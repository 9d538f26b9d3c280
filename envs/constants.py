"""A scenario as the kernels read it, and the incidents that strike a market."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.kernel import kernel
from envs.scenario import Scenario

INVALID_TRAFFIC, RIVAL_SURGE, TRACKING_OUTAGE, CREATIVE_BURN_OUT, OVERSPEND_FAULT = 1, 2, 3, 4, 5
INVALID_SHARE = 0.75
INVALID_CLICK_RATE = 0.02
INVALID_DISCOUNT = 0.7
SURGE_FACTOR, BURN_OUT_FACTOR, OVERSPEND_FACTOR = 1.7, 3.0, 3.0
INATTENTIVE_SHARE = 0.04
"""Share of impressions not heard or seen at all: muted, in a pocket, below the fold."""


class Constants(NamedTuple):
    """A scenario as the kernel reads it."""

    intervals: int
    intervals_per_day: int
    weight: int
    first_price: bool
    reactive: bool
    price_level_usd: float
    price_elasticity: float
    quality_sd: float
    frequency_cap: float
    acceleration: float
    within_table: NDArray[np.float64]  # [P]
    reserve_usd: NDArray[np.float64]  # [P]
    price_quantile: NDArray[np.float64]  # [Q]


def constants_of(scenario: Scenario) -> Constants:
    """The numbers of a scenario that the kernel needs."""
    auction = scenario.auction
    return Constants(
        intervals=scenario.intervals,
        intervals_per_day=scenario.intervals_per_day,
        weight=scenario.impression_weight,
        first_price=auction.pricing == "first_price",
        reactive=scenario.rivals.reactive,
        price_level_usd=auction.price_level_usd,
        price_elasticity=auction.value_price_elasticity,
        quality_sd=scenario.response.quality_sd,
        frequency_cap=float(scenario.listeners.daily_frequency_cap),
        acceleration=scenario.time_acceleration,
        within_table=np.array(auction.probability_within_table),
        reserve_usd=np.array(auction.reserve_fraction) * auction.price_level_usd,
        price_quantile=np.ascontiguousarray(auction.landscape().quantile, dtype=np.float64),
    )


@kernel
def active_incident(kinds, starts, lengths, kind, t):  # type: ignore[no-untyped-def]
    """Slot of an incident of this kind that is active at interval t in one market, or −1."""
    for slot in range(kinds.shape[0]):
        if kinds[slot] == kind and starts[slot] <= t < starts[slot] + lengths[slot]:
            return slot
    return -1
