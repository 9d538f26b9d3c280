"""What was played as compressed sparse rows, each pair with the weight that a play count deserves."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.audience.history import ListeningHistory
from policies.audience.spool import CHUNK_VALUES, disk_array, group, take

Weighting = Literal["log", "constant", "bm25"]
WEIGHTINGS: Final[tuple[Weighting, ...]] = ("log", "constant", "bm25")

_BM25_SATURATION: Final = 100.0
_BM25_LENGTH: Final = 0.8


class Interactions(NamedTuple):
    """R compressed rows over K columns."""

    start: NDArray[np.int64]
    """[R + 1]"""
    column: NDArray[np.int32]
    """[E]"""
    weight: NDArray[np.float64]
    """[E]"""


def pair_weights(history: ListeningHistory, weighting: Weighting = "log") -> NDArray[np.float64]:
    """The weight [E] of every pair, on disk.

    `log`: log(1 + plays). `constant`: 1. `bm25`: plays saturate, long histories count less, rare items more:
    idf(item) * (k + 1) plays / (k (1 - b + b length / mean length) + plays), k = 100, b = .8, with the
    items as terms and the listeners as documents (Robertson & Zaragoza 2009).

    Raises:
        ValueError: no such weighting.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, got {weighting!r}")
    weight = disk_array(len(history.plays), np.float64)
    listeners, items = len(history.listener_id), len(history.item_id)
    length = np.bincount(history.listener, minlength=listeners)
    idf = np.log(listeners) - np.log1p(np.bincount(history.item, minlength=items))
    shortened = _BM25_SATURATION * (1.0 - _BM25_LENGTH + _BM25_LENGTH * length / max(1e-12, length.mean()))
    for at in range(0, len(weight), CHUNK_VALUES):
        chunk = slice(at, at + CHUNK_VALUES)
        plays = history.plays[chunk]
        if weighting == "log":
            weight[chunk] = np.log1p(plays)
        elif weighting == "constant":
            weight[chunk] = 1.0
        else:
            saturated = plays * (_BM25_SATURATION + 1.0) / (shortened[history.listener[chunk]] + plays)
            weight[chunk] = np.maximum(0.0, idf[history.item[chunk]]) * saturated
    return weight


def by_listener(history: ListeningHistory, weight: NDArray[np.float64]) -> Interactions:
    """Rows are listeners [L], columns items, ascending."""
    start = np.searchsorted(history.listener, np.arange(len(history.listener_id) + 1))
    return Interactions(start.astype(np.int64), history.item, weight)


def by_item(history: ListeningHistory, weight: NDArray[np.float64]) -> Interactions:
    """Rows are items [I], columns listeners, ascending."""
    start, order = group(history.item, len(history.item_id))
    return Interactions(start, take(history.listener, order), take(weight, order))
