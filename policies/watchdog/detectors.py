"""Sequential detectors of a change in a stream of counts, each at any number of places at once.

A detector is told, interval by interval, how many were observed and how many were expected, and gives a
statistic: natural log of a likelihood ratio, or standard deviations for `Ewma`. It alarms where that exceeds
a threshold. Looking after every interval is what they are made for. Counts may be overdispersed: `dispersion`
is their variance / mean, by which evidence is divided (quasi-likelihood, Wedderburn 1974).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import gammaln

from envs.state import Bool, Float


class Detector(Protocol):
    """What watches one stream a place."""

    def start(self, shape: tuple[int, ...]) -> None:
        """Forgets everything; places are counted by `shape`."""

    def update(self, observed: Float, expected: Float) -> Float:
        """Takes one interval's counts in and gives the statistic [*shape], 0 where nothing speaks for it.

        Args:
            observed: [*shape] what was counted.
            expected: [*shape] what would be counted if nothing were wrong; where it is 0, nothing is known.
        """

    def restart(self, where: Bool) -> None:
        """Forgets what was seen at some places [*shape]."""


class Ewma:
    """Exponentially weighted mean of standardised residuals (Roberts 1959), for means that drift or jump.

    Residual = (observed − expected) / √(dispersion · expected); the statistic is the weighted mean over its
    own standard deviation, exact from the first interval on.
    """

    def __init__(self, memory: float = 0.5, *, dispersion: float = 1.0, rises: bool = True) -> None:
        """`memory` is the weight of the past; alarms tell of a rise or of a fall."""
        self.memory, self.dispersion, self.sign = memory, dispersion, 1.0 if rises else -1.0

    def start(self, shape: tuple[int, ...]) -> None:
        """Forgets everything."""
        self._mean, self._variance = np.zeros(shape), np.zeros(shape)

    def update(self, observed: Float, expected: Float) -> Float:
        """Standard deviations by which the weighted mean lies off."""
        known = expected > 0.0
        sd = np.sqrt(self.dispersion * np.where(known, expected, 1.0))
        keep, new = np.where(known, self.memory, 1.0), np.where(known, 1.0 - self.memory, 0.0)
        self._mean = keep * self._mean + new * (observed - expected) / sd
        self._variance = keep**2 * self._variance + new**2
        deviation = self.sign * self._mean / np.sqrt(np.where(self._variance > 0.0, self._variance, 1.0))
        return np.maximum(0.0, deviation)

    def restart(self, where: Bool) -> None:
        """Forgets some places."""
        self._mean[where], self._variance[where] = 0.0, 0.0


class Cusum:
    """Cumulated log-likelihood ratio of counts `ratio` times as many as expected (Page 1954).

    S ← max(0, S + l(n) / dispersion), the quickest of all detectors of a jump to that ratio at a given rate
    of false alarms (Lorden 1971, Moustakides 1986). Poisson counts: l = n ln ρ − (ρ − 1) μ. Where the mean
    itself varies from interval to interval, as Gamma(k, k) times μ, counts are negative binomial and

        l = n ln(ρ (k + μ) / (k + ρ μ)) − k ln((k + ρ μ) / (k + μ)):

    a single wild interval then tells little, and many in a row tell all.
    """

    def __init__(
        self, ratio: float, *, dispersion: float = 1.0, shape: float = np.inf, most: float = np.inf
    ) -> None:
        """A ratio above 1 watches for a rise, one below 1 for a fall.

        Args:
            ratio: ρ.
            dispersion: variance / mean beyond what the model says.
            shape: k; infinite for Poisson counts.
            most: an interval's evidence is cut here: so much may one interval say, and no more.
        """
        if ratio <= 0.0 or ratio == 1.0:
            raise ValueError(f"ratio must be above 0 and not 1, got {ratio}")
        self.ratio, self.dispersion, self.gamma, self.most = ratio, dispersion, shape, most

    def start(self, shape: tuple[int, ...]) -> None:
        """Forgets everything."""
        self._sum = np.zeros(shape)

    def evidence(self, observed: Float, expected: Float) -> Float:
        """Log-likelihood ratio of one interval's counts."""
        k, rho = self.gamma, self.ratio
        if np.isinf(k):
            log: Float = observed * np.log(rho) - (rho - 1.0) * expected
        else:
            less = (k + expected) / (k + rho * expected)
            log = observed * np.log(rho * less) + k * np.log(less)
        return np.minimum(self.most, log / self.dispersion)

    def update(self, observed: Float, expected: Float) -> Float:
        """The log-likelihood ratio since the likeliest moment of a change."""
        known = expected > 0.0
        self._sum = np.maximum(0.0, self._sum + np.where(known, self.evidence(observed, expected), 0.0))
        return self._sum.copy()

    def restart(self, where: Bool) -> None:
        """Forgets some places."""
        self._sum[where] = 0.0


