"""Credit calibrated by ghost ads: what models say of a cell, shrunk towards what a hold-out measured.

Sources: ghost ads, Johnson, Lewis & Nubbemeyer 2017 (doi 10.1509/jmr.15.0297); shrinkage, Fay & Herriot 1979
(doi 10.1080/01621459.1979.10482505).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.journeys.settings import OWN_CELLS
from policies.attribution.demand import caused
from policies.attribution.journeys import AttributionModel, Credit, Journeys
from policies.attribution.survival import Survival
from policies.attribution.windows import DEFAULT_WINDOWS, Windows

_SPREADS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Standard deviations of cells' effects around the base's, in units of its effect: all as likely."""
_FACTOR_SPREADS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Of the factor on all of the base's credit, around 1: all as likely."""


@dataclass(frozen=True)
class Incrementality:
    """Shrinks the credit of base models towards the lift of shown over held-out touches, by precision.

    Conversions per touch y of a cell, measured by its ghost ads with variance v, stand beside the base's x of
    variance s²: y ~ N(τ, v), τ ~ N(κx, ω²(|x| + s)² + s²), κ ~ N(1, φ²). κ, common to all cells, is the share
    of the base's credit that is incremental. τ's posterior mean is averaged over ω, φ and the bases, each
    weighted by its marginal likelihood: Fay–Herriot with nothing plugged in. With few ghost ads it is the
    mean of the bases; with many, the measured lift. A cell of ours without any takes κ from the others.
    Channels, which nobody can hold out, are credited with what our spots sent people to them for (`demand`).
    Credits need not sum to the conversions: the rest is baseline, or within the error.

    The deviation is τ's posterior one: it holds the sampling of both estimates, the spread between cells and
    that between bases.
    """

    name: str = "incrementality"
    bases: tuple[AttributionModel, ...] = (Survival(),)
    windows: Windows = DEFAULT_WINDOWS
    own: int = OWN_CELLS
    """The first cells are ours."""

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """As every `AttributionModel`."""
        bases = [base.credit(journeys, cells) for base in self.bases]
        lift = measured_lift(journeys, cells, self.windows.view_hours)
        touched = lift.shown > 0.0
        shown = np.where(touched, lift.shown, 1.0)
        effect, deviation = _shrunk(
            np.array([np.where(touched, base.conversions / shown, 0.0) for base in bases]),
            np.array([np.where(touched, base.deviation / shown, 0.0) ** 2 for base in bases]),
            lift,
        )
        conversions = np.where(touched, effect * shown, 0.0)
        errors = np.where(touched, deviation * shown, 0.0)
        direct = conversions[: self.own].sum() / max(1.0, lift.shown[: self.own].sum())
        for cell in range(self.own, cells):
            found = caused(journeys, cell, self.own, self.windows.view_hours, float(direct))
            if found is not None:
                conversions[cell], errors[cell] = found
        return Credit(conversions, errors)


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
    bases: NDArray[np.float64], variances: NDArray[np.float64], lift: Lift
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posterior mean [C] and deviation [C] of cells' effects, of what M bases say of them [M, C]."""
    measured = np.isfinite(lift.variance)
    means, spreads, evidence = [], [], []
    for (base, variance), own, common in product(
        zip(bases, variances, strict=True), _SPREADS, _FACTOR_SPREADS
    ):
        prior = np.diag((own * (np.abs(base) + np.sqrt(variance))) ** 2 + variance)
        prior += common**2 * np.outer(base, base)
        total = prior[np.ix_(measured, measured)] + np.diag(lift.variance[measured])
        gain = np.linalg.solve(total, prior[measured]).T  # [C, measured]
        off = (lift.effect - base)[measured]
        means.append(base + gain @ off)
        spreads.append(np.diag(prior) - np.sum(gain * prior[:, measured], axis=1))
        evidence.append(-0.5 * (np.linalg.slogdet(total)[1] + off @ np.linalg.solve(total, off)))
    weight = np.exp(np.array(evidence) - max(evidence))
    weight /= weight.sum()
    mean = weight @ np.array(means)
    return mean, np.sqrt(weight @ (np.array(spreads) + (np.array(means) - mean) ** 2))
