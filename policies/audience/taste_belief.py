"""What campaigns' impressions tell of the tastes they meet: a Gaussian belief, by extended Kalman steps.

Log response of listener i to campaign c in segment s with creative k:

    log z = n[c, s, k] + x_i · w_c + log(quality · fit · attention) − fatigue

x_i is the listener's embedding, w_c the campaign's taste, n what segment and creative do: a nuisance of its
own for every (c, s, k), so that a good creative is not taken for a liking. Skips, dislikes and clicks of
an impression give a score and an information on log z at the current belief, hence one observation of known
variance (the step of iteratively reweighted least squares); moods and what no embedding holds add to it. The
nuisances are integrated out exactly: sums of each (c, s, k) suffice.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs.kernel import allocating_kernel, kernel
from envs.state import Float
from policies.audience.cholesky import solve_in_place
from policies.audience.taste_embedding import FACTORS
from policies.impression_likelihood import known_log_response, score_counts

_LARGEST_STEP = 2.0


class TasteBelief(NamedTuple):
    """The belief about campaigns' tastes in B markets; every array changes in place."""

    taste: Float  # [B, C, D] posterior mean of w
    covariance: Float  # [B, C, D, D]
    precision: Float  # [B, C, D, D] Σ x·xᵀ / variance over impressions
    evidence: Float  # [B, C, D] Σ x·y / variance, y less the nuisance's prior mean
    weight: Float  # [B, C, S, K] Σ 1 / variance
    total: Float  # [B, C, S, K] Σ y / variance
    direction: Float  # [B, C, S, K, D] Σ x / variance
    level: Float  # [B, C, S] prior mean of nuisances
    annoyance: Float  # [B, C, L] of listeners, from the impressions that were won


class Noise(NamedTuple):
    """Variances of log response."""

    taste: float  # of x · w over listeners, a priori
    nuisance: float  # of a creative in a segment around the prior mean
    excess: float  # of one impression beyond its counts: moods, what no embedding holds


def new_belief(campaigns: int, listeners: int, level: Float, noise: Noise) -> TasteBelief:
    """Before the flight: no taste known; level [B, C, S] is the log affinity that was hinted at."""
    b, d = len(level), FACTORS
    group = (b, campaigns, cat.S, cat.K)
    return TasteBelief(
        taste=np.zeros((b, campaigns, d)),
        covariance=np.tile(noise.taste / d * np.eye(d), (b, campaigns, 1, 1)),
        precision=np.zeros((b, campaigns, d, d)),
        evidence=np.zeros((b, campaigns, d)),
        weight=np.zeros(group),
        total=np.zeros(group),
        direction=np.zeros((*group, d)),
        level=level.copy(),
        annoyance=np.zeros((b, campaigns, listeners)),
    )


@kernel
def learn_impressions(belief, x, log, impressions, nuisance, excess):  # type: ignore[no-untyped-def]
    """Adds an interval's impressions to the sums of the belief.

    Args:
        belief: TasteBelief, changed.
        x: [B, L, D] embeddings.
        log: ImpressionLog.
        impressions: real ones that a row stands for.
        nuisance: Noise.nuisance.
        excess: Noise.excess.
    """
    size = x.shape[2]
    for n in range(log.market.shape[0]):
        b, c, i = log.market[n], log.campaign[n], log.listener[n]
        s, _p, k = log.segment[n], log.placement[n], log.arm[n]
        completions, skips, dislikes = float(log.completions[n]), float(log.skips[n]), float(log.dislikes[n])
        if completions + skips + dislikes == 0.0:  # nobody was there: invalid traffic, a muted device
            continue
        own, known = belief.annoyance[b, c, i], known_log_response(log, n, belief.annoyance)
        liked, along = 0.0, 0.0
        for d in range(size):
            liked += x[b, i, d] * belief.taste[b, c, d]
            along += belief.direction[b, c, s, k, d] * belief.taste[b, c, d]
        trust = belief.weight[b, c, s, k] + 1.0 / nuisance
        aired = (belief.total[b, c, s, k] - along) / trust
        log_z = known + belief.level[b, c, s] + aired + liked
        score, information = score_counts(
            log_z, k, log.visible[n], completions, skips, dislikes, float(log.clicks[n]), own, impressions
        )
        step = min(_LARGEST_STEP, max(-_LARGEST_STEP, score / information))
        y = aired + liked + step
        precision = 1.0 / (1.0 / information + excess)
        belief.weight[b, c, s, k] += precision
        belief.total[b, c, s, k] += precision * y
        for d in range(size):
            px = precision * x[b, i, d]
            belief.direction[b, c, s, k, d] += px
            belief.evidence[b, c, d] += px * y
            for j in range(size):
                belief.precision[b, c, d, j] += px * x[b, i, j]


@allocating_kernel
def conclude(belief, prior_precision, nuisance):  # type: ignore[no-untyped-def]
    """Posterior mean and covariance of every campaign's taste, the nuisances integrated out."""
    markets, campaigns, size = belief.taste.shape
    a, left, column = np.empty((size, size)), np.empty((size, size)), np.empty(size)
    for b in range(markets):
        for c in range(campaigns):
            left[:] = belief.precision[b, c]
            column[:] = belief.evidence[b, c]
            for d in range(size):
                left[d, d] += prior_precision
            for s in range(belief.weight.shape[2]):
                for k in range(belief.weight.shape[3]):
                    if belief.weight[b, c, s, k] == 0.0:
                        continue
                    trust = belief.weight[b, c, s, k] + 1.0 / nuisance
                    y, along = belief.total[b, c, s, k], belief.direction[b, c, s, k]
                    for d in range(size):
                        share = along[d] / trust
                        column[d] -= share * y
                        for j in range(size):
                            left[d, j] -= share * along[j]
            a[:] = left
            solve_in_place(a, column)
            belief.taste[b, c] = column
            for d in range(size):
                a[:] = left
                column[:] = 0.0
                column[d] = 1.0
                solve_in_place(a, column)
                belief.covariance[b, c, d] = column


@allocating_kernel
def listener_table(belief, x, known, segment, value, table):  # type: ignore[no-untyped-def]
    """Fills table [B, C, L]: expected affinities, whose mean in a segment is the segment's value.

    Who is not known has the segment's value; the others share theirs in proportion to the expectation of
    exp(x · w), the log-normal mean.

    Args:
        belief: TasteBelief.
        x: [B, L, D] embeddings.
        known: [B, L] whether a listener has a history.
        segment: [B, L].
        value: [B, ≥ C, S] affinity of segments.
        table: written.
    """
    markets, campaigns, listeners = table.shape
    segments, size = value.shape[2], x.shape[2]
    total, count = np.empty(segments), np.empty(segments)
    for b in range(markets):
        for c in range(campaigns):
            total[:] = 0.0
            count[:] = 0.0
            for i in range(listeners):
                table[b, c, i] = 1.0
                if not known[b, i]:
                    continue
                mean, spread = 0.0, 0.0
                for d in range(size):
                    mean += x[b, i, d] * belief.taste[b, c, d]
                    along = 0.0
                    for j in range(size):
                        along += belief.covariance[b, c, d, j] * x[b, i, j]
                    spread += along * x[b, i, d]
                table[b, c, i] = math.exp(min(3.0, max(-3.0, mean + 0.5 * spread)))
                total[segment[b, i]] += table[b, c, i]
                count[segment[b, i]] += 1.0
            for i in range(listeners):
                s = segment[b, i]
                usual = total[s] / count[s] if known[b, i] else 1.0
                table[b, c, i] *= value[b, c, s] / usual
