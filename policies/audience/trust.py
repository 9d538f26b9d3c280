"""How far an embedding of so many plays is to be believed: empirical Bayes, without any true taste.

Tastes last, likings do not: what a year's embedding x foretells of the same listener's embedding another
year is taste. So the slope of the other year on this one, by plays, is the expected taste up to a constant;
that constant follows from how two years' expectations agree. Where tastes have variance 1, an expectation's
own variance is the share R of it that it explains, and the covariance of two independent years' is R·R'. What
is left of 1 is the variance of a listener's taste around the expectation.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from envs.kernel import inlined
from envs.state import Float

KNOTS: Final = 15
"""At 2^k − 1 plays, k from 0; lines in the log of plays between, the last one beyond."""
NO_DOUBT: Final = np.tile([1.0, 0.0], (KNOTS, 1))
"""[KNOTS, 2] slopes and variances left of embeddings that are taken as they are."""
SMOOTH: Final = 30.0
"""Listeners' worth of belief that neighbouring knots are alike."""
_LEAST_VARIANCE: Final = 0.01
_LOG_2: Final = float(np.log(2.0))


@inlined
def trusted(trust, log_plays):  # type: ignore[no-untyped-def]
    """The slope of trust [KNOTS, 2] at a log of 1 + plays."""
    at = min(KNOTS - 1.0, log_plays / _LOG_2)
    k = min(KNOTS - 2, int(at))
    return trust[k, 0] + (at - k) * (trust[k + 1, 0] - trust[k, 0])


def doubt_of(trust: Float, plays: NDArray[np.int64]) -> Float:
    """Variance of tastes around embeddings of so many plays; 1 of who played nothing."""
    left: Float = np.interp(np.log1p(plays) / _LOG_2, np.arange(KNOTS), trust[:, 1])
    return left


def fit_trust(
    x: Float, plays: NDArray[np.int64], other: Float, other_plays: NDArray[np.int64] | None = None
) -> Float:
    """Trust [KNOTS, 2] in embeddings x [n, D] of listeners with so many plays [n], by another year's.

    Args:
        x: embeddings to be trusted.
        plays: of the year that they are of.
        other: [n, D] of the same listeners' other year: expected tastes, or embeddings that are no more
            trusted than x.
        other_plays: [n] of the other year, for such embeddings.
    """
    hats, size = _hats(plays), x.shape[1]
    steps = np.diff(np.eye(KNOTS), axis=0)
    alike = SMOOTH * size * steps.T @ steps

    def smoothed(weight: Float, target: Float) -> Float:
        found: Float = np.linalg.solve(hats.T @ (weight[:, None] * hats) + alike, hats.T @ target)
        return found

    slope = smoothed((x * x).sum(1), (x * other).sum(1))
    expected = (hats @ slope)[:, None] * x
    again = other if other_plays is None else (_hats(other_plays) @ slope)[:, None] * other
    unit = float((expected**2).mean() * (again**2).mean()) / max(1e-12, float((expected * again).mean()))
    if other_plays is not None:  # it is the product of both years' units, which are one
        unit = unit**0.5
    explained = smoothed(np.full(len(x), float(size)), (expected**2).sum(1) / unit**2)
    left = np.clip(1.0 - explained, _LEAST_VARIANCE, 1.0)
    left[0] = 1.0
    return np.stack([slope / unit, left], 1)


def _hats(plays: NDArray[np.int64]) -> Float:
    """[n, KNOTS] weights of the knots around each number of plays."""
    at = np.minimum(KNOTS - 1.0, np.log1p(plays) / _LOG_2)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(KNOTS)))
