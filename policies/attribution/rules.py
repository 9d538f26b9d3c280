"""Rules that share each conversion out by the order and the age of its touches alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.attribution.journeys import Credit, Journeys
from policies.attribution.windows import DEFAULT_WINDOWS, Windows

Weigh = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]
"""Weights [E] of touches by place from the start [E], length of the journey [E] and age in hours [E]."""

_END_SHARE = 0.4


@dataclass(frozen=True)
class Rule:
    """Shares a conversion among its eligible touches in proportion to weights.

    A conversion without an eligible touch is nobody's. The deviation is closed: see `tally`.
    """

    name: str
    weigh: Weigh
    windows: Windows = DEFAULT_WINDOWS

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """As every `AttributionModel`."""
        paths = converting(journeys, cells, self.windows)
        journey = paths.journey
        length = np.diff(paths.offset)
        place = np.arange(len(journey)) - paths.offset[journey]
        weight = self.weigh(place, length[journey], paths.conversion_hour[journey] - paths.hour)
        total = np.bincount(journey, weight, len(length))
        return tally(journey, paths.cell, weight / total[journey], cells)


def converting(journeys: Journeys, cells: int, windows: Windows) -> Journeys:
    """Eligible touches of converting journeys; the other journeys are left without touches."""
    paths = windows.eligible(journeys, cells)
    return paths.only(paths.converted[paths.journey])


def tally(
    journey: NDArray[np.int64], cell: NDArray[np.int64], share: NDArray[np.float64], cells: int
) -> Credit:
    """Credit of shares [E] by journey [E] and cell [E].

    Journeys are independent and their number is Poisson, so that the variance of a cell's sum is the sum of
    the squares of what each journey gave it.
    """
    pair, place = np.unique(journey * cells + cell, return_inverse=True)
    given = np.bincount(place, share, len(pair))
    return Credit(
        conversions=np.bincount(cell, share, cells).astype(np.float64),  # of nothing it counts in integers
        deviation=np.sqrt(np.bincount(pair % cells, given**2, cells)),
    )


def last(
    place: NDArray[np.int64], length: NDArray[np.int64], age_hours: NDArray[np.float64]
) -> NDArray[np.float64]:
    """All to the last touch."""
    return np.where(place == length - 1, 1.0, 0.0)


def first(
    place: NDArray[np.int64], length: NDArray[np.int64], age_hours: NDArray[np.float64]
) -> NDArray[np.float64]:
    """All to the first."""
    return np.where(place == 0, 1.0, 0.0)


def linear(
    place: NDArray[np.int64], length: NDArray[np.int64], age_hours: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Equal shares."""
    return np.ones(len(place))


def position(
    place: NDArray[np.int64], length: NDArray[np.int64], age_hours: NDArray[np.float64]
) -> NDArray[np.float64]:
    """.4 to the first, .4 to the last and .2 to those between; of two touches half each, of one all."""
    between = (1.0 - 2.0 * _END_SHARE) / np.maximum(length - 2, 1)
    return np.where((place == 0) | (place == length - 1), _END_SHARE, between)


def time_decay(half_life_hours: float) -> Weigh:
    """2^(−age / half-life)."""

    def weigh(
        place: NDArray[np.int64], length: NDArray[np.int64], age_hours: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Shares that halve with age."""
        end = np.arange(len(place)) + length - 1 - place  # ages from the last touch: no journey underflows
        decayed: NDArray[np.float64] = np.exp2((age_hours[end] - age_hours) / half_life_hours)
        return decayed

    return weigh
