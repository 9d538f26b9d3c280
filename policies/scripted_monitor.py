"""Scripted monitor: ratio detectors with memory that alert and advise; the orchestrator enforces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import ADVICE, ALERT_KINDS, MAX_CAMPAIGNS, P
from envs.observation import SCHEMAS, Observation
from envs.protocol import Alert
from envs.state import Bool, Int
from policies.policy import Flight

_SCHEMA = SCHEMAS["monitor"]
_THROTTLE, _PAUSE, _RESUME = (ADVICE.index(name) for name in ("throttle", "pause", "resume"))
SURGE = 1.4
"""Prices over their running means that tell of a rival: an ordinary day swings by a sixth."""
_KIND = {name: index for index, name in enumerate(ALERT_KINDS)}


class RatioMonitor:
    """Exponentially weighted observed / expected ratios per campaign × placement (EWMA, Roberts 1959).

    Completions missing while clicks flow = invalid traffic (pause); both missing = tracking outage
    (notice); spending far ahead of plan = overspend (throttle); prices far above their running means =
    rival surge; dislikes far above their mean = dislike surge.
    """

    privileged = False

    def __init__(self, memory: float = 0.6, floor: float = 0.55, name: str = "ratio-detectors") -> None:
        """`memory` is the weight of the past; alarm when completions fall under `floor` of those expected."""
        self.name, self.memory, self.floor = name, memory, floor

    def start(self, flight: Flight) -> None:
        """A new flight."""
        shape = (flight.num_markets, MAX_CAMPAIGNS, P)
        self._completions, self._clicks = np.ones(shape), np.ones(shape)
        self._price, self._dislikes = np.zeros(shape), np.full(shape, 0.01)
        self._quiet = np.zeros(shape, np.int64)
        self._paused = np.zeros(shape, bool)
        self._weight = flight.scenario.impression_weight

    def act(self, observation: Observation) -> Alert:
        """Alerts for every campaign and placement."""
        row = observation[:, 0].astype(np.float64)

        def view(name: str) -> NDArray[Any]:
            return _SCHEMA.view(row, name)

        wins = view("wins")
        known = wins >= 2.0
        keep = np.where(known, self.memory, 1.0)
        done = view("completions") / np.maximum(1.0, view("expected_completions"))
        clicked = (view("clicks") + 1.0) / (view("expected_clicks") + 1.0)
        self._completions = keep * self._completions + (1.0 - keep) * np.minimum(done, 2.0)
        self._clicks = keep * self._clicks + (1.0 - keep) * np.minimum(clicked, 10.0)
        disliked = view("dislikes") / np.maximum(1.0, wins * self._weight)
        surge = known & (disliked > 3.0 * self._dislikes + 0.01)
        self._dislikes = np.where(known, 0.9 * self._dislikes + 0.1 * disliked, self._dislikes)
        price = view("price_usd")
        dear = known & self._surging(price)[:, None, None]
        self._price = np.where(
            price > 0, np.where(self._price > 0, 0.9 * self._price + 0.1 * price, price), self._price
        )
        missing = self._completions < self.floor
        fraud = missing & (self._clicks > 1.5)
        outage = missing & (self._clicks < 0.5) & ~fraud
        ahead = np.broadcast_to((view("pacing_error") > 0.25)[..., None], wins.shape)
        kind = np.select(
            [fraud, outage, ahead, dear, surge],
            [
                _KIND["invalid_traffic"],
                _KIND["tracking_outage"],
                _KIND["overspend"],
                _KIND["rival_surge"],
                _KIND["dislike_surge"],
            ],
            0,
        )
        severity = np.select([fraud, outage, ahead, dear | surge], [3, 1, 2, 1], 0)
        return Alert(advice=self._advice(fraud, ahead), kind=kind, severity=severity)

    def _surging(self, price: NDArray[Any]) -> Bool:
        """[B] whether prices [B, C, P] are far above their running means: pooled, as one cell is noise."""
        comparable = (price > 0) & (self._price > 0)
        ratio = np.where(comparable, np.minimum(price / np.maximum(1e-9, self._price), 3.0), 0.0)
        surging: Bool = ratio.sum((1, 2)) > SURGE * np.maximum(1, comparable.sum((1, 2)))
        return surging

    def _advice(self, fraud: Bool, ahead: Bool) -> Int:
        """Pauses fraud; after four quiet intervals probes again by resuming."""
        self._quiet = np.where(self._paused, self._quiet + 1, 0)
        probe = self._paused & (self._quiet >= 4)
        self._paused = (self._paused | fraud) & ~probe
        self._completions = np.where(probe, 1.0, self._completions)
        advice = np.where(ahead, _THROTTLE, 0)
        advice = np.where(self._paused, _PAUSE, advice)
        return np.where(probe, _RESUME, advice)


class QuietMonitor:
    """Never alerts."""

    name, privileged = "quiet", False

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._none = Alert(*(np.zeros((flight.num_markets, MAX_CAMPAIGNS, P), np.int64) for _ in range(3)))

    def act(self, observation: Observation) -> Alert:
        """Nothing."""
        return self._none
