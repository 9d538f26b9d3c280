"""How good the monitor is: its alerts against the labels of what truly happened."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from envs.catalogue import INCIDENT_KINDS
from envs.state import Bool, Float, Int, MarketParameters
from envs.truth import incident_labels

NEWS_AGE: Final = 1
"""Intervals by which what a monitor sees is old: an alert may be about this interval or the last."""


class Watch(NamedTuple):
    """What one interval's alerts amount to, counts a market; all may be added up."""

    alerts: Float  # [B] raised now: a campaign and placement under another alert than an interval ago
    judged: Float  # [B] of them, those of a kind that labels know
    right: Float  # [B] of those, where such an incident strikes
    incidents: Float  # [B] that begin now
    found: Float  # [B] that get their first right alert now
    delay: Float  # [B] intervals from the start of those found now


class Watchdog:
    """Follows a flight's alerts; call `add` once an interval, in order."""

    def __init__(self, parameters: MarketParameters, intervals: int) -> None:
        """Takes the labels of the markets to be played."""
        self._start = parameters.incident_start  # [B, slots]
        self._happens = parameters.incident_kind > 0
        self._intervals = intervals
        slots = range(parameters.incident_kind.shape[1])
        # [slots, B, T, C, P] kind of each incident where it strikes: slots apart, so that each counts once
        self._labels = np.stack([incident_labels(_only(parameters, slot), intervals) for slot in slots])
        self._found = np.zeros(self._happens.shape, np.bool_)
        self._before = np.zeros(1, np.int64)

    def add(self, kind: Int, interval: int) -> Watch:
        """Judges the alerts [B, C, P] posted in an interval.

        Alert kinds share their numbers with the incidents they tell of.
        """
        fresh = (kind > 0) & (kind != self._before)
        self._before = kind.copy()
        judged = fresh & (kind < len(INCIDENT_KINDS))
        hit = self._hit(kind, interval)  # [slots, B, C, P]
        found = (hit.any((2, 3)).T) & ~self._found  # [B, slots]
        self._found |= found
        return Watch(
            alerts=_count(fresh),
            judged=_count(judged),
            right=_count(judged & hit.any(0)),
            incidents=_count(self._happens & (self._start == interval)),
            found=_count(found),
            delay=np.where(found, interval - self._start, 0).sum(1).astype(np.float64),
        )

    def _hit(self, kind: Int, interval: int) -> Bool:
        """[slots, B, C, P] where an alert names the incident of a slot that strikes there."""
        first = max(0, interval - NEWS_AGE)
        recent = self._labels[:, :, first : interval + 1]
        hit: Bool = ((recent == kind[:, None]) & (recent > 0)).any(2)
        return hit


def _only(parameters: MarketParameters, slot: int) -> MarketParameters:
    """The same markets with one of their incidents."""
    one = slice(slot, slot + 1)
    return parameters._replace(
        incident_kind=parameters.incident_kind[:, one],
        incident_start=parameters.incident_start[:, one],
        incident_length=parameters.incident_length[:, one],
        incident_placement=parameters.incident_placement[:, one],
        incident_campaign=parameters.incident_campaign[:, one],
    )


def _count(true: Bool) -> Float:
    """[B, ...] → [B]."""
    counts: Float = true.reshape(len(true), -1).sum(1).astype(np.float64)
    return counts
