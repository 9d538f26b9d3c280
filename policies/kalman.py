"""A factored extended Kalman filter over the hidden log effects of a campaign's segments; model-aware.

Per campaign and segment: log affinity, format and script effects and wear-out jointly; per campaign and arm
what format and script do not explain, over segments jointly, for they have part of it in common; and a Gamma
posterior on conversions. It knows the simulator's closed forms but no mood, wear-in or clock, so it stays an
approximation.
"""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.kernel import allocating_kernel, kernel
from envs.philox import normals
from envs.scenario import Scenario
from envs.state import Float
from policies.arm_prior import ArmPrior
from policies.belief import memory_room, smooth
from policies.evidence import Evidence
from policies.policy import Flight
from policies.valuation import ATTENTIVE_SHARE, Estimate

_ARMS, _HAZARD, _CLICK, _FIT = cat.ARMS, cat.ARM_HAZARD, cat.ARM_CLICK, cat.ARM_FIT
_NEEDS_SCREEN, _VISIBLE = cat.NEEDS_SCREEN, cat.SCREEN_VISIBLE_PROBABILITY
_ARM_CONVERSION = cat.ARM_CONVERSION
MEAN_ACTIVITY_CLICK = float(cat.ACTIVITY_CLICK.mean())
X = 1 + cat.F + cat.V + 1
"""Hidden log effects of a segment: affinity, formats, scripts, wear-out."""
WEAR = X - 1


@kernel
def _predict(x, rest, arm, p, wear, fatigue, quality, attention):  # type: ignore[no-untyped-def]
    """Log response of the asset on air at a placement, and its derivative's format and script slots."""
    f, v = _ARMS[arm, 0], _ARMS[arm, 1]
    fit = _FIT[arm, p]
    log_z = x[0] + x[1 + f] + x[1 + cat.F + v] + rest[arm] - x[WEAR] * wear[f, v] - fatigue
    return log_z + math.log(fit * attention * quality), 1 + f, 1 + cat.F + v


@allocating_kernel
def assimilate(  # type: ignore[no-untyped-def]
    x, covariance, rest, rest_covariance, segment, h, mean, slope, variance, observed
):
    """One scalar extended-Kalman update with the innovation clipped at 2.5 standard deviations.

    The arm's rest [S] (what format and script do not explain) is kept uncorrelated with the factors.
    """
    ph = np.zeros(X)
    own = rest_covariance[segment].copy()
    total = own[segment]
    for i in range(X):
        for j in range(X):
            ph[i] += covariance[i, j] * h[j]
    for i in range(X):
        total += h[i] * ph[i]
    spread = slope * slope * total + variance
    limit = 2.5 * math.sqrt(spread)
    innovation = min(limit, max(-limit, observed - mean))
    for i in range(len(own)):
        rest[i] += slope * own[i] / spread * innovation
        for j in range(len(own)):
            rest_covariance[i, j] -= slope * slope * own[i] * own[j] / spread
    for i in range(X):
        x[i] += slope * ph[i] / spread * innovation
    for i in range(X):
        for j in range(X):
            covariance[i, j] -= slope * slope * ph[i] * ph[j] / spread


