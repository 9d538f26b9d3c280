"""What was played as compressed sparse rows, each pair with the weight that a play count deserves."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.audience.history import ListeningHistory
from policies.audience.spool import CHUNK_VALUES, disk_array, group, take

Weighting = Literal["log", "constant"]
WEIGHTINGS: Final[tuple[Weighting, ...]] = ("log", "constant")


class Interactions(NamedTuple):
    """R compressed rows over K columns."""

    start: NDArray[np.int64]
    """[R + 1]"""
    column: NDArray[np.int32]
    """[E]"""
    weight: NDArray[np.float64]
    """[E]"""


def pair_weights(history: ListeningHistory, weighting: Weighting = "log") -> NDArray[np.float64]:
    """The weight [E] of every pair, on disk: `log` is log(1 + plays), `constant` is 1.

    Raises:
        ValueError: no such weighting.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, got {weighting!r}")
    weight = disk_array(len(history.plays), np.float64)
    for at in range(0, len(weight), CHUNK_VALUES):
        chunk = slice(at, at + CHUNK_VALUES)
        weight[chunk] = np.log1p(history.plays[chunk]) if weighting == "log" else 1.0
    return weight


def by_listener(history: ListeningHistory, weight: NDArray[np.float64]) -> Interactions:
    """Rows are listeners [L], columns items, ascending."""
    start = np.searchsorted(history.listener, np.arange(len(history.listener_id) + 1))
    return Interactions(start.astype(np.int64), history.item, weight)


def by_item(history: ListeningHistory, weight: NDArray[np.float64]) -> Interactions:
    """Rows are items [I], columns listeners, ascending."""
    start, order = group(history.item, len(history.item_id))
    return Interactions(start, take(history.listener, order), take(weight, order))
