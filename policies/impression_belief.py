"""The filter of `KalmanBelief`, fed by single impressions where the log of them can be read.

Counts by placement mix listeners who care with others who don't, fresh ones with tired ones: a win tells the
log response of its creative with a standard deviation of about 1. An impression's own counts, less what is
known of its listener, leave .6: .45 from counts, .3 from moods, .25 from tastes that nobody knows.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from envs import catalogue as cat
from envs.impressions import ImpressionLog
from envs.kernel import allocating_kernel, kernel
from envs.state import Float
from policies.evidence import Evidence
from policies.impression_likelihood import age_annoyance, fading, known_log_response, score_counts
from policies.kalman import WEAR, KalmanBelief, X, assimilate
from policies.policy import Flight

EXCESS: Final = 0.3
"""Variance of an impression's log response beyond its counts: moods and unknown tastes leave .12; the team
was best at this on development markets, and flat from .15 to .6."""
_STEPS, _LARGEST_STEP = 3, 1.0
_LEVEL_VARIANCE: Final = 0.15
"""Of what is believed before, as outliers are judged: beyond 2.5 standard deviations they count no more."""
_ARMS = cat.ARMS


@kernel
def _read(log, told, foretold, annoyance, exposures, impressions, wear_in, excess, total, precision):  # type: ignore[no-untyped-def]
    """Sums what impressions tell of creatives' log responses beyond `foretold`, by campaign and segment.

    Args:
        log: ImpressionLog of an interval.
        told: [B, C, S] affinity of segments that bids stood on.
        foretold: [B, C, S] log response of what aired, before context and fatigue.
        annoyance: [B, C, L] at the interval's start.
        exposures: [B, C, L] likewise.
        impressions: real ones that a row stands for.
        wear_in: log response that a first exposure lacks.
        excess: variance of log response beyond the counts'.
        total: [B, C, S] Σ surprise / variance, written.
        precision: [B, C, S] Σ 1 / variance, written.
    """
    for n in range(log.market.shape[0]):
        b, c, i, s = log.market[n], log.campaign[n], log.listener[n], log.segment[n]
        completions, skips, dislikes = float(log.completions[n]), float(log.skips[n]), float(log.dislikes[n])
        if completions + skips + dislikes == 0.0:  # nobody was there: invalid traffic, a muted device
            continue
        own, k = annoyance[b, c, i], log.arm[n]
        known = known_log_response(log, n, annoyance)
        known += math.log(max(1e-3, log.affinity[n]) / max(1e-3, told[b, c, s]))
        known -= wear_in * math.exp(-0.5 * exposures[b, c, i])
        log_z, information = known + foretold[b, c, s], 1.0
        for _ in range(_STEPS):
            score, information = score_counts(
                log_z, k, log.visible[n], completions, skips, dislikes, float(log.clicks[n]), own, impressions
            )
            log_z += min(_LARGEST_STEP, max(-_LARGEST_STEP, score / information))
        variance = 1.0 / information + excess
        limit = 2.5 * math.sqrt(variance + _LEVEL_VARIANCE)
        surprise = min(limit, max(-limit, log_z - known - foretold[b, c, s]))
        total[b, c, s] += surprise / variance
        precision[b, c, s] += 1.0 / variance


@allocating_kernel
def _learn(x, covariance, rest, rest_covariance, arm, wear, total, precision):  # type: ignore[no-untyped-def]
    """One linear update a campaign and segment, of what aired there, less what other segments just told."""
    for m in range(arm.shape[0]):
        foretold = rest[m].copy()
        for s in range(arm.shape[1]):
            if precision[m, s] == 0.0:
                continue
            a = arm[m, s]
            f, v = _ARMS[a, 0], _ARMS[a, 1]
            h = np.zeros(X)
            h[0] = h[1 + f] = h[1 + cat.F + v] = 1.0
            h[WEAR] = -wear[m, s, f, v]
            surprise, variance = total[m, s] / precision[m, s], 1.0 / precision[m, s]
            belief = (x[m, s], covariance[m, s], rest[m, :, a], rest_covariance[m, a])
            assimilate(*belief, s, h, rest[m, s, a] - foretold[s, a], 1.0, variance, surprise)


class ImpressionBelief(KalmanBelief):
    """As its base believes, from who was shown what and how each answered; model-aware."""

    reads_counts = False

    def __init__(self, *args: Any, excess: float = EXCESS, **kwargs: Any) -> None:
        """`excess` is the variance of log response beyond an impression's counts; the rest as its base."""
        super().__init__(*args, **kwargs)
        self.excess = excess

    def start(self, flight: Flight, first: Evidence) -> None:
        """Nobody has been shown anything."""
        super().start(flight, first)
        self._shape = (flight.num_markets, flight.num_campaigns, cat.S)
        listeners = (flight.num_markets, flight.num_campaigns, flight.scenario.listeners.count)
        self.annoyance, self.exposures = np.zeros(listeners), np.zeros(listeners)
        self._kept = fading(flight.scenario.hours_per_interval)
        self._log: ImpressionLog | None = None
        self._taken: ImpressionLog | None = None

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Keeps an interval's impressions for the `update` with it; twice the same are once."""
        self._log = impressions

    def update(self, before: Evidence, now: Evidence) -> None:
        """Assimilates impressions, and what is told of conversions and of tracking.

        An interval whose impressions were not told (a message was lost) teaches nothing of creatives.
        """
        super().update(before, now)
        if self._log is None or self._log is self._taken:
            self.annoyance *= self._kept
            return
        total, precision = np.zeros(self._shape), np.zeros(self._shape)
        affinity = np.where(
            before.elapsed_fraction[:, None] > 0, before.segment_affinity, before.affinity_hint
        )
        wear = np.ascontiguousarray(before.wear)
        _read(
            self._log,
            np.ascontiguousarray(affinity).reshape(self._shape),
            self._foretold(before).reshape(self._shape),
            self.annoyance,
            self.exposures,
            float(self.scenario.impression_weight),
            self.scenario.response.wear_in,
            self.excess,
            total,
            precision,
        )
        rows = (len(before.arm), cat.S)
        belief = (self.x, self.covariance, self.rest, self.rest_covariance)
        _learn(*belief, before.arm, wear, total.reshape(rows), precision.reshape(rows))
        age_annoyance(self.annoyance, self._log, self._kept)
        shown = (self._log.market, self._log.campaign, self._log.listener)
        np.add.at(self.exposures, shown, 1.0)
        self._taken = self._log

    def _foretold(self, before: Evidence) -> Float:
        """[M, S] log response of what aired, before context and fatigue."""
        every = self.log_arm(before) + before.fatigue[..., None]
        aired: Float = np.take_along_axis(every, before.arm[..., None], -1)[..., 0]
        return aired
