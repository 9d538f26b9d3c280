"""What a channel brought that people come to of their own accord: only what our spots sent them to it for.

Searches stand shortly before conversions because who is about to buy searches; most bring nothing (Blake,
Nosko & Tadelis 2015, doi 10.3982/ECTA12423). Ghost ads tell which searches our spots brought about, and
searches that follow no spot tell how often demand alone converts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from policies.attribution.journeys import Journeys

HALF: Final = 0.5
"""Shapley's share of each of two that bring something about only together: the spot, and the search."""


class Caused(NamedTuple):
    """Conversions that a channel brought because our spots sent people to it."""

    conversions: float
    deviation: float


def caused(journeys: Journeys, channel: int, own: int, outcome_hours: float, direct: float) -> Caused | None:
    """A channel's share of the conversions that spots brought by way of it; None without ghost ads.

    Touches of the channel that follow a shown spot are A; those after held-out spots tell how many of them,
    D, would have come anyway: demand, which converts as often (r) as touches that follow no shown spot. Of
    the people who converted after one of A, K, so many did by way of it, M:
    K = D r + M + (A − D) (direct − M / shown), the last being what spots brought meanwhile without it.

    Args:
        journeys: of one campaign.
        channel: the cell.
        own: cells of ours are 0 … own − 1.
        outcome_hours: a conversion counts that follows a touch so soon.
        direct: conversions that one shown spot brings, in all.
    """
    journey, hour = journeys.journey, journeys.hour
    ours, held = journeys.cell < own, journeys.held_out
    there = journeys.cell == channel
    ghosts, shown = ours & held, ours & ~held
    if not ghosts.any() or not shown.any() or not there.any():
        return None
    first = np.full(len(journeys.conversion_hour), np.inf)
    np.minimum.at(first, journey[shown], hour[shown])
    after = there & (hour > first[journey])
    bought = journeys.conversion_hour[journey] - hour <= outcome_hours
    led = np.unique(journey[after & bought])
    alone = np.setdiff1d(journey[there & ~after & bought], led)
    touches, lonely = int(after.sum()), int((there & ~after).sum())

    place = np.flatnonzero(there)
    following = np.append(place, 0)[np.searchsorted(place, np.arange(len(hour)), "right")]
    followed = (journey[following] == journey) & (hour[following] > hour)
    followed &= hour[following] - hour <= outcome_hours
    beside = shown & (hour <= hour[ghosts].max())
    with_spot, without = (float(followed[which].mean()) if which.any() else 0.0 for which in (beside, ghosts))
    share = min(1.0, without / with_spot) if with_spot > 0.0 else 1.0

    rate = len(alone) / max(1, lonely)
    per_spot = touches * (1.0 - share) / int(shown.sum())  # brought about by one shown spot
    meanwhile = touches * (1.0 - share) * direct
    brought = (len(led) - touches * share * rate - meanwhile) / max(0.1, 1.0 - per_spot)
    noise = len(led) + (touches * share) ** 2 * len(alone) / max(1, lonely) ** 2
    if without > 0.0:
        noise += (touches * share * rate) ** 2 / (without * int(ghosts.sum()))
    return Caused(HALF * max(0.0, brought), HALF * float(np.sqrt(noise)))
