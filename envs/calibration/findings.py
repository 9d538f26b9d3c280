"""What an experiment finds: figures by name, and the curves that a picture shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


class Findings(NamedTuple):
    """The outcome of one experiment."""

    figures: dict[str, float]
    """By the second part of a row's key."""
    curves: dict[str, Curve]
    """x and y by the curve's name."""


def curve(x: ArrayLike, y: ArrayLike) -> Curve:
    """A curve of any two sequences of equal length."""
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def straightness(x: ArrayLike, y: ArrayLike) -> float:
    """R² of the straight line through points."""
    return float(np.corrcoef(np.asarray(x, np.float64), np.asarray(y, np.float64))[0, 1] ** 2)
