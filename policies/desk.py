"""A campaign's desk: what is believed, what impressions are worth, how the budget is paced.

A campaign's creative and bidding agents read the same evidence and so reach the same beliefs; in a
team they share one desk, which works once an interval. Learned policies stand on it too: beliefs are
features, the rule's scores and bids are the base of residuals, by the same code in training, evaluation
and serving.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.impressions import ImpressionLog
from envs.market import Observations
from envs.observation import Observation
from envs.protocol import MAX_MULTIPLIER_LOG, MAX_PREMIUM_VALUE_USD, Board, CellCredit
from envs.state import Bool, Float
from policies.belief import Estimator
from policies.credited import CellFactors
from policies.evidence import Evidence, evidence_of
from policies.heeding import avoided, believable, broken, caution, untracked
from policies.impression_belief import ImpressionBelief
from policies.kalman import KalmanBelief, X
from policies.pacing import MultiplicativePacer, Pacer, PacingKnobs
from policies.policy import Flight
from policies.shading import shaded
from policies.valuation import (
    LOWEST_LOG_SCORE,
    ShadowPrices,
    arm_log_scores,
    arm_surpluses,
    impression_values,
    premium_values,
    unit_values,
)

SEGMENT_BELIEF = 3 * X + cat.F * cat.V
CAMPAIGN_BELIEF = 2 + cat.P + 1
BIDDING_ACTION = 1 + cat.P + cat.S
PRIOR_WINS = 4.0
"""Impressions at the price level that count as bought before the first one."""


class DeskKnobs(NamedTuple):
    """Tuned settings of the rule."""

    pacing: PacingKnobs = PacingKnobs()
    shadow: ShadowPrices = ShadowPrices()
    price_sd: float = 0.85  # of the log price to beat, as creatives are compared
    shading_sd: float = 0.7  # of the log price to beat, as first-price bids are shaded
    suspicion_factor: float = 0.3  # on bids where completions are missing

    @classmethod
    def of(cls, **values: float) -> DeskKnobs:
        """Knobs from a flat mapping, as tuning and `configs/baselines` hold them."""
        pacing = {k: values.pop(k) for k in PacingKnobs._fields if k in values}
        shadow = {
            name: values.pop(key)
            for name, key in (
                ("recall", "recall_price"),
                ("funnel", "funnel_price"),
                ("fatigue", "fatigue_price"),
            )
            if key in values
        }
        return cls(PacingKnobs(**pacing), ShadowPrices(**shadow), **values)


class DeskPolicy:
    """What all policies on a desk share; a team's creative and bidding agents have the same one."""

    privileged = False

    def __init__(self, desk: CampaignDesk, name: str) -> None:
        self.desk, self.name = desk, name

    @property
    def reads_listeners(self) -> bool:
        """Whether the desk wants every interval's impressions."""
        return self.desk.reads_listeners

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.desk.start(flight)

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Hands them to the desk."""
        self.desk.read_impressions(impressions)

    def read_observations(self, observations: Observations) -> None:
        """Tells the desk what was said of creatives."""
        self.desk.hear(observations.board)

    def read_credit(self, credit: CellCredit) -> None:
        """Hands the attribution agent's message to the desk."""
        self.desk.credited.read(credit)