@allocating_kernel
def _filter(  # type: ignore[no-untyped-def]
    x,
    covariance,
    rest,
    rest_covariance,
    suspicion,
    exposure,
    arm,
    wins,
    quality,
    skips,
    clicks,
    completions,
    wear,
    fatigue,
    attention,
    weight,
    noise,
    reads_counts,
):
    """Updates x [M, S, X] and rest [M, S, K], their covariances [M, S, X, X] and [M, K, S, S], and suspicion.

    Suspicion is [M, P]. Fills exposure [M, S] with the sum of responses z over impressions. Without
    `reads_counts` nothing is learned of creatives, whose impressions somebody else reads.
    """
    rows, segments, placements = wins.shape
    for m in range(rows):
        for p in range(placements):
            expected, seen = 0.0, 0.0
            for s in range(segments):
                n, a = wins[m, s, p], arm[m, s]
                if n <= 0.0 or _FIT[a, p] <= 0.0:
                    continue
                log_z, _f, _v = _predict(
                    x[m, s], rest[m, s], a, p, wear[m, s], fatigue[m, s], quality[m, s, p], attention[m, p]
                )
                z = max(0.02, math.exp(log_z))
                done = math.exp(-_HAZARD[a] * z ** (-res.COMPLETION_ELASTICITY))
                expected += weight * n * ATTENTIVE_SHARE * done
                seen += completions[m, s, p]
            if expected > 3.0 * weight:
                ratio = math.log((seen + weight) / (expected + weight))
                suspicion[m, p] = 0.5 * suspicion[m, p] + 0.5 * ratio
            else:
                suspicion[m, p] *= 0.7
            doubtful = expected > 3.0 * weight and seen < 0.6 * expected
            for s in range(segments):
                n, a = wins[m, s, p], arm[m, s]
                if n <= 0.0 or _FIT[a, p] <= 0.0:
                    continue
                log_z, f, v = _predict(
                    x[m, s], rest[m, s], a, p, wear[m, s], fatigue[m, s], quality[m, s, p], attention[m, p]
                )
                z = max(0.02, math.exp(log_z))
                exposure[m, s] += n * z * (0.25 if doubtful else 1.0)
                if doubtful or not reads_counts:
                    continue
                h = np.zeros(X)
                h[0], h[f], h[v] = 1.0, 1.0, 1.0
                h[WEAR] = -wear[m, s, _ARMS[a, 0], _ARMS[a, 1]]
                hazard = _HAZARD[a] * z ** (-res.COMPLETION_ELASTICITY)
                done = math.exp(-hazard)
                trials = weight * n * ATTENTIVE_SHARE
                mean = trials * res.SKIP_SHARE * (1.0 - done)
                slope = -trials * res.SKIP_SHARE * done * hazard * res.COMPLETION_ELASTICITY
                variance = mean + slope * slope * (0.3 / n + noise) + mean * mean * 0.06 / n + 0.5
                assimilate(
                    x[m, s],
                    covariance[m, s],
                    rest[m, :, a],
                    rest_covariance[m, a],
                    s,
                    h,
                    mean,
                    slope,
                    variance,
                    skips[m, s, p],
                )
                visible = 1.0 if _NEEDS_SCREEN[_ARMS[a, 0]] else _VISIBLE[p]
                rate = res.CLICK_RATE * _CLICK[a] * MEAN_ACTIVITY_CLICK
                mean = trials * rate * z * (1.0 + (res.VISIBLE_CLICK_FACTOR - 1.0) * visible)
                variance = mean + mean * mean * (0.6 / n + 0.04 + noise) + 0.3
                assimilate(
                    x[m, s],
                    covariance[m, s],
                    rest[m, :, a],
                    rest_covariance[m, a],
                    s,
                    h,
                    mean,
                    mean,
                    variance,
                    clicks[m, s, p],
                )


@allocating_kernel
def _correlated(covariance, noise, out):  # type: ignore[no-untyped-def]
    """Fills out [M, S, K] with the Cholesky factors of covariance [M, K, S, S] times noise [M, S, K]."""
    rows, segments, arms = noise.shape
    root = np.zeros((segments, segments))
    for m in range(rows):
        for k in range(arms):
            for i in range(segments):
                drawn = 0.0
                for j in range(i + 1):
                    rest = covariance[m, k, i, j]
                    for n in range(j):
                        rest -= root[i, n] * root[j, n]
                    root[i, j] = math.sqrt(max(1e-12, rest)) if i == j else rest / root[j, j]
                    drawn += root[i, j] * noise[m, j, k]
                out[m, i, k] = drawn


