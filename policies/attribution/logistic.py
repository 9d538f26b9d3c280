"""Logistic attribution: conversion regressed on touches, credit by the fitted counterfactual.

Sources: Shao & Li, "Data-driven multi-touch attribution models", KDD 2011 (the regression); Prentice &
Breslow, "Retrospective studies and failure time models", Biometrika 65 (1978) (controls drawn at the hours of
cases); Aumann & Shapley, "Values of non-atomic games" (1974) (the share of each cell).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from envs.philox import uniforms
from policies.attribution.journeys import Credit, Journeys
from policies.attribution.windows import DEFAULT_WINDOWS, Windows

_STREAM: Final = 0xA77B
_ITERATIONS: Final = 50


@dataclass(frozen=True)
class Logistic:
    """Regresses conversion on log₂(1 + touches) of each cell, and credits what the touches added.

    A journey that did not convert is looked at at the hour when one that did, drawn by the seed, converted:
    else it would show a whole flight's touches, and converting journeys only those before the end.

    Of a conversion, 1 − p(no touch) / p(touches) is credited, to each cell by its Aumann–Shapley value, which
    for a function of β·x is in proportion to βx; the rest is baseline. A cell may earn less than nothing. The
    deviation is the infinitesimal jackknife over journeys, through the fit.
    """

    name: str = "logistic"
    windows: Windows = DEFAULT_WINDOWS
    seed: int = 0
    prior_deviation: float = 1.0
    """Standard deviation of the normal prior of each log-odds ratio."""

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """As every `AttributionModel`."""
        converted = journeys.converted
        if not converted.any():
            journeys.check_cells(cells)
            return Credit(np.zeros(cells), np.zeros(cells))
        count = len(converted)
        draw = uniforms(np.array([self.seed], np.uint64), _STREAM, (count,))[0]
        hours = journeys.conversion_hour[converted]
        at = np.where(converted, journeys.conversion_hour, hours[(draw * len(hours)).astype(np.int64)])
        paths = self.windows.eligible(journeys, cells, at)
        touches = np.bincount(paths.journey * cells + paths.cell, minlength=count * cells)
        design = np.ones((count, cells + 1))  # the last column is the intercept's
        design[:, :cells] = np.log2(1.0 + touches.reshape(count, cells))

        penalty = np.append(np.full(cells, self.prior_deviation**-2), 0.0)
        coefficient, curvature = _fit(design, converted.astype(np.float64), penalty)
        beta, x = coefficient[:cells], design[:, :cells]
        score = x @ beta
        untouched = 1.0 / (1.0 + np.exp(-coefficient[cells]))
        residual = converted - 1.0 / (1.0 + np.exp(-score - coefficient[cells]))

        case, case_score = x[converted], score[converted]
        per_score, slope = (1.0 - untouched) * _added(case_score)
        given = np.zeros((count, cells))
        given[converted] = case * beta * per_score[:, None]
        gradient = np.empty((cells, cells + 1))  # of the credit in the coefficients
        gradient[:, :cells] = np.diag(case.T @ per_score) + (case * beta).T @ (case * slope[:, None])
        gradient[:, cells] = -untouched * given.sum(axis=0)
        influence = given + (residual[:, None] * design) @ np.linalg.solve(curvature, gradient.T)
        return Credit(given.sum(axis=0), np.sqrt((influence**2).sum(axis=0)))


def _fit(
    design: NDArray[np.float64], outcome: NDArray[np.float64], penalty: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Newton's method with halved steps: coefficients [D] and the curvature [D, D] there."""

    def objective(at: NDArray[np.float64]) -> float:
        score = design @ at
        return float(np.logaddexp(0.0, score).sum() - outcome @ score + 0.5 * penalty @ at**2)

    coefficient = np.zeros(design.shape[1])
    rate = (outcome.sum() + 0.5) / (len(outcome) + 1.0)
    coefficient[-1] = np.log(rate / (1.0 - rate))
    value = objective(coefficient)
    for _ in range(_ITERATIONS):
        chance = 1.0 / (1.0 + np.exp(-design @ coefficient))
        spread = chance * (1.0 - chance) + 1e-12
        curvature = design.T @ (design * spread[:, None]) + np.diag(penalty)
        gradient = design.T @ (chance - outcome) + penalty * coefficient
        step = np.linalg.solve(curvature, gradient)
        if gradient @ step < 1e-12 * len(outcome):
            break
        size = 1.0
        while (new := objective(coefficient - size * step)) > value and size > 1e-6:
            size /= 2.0
        coefficient, value = coefficient - size * step, new
    return coefficient, curvature


def _added(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 − e⁻ˢ) / s and its derivative in s [2, …]; 1 and −½ at s = 0."""
    near = np.abs(score) < 1e-4
    safe = np.where(near, 1.0, score)
    share = np.where(near, 1.0 - score / 2.0, -np.expm1(-safe) / safe)
    slope = np.where(near, -0.5 + score / 3.0, (np.exp(-safe) - share) / safe)
    return np.stack([share, slope])
