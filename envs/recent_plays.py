"""What each listener played last, in order: sessions, moods and skips (a numba kernel).

The last plays of a history (`envs.histories`), put in order: they are among its counts, so their items tell
nothing of taste that the counts do not. What is new is the session, whose mood tilts what is played, and
whether a track was skipped: less where it suits taste, liking and mood.

Levels: sessions of 15 tracks, by the 30-minute gap of the Last.fm sample; 51.7 % of tracks skipped, 40.4 % of
a session's last ones (Music Streaming Sessions data). How far taste and mood explain skips has no source:
they count as they count for the rate of play.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import M
from envs.histories import ITEM_VECTOR, ITEMS, LIKING_SD, PLAYS_STREAM, TASTE_WEIGHT
from envs.kernel import allocating_kernel
from envs.philox import normal_pair, uniform4
from envs.state import Float

RECENT: Final = 32
"""Plays that are kept in order, at most."""
TOKENS: Final = 4 * ITEMS
SESSION_TRACKS: Final = 15.0
MOOD_SD: Final = 0.8
"""Of the log rate of an item over moods."""
SKIP_LEVEL: Final = 1.8
"""Log odds of a skip where neither taste, liking nor mood speak for or against it."""
LAST_TRACK: Final = 0.6
"""How much likelier, in log odds, a session's last track is heard to its end."""

_STREAM: Final = 162


class RecentPlays(NamedTuple):
    """Last plays of listeners [..., L], the latest at the end; -1 before the first."""

    token: NDArray[np.int16]  # [..., L, RECENT] 4 · item + 2 · skipped + first of its session
    mood: NDArray[np.int8]  # [..., L, RECENT] of the session: hidden, for evaluation only


def _mood_fit() -> Float:
    rng = np.random.Generator(np.random.Philox(2001))
    return MOOD_SD * rng.normal(size=(M, ITEMS))


MOOD_FIT: Final = _mood_fit()
_LOUD: Final = np.exp(MOOD_FIT)


@allocating_kernel
def _draw_recent(seeds, taste, plays, vector, fit, loud, token, mood):  # type: ignore[no-untyped-def]
    """Fills token and mood [B, L, RECENT] for listeners of these tastes [B, L, D] and plays [B, L, ITEMS]."""
    items, last, moods = plays.shape[2], token.shape[2], loud.shape[0]
    played, left = np.empty(items, np.int64), np.empty(items, np.int64)
    preference, weight = np.empty(items), np.empty(items)
    for b in range(plays.shape[0]):
        for i in range(plays.shape[1]):
            distinct, total = 0, 0
            for k in range(items):
                if plays[b, i, k] > 0:
                    played[distinct], left[distinct] = k, plays[b, i, k]
                    preference[distinct] = math.nan
                    distinct += 1
                    total += plays[b, i, k]
            now, begins = 0, True
            for n in range(last - min(last, total), last):
                u0, u1, u2, u3 = uniform4(seeds[b], _STREAM, i, n, 0)
                if begins:
                    now = min(int(u0 * moods), moods - 1)
                summed = 0.0
                for k in range(distinct):
                    weight[k] = left[k] * loud[now, played[k]]
                    summed += weight[k]
                at, k, chosen = u1 * summed, 0, 0
                for k in range(distinct):  # the last one with plays left, should rounding leave a rest
                    if left[k] == 0:
                        continue
                    chosen = k
                    at -= weight[k]
                    if at < 0.0:
                        break
                left[chosen] -= 1
                item = played[chosen]
                if math.isnan(preference[chosen]):
                    v0, v1, _v2, _v3 = uniform4(seeds[b], PLAYS_STREAM, i, item, 0)
                    liking, _ = normal_pair(v0, v1)
                    suits = 0.0
                    for d in range(taste.shape[2]):
                        suits += taste[b, i, d] * vector[item, d]
                    preference[chosen] = TASTE_WEIGHT * suits + LIKING_SD * liking
                ends = u2 * SESSION_TRACKS < 1.0
                odds = SKIP_LEVEL - preference[chosen] - fit[now, item]
                if ends:
                    odds -= LAST_TRACK
                skipped = 1 if u3 * (1.0 + math.exp(-odds)) < 1.0 else 0
                token[b, i, n] = 4 * item + 2 * skipped + (1 if begins else 0)
                mood[b, i, n] = now
                begins = ends


def draw_recent(seeds: NDArray[np.uint64], taste: Float, plays: NDArray[np.int32]) -> RecentPlays:
    """The last plays in order of listeners with tastes [B, L, ≥ D] and these play counts [B, L, ITEMS]."""
    shape = (*plays.shape[:2], RECENT)
    recent = RecentPlays(np.full(shape, -1, np.int16), np.full(shape, -1, np.int8))
    _draw_recent(seeds, taste, plays, ITEM_VECTOR, MOOD_FIT, _LOUD, *recent)
    return recent
