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
from envs.kernel import allocating_kernel, inlined, kernel
from envs.state import Float
from policies.audience.cholesky import decompose, substitute
from policies.audience.taste_embedding import FACTORS
from policies.impression_likelihood import known_log_response, score_counts

_LARGEST_STEP = 2.0
_LIKELIEST = 0.998


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


@inlined
def _expected(belief, x, b, c, i, s, k, nuisance):  # type: ignore[no-untyped-def]
    """What creative and segment are believed to do, and what the listener's taste."""
    liked, along = 0.0, 0.0
    for d in range(x.shape[2]):
        liked += x[b, i, d] * belief.taste[b, c, d]
        along += belief.direction[b, c, s, k, d] * belief.taste[b, c, d]
    trust = belief.weight[b, c, s, k] + 1.0 / nuisance
    return (belief.total[b, c, s, k] - along) / trust, liked


@inlined
def _add(belief, x, b, c, i, s, k, y, precision):  # type: ignore[no-untyped-def]
    """Adds an observation y of both together."""
    size = x.shape[2]
    belief.weight[b, c, s, k] += precision
    belief.total[b, c, s, k] += precision * y
    for d in range(size):
        px = precision * x[b, i, d]
        belief.direction[b, c, s, k, d] += px
        belief.evidence[b, c, d] += px * y
        for j in range(size):
            belief.precision[b, c, d, j] += px * x[b, i, j]


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
    for n in range(log.market.shape[0]):
        b, c, i = log.market[n], log.campaign[n], log.listener[n]
        s, k = log.segment[n], log.arm[n]
        completions, skips, dislikes = float(log.completions[n]), float(log.skips[n]), float(log.dislikes[n])
        if completions + skips + dislikes == 0.0:  # nobody was there: invalid traffic, a muted device
            continue
        own, known = belief.annoyance[b, c, i], known_log_response(log, n, belief.annoyance)
        aired, liked = _expected(belief, x, b, c, i, s, k, nuisance)
        log_z = known + belief.level[b, c, s] + aired + liked
        score, information = score_counts(
            log_z, k, log.visible[n], completions, skips, dislikes, float(log.clicks[n]), own, impressions
        )
        step = min(_LARGEST_STEP, max(-_LARGEST_STEP, score / information))
        _add(belief, x, b, c, i, s, k, aired + liked + step, 1.0 / (1.0 / information + excess))


@kernel
def learn_completions(belief, x, log, impressions, nuisance, excess, steepness):  # type: ignore[no-untyped-def]
    """The same by a logistic regression of completions: no curve of the market's is read.

    `steepness` is how far the log odds of hearing an ad out move with log response; the rest as above.
    """
    for n in range(log.market.shape[0]):
        completions = float(log.completions[n])
        if completions == 0.0:  # tracking is out, or nobody was there
            continue
        b, c, i = log.market[n], log.campaign[n], log.listener[n]
        s, k = log.segment[n], log.arm[n]
        aired, liked = _expected(belief, x, b, c, i, s, k, nuisance)
        p = 1.0 / (1.0 + math.exp(-steepness * (belief.level[b, c, s] + aired + liked)))
        p = min(_LIKELIEST, max(1.0 - _LIKELIEST, p))
        information = impressions * p * (1.0 - p) * steepness * steepness
        step = (completions - impressions * p) * steepness / information
        step = min(_LARGEST_STEP, max(-_LARGEST_STEP, step))
        _add(belief, x, b, c, i, s, k, aired + liked + step, 1.0 / (1.0 / information + excess))


@allocating_kernel
def conclude(belief, prior_precision, nuisance):  # type: ignore[no-untyped-def]
    """Posterior mean and covariance of every campaign's taste, the nuisances integrated out."""
    markets, campaigns, size = belief.taste.shape
    a, column = np.empty((size, size)), np.empty(size)
    for b in range(markets):
        for c in range(campaigns):
            a[:] = belief.precision[b, c]
            column[:] = belief.evidence[b, c]
            for d in range(size):
                a[d, d] += prior_precision
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
                            a[d, j] -= share * along[j]
            decompose(a)
            substitute(a, column)
            belief.taste[b, c] = column
            for d in range(size):
                column[:] = 0.0
                column[d] = 1.0
                substitute(a, column)
                belief.covariance[b, c, d] = column


@inlined
def _exp(x):  # type: ignore[no-untyped-def]
    """e^x of |x| ≤ 3 within 1e-9, by Taylor at x / 16: a call of the library's would not vectorise."""
    y = x / 16.0
    rest = 1.0 / 24.0 + y * (1.0 / 120.0 + y * (1.0 / 720.0 + y / 5040.0))
    p = 1.0 + y * (1.0 + y * (0.5 + y * (1.0 / 6.0 + y * rest)))
    p = p * p
    p = p * p
    p = p * p
    return p * p


@allocating_kernel
def listener_table(belief, x, doubt, segment, value, table):  # type: ignore[no-untyped-def]
    """Fills table [B, C, L]: expected affinities, whose mean in a segment is the segment's value.

    Listeners share it in proportion to the expectation of exp(t · w), the log-normal mean over tastes t
    around the listener's embedding and w around the campaign's belief.

    Args:
        belief: TasteBelief.
        x: [B, D, L] embeddings, a listener a column.
        doubt: [B, L] variance of each listener's taste around the embedding.
        segment: [B, L].
        value: [B, ≥ C, S] affinity of segments.
        table: written.
    """
    markets, campaigns, listeners = table.shape
    segments = value.shape[2]
    total, count = np.empty(segments), np.empty(segments)
    for b in range(markets):
        count[:] = 0.0
        for i in range(listeners):
            count[segment[b, i]] += 1.0
        for c in range(campaigns):
            w, covariance, row = belief.taste[b, c], belief.covariance[b, c], table[b, c]
            strength = 0.0
            for d in range(FACTORS):
                strength += w[d] * w[d] + covariance[d, d]
            for i in range(listeners):
                row[i] = 0.5 * strength * doubt[b, i]
            for d in range(FACTORS):
                of, along = w[d], x[b, d]
                for i in range(listeners):
                    row[i] += of * along[i]
                for j in range(d + 1):
                    both, across = (0.5 if j == d else 1.0) * covariance[d, j], x[b, j]
                    for i in range(listeners):
                        row[i] += both * along[i] * across[i]
            total[:] = 0.0
            for i in range(listeners):
                row[i] = _exp(min(3.0, max(-3.0, row[i])))
            for i in range(listeners):
                total[segment[b, i]] += row[i]
            for s in range(segments):
                total[s] = value[b, c, s] * count[s] / max(1e-9, total[s])
            for i in range(listeners):
                row[i] *= total[segment[b, i]]