class CampaignDesk:
    """Estimator + pacing + valuation for M = B × C campaigns."""

    def __init__(
        self,
        knobs: DeskKnobs | None = None,
        estimator: Estimator | None = None,
        pacer: Pacer | None = None,
        *,
        shades: bool | None = None,
        tells_credit: bool = False,
    ) -> None:
        """The certainty-equivalent desk by default.

        Args:
            knobs: settings of the rule.
            estimator: what believes.
            pacer: what sets the dual price, by default by feedback with the knobs' settings.
            shades: whether bids stay below value / dual; None where the market pays first prices.
            tells_credit: whether what it is told of credit is among the campaign's belief features.
        """
        self.knobs = knobs or DeskKnobs()
        self.estimator: Estimator = estimator or KalmanBelief()
        self.pacer: Pacer = pacer or MultiplicativePacer(self.knobs.pacing)
        self.shades = shades
        self.tells_credit = tells_credit

    def start(self, flight: Flight) -> None:
        """A new flight; the same flight twice is one start."""
        if getattr(self, "_flight", None) is flight:
            return
        self._flight = flight
        self._units = unit_values(flight.scenario)
        first_price = flight.scenario.auction.pricing == "first_price"
        self._shading = first_price if self.shades is None else self.shades
        self._winnable = np.array(flight.scenario.auction.probability_within_table)
        self._shape = (flight.num_markets, flight.num_campaigns)
        self._before: Evidence | None = None
        self.credited = CellFactors(flight.num_markets * flight.num_campaigns)
        self._with_journeys = flight.scenario.journeys is not None
        self._interval = -1
        self._seen: Observation | None = None
        self._avoided = np.zeros((flight.num_markets * flight.num_campaigns, cat.V), np.bool_)
        self._broken = self._avoided

    @property
    def reads_listeners(self) -> bool:
        """Whether its beliefs come from single impressions."""
        return isinstance(self.estimator, ImpressionBelief)

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Takes in an interval's impressions before `advance`; both roles may bring them."""
        if isinstance(self.estimator, ImpressionBelief):
            self.estimator.read_impressions(impressions)

    def hear(self, board: Board | None) -> None:
        """Takes in what was said of creatives before `advance`: which not to air, and not to learn from."""
        if board is not None:
            self._avoided, self._broken = avoided(board, self._shape[1]), broken(board, self._shape[1])

    def advance(self, observation: Observation) -> None:
        """Takes in an interval's observation [B, C, ·]; a second call in the same interval does nothing."""
        if self._seen is not None and np.array_equal(self._seen, observation):
            return
        now = evidence_of(observation)
        self._caution = caution(self._before, now)
        if self._before is None:
            self.estimator.start(self._flight, now)
            self.pacer.start(self._flight, now)
            self._volume = np.full(now.opportunities.shape, self._usual_volume())
            self._wins = np.full(len(now.budget_usd), PRIOR_WINS)
            self._spent = self._wins * self._units.price_level
        else:
            self.estimator.update(self._before, believable(self._before, now, self._broken))
            self.pacer.update(self._before, now)
            if self._with_journeys:
                self.credited.note(self._before, now, self.estimator.estimate(now))
            self._volume = 0.5 * self._volume + 0.5 * now.opportunities
            self._wins += now.wins.sum((1, 2))
            self._spent += now.spend_usd.sum((1, 2))
        self._before = now
        self._interval += 1
        self._think(now)
        self._seen = observation.copy()  # last: where this failed, the other role's call fails too

    def _usual_volume(self) -> Float:
        """[P] opportunities of a segment in an average interval."""
        scenario = self._flight.scenario
        return scenario.opportunities_per_interval / cat.S * np.array(scenario.placement_share)

    def _think(self, now: Evidence) -> None:
        estimate = self.credited.applied(self.estimator.estimate(now), now)
        left = float(self._flight.scenario.intervals - self._interval)
        shadow = self.knobs.shadow
        paid = self._spent / self._wins
        value = impression_values(estimate, now.attention, self._units, shadow, left, now.arm, paid)
        self.pacer.plan(now, value)
        drawn = estimate._replace(response=self.estimator.draw(now))
        promise = impression_values(drawn, now.attention, self._units, shadow, left, paid=paid)
        volume = self._volume * self._winnable
        surplus = arm_surpluses(promise, self.pacer.dual, now.price_usd, self.knobs.price_sd, volume)
        if self._avoided.any():
            surplus = np.where(self._avoided[:, None, cat.ARMS[:, 1]], 0.0, surplus)
        self.arm_mask: Bool = self._by_campaign(self._allowed(now))
        self.arm_log_score: Observation = self._by_campaign(arm_log_scores(surplus)).astype(np.float32)
        claims = premium_values(surplus) * heeded(now, estimate.affinity)
        self.premium_value_usd: Float = self._by_campaign(np.minimum(claims, MAX_PREMIUM_VALUE_USD))
        self.base_log_multiplier: Observation = self._by_campaign(self._bid(now, value)).astype(np.float32)

    def _by_campaign(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows.reshape(*self._shape, *rows.shape[1:])

    def _allowed(self, now: Evidence) -> Bool:
        video = cat.ARMS[:, 0] == cat.VIDEO
        allowed: Bool = ~video | (now.premium_grant[..., None] > 0.5)
        return allowed & ~self._avoided[:, None, cat.ARMS[:, 1]]

    def _bid(self, now: Evidence, value: Float) -> Float:
        """Log-multipliers [M, 1 + P + S] that come nearest to bidding value / dual on every cell."""
        suspicion = getattr(self.estimator, "suspicion", None)
        if suspicion is not None:
            doubtful = (suspicion < -0.5) & ~untracked(now)
            value = value * np.where(doubtful, self.knobs.suspicion_factor, 1.0)[:, None]
        bid = value * self._caution[:, None, :] / self.pacer.dual[:, None, None]
        if self._shading:
            bid = shaded(bid, now.price_usd, self.knobs.shading_sd)
        return log_multipliers(now, bid, predicted_value(now, self._units.price_level))

    def belief_features(self) -> tuple[Observation, Observation]:
        """Beliefs as network inputs: [B, C, S, SEGMENT_BELIEF] and [B, C, CAMPAIGN_BELIEF] float32.

        A desk that tells credit adds CREDIT numbers to the campaign's.
        """
        belief = self.estimator
        if not isinstance(belief, KalmanBelief) or self._before is None:
            raise TypeError("belief features need a desk with a KalmanBelief that has advanced")
        now, x = self._before, belief.x
        log_z = belief.log_asset() - x[..., -1][..., None, None] * now.wear - now.fatigue[..., None, None]
        sd = np.sqrt(np.maximum(1e-8, np.diagonal(belief.covariance, axis1=-2, axis2=-1)))
        segment = np.concatenate(
            [1.5 * x, 2.0 * (x - belief.prior), 3.0 * sd, log_z.reshape(*log_z.shape[:2], -1)], -1
        )
        ratio = np.log(belief.seen / belief.foretold)
        certainty = np.log(belief.foretold / belief.prior_conversions)
        campaign = np.concatenate(
            [np.stack([3.0 * ratio, certainty], -1), belief.suspicion, np.log(self.pacer.dual)[:, None]], -1
        )
        if self.tells_credit:
            campaign = np.concatenate([campaign, self.credited.features()], -1)
        return self._by_campaign(segment).astype(np.float32), self._by_campaign(campaign).astype(np.float32)

    @property
    def segment_belief(self) -> Observation:
        """[B, C, S, SEGMENT_BELIEF]."""
        return self.belief_features()[0]

    @property
    def campaign_belief(self) -> Observation:
        """[B, C, CAMPAIGN_BELIEF], and CREDIT more where it tells credit."""
        return self.belief_features()[1]


def heeded(now: Evidence, affinity: Float) -> Float:
    """[M, S] factor on a claim for what the audience agent says: (its affinity / the desk's)^confidence.

    So a discovery moves grants before the campaign has bought impressions that tell of it.
    """
    heard = np.where(now.elapsed_fraction[:, None] > 0, now.segment_affinity, affinity)
    ratio: Float = np.clip(heard / np.maximum(1e-3, affinity), 1e-2, 1e2)
    return ratio**now.segment_confidence


def predicted_value(now: Evidence, price_level_usd: float) -> Float:
    """[M, S, P] USD that a multiplier of 1 bids on an average opportunity; 0 where nothing can air."""
    affinity = np.where(now.elapsed_fraction[:, None] > 0, now.segment_affinity, now.affinity_hint)
    worth: Float = affinity[..., None] * cat.ARM_FIT[now.arm] * now.attention[:, None] * price_level_usd
    return worth


def log_multipliers(now: Evidence, bid_usd: Float, predicted_usd: Float) -> Float:
    """Log-multipliers [M, 1 + P + S] that come nearest to bids [M, S, P]."""
    ratio = bid_usd / np.maximum(1e-6, predicted_usd)
    return additive(np.log(np.maximum(1e-6, ratio)), cat.ARM_FIT[now.arm] > 0)


def additive(wish: Float, valid: Bool) -> Float:
    """Global + placement + segment logs [M, 1 + P + S] nearest to wish [M, S, P] on valid cells.

    Least squares by two rounds of alternating means; where nothing is valid the logs are the lowest allowed.
    """
    weight = valid.astype(np.float64)
    count = weight.sum((1, 2))
    level = (wish * weight).sum((1, 2)) / np.maximum(1.0, count)
    placement = np.zeros((len(wish), wish.shape[2]))
    segment = np.zeros((len(wish), wish.shape[1]))
    for _ in range(2):
        rest = (wish - level[:, None, None] - segment[:, :, None]) * weight
        placement = rest.sum(1) / np.maximum(1.0, weight.sum(1))
        rest = (wish - level[:, None, None] - placement[:, None, :]) * weight
        segment = rest.sum(2) / np.maximum(1.0, weight.sum(2))
    level = np.where(count > 0, level, -MAX_MULTIPLIER_LOG)
    logs = np.concatenate([level[:, None], placement, segment], 1)
    clipped: Float = np.clip(logs, -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG)
    return clipped


__all__ = [
    "BIDDING_ACTION",
    "CAMPAIGN_BELIEF",
    "LOWEST_LOG_SCORE",
    "SEGMENT_BELIEF",
    "CampaignDesk",
    "DeskKnobs",
    "additive",
    "heeded",
    "log_multipliers",
    "predicted_value",
]
