"""How fast the market could be at best: a market-step's bytes and operations against what a core can do.

A roofline (Williams, Waterman & Patterson 2009): no program is faster than its bytes over the memory's
bandwidth, nor than its operations over the core's rate. Both are measured here on one core; bytes are counted
from the arrays of a batch, operations by the terms of `OPERATIONS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from envs.market import VectorMarket
from envs.rivals import FIRST_PRICE_WORD, WORDS_PER_RIVAL

PHILOX: Final = 100
"""Integer operations of a block of four words: ten rounds of two products, their halves and six more."""
EXPONENTIAL: Final = 20
"""Of an exp or a log in double precision."""
BINOMIAL: Final = 40
"""Of one count drawn by inversion or by its normal form."""
OPERATIONS: Final = {
    "random words": "Philox blocks an opportunity × 100",
    "arrival": "30: cell, listener, presence, visibility, quality",
    "our bids": "6 a campaign: two products, budget, cap, two sums",
    "rivals' prices": "20 a price drawn, and 1 a rival to find its owner",
    "auction": "4 a bidder in it and slot",
    "feedback": "an impression of ours: 2 Philox blocks, 6 exponentials, 5 binomials",
    "listeners": "40 a listener and campaign, 30 a listener, an interval",
}
_NEVER_READ = {"listener_taste", "campaign_taste"}
_OF_AN_INTERVAL = {"mood_probability", "traffic", "attention", "rival_drift"}
_FLOPS_A_NUMBER = 2 * 16


class Limits(NamedTuple):
    """What one core was measured to do."""

    bytes_per_second: float  # read + written, copying arrays larger than any cache
    operations_per_second: float  # products and sums of doubles, vectorised, from the nearest cache


class Roofline(NamedTuple):
    """The estimate for one scenario, a market-step."""

    opportunities: float
    bytes: float
    operations: dict[str, float]  # by the terms of OPERATIONS
    memory_bound_steps_per_second: float
    compute_bound_steps_per_second: float

    @property
    def steps_per_second(self) -> float:
        """The lower of the two roofs."""
        return min(self.memory_bound_steps_per_second, self.compute_bound_steps_per_second)


@njit(cache=True, nogil=True)  # of no market: no `envs.kernel`, which stamps those by their sources
def _multiply_and_add(values: Any, rounds: int) -> None:
    for _ in range(rounds):
        for i in range(values.shape[0]):
            x = values[i]
            for _step in range(16):
                x = x * 0.999999 + 1e-6
            values[i] = x


def measure_limits(megabytes: int = 256, repeats: int = 5) -> Limits:
    """Bandwidth of a large copy and rate of multiply-adds, the best of some repeats, one thread."""
    source = np.ones(megabytes * 2**20 // 8)
    target, near, rounds = np.zeros_like(source), np.ones(1024), 2000
    _multiply_and_add(near, 1)
    copying = best(lambda: np.copyto(target, source), repeats)
    adding = best(lambda: _multiply_and_add(near, rounds), repeats)
    return Limits(2 * source.nbytes / copying, _FLOPS_A_NUMBER * near.size * rounds / adding)


def second_core(rounds: int = 2000, repeats: int = 3) -> float:
    """Multiply-adds a second of two threads over those of one: what a free second core is worth right now."""
    parts = np.ones((2, 1024))
    _multiply_and_add(parts[0], 1)
    with ThreadPoolExecutor(1) as other:

        def both() -> None:
            waiting = other.submit(_multiply_and_add, parts[1], rounds)
            _multiply_and_add(parts[0], rounds)
            waiting.result()

        alone = best(lambda: _multiply_and_add(parts[0], rounds), repeats)
        return 2.0 * alone / best(both, repeats)


def best(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some repeats."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def roofline(market: VectorMarket, opportunities: float, impressions: float, limits: Limits) -> Roofline:
    """The estimate for a batch that has been stepped.

    Args:
        market: whose arrays are counted.
        opportunities: auctioned in a market-step, mean.
        impressions: of ours, likewise.
        limits: of the machine.
    """
    moved = step_bytes(market)
    operations = step_operations(market, opportunities, impressions)
    total = sum(operations.values())
    return Roofline(
        opportunities=opportunities,
        bytes=moved,
        operations=operations,
        memory_bound_steps_per_second=limits.bytes_per_second / moved,
        compute_bound_steps_per_second=limits.operations_per_second / total,
    )


def step_bytes(market: VectorMarket) -> float:
    """Bytes of a market-step that no cache keeps from one interval to the next of a large batch.

    State is read and written; parameters are read, of those of every interval one; controls are written and
    read; an outcome is written and read; an observation is written, and copied for whoever asked.
    """
    intervals, parameters = market.scenario.intervals, 0.0
    for name, array in market.parameters._asdict().items():
        if name not in _NEVER_READ:
            parameters += array.nbytes / (intervals if name in _OF_AN_INTERVAL else 1)
    moved = parameters
    moved += 2 * sum(array.nbytes for array in market.market_state)
    moved += 2 * sum(array.nbytes for array in market._controls)
    moved += 2 * sum(array.nbytes for array in market.last_outcome)
    moved += 3 * sum(array.nbytes for array in market._sight)
    return moved / market.num_markets


def step_operations(market: VectorMarket, opportunities: float, impressions: float) -> dict[str, float]:
    """Operations of a market-step by the terms of `OPERATIONS`."""
    scenario, k = market.scenario, market.constants
    campaigns, rivals, listeners = scenario.campaigns, scenario.rivals.count, scenario.listeners.count
    slots = float(np.mean(k.slots))
    prices = min(slots + 1.0, rivals)
    blocks = -(-(FIRST_PRICE_WORD + WORDS_PER_RIVAL * k.exposure.shape[0]) // 4)
    return {
        "random words": opportunities * PHILOX * blocks,
        "arrival": opportunities * 30.0,
        "our bids": opportunities * 6.0 * campaigns,
        "rivals' prices": opportunities * prices * (20.0 + rivals),
        "auction": opportunities * 4.0 * (campaigns + prices) * slots,
        "feedback": impressions * (2 * PHILOX + 6 * EXPONENTIAL + 5 * BINOMIAL),
        "listeners": listeners * (40.0 * campaigns + 30.0),
    }