class KalmanBelief:
    """Factored Bayesian filter over the hidden log effects; model-aware."""

    reads_counts = True
    """Whether counts by placement teach it of creatives."""
    _STREAM = 500

    def __init__(
        self,
        exploration: float = 0.5,
        model_noise: float = 0.03,
        drift: float = 0.002,
        prior_conversions: float = 20.0,
        arm_prior: ArmPrior | None = None,
    ) -> None:
        """Sets how much is explored and trusted.

        `exploration` scales the posterior's spread in `draw` (0 = always the mean); `model_noise` is the
        variance of log response that moods add to an observation, `drift` the variance that wear-in and
        the clock add to it every interval; `prior_conversions` weigh the brief;
        `arm_prior` is what past campaigns taught of arms beyond the brief, by default nothing.
        """
        self.arm_prior = arm_prior
        self.exploration, self.model_noise, self.drift = exploration, model_noise, drift
        self.prior_conversions = prior_conversions

    def start(self, flight: Flight, first: Evidence) -> None:
        """Priors of the briefs, sharpened by the hint."""
        self.scenario: Scenario = flight.scenario
        response = flight.scenario.response
        rows = len(first.budget_usd)
        own, hint = response.affinity_sd**-2, response.affinity_hint_sd**-2
        self.x = np.zeros((rows, cat.S, X))
        self.x[..., 0] = (first.brief_log_affinity * own + np.log(first.affinity_hint) * hint) / (own + hint)
        self.x[..., 1 : 1 + cat.F] = first.brief_log_format
        self.x[..., 1 + cat.F : WEAR] = first.brief_log_script
        self.x[..., WEAR] = first.brief_wear_out[:, None]
        self.prior = self.x.copy()
        self.rest = np.zeros((rows, cat.S, cat.K))
        variance, common = np.full(rows, response.interaction_sd**2), np.zeros(rows)
        if self.arm_prior is not None:
            self.rest, variance, common = self.arm_prior.expect(first)
        of_arm = np.where(np.eye(cat.S, dtype=bool), variance[:, None, None], common[:, None, None])
        self.rest_covariance = np.repeat(of_arm[:, None], cat.K, 1)  # [M, K, S, S]
        self._flight, self._tick = flight, 0
        variances = [1.0 / (own + hint), *[response.format_sd**2] * cat.F, *[response.script_sd**2] * cat.V]
        self.covariance = np.zeros((rows, cat.S, X, X))
        self.covariance[..., range(WEAR), range(WEAR)] = np.array(variances)
        self.covariance[..., WEAR, WEAR] = ((0.15 * first.brief_wear_out) ** 2)[:, None]
        self.suspicion = np.zeros((rows, cat.P))
        self.recall = np.full((rows, cat.S), 0.02)
        self.seen = np.full(rows, self.prior_conversions)
        self.foretold = np.full(rows, self.prior_conversions)
        self.pool = np.zeros((rows, len(res.DELAY_SHARE)))
        self.release = 1.0 - res.kept(flight.scenario.hours_per_interval, np.array(res.DELAY_HOURS))

    def update(self, before: Evidence, now: Evidence) -> None:
        """Assimilates skips, clicks, completions and conversions of one interval."""
        self.covariance[..., 0, 0] += self.drift
        exposure = np.zeros((len(self.seen), cat.S))
        shown = np.where(now.wins > 0, now.predicted_won / np.maximum(1.0, now.wins), 1.0)
        affinity = np.where(
            before.elapsed_fraction[:, None] > 0, before.segment_affinity, before.affinity_hint
        )
        quality = np.maximum(0.05, shown / np.maximum(1e-6, affinity)[..., None])
        weight = float(self.scenario.impression_weight)
        _filter(
            self.x,
            self.covariance,
            self.rest,
            self.rest_covariance,
            self.suspicion,
            exposure,
            before.arm,
            now.wins,
            quality,
            now.skips,
            now.clicks,
            now.completions,
            before.wear,
            before.fatigue,
            before.attention,
            weight,
            self.model_noise,
            self.reads_counts,
        )
        self.recall = smooth(self.recall, now.recall_survey, 0.5)
        opened = res.FUNNEL_BASE + res.FUNNEL_SLOPE * np.clip(self.recall, 0.0, 1.0)
        rate = res.CONVERSION_RATE * weight * ATTENTIVE_SHARE * before.brief_conversion[:, None]
        caused = (rate * _ARM_CONVERSION[before.arm] * opened * exposure).sum(1)
        self.pool += caused[:, None] * np.array(res.DELAY_SHARE)
        reported = self.pool * self.release
        self.pool -= reported
        self.foretold += reported.sum(1)
        self.seen += now.conversions.sum(1)

    def conversion(self, now: Evidence) -> Float:
        """[M] posterior mean of the conversion factor."""
        factor: Float = now.brief_conversion * self.seen / self.foretold
        return factor

    def log_asset(self) -> Float:
        """[M, S, F, V] log effect of every asset, affinity included, before wear and fatigue."""
        formats, scripts = self.x[..., 1 : 1 + cat.F], self.x[..., 1 + cat.F : WEAR]
        effect: Float = self.x[..., 0][..., None, None] + formats[..., None] + scripts[..., None, :]
        return effect

    def log_arm(self, now: Evidence) -> Float:
        """[M, S, K] log response of every arm, after wear and fatigue."""
        log_z = (
            self.log_asset() - self.x[..., WEAR][..., None, None] * now.wear - now.fatigue[..., None, None]
        )
        log_response: Float = log_z[..., _ARMS[:, 0], _ARMS[:, 1]] + self.rest
        return log_response

    def draw(self, now: Evidence) -> Float:
        """Factors from their joint posterior, an arm's rests over segments from theirs."""
        if self.exploration <= 0.0:
            mean: Float = np.exp(self.log_arm(now))
            return mean
        self._tick += 1
        shape = (self._flight.num_campaigns, cat.S, X + cat.K)
        noise = self.exploration * normals(self._flight.seeds, self._STREAM + self._tick, shape)
        noise = noise.reshape(len(self.x), cat.S, X + cat.K)
        root = np.linalg.cholesky(self.covariance + 1e-9 * np.eye(X))
        factors = (root * noise[..., None, :X]).sum(-1)
        formats, scripts = factors[..., 1 : 1 + cat.F], factors[..., 1 + cat.F : WEAR]
        shift = formats[..., _ARMS[:, 0]] + scripts[..., _ARMS[:, 1]]
        rest = np.empty(self.rest.shape)
        _correlated(self.rest_covariance, noise[..., X:], rest)
        drawn: Float = np.exp(self.log_arm(now) + shift + rest)
        return drawn

    def estimate(self, now: Evidence) -> Estimate:
        """Responses at the posterior mean."""
        return Estimate(
            response=np.exp(self.log_arm(now)),
            conversion=self.conversion(now),
            recall=now.brief_recall,
            recall_decay=now.brief_recall_decay,
            funnel=np.clip(self.recall, 0.0, 1.0),
            memory_room=memory_room(now, self.recall),
            fatigue=now.fatigue,
            affinity=np.exp(self.x[..., 0]),
        )
