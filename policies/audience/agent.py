"""An audience agent that tells listeners apart: collaborative filtering, and who answered what."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.errors import InterludeError
from envs.impressions import ImpressionLog
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import Board, SegmentValue
from envs.scenario import Scenario
from envs.state import Float
from policies.audience.artefact import Artefact
from policies.audience.listener_model import (
    ListenerModel,
    artefact_of,
    data_of,
    embed_listeners,
)
from policies.audience.taste_belief import (
    Noise,
    TasteBelief,
    conclude,
    learn_impressions,
    listener_table,
    new_belief,
)
from policies.audience.taste_embedding import FACTORS, taste_model
from policies.heeding import trusted_impressions
from policies.impression_likelihood import age_annoyance, fading
from policies.policy import Flight
from policies.scripted_audience import SegmentAverage

_SCHEMA = SCHEMAS["audience"]
FOLDER: Final = "audience"
"""Where the model's artefact lies in a run directory and in a bundle."""
NOISE: Final = Noise(taste=0.1, nuisance=0.35, excess=0.08)
"""As predictions came out calibrated, and the team best, on development markets: flat around these."""


class CollaborativeAudience:
    """Segment values as `SegmentAverage` posts them, and within segments what each listener's taste adds.

    Listeners are embedded by what they have played before the flight, and in which order if the model reads
    it; each campaign's taste is a Gaussian belief over that embedding, which every interval's impressions
    sharpen. Model-aware: it reads counts through the market's response curves. It never sees a listener's
    true taste.
    """

    privileged = False
    reads_listeners = True

    def __init__(
        self, noise: Noise = NOISE, name: str = "collaborative", model: ListenerModel | None = None
    ) -> None:
        """Of a fitted model, or of counts alone as the scenario's training markets teach them.

        `noise` says how far tastes, creatives and single impressions scatter.
        """
        self.name, self.noise, self.model = name, noise, model
        self.reads_order = model is not None and model.session is not None
        self._average = SegmentAverage()
        self.listener_affinity: Float

    def embed_by(self, model: ListenerModel) -> None:
        """Embeds listeners by a fitted model from the next flight on."""
        self.model, self.reads_order = model, model.session is not None

    def fitted_model(self, scenario: Scenario) -> ListenerModel:
        """What embeds the listeners of a scenario's markets."""
        return self.model or ListenerModel(taste_model(scenario))

    def artefact(self, scenario: Scenario) -> Artefact:
        """That model, to be stored."""
        model = self.fitted_model(scenario)
        return artefact_of(model, data_of(scenario, ", their order and skips" if model.session else ""))

    def start(self, flight: Flight) -> None:
        """A new flight.

        Raises:
            InterludeError: the flight tells nothing of listeners.
        """
        if flight.listening is None:
            raise InterludeError(
                f"audience policy {self.name!r} reads listeners: start it with flight_of(market, "
                "listening=True) and hand Team.act the market's impressions (VectorMarket(impressions=True))"
            )
        self._flight, listening = flight, flight.listening
        self._average.start(flight)
        self._segment = listening.segment
        self._embed(*embed_listeners(self.fitted_model(flight.scenario), listening))
        self._kept = fading(flight.scenario.hours_per_interval)
        self.belief: TasteBelief | None = None
        self._unread: ImpressionLog | None = None
        self._board: Board | None = None
        shape = (flight.num_markets, flight.num_campaigns, flight.scenario.listeners.count)
        self.listener_affinity = np.empty(shape)

    def _embed(self, embedding: Float, doubt: Float) -> None:
        """Listeners [B, L, D] and how far they are in doubt [B, L]."""
        self.embedding, self._doubt = embedding, doubt
        self._by_factor = np.ascontiguousarray(embedding.transpose(0, 2, 1))

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Keeps an interval's impressions for `act`, which learns from them when alerts were heard."""
        self._unread = impressions

    def read_observations(self, observations: Observations) -> None:
        """Hears alerts: of what they say tells nothing of listeners nothing is learned."""
        self._average.read_observations(observations)
        self._board = observations.board

    def _learn(self, impressions: ImpressionLog) -> None:
        if self.belief is None:
            return
        trusted = impressions if self._board is None else trusted_impressions(impressions, self._board)
        self._read(self.belief, trusted, impressions)
        conclude(self.belief, FACTORS / self.noise.taste, self.noise.nuisance)

    def _read(self, belief: TasteBelief, trusted: ImpressionLog, all_rows: ImpressionLog) -> None:
        """Adds to the belief what impressions tell, by those that no alert is about; all of them annoyed."""
        weight, noise = float(self._flight.scenario.impression_weight), self.noise
        learn_impressions(belief, self.embedding, trusted, weight, noise.nuisance, noise.excess)
        age_annoyance(belief.annoyance, all_rows, self._kept)

    def act(self, observation: Observation) -> SegmentValue:
        """Affinity and confidence of segments; the table of listeners is `listener_affinity`."""
        value = self._average.act(observation)
        if self._unread is not None:
            self._learn(self._unread)
        self._unread = self._board = None
        campaigns, listeners = self._flight.num_campaigns, self._flight.scenario.listeners.count
        if self.belief is None:
            hint = _SCHEMA.view(observation[:, 0].astype(np.float64), "affinity_hint")[:, :campaigns]
            self.belief = new_belief(campaigns, listeners, self._level(hint), self.noise)
        listener_table(
            self.belief,
            self._by_factor,
            self._doubt,
            self._segment,
            value.affinity,
            self.listener_affinity,
        )
        return value

    def _level(self, hint: Float) -> Float:
        """[B, C, S] where responses are expected before any, by the affinities that were hinted at."""
        level: Float = np.log(np.maximum(hint, 0.05)) - 0.5 * self.noise.taste
        return level

    def expected_deviation(self) -> Float:
        """[B, C, L] log affinity by which a listener's taste departs from the segment's, as believed now."""
        if self.belief is None:
            return np.zeros_like(self.listener_affinity)
        found: Float = np.einsum("bcd,bld->bcl", self.belief.taste, self.embedding)
        return found

    def deviation_variance(self) -> Float:
        """[B, C, L] how far that may be off: both the campaign's taste and the listener's are in doubt."""
        prior = np.full_like(self.listener_affinity, self.noise.taste)
        if self.belief is None:
            return prior
        taste, covariance = self.belief.taste, self.belief.covariance
        strength = (taste**2).sum(-1) + np.trace(covariance, axis1=-2, axis2=-1)
        of_campaign = np.einsum("bld,bcde,ble->bcl", self.embedding, covariance, self.embedding)
        found: Float = of_campaign + self._doubt[:, None] * strength[..., None]
        return found
