"""Survival attribution: an additive hazard of conversion, to which each touch adds an effect that decays.

Sources: Zhang, Wei & Ren, "Multi-touch attribution in online advertising with survival theory", ICDM 2014
(the additive hazard, credit by shares of it); Xu, Duan & Whinston, "Path to purchase", Management Science 60
(2014) (a hazard of one's own beside the touches'); Boyd & Vandenberghe, "Convex Optimization" (2004), ch. 9.6
(the fit).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.response import DELAY_HOURS
from policies.attribution.journeys import Credit, Journeys
from policies.attribution.windows import DEFAULT_WINDOWS, Windows

_ITERATIONS: Final = 500
_PRIOR_CONVERSIONS: Final = 0.5


@dataclass(frozen=True)
class Survival:
    """Fits an additive hazard, and shares each conversion out by the touches' shares of it at its hour.

    λ(t) = μ + Σ touches before t (α + β Σ decays d of π exp(−age / d) / d), with α and β of the touch's cell.
    β is the effect of being shown: it fades, and ends with the window. α is for good, and of the opportunity,
    whether shown or held out: it stands for who is reached, so that neither a cell aimed at people who would
    buy anyway nor a log of those alone who were touched earns by it. What β does not explain is baseline.

    The decays are given; their weights π, common to all cells, are fitted first, with one β for all, then μ,
    α and β: both likelihoods are concave, as those of Zhang et al., with a decay of each cell's own, are not.
    Each coefficient has a gamma prior worth half a conversion at the average rate. The deviation is the
    infinitesimal jackknife over journeys through the second fit.
    """

    name: str = "survival"
    windows: Windows = DEFAULT_WINDOWS
    decay_hours: tuple[float, ...] = DELAY_HOURS
    horizon_hours: float | None = None
    """Until when journeys are watched; None is the latest hour in them."""

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """As every `AttributionModel`."""
        journeys.check_cells(cells)
        converted = journeys.converted
        if not converted.any():
            return Credit(np.zeros(cells), np.zeros(cells))
        exposure, rate = self._terms(journeys, cells)
        pooled, _ = _fit(exposure.of_one_effect().sum(axis=0), rate.of_one_effect())
        share = pooled[: len(self.decay_hours)] / pooled[: len(self.decay_hours)].sum()
        exposed, hazard = exposure.of_effects(share), rate.of_effects(share)  # [J, D] and [V, D]
        coefficient, curvature = _fit(exposed.sum(axis=0), hazard)

        of_hazard = hazard / (hazard @ coefficient)[:, None]
        given = of_hazard[:, :cells] * coefficient[:cells]  # [V, C]
        gradient = -given.T @ of_hazard
        gradient[:, :cells] += np.diag(of_hazard[:, :cells].sum(axis=0))
        response = np.linalg.solve(curvature, gradient.T)  # of the credit to each journey's score
        influence = -exposed @ response
        influence[converted] += given + of_hazard @ response
        return Credit(given.sum(axis=0), np.sqrt((influence**2).sum(axis=0)))

    def _terms(self, journeys: Journeys, cells: int) -> tuple[_Terms, _Terms]:
        """Terms' integrals until the end of each journey, and their rates at each conversion."""
        converted, count = journeys.converted, len(journeys.conversion_hour)
        latest = np.nanmax(np.concatenate([journeys.hour, journeys.conversion_hour]))
        horizon = max(float(latest), 1.0) if self.horizon_hours is None else self.horizon_hours
        end = np.where(converted, journeys.conversion_hour, horizon)
        age = end[journeys.journey] - journeys.hour
        window = self.windows.of(journeys)
        before = age >= 0.0
        age = np.maximum(age, 0.0)
        shown = before & ~journeys.held_out
        acting = shown & (age <= window)
        address = journeys.journey * cells + journeys.cell

        def by_cell(amount: NDArray[np.float64], of: NDArray[np.bool_]) -> NDArray[np.float64]:
            summed = np.bincount(address[of], amount[of], count * cells).astype(np.float64)
            return summed.reshape(count, cells)

        within = np.minimum(age, window)
        exposure = _Terms(
            np.array([by_cell(-np.expm1(-within / decay), shown) for decay in self.decay_hours]),
            np.column_stack([by_cell(age, before), end]) / horizon,
        )
        rate = _Terms(
            np.array([by_cell(np.exp(-age / decay) / decay, acting) for decay in self.decay_hours]),
            np.column_stack([by_cell(np.ones(len(age)), before), np.ones(count)]) / horizon,
        )
        return exposure, _Terms(rate.shown[:, converted], rate.reached[converted])


class _Terms(NamedTuple):
    """What the hazard is linear in, for N journeys."""

    shown: NDArray[np.float64]
    """[K, N, C] touches shown, by decay."""
    reached: NDArray[np.float64]
    """[N, C + 1] opportunities, and the baseline."""

    def of_one_effect(self) -> NDArray[np.float64]:
        """[N, K + C + 1] with one effect, by decay, for all cells."""
        return np.hstack([self.shown.sum(axis=2).T, self.reached])

    def of_effects(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 2 C + 1] with an effect for each cell, which decays as by the shares [K]."""
        return np.hstack([np.tensordot(share, self.shown, axes=1), self.reached])


def _fit(
    exposure: NDArray[np.float64], rate: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Newton's method inside θ > 0: coefficients [D] > 0, and the curvature [D, D] of the likelihood there.

    Minimises exposure·θ − Σ conversions log(rate·θ) − p Σ (log θ − θ / prior), with p conversions the prior's
    weight. Over p ≤ 1 it is self-concordant, so that a step shortened to 1 / (1 + its length in the
    curvature / √p) stays inside and goes down; a longer one is taken where it does so, too. The curvature
    that is returned holds the prior's at its own mean: at θ near 0 it would claim that the data cannot have
    missed an effect.

    Args:
        exposure: [D] of all journeys.
        rate: [V, D] at each conversion.
    """
    unit = len(rate) / max(exposure.sum(), 1e-9)
    rate, cost = rate * unit, exposure * unit + _PRIOR_CONVERSIONS  # of coefficients in units of the prior's

    def loss(at: NDArray[np.float64]) -> float:
        return float(cost @ at - np.log(rate @ at).sum() - _PRIOR_CONVERSIONS * np.log(at).sum())

    share = np.ones(len(cost))
    for _ in range(_ITERATIONS):
        ratio = rate / (rate @ share)[:, None]
        gradient = cost - ratio.sum(axis=0) - _PRIOR_CONVERSIONS / share
        curvature = ratio.T @ ratio + np.diag(_PRIOR_CONVERSIONS / share**2)
        step = np.linalg.solve(curvature, gradient)
        length = np.sqrt(gradient @ step / _PRIOR_CONVERSIONS)
        if length < 1e-6:
            break
        size, sure = (
            min(1.0, 0.95 / np.max(step / share)) if (step > 0.0).any() else 1.0,
            1.0 / (1.0 + length),
        )
        goal = loss(share)
        while (
            length > 0.25 and size > sure and loss(share - size * step) > goal - 0.1 * size * gradient @ step
        ):
            size = max(size / 2.0, sure)
        share = share - size * step
    ratio = rate / (rate @ share)[:, None]
    return share * unit, (ratio.T @ ratio + _PRIOR_CONVERSIONS * np.eye(len(cost))) / unit**2
