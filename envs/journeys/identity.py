"""What an advertiser sees of journeys: devices linked in part, windows, walls (docs/attribution.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.journeys.hidden import Hidden
from envs.journeys.settings import CHANNELS, DEVICES, OWN_CELLS, SEARCH, JourneySettings
from envs.journeys.touches import Touches
from envs.state import Bool, Float, Int


class JourneyLog(NamedTuple):
    """A campaign's journeys as reported: touches of journey j are offset[j] … offset[j + 1] − 1."""

    offset: Int  # [J + 1]
    cell: Int  # [T]
    hour: Float  # [T]
    clicked: Bool  # [T]
    held_out: Bool  # [T]
    conversion_hour: Float  # [J] nan where none is known
    value_usd: Float  # [J] of the conversion
    walled_touches: Float  # [channels] what channels behind walls say they served, people
    walled_claims: Float  # [channels] conversions within the window after a touch of theirs, by their word


def observed(
    touches: Touches,
    converts: Float,
    hidden: Hidden,
    settings: JourneySettings,
    campaign: int,
    now_hours: float,
    value_usd: float,
    match_rate: float | None = None,
) -> JourneyLog:
    """A campaign's journeys as known `now_hours` after the flight's start.

    A device that is not linked to its person is somebody of its own. A conversion belongs to the device on
    which it happened; in a shop it is known only of a linked card. Touches outside their window at the
    conversion are not reported with it, and nobody reports what came after it.

    Args:
        touches: all of the market, in order of time.
        converts: [W] when people convert; inf: never.
        hidden: who is linked.
        settings: windows and walls.
        campaign: whose.
        now_hours: later touches and conversions are not known.
        value_usd: of a conversion.
        match_rate: in the settings' place.
    """
    rate = settings.match_rate if match_rate is None else match_rate
    people = len(hidden.link)
    own = np.flatnonzero(touches.who // people == campaign)
    who, cell, hour, device, clicked, held = (
        column[own] for column in (touches.who, touches.cell, touches.hour, touches.device, touches.clicked,
                                   touches.held_out)
    )  # fmt: skip
    found = np.where(held, np.inf, touches.search_hour[own])
    met = (hour <= now_hours) & (hour < converts[who])
    looked = met & (found <= now_hours) & (found < converts[who])
    who = np.concatenate([who[met], who[looked]])
    cell = np.concatenate([cell[met], np.full(int(looked.sum()), SEARCH)])
    hour = np.concatenate([hour[met], found[looked]])
    desk = DEVICES.index("desk")  # who hears of it on a speaker searches at a desk
    device = np.concatenate([device[met], np.where(device[looked] == DEVICES.index("phone"), 1, desk)])
    clicked = np.concatenate([clicked[met], np.ones(int(looked.sum()), np.bool_)])
    held = np.concatenate([held[met], np.zeros(int(looked.sum()), np.bool_)])

    converted = (converts <= now_hours)[who]
    age = np.where(converted, converts[who] - hour, 0.0)
    window = 24.0 * np.where(clicked, settings.click_window_days, settings.view_window_days)
    served, claims = _walled(who, cell, converted & (age <= window), settings)
    walled = np.array([OWN_CELLS + CHANNELS.index(name) for name in settings.walled], np.int64)
    linked = hidden.link < rate
    person = who % people
    known = linked[person, device]
    row = np.where(known, 0, 1 + device) + (1 + len(DEVICES)) * person
    at = hidden.conversion_device[who]
    buyer = np.where(linked[person, at], 0, 1 + at) + (1 + len(DEVICES)) * person
    buys = converted & (row == buyer) & ((at != DEVICES.index("shop")) | linked[person, at])
    kept = ~np.isin(cell, walled) & ~(buys & (age > window))
    who, row, cell, hour, clicked, held, buys = (
        column[kept] for column in (who, row, cell, hour, clicked, held, buys)
    )
    order = np.lexsort((hour, row))
    row, who, buys = row[order], who[order], buys[order]
    first = np.flatnonzero(np.diff(row, prepend=-1))
    conversion = np.where(buys[first], converts[who[first]], np.nan)
    return JourneyLog(
        offset=np.append(first, len(row)),
        cell=cell[order],
        hour=hour[order],
        clicked=clicked[order],
        held_out=held[order],
        conversion_hour=conversion,
        value_usd=np.where(buys[first], value_usd, 0.0),
        walled_touches=served,
        walled_claims=claims,
    )


def _walled(who: Int, cell: Int, converted: Bool, settings: JourneySettings) -> tuple[Float, Float]:
    """Touches served, and people claimed, by channels behind walls; they know their own users well."""
    served, claims = np.zeros(len(CHANNELS)), np.zeros(len(CHANNELS))
    for name in settings.walled:
        channel = CHANNELS.index(name)
        theirs = cell == OWN_CELLS + channel
        served[channel] = theirs.sum()
        claims[channel] = len(np.unique(who[theirs & converted]))
    return served, claims
