"""Listeners and items in one space, and the tastes that follow from it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_LEAST_VARIANCE_RATIO: Final = 1e-8


class ListeningFactors(NamedTuple):
    """Listeners and items in one space of D dimensions; their dot product is the preference."""

    listener_factor: NDArray[np.float32]
    """[L, D]"""
    item_factor: NDArray[np.float32]
    """[I, D]"""


def tastes(factors: ListeningFactors, dimensions: int) -> NDArray[np.float32]:
    """Listeners' factors [L, dimensions], whitened: zero mean, unit variance, uncorrelated.

    The dimensions are the principal components of the factors, the widest first, each with its largest
    loading positive, so that the result does not hang on the solver's signs.

    Raises:
        ValueError: more dimensions asked for than the factors span.
    """
    factor = factors.listener_factor.astype(np.float64)
    centred = factor - factor.mean(axis=0)
    covariance = np.einsum("li,lj->ij", centred, centred) / len(centred)
    variance, direction = np.linalg.eigh(covariance)
    variance, direction = variance[::-1], direction[:, ::-1]
    spanned = int((variance > _LEAST_VARIANCE_RATIO * variance[0]).sum()) if variance[0] > 0.0 else 0
    if not 1 <= dimensions <= spanned:
        raise ValueError(f"dimensions must be in [1, {spanned}], what these factors span; got {dimensions}")
    direction = direction[:, :dimensions]
    largest = direction[np.abs(direction).argmax(axis=0), np.arange(dimensions)]
    component = np.einsum("li,ij->lj", centred, direction * np.sign(largest))
    component -= component.mean(axis=0)
    return np.asarray(component / component.std(axis=0), np.float32)
