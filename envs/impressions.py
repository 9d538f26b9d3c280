"""The last interval's impressions, one row each, as the platform reports them to who reads impressions.

Who was shown what, and how they answered: the rows that feedback fills, kept only where a `VectorMarket`
was asked for them. Nothing hidden is among them: clicks include those of invalid traffic, and where
tracking is out, completions and clicks are 0 as they are in observations.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.bids import SERVED
from envs.dynamics import play_interval
from envs.kernel import kernel
from envs.state import Float, Int

NUMBERS: Final = 11
"""Columns that hold whole numbers."""


class ImpressionLog(NamedTuple):
    """Won impressions of B markets in one interval, market by market, in order of arrival."""

    market: Int  # [N] index into the batch
    campaign: Int  # [N]
    listener: Int  # [N]
    segment: Int  # [N]
    placement: Int  # [N]
    arm: Int  # [N] the creative that aired, a row of ARMS
    visible: Int  # [N] 1 = the screen was in view
    completions: Int  # [N] of `impression_weight` real impressions, as tracked
    skips: Int  # [N]
    dislikes: Int  # [N]
    clicks: Int  # [N] as tracked
    quality: Float  # [N] of the opportunity, seen by every bidder
    attention: Float  # [N] public, of placement and hour
    affinity: Float  # [N] of the listener to the campaign, as the audience had told the bid


class ImpressionRoom(NamedTuple):
    """Where the kernel notes them, market by market."""

    numbers: Int  # [B, most, NUMBERS]
    quality: Float  # [B, most]
    attention: Float  # [B, most]
    affinity: Float  # [B, most]
    rows: Int  # [B] how many


def new_room(markets: int, most: int) -> ImpressionRoom:
    """Room for `most` impressions of each market."""
    return ImpressionRoom(
        np.empty((markets, most, NUMBERS), np.int64),
        np.empty((markets, most)),
        np.empty((markets, most)),
        np.empty((markets, most)),
        np.zeros(markets, np.int64),
    )


@kernel
def note_interval(m, st, k, ctl, out, scratch, next_on_air, first, end, t, aired, room):  # type: ignore[no-untyped-def]
    """As `play_interval`, with a note of every impression served; a block must hold a whole interval.

    Args:
        m: MarketParameters.
        st: MarketState.
        k: Constants.
        ctl: Controls.
        out: Outcome.
        scratch: Scratch.
        next_on_air: [B, C, S] arms to come.
        first: first market.
        end: one behind the last.
        t: the interval.
        aired: [B, C, S] arms that air in it.
        room: ImpressionRoom, overwritten.
    """
    made = scratch.made
    for b in range(first, end):
        play_interval(m, st, k, ctl, out, scratch, next_on_air, b, b + 1, t)
        counted = out.bids[b] if k.log else out.wins[b]  # with an event log the bids that lost have rows too
        total = 0.0
        for c in range(counted.shape[0]):
            for s in range(counted.shape[1]):
                for p in range(counted.shape[2]):
                    total += counted[c, s, p]
        kept = 0
        for n in range(int(total)):
            if made.status[n] != SERVED:
                continue
            c, s, p = made.campaign[n], made.segment[n], made.placement[n]
            tracked = 1 if out.tracked[b, p] > 0.0 else 0
            row = room.numbers[b, kept]
            row[0], row[1], row[2], row[3], row[4] = b, c, made.listener[n], s, p
            row[5], row[6] = aired[b, c, s], made.visible[n]
            row[7], row[8] = made.completions[n] * tracked, made.skips[n]
            row[9], row[10] = made.dislikes[n], made.clicks[n] * tracked
            room.quality[b, kept] = made.quality[n]
            room.attention[b, kept] = m.attention[b, t, p]
            room.affinity[b, kept] = ctl.predicted_affinity[b, c, made.listener[n]]
            kept += 1
        room.rows[b] = kept


def impression_log(room: ImpressionRoom) -> ImpressionLog:
    """What was noted, in arrays of its own."""
    noted: NDArray[np.bool_] = np.arange(room.quality.shape[1]) < room.rows[:, None]
    numbers = np.ascontiguousarray(room.numbers[noted].T)
    return ImpressionLog._make([*numbers, room.quality[noted], room.attention[noted], room.affinity[noted]])
