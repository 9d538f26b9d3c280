"""How good the monitor is: its alerts against the labels of what truly happened, kind by kind."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from envs.catalogue import ADVICE, ALERT_KINDS, INCIDENT_KINDS, INCIDENTS_ON_CREATIVES, P
from envs.market import VectorMarket
from envs.protocol import Alert, CreativeAlert
from envs.state import Bool, Float, Int, MarketParameters
from envs.truth import incident_labels, struck_creatives

NEWS_AGE: Final = 1
"""Intervals by which what a monitor sees is old: an alert may be about this interval or the last."""
KINDS: Final = len(ALERT_KINDS)
_ON_CREATIVES: Final = [INCIDENT_KINDS.index(name) for name in INCIDENTS_ON_CREATIVES]
_PAUSE: Final = ADVICE.index("pause")


class Watch(NamedTuple):
    """What one interval's alerts amount to, by kind (0 is none); all may be added up.

    An alert is a campaign that now carries a kind, on any placement or creative, and did not an interval ago:
    one for an episode, however many placements, creatives and intervals it covers.
    """

    alerts: Float  # [B, kinds] raised now
    right: Float  # [B, kinds] of them, those where such an incident strikes
    incidents: Float  # [B, kinds] that begin now
    found: Float  # [B, kinds] that get their first right alert now
    delay: Float  # [B, kinds] intervals from the start of those found now
    pauses: Float  # [B, kinds] campaigns of which a placement or creative is to be paused from now on
    right_pauses: Float  # [B, kinds] of them, those where an incident of the alert's kind strikes


class Watchdog:
    """Follows a flight's alerts; call `add` once an interval, in order."""

    def __init__(self, market: VectorMarket) -> None:
        """Takes the labels of markets that were just reset."""
        parameters = market.parameters
        self._market, self._campaigns = market, market.num_campaigns
        self._start = parameters.incident_start  # [B, slots]
        self._kind = parameters.incident_kind  # [B, slots]
        slots = range(parameters.incident_kind.shape[1])
        # [slots, B, T, C, P] kind of each incident where it strikes: slots apart, so that each counts once
        labels = np.stack([incident_labels(_only(parameters, n), market.scenario.intervals) for n in slots])
        self._labels = np.where(np.isin(labels, _ON_CREATIVES), 0, labels)
        self._found = np.zeros(self._kind.shape, np.bool_)
        self.delays = np.full(self._kind.shape, -1)
        """[B, slots] intervals from an incident's start to its first right alert, −1 before one."""
        self._before = Alert(*(np.zeros((1, 1, 1), np.int64) for _ in Alert._fields))

    def add(self, of_placements: Alert, of_creatives: CreativeAlert, interval: int) -> Watch:
        """Judges the alerts [B, MAX_CAMPAIGNS, P or V] posted in an interval that was just played.

        Alert kinds share their numbers with the incidents they tell of. An incident on a creative is found
        where that creative is named.
        """
        told = zip(of_placements, of_creatives, strict=True)
        alert = Alert(*(np.concatenate(fields, 2)[:, : self._campaigns] for fields in told))
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
        """[slots, B, C, P + V] where an alert names the incident of a slot that strikes there."""
        first = max(0, interval - NEWS_AGE)
        recent = self._labels[:, :, first : interval + 1]
        on_placement = ((recent == kind[:, None, ..., :P]) & (recent > 0)).any(2)
        struck = np.stack([struck_creatives(self._market, t) for t in range(first, interval + 1)])
        named = ((struck == kind[..., P:]) & (struck > 0)).any(0)  # [B, C, V]
        m = self._market.parameters
        whose = m.incident_campaign.T[..., None] == np.arange(self._campaigns)  # [slots, B, C]
        since = (m.incident_start <= interval).T[..., None]
        until = (first < m.incident_start + m.incident_length).T[..., None]
        on_creative = named & (whose & since & until)[..., None]
        hit: Bool = np.concatenate([on_placement, on_creative], -1)
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
