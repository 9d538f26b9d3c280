"""Who listens when: the day, the week, placements, attention, activities and the announced event."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import HOURLY_LISTENING, SEGMENT_PEAK_HOUR, M, P, S
from envs.kernel import kernel
from envs.philox import normals, uniforms
from envs.scenario import Scenario
from envs.state import INCIDENT_SLOTS, Float

EVENT_INTERVALS = 4
SEGMENT_SWING = 0.35
"""How far a segment's day leans towards its own hour."""
_PHASE, _TRAFFIC, _EVENT, _WEEKDAY = 130, 131, 132, 133
_STEPS = 8


@kernel
def _scale_traffic(traffic, mean):  # type: ignore[no-untyped-def]
    """Scales traffic [B, T, S, P] so that an interval holds `mean` opportunities on average."""
    for b in range(traffic.shape[0]):
        total = 0.0
        for value in traffic[b].flat:
            total += value
        factor = mean * traffic.shape[1] / total
        for t in range(traffic.shape[1]):
            for s in range(traffic.shape[2]):
                for p in range(traffic.shape[3]):
                    traffic[b, t, s, p] *= factor


def listening_curve(intervals: int, intervals_per_day: int, first_weekday: NDArray[np.int64]) -> Float:
    """Relative listening of every interval: [B, T], 1 on an average hour of the week.

    Args:
        intervals: T.
        intervals_per_day: how many make a day; an interval's value is the mean over its hours.
        first_weekday: [B] the day on which a flight starts, 0 = Monday.
    """
    fine = (np.arange(intervals * _STEPS) + 0.5) * (24.0 / intervals_per_day / _STEPS)
    day, hour = (fine // 24).astype(np.int64), fine % 24
    nodes = np.arange(-1, 25) + 0.5
    table = HOURLY_LISTENING / np.average(HOURLY_LISTENING, weights=(5, 2), axis=0).mean()
    wrapped = np.concatenate([table[:, -1:], table, table[:, :1]], 1)
    curves = np.stack([np.interp(hour, nodes, row) for row in wrapped])
    weekend = (first_weekday[:, None] + day) % 7 >= 5
    values = np.where(weekend, curves[1], curves[0])
    return np.asarray(values.reshape(len(first_weekday), intervals, _STEPS).mean(-1))


def first_weekday(seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
    """[B] the day on which each market's flight starts, 0 = Monday."""
    day: NDArray[np.int64] = (7 * uniforms(seeds, _WEEKDAY, (1,))[:, 0]).astype(np.int64)
    return day


def draw_inventory(
    seeds: NDArray[np.uint64], scenario: Scenario, phase_hours: Float, incident: dict[str, NDArray[Any]]
) -> dict[str, NDArray[np.generic]]:
    """Traffic, attention, activities and the announced event of B markets.

    Args:
        seeds: [B] market seeds.
        scenario: what kind of market.
        phase_hours: [B, S] by how many hours a segment's day is shifted.
        incident: the incidents drawn; invalid traffic adds to its placement.
    """
    b, intervals, day = len(seeds), scenario.intervals, scenario.intervals_per_day
    t = np.arange(intervals)
    hour = (t % day + 0.5) * (24.0 / day)
    angle = 2 * np.pi * (t % day) / day
    curve = listening_curve(intervals, day, first_weekday(seeds))
    shift = phase_hours + normals(seeds, _PHASE, (S,))
    lean = 2 * np.pi * (hour[None, :, None] - SEGMENT_PEAK_HOUR - shift[:, None, :]) / 24.0
    by_segment = curve[..., None] * (1.0 + SEGMENT_SWING * np.cos(lean)) / S
    traffic = by_segment[..., None] * np.array(scenario.placement_share)
    traffic = traffic * np.exp(0.15 * normals(seeds, _TRAFFIC, (intervals, S, P)))
    _scale_traffic(traffic, float(scenario.opportunities_per_interval))
    attention = np.exp(0.15 * np.cos(angle[:, None] - np.array([np.pi / 6, np.pi / 2, 1.5 * np.pi])))
    attention = np.broadcast_to(attention, (b, intervals, P)).copy()
    draw = uniforms(seeds, _EVENT, (2,))
    first, last = int(0.35 * intervals), max(1, intervals - EVENT_INTERVALS)
    span = max(1, last - first)
    start = first + np.minimum((draw[:, 1] * span).astype(np.int64), span - 1)
    event = np.where(draw[:, 0] < scenario.incidents.event_probability, start, -1)
    during = (event[:, None] >= 0) & (t >= event[:, None]) & (t < event[:, None] + EVENT_INTERVALS)
    attention *= np.where(during, 1.6, 1.0)[..., None]
    traffic *= np.where(during, 1.3, 1.0)[..., None, None]
    for slot in range(INCIDENT_SLOTS):
        kind, begin, length = (
            incident[k][:, slot] for k in ("incident_kind", "incident_start", "incident_length")
        )
        fraud = (kind == 1)[:, None] & (t >= begin[:, None]) & (t < (begin + length)[:, None])
        at = incident["incident_placement"][:, slot][:, None] == np.arange(P)
        traffic *= np.where(fraud[:, :, None] & at[:, None, :], 1.5, 1.0)[:, :, None, :]
    mood = np.exp(
        1.2 * np.cos(angle[:, None, None] - 2 * np.pi * np.arange(M) / M - 0.8 * np.arange(S)[:, None])
    )
    mood = mood / mood.sum(-1, keepdims=True)
    return {
        "traffic": traffic,
        "attention": attention,
        "event_interval": event,
        "mood_probability": np.broadcast_to(mood, (b, intervals, S, M)).copy(),
    }
