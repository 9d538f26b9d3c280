"""Listeners as vectors: collaborative filtering of listening histories, after implicit ALS.

Alternating least squares with a confidence a cell (Hu, Koren & Volinsky, "Collaborative filtering for
implicit feedback datasets", 2008), in a form that lets little heard tell little. What is explained is how
much oftener than expected a listener plays an item, in logs, shrunk by one play:

    r = log((n + 1) / (e + 1)) · (e + 1) / e,    e = the listener's plays × the item's share of all plays,

with the confidence e / (1 + e · LIKING_VARIANCE), the precision of such a log ratio around what taste
explains. Who played nothing has no confidence anywhere, and the embedding 0: the average listener.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.generator import draw_markets
from envs.histories import draw_histories
from envs.kernel import allocating_kernel
from envs.philox import normals
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Float
from policies.audience.cholesky import solve_in_place

FACTORS: Final = 8
"""Dimensions of the embedding; more of them explained no more of what training listeners play."""
LIKING_VARIANCE: Final = 0.8
"""Of log ratios around what taste explains, where plays are many."""
RIDGE: Final = 2.0
ROUNDS: Final = 8
TRAINING_MARKETS: Final = 32
_TRAINING_SEED: Final = 0x7A57E
"""A sequence of training markets of its own."""
_START_STREAM: Final = 0x7A03


class TasteModel(NamedTuple):
    """What turns a history into an embedding."""

    item_share: Float  # [I] of all plays
    item_offset: Float  # [I] mean log ratio
    item_factor: Float  # [I, FACTORS]
    whitening: (
        Float  # [FACTORS, FACTORS] makes the embeddings of training listeners uncorrelated, of variance 1
    )


@allocating_kernel
def _log_ratios(plays, share, offset, confidence, ratio):  # type: ignore[no-untyped-def]
    """Fills confidence and log ratio [L, I] of plays [L, I], less offset [I] and the listener's mean."""
    listeners, items = plays.shape
    for i in range(listeners):
        total = 0
        for k in range(items):
            total += plays[i, k]
        weight, mean = 0.0, 0.0
        for k in range(items):
            e = total * share[k]
            c = e / (1.0 + e * LIKING_VARIANCE)
            r = 0.0
            if e > 0.0:
                r = math.log((plays[i, k] + 1.0) / (e + 1.0)) * (e + 1.0) / e - offset[k]
            confidence[i, k], ratio[i, k] = c, r
            weight += c
            mean += c * r
        if weight > 0.0:
            for k in range(items):
                ratio[i, k] -= mean / weight


@allocating_kernel
def _ridge(factor, confidence, ratio, out):  # type: ignore[no-untyped-def]
    """Solves (Σ c·y·yᵀ + RIDGE·1) x = Σ c·r·y for every row of confidence and ratio [m, n]: out [m, D].

    Args:
        factor: [n, D] the other side's vectors y.
        confidence: [m, n].
        ratio: [m, n].
        out: [m, D], overwritten; 0 where there is no confidence.
    """
    rows, size = factor.shape
    squares, total, a = np.empty((rows, size * size)), np.empty(size * size), np.empty((size, size))
    for k in range(rows):  # once for all, and flat: what follows then runs along them
        for d in range(size):
            for j in range(size):
                squares[k, d * size + j] = factor[k, d] * factor[k, j]
    for i in range(out.shape[0]):
        x = out[i]
        x[:] = 0.0
        total[:] = 0.0
        for k in range(rows):
            c, y, square = confidence[i, k], factor[k], squares[k]
            cr = c * ratio[i, k]
            for d in range(size):
                x[d] += cr * y[d]
            for n in range(size * size):
                total[n] += c * square[n]
        for d in range(size):
            for j in range(size):
                a[d, j] = total[d * size + j]
            a[d, d] += RIDGE
        solve_in_place(a, x)


def fit_tastes(plays: NDArray[np.int32]) -> TasteModel:
    """Item factors of play counts [L, I].

    Raises:
        ValueError: nobody has played anything.
    """
    total = plays.sum(dtype=np.int64)
    if total == 0:
        raise ValueError("fit_tastes needs histories with plays: listeners.plays_median is 0?")
    share = (plays.sum(0) + 0.5) / (total + 0.5 * plays.shape[1])
    confidence, ratio = np.empty(plays.shape), np.empty(plays.shape)
    _log_ratios(plays, share, np.zeros(plays.shape[1]), confidence, ratio)
    offset = (confidence * ratio).sum(0) / confidence.sum(0)
    _log_ratios(plays, share, offset, confidence, ratio)
    listener = np.empty((plays.shape[0], FACTORS))
    item = 0.3 * normals(np.zeros(1, np.uint64), _START_STREAM, (plays.shape[1], FACTORS))[0]
    by_item = np.ascontiguousarray(confidence.T), np.ascontiguousarray(ratio.T)
    for _ in range(ROUNDS):
        _ridge(item, confidence, ratio, listener)
        _ridge(listener, *by_item, item)
    _ridge(item, confidence, ratio, listener)
    known = listener[plays.sum(1) > 0]
    variance, axes = np.linalg.eigh(known.T @ known / len(known))
    return TasteModel(share, offset, item, axes / np.sqrt(np.maximum(variance, 1e-9)))


@lru_cache(maxsize=8)
def taste_model(scenario: Scenario) -> TasteModel:
    """The model of a scenario's training markets, learned once a process."""
    seeds = market_seeds("train", _TRAINING_SEED, 0, TRAINING_MARKETS)
    truth, _ = draw_markets(seeds, scenario, "train")
    plays = draw_histories(seeds, truth.listener_taste, scenario)
    return fit_tastes(plays.reshape(-1, plays.shape[-1]))


def embed(model: TasteModel, plays: NDArray[np.int32]) -> Float:
    """Embeddings [..., FACTORS] of play counts [..., I]; 0 for who played nothing."""
    rows = np.ascontiguousarray(plays.reshape(-1, plays.shape[-1]))
    confidence, ratio = np.empty(rows.shape), np.empty(rows.shape)
    _log_ratios(rows, model.item_share, model.item_offset, confidence, ratio)
    raw = np.empty((len(rows), FACTORS))
    _ridge(model.item_factor, confidence, ratio, raw)
    white: Float = np.zeros_like(raw)
    for d in range(FACTORS):  # summed in one order whatever the batch, as a matrix product is not
        white += raw[:, d, None] * model.whitening[d]
    return white.reshape(*plays.shape[:-1], FACTORS)
