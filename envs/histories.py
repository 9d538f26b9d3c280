"""Listening histories: what each listener has played, long before the flight (a numba kernel).

Public to the audience agent, and drawn only when one asks: no draw of the market depends on them. How often a
listener plays an item follows a log-linear law: what is popular, what suits the listener's taste, and a
liking of its own that no taste explains. A history is a multinomial draw of it; so it tells of taste as
music does, with noise, and of a listener who has played little it tells little.

Levels, of the HetRec 2011 Last.fm sample (1,892 listeners): total plays have a log standard deviation of 1.5,
the popularity of the 128 most played artists one of .75, and a listener's plays are spread as over 21.6
equally played artists at the median. That sample does not say how long a listener was watched; the median
number of plays is a setting (`listeners.plays_median`), and so is the share who come without any.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import D
from envs.kernel import allocating_kernel
from envs.philox import binomial, normal_pair, uniform4
from envs.scenario import Scenario
from envs.state import Float, Int

ITEMS: Final = 128
"""Size of the catalogue, the same in every market: the artists that most plays go to."""
POPULARITY_SD: Final = 0.75
TASTE_WEIGHT: Final = 0.75
"""Log rate of play per unit of agreement between a listener's taste and an item's: standard normal."""
LIKING_SD: Final = 0.8
"""Of the log rate's part that is the listener's own."""
PLAYS_LOG_SD: Final = 1.5

PLAYS_STREAM: Final = 160
_TOTAL = 161  # streams, behind the generator's


class Listening(NamedTuple):
    """What an audience agent may know of the listeners of B markets before the flight."""

    plays: NDArray[np.int32]  # [B, L, ITEMS] how often each has played each item
    segment: Int  # [B, L] the segment of each
    recent: NDArray[np.int16] | None = None
    """[B, L, RECENT] tokens of the last plays in order (`envs.recent_plays`); None unless asked for."""


def _catalogue() -> tuple[Float, Float]:
    rng = np.random.Generator(np.random.Philox(2000))
    vector = rng.normal(size=(ITEMS, D))
    popularity = POPULARITY_SD * np.sort(rng.normal(size=ITEMS))[::-1]
    return vector / np.linalg.norm(vector, axis=1, keepdims=True), popularity


ITEM_VECTOR, _POPULARITY = _catalogue()


@allocating_kernel
def _draw_plays(seeds, taste, vector, popularity, median, cold_share, plays):  # type: ignore[no-untyped-def]
    """Fills plays [B, L, ITEMS] for listeners of these tastes [B, L, D]."""
    items = vector.shape[0]
    rate = np.empty(items)
    u = np.empty(items)
    for b in range(taste.shape[0]):
        for i in range(taste.shape[1]):
            u0, u1, u2, _u3 = uniform4(seeds[b], _TOTAL, 0, i, 0)
            z, _ = normal_pair(u0, u1)
            left = 0 if u2 < cold_share else int(median * math.exp(PLAYS_LOG_SD * z) + 0.5)
            if left == 0:
                continue
            total = 0.0
            for k in range(items):
                v0, v1, v2, _v3 = uniform4(seeds[b], PLAYS_STREAM, i, k, 0)
                liking, _ = normal_pair(v0, v1)
                suits = 0.0
                for d in range(taste.shape[2]):
                    suits += taste[b, i, d] * vector[k, d]
                rate[k] = math.exp(popularity[k] + TASTE_WEIGHT * suits + LIKING_SD * liking)
                u[k] = v2
                total += rate[k]
            for k in range(items):
                played = left if k == items - 1 else binomial(left, rate[k] / total, u[k])
                plays[b, i, k] = played
                left -= played
                total -= rate[k]
                if left == 0:
                    break


def draw_histories(seeds: NDArray[np.uint64], taste: Float, scenario: Scenario) -> NDArray[np.int32]:
    """Play counts [B, L, ITEMS] of listeners with tastes [B, L, ≥ D], each market's own by its seed [B]."""
    plays = np.zeros((*taste.shape[:2], ITEMS), np.int32)
    listeners = scenario.listeners
    _draw_plays(seeds, taste, ITEM_VECTOR, _POPULARITY, listeners.plays_median, listeners.cold_share, plays)
    return plays
