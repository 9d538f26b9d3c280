"""Scripted audience agents: segment averages corrected by clicks, and the truth."""

from __future__ import annotations

import numpy as np

from envs.catalogue import MAX_CAMPAIGNS, S
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.philox import normals
from envs.protocol import SegmentValue
from envs.state import Float
from policies.belief import true_segment_affinity
from policies.cell_counts import CellReader
from policies.heeding import doubtful
from policies.policy import Flight

_SCHEMA = SCHEMAS["audience"]


class SegmentAverage:
    """Past segment averages (the hint), corrected by the clicks of the flight against those foretold.

    A Gamma posterior: (k + clicks) / (k + foretold clicks), k = `prior_clicks`, relative to the campaign's
    geometric mean over segments. Cells of which an alert says that their clicks tell nothing of listeners are
    left out (`policies.heeding.doubtful`), where it is shown what was said (`read_observations`).
    """

    privileged = False

    def __init__(self, prior_clicks: float = 40.0, name: str = "segment-average") -> None:
        """`prior_clicks` clicks of trust in the hint."""
        self.name, self.prior_clicks = name, prior_clicks

    def start(self, flight: Flight) -> None:
        """A new flight."""
        shape = (flight.num_markets, MAX_CAMPAIGNS, S)
        self._seen, self._foretold = np.zeros(shape), np.zeros(shape)
        self._cells, self._campaigns = CellReader(flight), flight.num_campaigns
        self._left_out: tuple[Float, Float] | None = None

    def read_observations(self, observations: Observations) -> None:
        """Hears alerts, and finds the clicks that they are about in what campaigns see."""
        counts, self._left_out = self._cells.read(observations.creative), None
        if observations.board is None:
            return
        doubted = doubtful(observations.board, counts.arm)
        if doubted.any():
            clicks, expected = ((doubted * part).sum(3) for part in (counts.clicks, counts.expected_clicks))
            self._left_out = clicks, expected

    def act(self, observation: Observation) -> SegmentValue:
        """Affinity and confidence of every campaign and segment."""
        row = observation[:, 0].astype(np.float64)
        clicks, foretold = _SCHEMA.view(row, "clicks").copy(), _SCHEMA.view(row, "expected_clicks").copy()
        if self._left_out is not None:
            for kept, out in zip((clicks, foretold), self._left_out, strict=True):
                kept[:, : self._campaigns] = np.maximum(0.0, kept[:, : self._campaigns] - out)
        # Fraud shows as many clicks at once: an interval counts at most thrice what was foretold.
        self._seen += np.minimum(clicks, 3.0 * foretold + 3.0)
        self._foretold += foretold
        ratio = (self.prior_clicks + self._seen) / (self.prior_clicks + self._foretold)
        # What all segments share is the creatives' doing (and briefs' error), not the audience's.
        ratio = ratio / np.exp(np.log(ratio).mean(-1, keepdims=True))
        confidence = self._foretold / (self.prior_clicks + self._foretold)
        affinity = np.clip(_SCHEMA.view(row, "affinity_hint") * ratio, 0.05, 10.0)
        return SegmentValue(affinity, np.clip(confidence, 0.0, 1.0))


class TrueAffinity:
    """The true affinity of every listener: an upper reference, for evaluation only."""

    name: str = "oracle"
    privileged = True
    listener_affinity: Float | None = None

    def start(self, flight: Flight) -> None:
        """Needs a privileged flight."""
        if flight.market is None:
            raise ValueError(
                "the oracle reads the hidden truth: it needs a flight with market=… (evaluation only)"
            )
        parameters = flight.market.parameters
        self.listener_affinity = parameters.affinity
        affinity = np.ones((flight.num_markets, MAX_CAMPAIGNS, S))
        affinity[:, : flight.num_campaigns] = true_segment_affinity(parameters)
        self._value = SegmentValue(np.clip(affinity, 0.0, 10.0), np.ones_like(affinity))

    def act(self, observation: Observation) -> SegmentValue:
        """The truth."""
        return self._value


class NoisyAffinity(TrueAffinity):
    """The truth of every listener times log-normal noise of mean 1: how good must predictions be?"""

    _STREAM = 0x7A10

    def __init__(self, noise_sd: float) -> None:
        """`noise_sd` of log affinity, at least 0."""
        if not 0.0 <= noise_sd < float("inf"):
            raise ValueError(f"noise_sd must be a number from 0, got {noise_sd}")
        self.name, self.noise_sd = f"noisy:{noise_sd:g}", noise_sd

    def start(self, flight: Flight) -> None:
        """Needs a privileged flight."""
        super().start(flight)
        truth = np.asarray(self.listener_affinity)
        noise = normals(flight.seeds, self._STREAM, truth.shape[1:])
        self.listener_affinity = truth * np.exp(self.noise_sd * noise - 0.5 * self.noise_sd**2)
