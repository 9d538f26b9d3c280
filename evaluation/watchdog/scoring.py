"""How good the monitor is: its alerts against the labels of what truly happened, kind by kind."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from envs.catalogue import ADVICE, ALERT_KINDS, INCIDENT_KINDS
from envs.protocol import Alert
from envs.state import Bool, Float, Int, MarketParameters
from envs.truth import incident_labels

NEWS_AGE: Final = 1
"""Intervals by which what a monitor sees is old: an alert may be about this interval or the last."""
KINDS: Final = len(ALERT_KINDS)
_PAUSE: Final = ADVICE.index("pause")


class Watch(NamedTuple):
    """What one interval's alerts amount to, by kind (0 is none); all may be added up.

    An alert is a campaign that now carries a kind, on any placement, and did not an interval ago: one for an
    episode, however many placements and intervals it covers.
    """

    alerts: Float  # [B, kinds] raised now
    right: Float  # [B, kinds] of them, those where such an incident strikes
    incidents: Float  # [B, kinds] that begin now
    found: Float  # [B, kinds] that get their first right alert now
    delay: Float  # [B, kinds] intervals from the start of those found now
    pauses: Float  # [B, kinds] campaigns of which a placement is to be paused from now on
    right_pauses: Float  # [B, kinds] of them, those where an incident of the alert's kind strikes


class Watchdog:
    """Follows a flight's alerts; call `add` once an interval, in order."""

    def __init__(self, parameters: MarketParameters, intervals: int) -> None:
        """Takes the labels of the markets to be played."""
        self._start = parameters.incident_start  # [B, slots]
        self._kind = parameters.incident_kind  # [B, slots]
        slots = range(parameters.incident_kind.shape[1])
        # [slots, B, T, C, P] kind of each incident where it strikes: slots apart, so that each counts once
        self._labels = np.stack([incident_labels(_only(parameters, slot), intervals) for slot in slots])
        self._found = np.zeros(self._kind.shape, np.bool_)
        self.delays = np.full(self._kind.shape, -1)
        """[B, slots] intervals from an incident's start to its first right alert, −1 before one."""
        self._before = Alert(*(np.zeros((1, 1, 1), np.int64) for _ in Alert._fields))

    def add(self, alert: Alert, interval: int) -> Watch:
        """Judges the alerts [B, C, P] posted in an interval.

        Alert kinds share their numbers with the incidents they tell of.
        """
        hit = self._hit(alert.kind, interval)  # [slots, B, C, P]
        anywhere: Bool = np.any(hit, axis=0)
        found = (hit.any((2, 3)).T) & ~self._found  # [B, slots]
        self._found |= found
        self.delays[found] = (interval - self._start)[found]
        starts = (self._kind > 0) & (self._start == interval)
        alerts, right = _fresh(alert.kind, self._before.kind, anywhere)
        paused, paused_before = (
            np.where(told.advice == _PAUSE, told.kind, 0) for told in (alert, self._before)
        )
        pauses, right_pauses = _fresh(paused, paused_before, anywhere)
        self._before = Alert(*(field.copy() for field in alert))
        return Watch(
            alerts=alerts,
            right=right,
            incidents=_by_kind(self._kind, starts),
            found=_by_kind(self._kind, found),
            delay=_by_kind(self._kind, np.where(found, interval - self._start, 0)),
            pauses=pauses,
            right_pauses=right_pauses,
        )

    def _hit(self, kind: Int, interval: int) -> Bool:
        """[slots, B, C, P] where an alert names the incident of a slot that strikes there."""
        first = max(0, interval - NEWS_AGE)
        recent = self._labels[:, :, first : interval + 1]
        hit: Bool = ((recent == kind[:, None]) & (recent > 0)).any(2)
        return hit


def _fresh(kind: Int, before: Int, hit: Bool) -> tuple[Float, Float]:
    """Campaigns that carry a kind and did not before, and those of them that are right: [B, kinds] each."""
    is_kind = kind[..., None] == np.arange(KINDS)  # [B, C, P, kinds]
    fresh = is_kind.any(2) & ~(before[..., None] == np.arange(KINDS)).any(2)  # [B, C, kinds]
    right = fresh & (is_kind & hit[..., None]).any(2)
    counts = [np.where(np.arange(KINDS) > 0, which.sum(1), 0).astype(np.float64) for which in (fresh, right)]
    return counts[0], counts[1]


def _by_kind(kind: Int, count: Int | Bool) -> Float:
    """[B, slots] counts of incidents of some kinds → [B, kinds]."""
    of_kind = kind[..., None] == np.arange(len(INCIDENT_KINDS))
    counts: Float = (of_kind * count[..., None]).sum(1).astype(np.float64)
    return counts


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
