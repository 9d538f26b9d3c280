"""Journeys to attribute: written by hand, drawn at random, or simulated with their truth known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from policies.attribution.journeys import Journeys

FLIGHT_HOURS = 336.0


def by_hand(*paths: tuple[Sequence[int], float | None], **of_touches: Sequence[Any]) -> Journeys:
    """Journeys of (cells, one touch an hour from 0; the conversion's hour or None)."""
    length = [len(cells) for cells, _ in paths]
    touches = sum(length)
    made = Journeys(
        offset=np.cumsum([0, *length]),
        cell=np.array([cell for cells, _ in paths for cell in cells], np.int64),
        hour=np.array([float(i) for n in length for i in range(n)]),
        clicked=np.zeros(touches, np.bool_),
        held_out=np.zeros(touches, np.bool_),
        conversion_hour=np.array([np.nan if hour is None else hour for _, hour in paths], np.float64),
        value_usd=np.ones(len(paths)),
    )
    return replace(made, **{key: np.array(value) for key, value in of_touches.items()})


def joined(first: Journeys, second: Journeys) -> Journeys:
    """Both batches as one."""
    parts = {
        key: np.concatenate([getattr(first, key), getattr(second, key)])
        for key in ("cell", "hour", "clicked", "held_out", "conversion_hour", "value_usd")
    }
    return Journeys(offset=np.concatenate([first.offset, first.offset[-1] + second.offset[1:]]), **parts)


def at_random(seed: int, journeys: int, cells: int, touches: float = 4.0, rate: float = 0.4) -> Journeys:
    """Touches and conversions that have nothing to do with each other, some held out, some clicked."""
    rng = np.random.default_rng(seed)
    length = rng.poisson(touches, journeys)
    journey = np.repeat(np.arange(journeys), length)
    hour = rng.uniform(0.0, 2.0 * FLIGHT_HOURS, len(journey))
    converted = rng.random(journeys) < rate
    return Journeys(
        offset=np.concatenate([[0], np.cumsum(length)]),
        cell=rng.integers(0, cells, len(journey)),
        hour=hour[np.lexsort((hour, journey))],
        clicked=rng.random(len(journey)) < 0.3,
        held_out=rng.random(len(journey)) < 0.2,
        conversion_hour=np.where(converted, rng.uniform(0.0, 2.0 * FLIGHT_HOURS, journeys), np.nan),
        value_usd=np.ones(journeys),
    )


EFFECT = np.array([0.02, 0.01, 0.005, 0.02, 0.01, 0.005, 0.004, 0.002])
"""Conversions that a touch of each cell brings. The last two cells are aimed at those who buy anyway."""


class Simulated(NamedTuple):
    """Journeys of a world whose truth is known."""

    journeys: Journeys
    truth: np.ndarray
    """[C] conversions that would not be with the cell silenced, all else drawn the same."""


def simulated(seed: int, journeys: int, held_out: float, touches_before_purchase: float = 0.0) -> Simulated:
    """Retargeting: 15 % of people buy by themselves six times as often, and meet cells 6 and 7 most.

    Each shown touch causes a conversion by `EFFECT`, after a delay of half an hour, 20 or 120 hours on
    average; a journey converts at its first cause. In the harder world these cells are also met just before
    purchases that need no ad.
    """
    rng = np.random.default_rng(seed)
    intent = rng.random(journeys) < 0.15
    rate = np.tile([0.7, 0.7, 0.7, 0.5, 0.5, 0.5, 0.25, 0.25], (journeys, 1))
    rate[:, 6:] *= np.where(intent, 8.0, 0.5)[:, None]
    number = rng.poisson(rate)
    journey, cell = (np.repeat(index.ravel(), number.ravel()) for index in np.indices(number.shape))
    hour = rng.uniform(0.0, FLIGHT_HOURS, len(journey))
    own = rng.exponential(FLIGHT_HOURS / np.where(intent, 0.12, 0.02))
    more = np.where(own < FLIGHT_HOURS, rng.poisson(touches_before_purchase, journeys), 0)
    late = np.repeat(np.arange(journeys), more)
    journey = np.concatenate([journey, late])
    cell = np.concatenate([cell, rng.integers(6, 8, len(late))])
    hour = np.concatenate([hour, np.maximum(own[late] - rng.exponential(12.0, len(late)), 0.0)])
    order = np.lexsort((hour, journey))
    journey, cell, hour = journey[order], cell[order], hour[order]

    held = rng.random(len(journey)) < held_out
    delay = rng.exponential(rng.choice([0.5, 20.0, 120.0], len(journey), p=[0.35, 0.2, 0.45]))
    caused = np.where((rng.random(len(journey)) < EFFECT[cell]) & ~held, hour + delay, np.inf)

    def conversion_hour(silenced: int | None = None) -> np.ndarray:
        soonest = own.copy()
        np.minimum.at(soonest, journey, np.where(cell == silenced, np.inf, caused))
        return np.where(soonest < FLIGHT_HOURS, soonest, np.nan)

    happened = conversion_hour()
    without = [np.isnan(conversion_hour(c)).sum() - np.isnan(happened).sum() for c in range(len(EFFECT))]
    made = Journeys(
        offset=np.searchsorted(journey, np.arange(journeys + 1)),
        cell=cell,
        hour=hour,
        clicked=rng.random(len(journey)) < 0.01,
        held_out=held,
        conversion_hour=happened,
        value_usd=np.ones(journeys),
    )
    return Simulated(made, np.array(without, np.float64))


def resampled(journeys: Journeys, rng: np.random.Generator) -> Journeys:
    """Every journey a Poisson number of times: a bootstrap."""
    count = len(journeys.conversion_hour)
    pick = np.repeat(np.arange(count), rng.poisson(1.0, count))
    length = np.diff(journeys.offset)[pick]
    end = np.cumsum(length)
    touch = np.arange(length.sum()) + np.repeat(journeys.offset[pick] - (end - length), length)
    return Journeys(
        offset=np.concatenate([[0], end]),
        conversion_hour=journeys.conversion_hour[pick],
        value_usd=journeys.value_usd[pick],
        **{key: getattr(journeys, key)[touch] for key in ("cell", "hour", "clicked", "held_out")},
    )
