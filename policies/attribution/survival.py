"""Survival attribution: an additive hazard of conversion, to which each touch adds an effect that decays.

Sources: Zhang, Wei & Ren, "Multi-touch attribution in online advertising with survival theory", ICDM 2014
(the additive hazard, credit by shares of it); Xu, Duan & Whinston, "Path to purchase", Management Science 60
(2014) (a hazard of one's own beside the touches'); Boyd & Vandenberghe, "Convex Optimization" (2004), ch. 9.6
(the fit).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
        exposure, hazard = self._terms(journeys, cells)  # [K + 2, J, C] and [K + 2, V, C]
        reach_exposure, reach = _joined(exposure[-2:]), _joined(hazard[-2:])
        pooled, _ = _fit(
            np.hstack([exposure[:-2].sum(axis=2).T, reach_exposure]).sum(axis=0),
            np.hstack([hazard[:-2].sum(axis=2).T, reach]),
        )
        weight = pooled[: len(self.decay_hours)] / pooled[: len(self.decay_hours)].sum()
        shown_exposure = np.tensordot(weight, exposure[:-2], axes=1)
        each_exposure = np.hstack([shown_exposure, reach_exposure])
        each = np.hstack([np.tensordot(weight, hazard[:-2], axes=1), reach])
        coefficient, curvature = _fit(each_exposure.sum(axis=0), each)

        of_hazard = each / (each @ coefficient)[:, None]
        given = of_hazard[:, :cells] * coefficient[:cells]  # [V, C]
        credit = given.sum(axis=0)
        gradient = -given.T @ of_hazard
        gradient[:, :cells] += np.diag(of_hazard[:, :cells].sum(axis=0))
        response = np.linalg.solve(curvature, gradient.T)  # of the credit to each journey's score
        influence = -each_exposure @ response
        influence[converted] += given + of_hazard @ response
        return Credit(credit, np.sqrt((influence**2).sum(axis=0)))

    def _terms(self, journeys: Journeys, cells: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Exposure [K + 2, J, C] until the end, and its rate [K + 2, V, C] at the V conversions.

        Of the K decays of touches shown, then of all opportunities; the last is the baseline's, in cell 0.
        """
        journey, count = journeys.journey, len(journeys.conversion_hour)
        converted = journeys.converted
        latest = np.nanmax(np.concatenate([journeys.hour, journeys.conversion_hour]))
        horizon = max(float(latest), 1.0) if self.horizon_hours is None else self.horizon_hours
        end = np.where(converted, journeys.conversion_hour, horizon)
        age = end[journey] - journeys.hour
        before = age >= 0.0
        age = np.maximum(age, 0.0)
        shown = before & ~journeys.held_out
        window = self.windows.of(journeys)
        in_window = shown & converted[journey] & (age <= window)
        case = np.cumsum(converted) - 1
        exposure = np.zeros((len(self.decay_hours) + 2, count * cells))
        rate = np.zeros((len(self.decay_hours) + 2, np.count_nonzero(converted) * cells))

        def add(
            into: NDArray[np.float64],
            owner: NDArray[np.int64],
            amount: NDArray[np.float64],
            of: NDArray[np.bool_],
        ) -> None:
            into[:] = np.bincount(owner[of] * cells + journeys.cell[of], amount[of], len(into))

        for k, decay in enumerate(self.decay_hours):
            add(exposure[k], journey, -np.expm1(-np.minimum(age, window) / decay), shown)
            add(rate[k], case[journey], np.exp(-age / decay) / decay, in_window)
        add(exposure[-2], journey, age / horizon, before)
        add(rate[-2], case[journey], np.full(len(age), 1.0 / horizon), before & converted[journey])
        exposure[-1, ::cells] = end / horizon
        rate[-1, ::cells] = 1.0 / horizon
        return exposure.reshape(-1, count, cells), rate.reshape(len(rate), -1, cells)


def _joined(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns [J, C + 1] of who is reached and of the baseline, of their two terms [2, J, C]."""
    return np.hstack([terms[0], terms[1, :, :1]])


def _fit(
    exposure: NDArray[np.float64], rate: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Newton's method inside θ > 0: coefficients [D] > 0, and the curvature [D, D] of the likelihood there.

    Minimises exposure·θ − Σ conversions log(rate·θ) − p Σ (log θ − θ / prior), with p conversions the prior's
    weight. Over p ≤ 1 it is self-concordant, so that a step shortened to 1 / (1 + its length in the
    curvature / √p) stays inside and goes down. The curvature that is returned holds the prior's at its own
    mean: at θ near 0 it would claim that the data cannot have missed an effect.

    Args:
        exposure: [D] of all journeys.
        rate: [V, D] at each conversion.
    """
    unit = len(rate) / max(exposure.sum(), 1e-9)
    rate, cost = rate * unit, exposure * unit + _PRIOR_CONVERSIONS  # of coefficients in units of the prior's
    share = np.ones(len(cost))
    for _ in range(_ITERATIONS):
        ratio = rate / (rate @ share)[:, None]
        gradient = cost - ratio.sum(axis=0) - _PRIOR_CONVERSIONS / share
        curvature = ratio.T @ ratio + np.diag(_PRIOR_CONVERSIONS / share**2)
        step = np.linalg.solve(curvature, gradient)
        length = np.sqrt(gradient @ step / _PRIOR_CONVERSIONS)
        if length < 1e-6:
            break
        share = share - step * (1.0 if length < 0.25 else 1.0 / (1.0 + length))
    ratio = rate / (rate @ share)[:, None]
    return share * unit, (ratio.T @ ratio + _PRIOR_CONVERSIONS * np.eye(len(cost))) / unit**2
