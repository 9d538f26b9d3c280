"""Touches: of impressions that the market served, and of what people meet elsewhere (numba kernels).

A campaign's person is a row `who` = campaign × people + person; person = listener × people behind one + k.
Every draw is addressed by the market's seed, the interval, the impression and the person.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.kernel import kernel
from envs.philox import uniform4
from envs.state import Bool, Float, Int

_EXPOSED, _ANSWER, _SEARCH, _ORGANIC, _ELSEWHERE, _EARLIER = 200, 201, 202, 203, 204, 205
_FIT, _RECALL, _CONVERSION, _CLICK = cat.ARM_FIT, cat.ARM_RECALL, cat.ARM_CONVERSION, cat.ARM_CLICK
_ARMS, _F = cat.ARMS, cat.F
_click = kernel(res.click_probability)
_SHARE = np.array(res.DELAY_SHARE)
_HOURS = np.array(res.DELAY_HOURS)
REACHED = 0.4
"""P(an impression's share of a listener's people includes a person); those reached meet 1 / .4 of it."""
CLICKED_PULL = 30.0
"""Factor on P(conversion) of who clicked."""
WINDOW_HOURS = 720.0
"""Nothing converts later than 30 days after its cause."""
SEARCH_HOURS = 6.0
"""Mean wait of a search that a touch or a need brings about."""
MOST = 4
"""Touches of a person by a channel, at most."""
OPEN_AT_FIRST = res.FUNNEL_BASE + res.FUNNEL_SLOPE * 0.02
"""How far the funnel is open of somebody who never met the brand (`dynamics.INITIAL_RECALL`)."""


class Touches(NamedTuple):
    """Touches of one market, in order of time."""

    who: Int  # [T] campaign × people + person
    cell: Int  # [T]
    hour: Float  # [T] since the flight's start
    device: Int  # [T]
    clicked: Bool  # [T]
    held_out: Bool  # [T] a ghost ad: paid for and not shown
    pull: Float  # [T] P(it brings a conversion) of somebody who never met the brand
    memory: Float  # [T] strength with which it is remembered
    chance: Float  # [T] it does where this uniform lies below the probability
    delay_hours: Float  # [T] until the conversion that it brings; inf: outside the window
    search_hour: Float  # [T] of the search that it brings about; inf without one
    search_chance: Float  # [T] as `chance`, of that search
    search_delay_hours: Float  # [T]


_KINDS = dict.fromkeys(Touches._fields, np.float64) | {
    "who": np.int64,
    "cell": np.int64,
    "device": np.int64,
    "clicked": np.bool_,
    "held_out": np.bool_,
}


def room_for(count: int) -> Touches:
    """Arrays of `count` touches to be filled."""
    return Touches(**{name: np.empty(count, kind) for name, kind in _KINDS.items()})


def some(touches: Touches, which: slice | Int | Bool) -> Touches:
    """Those of the touches."""
    return Touches._make(column[which] for column in touches)


def joined(parts: list[Touches]) -> Touches:
    """All of them, in the order given."""
    if not parts:
        return room_for(0)
    return Touches._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


@kernel
def delay_of(u, v):  # type: ignore[no-untyped-def]
    """Hours until a conversion, of two uniforms: the market's mixture; inf beyond the window."""
    kind = 0
    while kind < _SHARE.shape[0] - 1 and u > _SHARE[kind]:
        u -= _SHARE[kind]
        kind += 1
    hours = -_HOURS[kind] * math.log(v)
    return hours if hours < WINDOW_HOURS else math.inf


@kernel
def touch_people(  # type: ignore[no-untyped-def]
    seed,
    t,
    hours,
    people,
    rows,
    log,
    affinity,
    log_arm,
    conversion,
    cell_effect,
    knobs,
    held_share,
    organic_hour,
    out,
):
    """Fills `out` with touches of the interval's impressions; gives how many.

    Args:
        seed: of the market.
        t: the interval.
        hours: its length.
        people: behind every listener.
        rows: [N] the market's rows of `log`.
        log: ImpressionLog.
        affinity: [C, L] true ones.
        log_arm: [C, S, K] true log effects.
        conversion: [C] true factors.
        cell_effect: [C, P, F] hidden factors on conversions.
        knobs: conversions per purchase, activity bias, P(search after a touch).
        held_share: [C] share of impressions won and not shown.
        organic_hour: [C · people] when people convert anyway.
        out: Touches, room enough.
    """
    frequency, bias, searching = knobs
    listeners = affinity.shape[1]
    count = 0
    for row in range(rows.shape[0]):
        n = rows[row]
        c, i, s, p, arm = log.campaign[n], log.listener[n], log.segment[n], log.placement[n], log.arm[n]
        fit = _FIT[arm, p]
        if fit <= 0.0:
            continue
        visible = log.visible[n]
        z = affinity[c, i] * fit * log.attention[n] * log.quality[n] * math.exp(log_arm[c, s, arm])
        fmt = _ARMS[arm, 0]
        pull = frequency * res.CONVERSION_RATE * _CONVERSION[arm] * conversion[c] * OPEN_AT_FIRST
        pull *= z * cell_effect[c, p, fmt] / REACHED
        click = _click(z, _CLICK[arm], float(visible))
        for k in range(people):
            person = i * people + k
            who = c * listeners * people + person
            reach, when, place, held = uniform4(seed, _EXPOSED, t, row, k)
            hour = (t + when) * hours
            need = organic_hour[who] - hour
            if reach > REACHED * (bias if visible == 1 and 0.0 <= need < 72.0 else 1.0):
                continue
            clicks, chance, kind, wait = uniform4(seed, _ANSWER, t, row, k)
            looks, later, found, search_wait = uniform4(seed, _SEARCH, t, row, k)
            out.who[count], out.cell[count], out.hour[count] = who, p * _F + fmt, hour
            if visible == 1:
                out.device[count] = 1 if place < 0.7 else 2
            else:
                out.device[count] = 0 if place < 0.6 else 1
            out.held_out[count] = held < held_share[c]
            out.clicked[count] = clicks < click and held >= held_share[c]
            out.pull[count] = min(0.9, pull * (CLICKED_PULL if out.clicked[count] else 1.0))
            out.memory[count] = z * _RECALL[arm] / REACHED
            out.chance[count] = chance
            out.delay_hours[count] = delay_of(kind, wait)
            searches = looks < min(0.3, searching * z)
            out.search_hour[count] = hour - SEARCH_HOURS * math.log(later) if searches else math.inf
            out.search_chance[count] = found
            out.search_delay_hours[count] = -_HOURS[0] * math.log(search_wait)
            count += 1
    return count