class GeneralisedLikelihoodRatio:
    """The most that any ratio beyond `least` gains over any stretch up to now (Lorden 1971, Lai 1995).

    For Poisson counts over the last k ≤ `window` intervals: n ln ρ̂ − (ρ̂ − 1) μ, ρ̂ = n / μ, cut to the side
    and size of change that matters; the largest over k.
    """

    def __init__(self, least: float, *, window: int = 8, dispersion: float = 1.0) -> None:
        """`least` is the smallest ratio (above 1) or the largest (below 1) worth an alarm."""
        if least <= 0.0 or least == 1.0:
            raise ValueError(f"least must be above 0 and not 1, got {least}")
        self.least, self.window, self.dispersion = least, window, dispersion

    def start(self, shape: tuple[int, ...]) -> None:
        """Forgets everything."""
        self._observed = np.zeros((self.window, *shape))
        self._expected = np.zeros((self.window, *shape))

    def update(self, observed: Float, expected: Float) -> Float:
        """The log-likelihood ratio of the likeliest change."""
        for past, newest in ((self._observed, observed), (self._expected, expected)):
            past[1:] = past[:-1].copy()
            past[0] = np.where(expected > 0.0, newest, 0.0)
        n, mu = self._observed.cumsum(0), self._expected.cumsum(0)
        ratio = n / np.maximum(mu, 1e-9)
        ratio = np.maximum(ratio, self.least) if self.least > 1.0 else np.minimum(ratio, self.least)
        gain = n * np.log(np.maximum(ratio, 1e-9)) - (ratio - 1.0) * mu
        best: Float = np.maximum(0.0, gain.max(0)) / self.dispersion
        return best

    def restart(self, where: Bool) -> None:
        """Forgets some places."""
        self._observed[:, where], self._expected[:, where] = 0.0, 0.0


class ConfidenceSequence:
    """Whether a time-uniform confidence sequence of a Poisson rate has left what was expected.

    The ratio ρ of observed to expected has the mixture Gamma(a, a) with mean 1; the likelihood ratio of that
    mixture against ρ = 1,

        M = aᵃ Γ(a + n) / (Γ(a) (a + μ)^(a + n)) · e^μ,

    is a martingale while nothing is wrong, so that P(M ever ≥ 1 / α) ≤ α however often one looks (Ville 1939;
    Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
    sequences", Annals of Statistics 2021). The statistic is ln M on the side that is watched: where it
    exceeds ln(1 / α), the sequence of level 1 − α excludes ratio 1. It sums up all that was seen since its
    start, which suits slow breaches and low counts.
    """

    def __init__(self, shape: float = 2.0, *, dispersion: float = 1.0, rises: bool = True) -> None:
        """`shape` is a of the mixture: the larger, the smaller the changes it is made for."""
        self.shape, self.dispersion, self.rises = shape, dispersion, rises

    def start(self, shape: tuple[int, ...]) -> None:
        """Forgets everything."""
        self._observed, self._expected = np.zeros(shape), np.zeros(shape)

    def update(self, observed: Float, expected: Float) -> Float:
        """Log of the martingale, 0 on the side that is not watched."""
        known = expected > 0.0
        self._observed += np.where(known, observed, 0.0)
        self._expected += np.where(known, expected, 0.0)
        n, mu = self._observed / self.dispersion, self._expected / self.dispersion
        a = self.shape
        log = a * np.log(a) + gammaln(a + n) - gammaln(a) - (a + n) * np.log(a + mu) + mu
        watched = n > mu if self.rises else n < mu
        return np.where(watched, np.maximum(0.0, log), 0.0)

    def restart(self, where: Bool) -> None:
        """Forgets some places."""
        self._observed[where], self._expected[where] = 0.0, 0.0
