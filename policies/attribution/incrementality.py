"""Credit calibrated by ghost ads: what a model says of a cell, shrunk towards what a hold-out measured.

Sources: Johnson, Lewis & Nubbemeyer, X
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.attribution.journeys import AttributionModel, Credit, Journeys
from policies.attribution.survival import Survival
from policies.attribution.windows import DEFAULT_WINDOWS, Windows

_SPREADS: Final = np.geomspace(0.03, 1.0, 20)
"""Standard deviations of cells' effects around the base's, in units of its effect: all as likely."""
_FACTOR_DEVIATION: Final = 0.25
"""Prior standard deviation of the share of a base model's credit that is incremental, around 1."""


@dataclass(frozen=True)
class Incrementality:
    """Shrinks a base model's credit towards the lift of shown over held-out touches, by precision.

    Conversions per touch y of a cell, measured by its ghost ads with variance v, stand beside the base's x:
    y ~ N(τ, v), τ ~ N(κ·x, ω² + variance of x), κ ~ N(1, .25²). κ, common to all cells, is the share of the
    base's credit that is incremental; τ's posterior mean is averaged over ω (Fay–Herriot, ω integrated out).
    With no ghost ads it is the base's credit; with many, the measured lift. A cell without ghost ads takes κ
    from the others. Credits need not sum to the conversions: the rest is baseline, or within the error.

    The deviation is τ's posterior one: it holds the sampling of both estimates and the spread between cells.
    """

    name: str = "incrementality"
    base: AttributionModel = field(default_factory=Survival)
    windows: Windows = DEFAULT_WINDOWS

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """As every `AttributionModel`."""
        base = self.base.credit(journeys, cells)
        lift = measured_lift(journeys, cells, self.windows.view_hours)
        touched = lift.shown > 0.0
        shown = np.where(touched, lift.shown, 1.0)
        effect, deviation = _shrunk(
            np.where(touched, base.conversions / shown, 0.0),
            np.where(touched, base.deviation / shown, 0.0) ** 2,
            np.where(touched, lift.effect, 0.0),
            np.where(touched, lift.variance, np.inf),
        )
        return Credit(np.where(touched, effect * shown, 0.0), np.where(touched, deviation * shown, 0.0))


class Lift(NamedTuple):
    """What hold-outs tell of C cells."""

    shown: NDArray[np.float64]
    """[C] touches shown before any conversion."""
    effect: NDArray[np.float64]
    """[C] conversions that showing one touch added; 0 where none was held out."""
    variance: NDArray[np.float64]
    """[C] of the effect; infinite where none was held out."""


def measured_lift(journeys: Journeys, cells: int, outcome_hours: float) -> Lift:
    """Difference in the share of touches that a conversion followed within some hours, shown less held out.

    The touch is what was randomised, so each is compared at its own hour. The variance takes one rate for
    both arms, since a small hold-out without a conversion is no proof of a rate of 0, and is widened by how
    much the touches of one journey share their outcome.
    """
    journeys.check_cells(cells)
    journey = journeys.journey
    wait = journeys.conversion_hour[journey] - journeys.hour
    before = ~(wait < 0.0)  # nan, which never converted, counts
    journey, cell, held = journey[before], journeys.cell[before], journeys.held_out[before]
    outcome = (wait[before] <= outcome_hours).astype(np.float64)

    touches = np.bincount(cell, minlength=cells).astype(np.float64)
    out = np.bincount(cell, held, cells)
    shown = touches - out
    followed_out = np.bincount(cell, outcome * held, cells)
    followed = np.bincount(cell, outcome, cells)
    both = (out > 0.0) & (shown > 0.0)
    safe_shown, safe_out = np.where(both, shown, 1.0), np.where(both, out, 1.0)
    effect = np.where(both, (followed - followed_out) / safe_shown - followed_out / safe_out, 0.0)

    rate = (followed + 0.5) / (touches + 1.0)
    pair, place = np.unique(journey * cells + cell, return_inverse=True)
    apart = np.bincount(place, outcome - rate[cell], len(pair))
    alone = touches * rate * (1.0 - rate)
    together = np.bincount(pair % cells, apart**2, cells) / np.where(touches > 0.0, alone, 1.0)
    spread = rate * (1.0 - rate) * np.maximum(together, 1.0)
    variance = np.where(both, spread * (1.0 / safe_shown + 1.0 / safe_out), np.inf)
    return Lift(shown, effect, variance)


def _shrunk(
    base: NDArray[np.float64],
    base_variance: NDArray[np.float64],
    effect: NDArray[np.float64],
    variance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posterior mean [C] and deviation [C] of each cell's effect; an infinite variance is no measurement."""
    measured = np.isfinite(variance)
    if not measured.any():
        return base, np.sqrt(base_variance)
    x, y = base[measured], effect[measured]
    unit = np.abs(base) + np.sqrt(base_variance)
    means, variances, evidence = [], [], []
    for spread in _SPREADS:
        prior = np.diag((spread * unit) ** 2 + base_variance) + _FACTOR_DEVIATION**2 * np.outer(base, base)
        total = prior[np.ix_(measured, measured)] + np.diag(variance[measured])
        gain = np.linalg.solve(total, prior[measured]).T  # [C, measured]
        off = y - x
        means.append(base + gain @ off)
        variances.append(np.diag(prior) - np.sum(gain * prior[:, measured], axis=1))
        evidence.append(-0.5 * (np.linalg.slogdet(total)[1] + off @ np.linalg.solve(total, off)))
    weight = np.exp(np.array(evidence) - max(evidence))
    weight /= weight.sum()
    mean = weight @ np.array(means)
    second = weight @ (np.array(variances) + (np.array(means) - mean) ** 2)
    return mean, np.sqrt(second)
