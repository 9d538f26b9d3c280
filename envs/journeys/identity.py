"""What an advertiser sees of journeys: devices linked in part, windows, walls (docs/attribution.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

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


class JourneyRows(NamedTuple):
    """What became known of a campaign's journeys in a while; a journey is a mere number."""

    journey: Int  # [T] whose touch it was
    cell: Int  # [T]
    hour: Float  # [T]
    clicked: Bool  # [T]
    held_out: Bool  # [T]
    buyer: Int  # [K] journeys that converted, some of people whom nobody is known to have touched
    bought_hour: Float  # [K]


_INT, _FLOAT, _FLAG = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.bool_)
NOTHING: Final = JourneyRows(_INT, _INT, _FLOAT, _FLAG, _FLAG, _INT, _FLOAT)


def told(
    touches: Touches,
    converts: Float,
    hidden: Hidden,
    settings: JourneySettings,
    campaign: int,
    since_hours: float,
    now_hours: float,
    match_rate: float | None = None,
) -> JourneyRows:
    """What becomes known of a campaign's journeys after `since_hours` and up to `now_hours`.

    A device that is not linked to its person is somebody of its own. A conversion belongs to the device on
    which it happened; in a shop it is known only of a linked card. Nobody reports what came after it, nor
    touches of channels behind walls.

    Args:
        touches: all of the market, in order of time.
        converts: [W] when people convert; inf: never.
        hidden: who is linked.
        settings: walls.
        campaign: whose.
        since_hours: what was known by then is left out; -inf for nothing.
        now_hours: later touches and conversions are not known.
        match_rate: in the settings' place.
    """
    linked = hidden.link < (settings.match_rate if match_rate is None else match_rate)
    people, kinds = len(linked), 1 + len(DEVICES)
    walled = [OWN_CELLS + CHANNELS.index(name) for name in settings.walled]
    own = np.flatnonzero((touches.who // people == campaign) & ~np.isin(touches.cell, walled))
    who, cell, hour, device, clicked, held = (
        column[own] for column in (touches.who, touches.cell, touches.hour, touches.device, touches.clicked,
                                   touches.held_out)
    )  # fmt: skip
    found = np.where(held, np.inf, touches.search_hour[own])
    met = (hour <= now_hours) & (hour < converts[who])
    looked = met & (found > since_hours) & (found <= now_hours) & (found < converts[who])
    met &= hour > since_hours
    searches = np.zeros(int(looked.sum()), np.bool_)
    desk = DEVICES.index("desk")  # who hears of it on a speaker searches at a desk
    where = np.where(device[looked] == DEVICES.index("phone"), 1, desk)
    if OWN_CELLS + CHANNELS.index("search") in walled:
        looked, searches, where = looked & False, searches[:0], where[:0]
    person = np.concatenate([who[met], who[looked]]) % people
    device = np.concatenate([device[met], where])

    bought = converts[campaign * people : (campaign + 1) * people]
    at = hidden.conversion_device[campaign * people : (campaign + 1) * people]
    known = (bought > since_hours) & (bought <= now_hours)
    buyer = np.flatnonzero(known)
    at = at[buyer]
    seen = linked[buyer, at] | (at != DEVICES.index("shop"))
    buyer, at = buyer[seen], at[seen]
    return JourneyRows(
        journey=np.where(linked[person, device], 0, 1 + device) + kinds * person,
        cell=np.concatenate([cell[met], np.full(len(searches), SEARCH)]),
        hour=np.concatenate([hour[met], found[looked]]),
        clicked=np.concatenate([clicked[met], ~searches]),
        held_out=np.concatenate([held[met], searches]),
        buyer=np.where(linked[buyer, at], 0, 1 + at) + kinds * buyer,
        bought_hour=bought[buyer],
    )


def assembled(parts: Sequence[JourneyRows], settings: JourneySettings, value_usd: float) -> JourneyLog:
    """Journeys from what became known of them, bit by bit or at once; of walled channels nothing.

    Touches outside their window at the conversion are not reported with it; what has no touch is no journey.
    """
    rows = JourneyRows._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
    buyers = np.argsort(rows.buyer)
    at = np.minimum(np.searchsorted(rows.buyer, rows.journey, sorter=buyers), max(0, len(buyers) - 1))
    bought = np.full(len(rows.journey), np.nan)
    if len(buyers):
        match = buyers[at]
        bought = np.where(rows.buyer[match] == rows.journey, rows.bought_hour[match], np.nan)
    window = 24.0 * np.where(rows.clicked, settings.click_window_days, settings.view_window_days)
    kept = np.flatnonzero(~(bought - rows.hour > window))
    kept = kept[np.lexsort((rows.hour[kept], rows.journey[kept]))]
    first = np.flatnonzero(np.diff(rows.journey[kept], prepend=-1))
    conversion = bought[kept][first]
    nothing = np.zeros(len(CHANNELS))
    return JourneyLog(
        offset=np.append(first, len(kept)),
        cell=rows.cell[kept],
        hour=rows.hour[kept],
        clicked=rows.clicked[kept],
        held_out=rows.held_out[kept],
        conversion_hour=conversion,
        value_usd=np.where(np.isnan(conversion), 0.0, value_usd),
        walled_touches=nothing,
        walled_claims=nothing,
    )


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
    """A campaign's journeys as known `now_hours` after the flight's start; arguments as of `told`.

    `value_usd` is what a conversion is worth.
    """
    rows = told(touches, converts, hidden, settings, campaign, -np.inf, now_hours, match_rate)
    served, claims = _walled(touches, converts, len(hidden.link), settings, campaign, now_hours)
    log = assembled([rows], settings, value_usd)
    return log._replace(walled_touches=served, walled_claims=claims)


def _walled(
    touches: Touches, converts: Float, people: int, settings: JourneySettings, campaign: int, now_hours: float
) -> tuple[Float, Float]:
    """Touches served, and people claimed, by channels behind walls; they know their own users well."""
    served, claims = np.zeros(len(CHANNELS)), np.zeros(len(CHANNELS))
    for name in settings.walled:
        channel = CHANNELS.index(name)
        theirs = np.flatnonzero((touches.cell == OWN_CELLS + channel) & (touches.who // people == campaign))
        who, hour = touches.who[theirs], touches.hour[theirs]
        met = (hour <= now_hours) & (hour < converts[who])
        days = np.where(touches.clicked[theirs], settings.click_window_days, settings.view_window_days)
        claimed = met & (converts[who] <= now_hours) & (converts[who] - hour <= 24.0 * days)
        served[channel] = met.sum()
        claims[channel] = len(np.unique(who[claimed]))
    return served, claims