@kernel
def _when(u, season):  # type: ignore[no-untyped-def]
    """Hour of a uniform by the cumulative weights of days [D]."""
    day = 0
    while day < season.shape[0] - 1 and u > season[day]:
        day += 1
    before = season[day - 1] if day > 0 else 0.0
    return 24.0 * (day + (u - before) / (season[day] - before))


@kernel
def _count(u, mean):  # type: ignore[no-untyped-def]
    """Poisson number of a uniform, at most MOST."""
    mass = math.exp(-mean)
    total, number = mass, 0
    while u > total and number < MOST:
        number += 1
        mass *= mean / number
        total += mass
    return number


@kernel
def live(seed, affinity, people, organic, season, organic_hour):  # type: ignore[no-untyped-def]
    """Fills organic_hour [C · people]: when people convert without any touch; inf: never.

    Args:
        seed: of the market.
        affinity: [C, L] true ones.
        people: behind every listener.
        organic: [C] expected organic conversions of a person of affinity 1.
        season: [D] cumulative weights of days.
        organic_hour: filled.
    """
    campaigns, listeners = affinity.shape
    for c in range(campaigns):
        for i in range(listeners):
            probability = 1.0 - math.exp(-organic[c] * affinity[c, i])
            for k in range(people):
                who = (c * listeners + i) * people + k
                does, when, _a, _b = uniform4(seed, _ORGANIC, 0, who, 0)
                organic_hour[who] = _when(when, season) if does < probability else math.inf


@kernel
def meet_elsewhere(  # type: ignore[no-untyped-def]
    seed, campaigns, organic_search, rates, retail_intent, channel_pull, first_cell, season, organic_hour, out
):
    """Fills `out` with touches off the platform, in no order; gives how many.

    Args:
        seed: of the market.
        campaigns: C.
        organic_search: P(an organic conversion comes in by a search).
        rates: [channels] expected touches of a person over the season.
        retail_intent: expected touches by retail media in the week before an organic conversion.
        channel_pull: [C, channels].
        first_cell: cell of the first channel: search; then social, retail media.
        season: [D] cumulative weights of days.
        organic_hour: [C · people].
        out: Touches, room for (3 · MOST + MOST + 1) of everybody.
    """
    people = organic_hour.shape[0] // campaigns
    count = 0
    for who in range(organic_hour.shape[0]):
        c, need = who // people, organic_hour[who]
        n0, n1, n2, _n3 = uniform4(seed, _ELSEWHERE, 0, who, 0)
        numbers = (_count(n0, rates[0]), _count(n1, rates[1]), _count(n2, rates[2]))
        for channel in range(3):
            for j in range(numbers[channel]):
                when, kind, wait, place = uniform4(seed, _ELSEWHERE, 1 + channel, who, j)
                chance, _a, _b, _c = uniform4(seed, _ELSEWHERE, 5 + channel, who, j)
                out.hour[count] = _when(when, season)
                out.delay_hours[count] = delay_of(kind, wait)
                out.device[count] = 2 if channel == 0 and place < 0.5 else 1
                out.cell[count], out.chance[count] = first_cell + channel, chance
                out.pull[count], out.who[count] = channel_pull[c, channel], who
                out.memory[count] = 0.0 if channel == 0 else 0.3
                count += 1
        if need == math.inf:
            continue
        u0, u1, u2, u3 = uniform4(seed, _EARLIER, 0, who, 0)
        if u0 < organic_search:  # causes nothing: the need was there before
            out.hour[count] = need + 0.25 * SEARCH_HOURS * math.log(u1)
            out.device[count] = 1 if u2 < 0.5 else 2
            out.cell[count], out.who[count] = first_cell, who
            out.pull[count] = out.memory[count] = 0.0
            out.chance[count], out.delay_hours[count] = 1.0, math.inf
            count += 1
        for j in range(_count(u3, retail_intent)):
            when, kind, wait, chance = uniform4(seed, _EARLIER, 1, who, j)
            out.hour[count] = need - 168.0 * when
            out.device[count], out.cell[count], out.who[count] = 1, first_cell + 2, who
            out.pull[count], out.memory[count] = channel_pull[c, 2], 0.3
            out.chance[count], out.delay_hours[count] = chance, delay_of(kind, wait)
            count += 1
    for n in range(count):
        out.clicked[n] = out.cell[n] == first_cell
        out.held_out[n] = False
        out.search_hour[n], out.search_chance[n], out.search_delay_hours[n] = math.inf, 1.0, math.inf
    return count
