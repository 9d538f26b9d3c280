"""What many scores come to: numbers that say who is better and by how much, without how sure that is.

Functions of [..., n] reduce the last axis, so that a bootstrap can hand them all its resamples at once.
Interquartile mean, optimality gap, probability of improvement and performance profile are those of
Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Aggregate = Callable[[Float], Float]
"""Scores [..., n] to one number each: [...]."""

CONFIDENCE: Final = 0.95
POWER: Final = 0.8
"""Chance of seeing a difference that is there, behind `minimal_detectable_effect`."""
THRESHOLDS: Final = np.linspace(0.0, 1.5, 61)
"""Fractions of the reference at which performance profiles are taken."""


def mean(scores: Float) -> Float:
    """Mean over the last axis."""
    found: Float = np.asarray(scores.mean(-1))
    return found


def interquartile_mean(scores: ArrayLike) -> Float:
    """Mean of the middle half of [..., n], the outer ⌊n/4⌋ cut off on each side.

    Steadier than the mean where a few markets or runs are extreme, and unlike the median it looks at half
    of them.
    """
    ordered = np.sort(np.asarray(scores, np.float64), -1)
    n = ordered.shape[-1]
    found: Float = np.asarray(ordered[..., n // 4 : n - n // 4].mean(-1))
    return found


def optimality_gap(scores: ArrayLike) -> Float:
    """How far scores [..., n] fall short of 1, on average; what exceeds 1 makes up for nothing.

    Scores are fractions of a stated reference: a bound, or the J of a team that knows the truth.
    """
    short: Float = np.asarray(np.maximum(0.0, 1.0 - np.asarray(scores, np.float64)).mean(-1))
    return short


def lift(a: Float, b: Float) -> Float:
    """The gain a / b - 1; not a number where b <= 0, for a share of nothing or of a loss has no meaning."""
    positive = b > 0.0
    return np.where(positive, a / np.where(positive, b, 1.0) - 1.0, np.nan)


def fractions_of(scores: Float, reference: Float) -> Float:
    """Scores [n] as fractions of a reference [n] or [1]; all NaN where it is not positive throughout."""
    if not (reference > 0.0).all():
        return np.full_like(scores, np.nan)
    fractions: Float = scores / reference
    return fractions


def improvements(a: ArrayLike, b: ArrayLike) -> Float:
    """[n] 1 where a beats b on the same market, ½ for a tie, 0 else."""
    left, right = _pair(a, b)
    won: Float = (left > right) + 0.5 * (left == right)
    return won


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """Share of markets on which A beats B, ties counted half: [n] and [n] in pairs."""
    return float(improvements(a, b).mean())


def probability_of_a_better_run(a: Float, b: Float) -> Float:
    """P(a run of A beats a run of B): [..., R] and [..., Q] unpaired, ties counted half (Mann & Whitney)."""
    left, right = a[..., :, None], b[..., None, :]
    found: Float = np.asarray(((left > right) + 0.5 * (left == right)).mean((-1, -2)))
    return found


def above(scores: Float, thresholds: Float) -> Float:
    """[T, n] 1 where a score [n] exceeds a threshold [T]; NaN stays NaN.

    Its mean over the last axis is the performance profile.
    """
    return np.where(np.isnan(scores), np.nan, scores > thresholds[:, None])


def cohens_d(differences: ArrayLike) -> float:
    """Mean paired difference in units of its own standard deviation over markets (Cohen 1988, d_z).

    0 where A and B do the same on average; infinite where they differ by the same amount everywhere; not a
    number on a single market.
    """
    values = np.asarray(differences, np.float64)
    average = float(values.mean())
    if average == 0.0:
        return 0.0
    if len(values) < 2:
        return math.nan
    spread = float(values.std(ddof=1))
    return average / spread if spread > 0.0 else math.copysign(math.inf, average)


def minimal_detectable_effect(
    differences: ArrayLike, *, power: float = POWER, confidence: float = CONFIDENCE
) -> float:
    """Least mean difference that n markets show with this power, in the differences' unit.

    (z_{1 - α/2} + z_power) · s / √n for paired differences [n] of standard deviation s; not a number on a
    single market.
    """
    values = np.asarray(differences, np.float64)
    if len(values) < 2:
        return math.nan
    return _reach(power, confidence) * float(values.std(ddof=1)) / math.sqrt(len(values))


def markets_needed(
    differences: ArrayLike, effect: float, *, power: float = POWER, confidence: float = CONFIDENCE
) -> int:
    """Markets that show a mean difference of `effect` with this power, from paired differences [n]."""
    if effect == 0.0:
        raise ValueError("no number of markets shows a difference of 0")
    spread = float(np.std(np.asarray(differences, np.float64), ddof=1))
    return max(2, math.ceil((_reach(power, confidence) * spread / effect) ** 2))


def _reach(power: float, confidence: float) -> float:
    normal = NormalDist()
    return normal.inv_cdf(0.5 + 0.5 * confidence) + normal.inv_cdf(power)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Float, Float]:
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if left.shape != right.shape:
        raise ValueError(f"a pair needs the same markets on both sides, got {len(left)} and {len(right)}")
    return left, right
