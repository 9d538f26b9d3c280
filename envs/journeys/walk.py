"""Who converts when: touches in order of time, each a cause that may come to act (a numba kernel).

A touch brings a conversion where its uniform lies below its pull times how far the person's funnel is open,
which earlier touches of any cell opened. People convert once, by the cause that acts first. A silenced
cell's touches are met by nobody; all others keep their random numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from envs import response as res
from envs.journeys.touches import OPEN_AT_FIRST, Touches
from envs.kernel import kernel
from envs.state import Bool, Float, Int

FIRST_MEMORY = 0.02
_SLOW = res.SLOW_MEMORY_HOURS
_OPEN = OPEN_AT_FIRST


class Minds(NamedTuple):
    """Where the people of one market stand; rows as `Touches.who`."""

    memory: Float  # [W] slow store, as of `met_hour`
    met_hour: Float  # [W] of the last touch
    converts: Float  # [W] hour of the first conversion that is on its way, or over; inf: none


def new_minds(organic_hour: Float) -> Minds:
    """People who have met nothing yet."""
    rows = len(organic_hour)
    return Minds(np.full(rows, FIRST_MEMORY), np.zeros(rows), organic_hour.copy())


@kernel
def _walk(touches, first, end, people, silenced, search, search_pull, minds, moved):  # type: ignore[no-untyped-def]
    memory, met, converts = minds
    moves = 0
    for n in range(first, end):
        who, hour, cell = touches.who[n], touches.hour[n], touches.cell[n]
        c = who // people
        if hour >= converts[who] or touches.held_out[n] or silenced[c, cell]:
            continue
        kept = memory[who] * math.exp(-(hour - met[who]) / _SLOW)
        opened = (res.FUNNEL_BASE + res.FUNNEL_SLOPE * kept) / _OPEN
        before = converts[who]
        if touches.chance[n] < touches.pull[n] * opened:
            converts[who] = min(converts[who], hour + touches.delay_hours[n])
        found = touches.search_hour[n]
        if found < converts[who] and not silenced[c, search]:
            if touches.search_chance[n] < search_pull[c] * opened:
                converts[who] = min(converts[who], found + touches.search_delay_hours[n])
        if before == math.inf and converts[who] < math.inf:
            moved[moves] = who
            moves += 1
        memory[who] = kept + (1.0 - kept) * (1.0 - math.exp(-res.RECALL_GAIN_SLOW * touches.memory[n]))
        met[who] = hour
    return moves


def walk(touches: Touches, minds: Minds, silenced: Bool, search_cell: int, search_pull: Float) -> Int:
    """Takes people through touches in order of time; `minds` changes in place.

    Args:
        touches: of one market.
        minds: where its people stand before them.
        silenced: [C, cells] cells that nobody meets.
        search_cell: which of them searching is.
        search_pull: [C] P(a search that a touch brought about brings a conversion).

    Returns:
        Rows of people who will convert now and would not have before.
    """
    people = len(minds.converts) // len(silenced)
    moved = np.empty(len(touches.who), np.int64)
    moves = _walk(touches, 0, len(touches.who), people, silenced, search_cell, search_pull, minds, moved)
    return moved[:moves]
