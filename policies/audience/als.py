"""Implicit-feedback alternating least squares (Hu, Koren & Volinsky 2008).

Minimises the sum over all (listener, item) of c (p - x . y)^2 + regularisation (sum |x|^2 + sum |y|^2), where
p is 1 for a pair that was played and 0 else, and the confidence c = 1 + confidence_slope * weight.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from envs.kernel import allocating_kernel
from envs.philox import normals
from policies.audience.cholesky import solve_in_place
from policies.audience.factors import ListeningFactors
from policies.audience.history import ListeningHistory
from policies.audience.interactions import Interactions, Weighting, by_item, by_listener, pair_weights

_ITEM_STREAM: Final = 0x7A01
_START_SCALE: Final = 0.1


def factorise(
    history: ListeningHistory,
    dimensions: int = 8,
    seed: int = 0,
    *,
    iterations: int = 15,
    confidence_slope: float = 5.0,
    regularisation: float = 20.0,
    weighting: Weighting = "log",
) -> ListeningFactors:
    """Fits the factors by pairs of exact half steps (a D x D Cholesky solve a row).

    Single-threaded, in float64: the same history and seed give the same bits.

    Args:
        history: what was played.
        dimensions: D, at least 1.
        seed: of the items' random start.
        iterations: pairs of half steps, at least 1.
        confidence_slope: alpha of the paper, > 0.
        regularisation: lambda of the paper, > 0.
        weighting: how a play count weighs, see `pair_weights`.

    Raises:
        ValueError: an argument outside its range.
    """
    for name, value in (("dimensions", dimensions), ("iterations", iterations)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    for name, slope in (("confidence_slope", confidence_slope), ("regularisation", regularisation)):
        if not 0.0 < slope < np.inf:
            raise ValueError(f"{name} must be positive and finite, got {slope}")
    extra = pair_weights(history, weighting)
    extra *= confidence_slope  # c - 1
    of_listener, of_item = by_listener(history, extra), by_item(history, extra)
    items = (
        _START_SCALE
        * normals(np.array([seed], np.uint64), _ITEM_STREAM, (len(history.item_id), dimensions))[0]
    )
    listeners = np.zeros((len(history.listener_id), dimensions))
    for _ in range(iterations):
        _solve_rows(*of_listener, items, regularisation, listeners)
        _solve_rows(*of_item, listeners, regularisation, items)
    return ListeningFactors(listeners.astype(np.float32), items.astype(np.float32))


def fold_in(
    item_factor: NDArray[np.floating],
    played: Interactions,
    *,
    regularisation: float,
) -> NDArray[np.float32]:
    """Factors [R, D] of listeners the fit never saw, from what they played: one exact half step.

    Args:
        item_factor: [I, D] of the fit.
        played: R rows over the I items; the weights are confidence_slope * weight, as in the fit.
        regularisation: lambda of the fit.

    Raises:
        ValueError: an item that the factors do not know.
    """
    if played.column.size and not 0 <= played.column.min() <= played.column.max() < len(item_factor):
        raise ValueError(f"items must lie in [0, {len(item_factor) - 1}], what the factors know")
    out = np.empty((len(played.start) - 1, item_factor.shape[1]))
    _solve_rows(*played, item_factor.astype(np.float64), regularisation, out)
    return out.astype(np.float32)


def objective(of_listener: Interactions, factors: ListeningFactors, regularisation: float) -> float:
    """What the fit minimises, in O(E D + (L + I) D^2); the weights are c - 1."""
    listeners, items = (factor.astype(np.float64) for factor in factors)
    row = np.repeat(np.arange(len(listeners)), np.diff(of_listener.start))
    score = np.einsum("ed,ed->e", listeners[row], items[of_listener.column])
    all_pairs = np.sum((listeners.T @ listeners) * (items.T @ items))  # sum of every score squared
    played = (1.0 + of_listener.weight) * (1.0 - score) ** 2 - score**2
    return float(all_pairs + played.sum() + regularisation * ((listeners**2).sum() + (items**2).sum()))


@allocating_kernel
def _solve_rows(start, column, extra, fixed, regularisation, out):  # type: ignore[no-untyped-def]
    """Least squares for every row of `out` [R, D] given `fixed` [K, D], by Cholesky."""
    rows, dimensions = out.shape
    gram = np.zeros((dimensions, dimensions))
    for k in range(fixed.shape[0]):
        for i in range(dimensions):
            for j in range(i + 1):
                gram[i, j] += fixed[k, i] * fixed[k, j]
    for i in range(dimensions):
        gram[i, i] += regularisation
    matrix, vector = np.empty((dimensions, dimensions)), np.empty(dimensions)
    for row in range(rows):
        for i in range(dimensions):
            vector[i] = 0.0
            for j in range(i + 1):
                matrix[i, j] = gram[i, j]
        for e in range(start[row], start[row + 1]):
            k = column[e]
            for i in range(dimensions):
                weighted = extra[e] * fixed[k, i]
                vector[i] += weighted + fixed[k, i]
                for j in range(i + 1):
                    matrix[i, j] += weighted * fixed[k, j]
        solve_in_place(matrix, vector)
        out[row] = vector
