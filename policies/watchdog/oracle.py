"""The watchdog that knows: what alerts would do if nothing had to be found out (evaluation only)."""

from __future__ import annotations

import numpy as np

from envs.catalogue import ADVICE, ALERT_KINDS, MAX_CAMPAIGNS, P, V
from envs.observation import Observation
from envs.protocol import Alert, CreativeAlert
from envs.truth import incident_labels, struck_creatives
from policies.policy import Flight
from policies.watchdog.monitor import OF_CREATIVES, RESPONSE, SEVERITY

_OF_CREATIVES = [ALERT_KINDS.index(kind) for kind in OF_CREATIVES]


class OracleMonitor:
    """Alerts, with the watchdog's advice, wherever an incident strikes in the interval about to be played.

    It knows the present, not the future, and is heard and obeyed as late as any monitor.
    """

    name, privileged = "oracle", True

    def start(self, flight: Flight) -> None:
        """A new flight, of a market that it may look into."""
        assert flight.market is not None
        market = flight.market
        labels = incident_labels(market.parameters, market.scenario.intervals)
        self._market = market
        self._labels = np.zeros((*labels.shape[:2], MAX_CAMPAIGNS, P), np.int64)
        self._labels[:, :, : flight.num_campaigns] = labels
        self._interval = 0

    def act(self, observation: Observation) -> Alert:
        """The truth, with advice; `creative_alert` names the creatives."""
        kind = self._labels[:, self._interval]
        self._interval += 1
        told = [("none", "none"), *(RESPONSE[name] for name in ALERT_KINDS[1:])]
        advice = np.array([ADVICE.index(name) for name, _ in told])
        severity = np.array([SEVERITY[name] for _, name in told])
        struck = np.zeros((len(kind), MAX_CAMPAIGNS, V), np.int64)
        struck[:, : self._market.num_campaigns] = struck_creatives(self._market, self._market.interval)
        self.creative_alert = CreativeAlert(advice[struck], struck, severity[struck])
        of_placements = np.where(np.isin(kind, _OF_CREATIVES), 0, advice[kind])
        return Alert(of_placements, kind.copy(), severity[kind])
