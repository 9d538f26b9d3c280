"""Bayesian personalised ranking (Rendle et al. 2009): what was played should score above what was not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.kernel import allocating_kernel
from policies.audience.factors import ListeningFactors
from policies.audience.history import ListeningHistory
from policies.audience.interactions import by_listener

_DRAWS_AT_ONCE = 1 << 20
_START_SCALE = 0.1
_STREAM = 0x7A03  # a split of the same seed draws other numbers


def fit_bpr(
    history: ListeningHistory,
    dimensions: int = 64,
    seed: int = 0,
    *,
    epochs: int = 100,
    learning_rate: float = 0.05,
    regularisation: float = 0.01,
) -> ListeningFactors:
    """Stochastic gradient ascent on log sigmoid(x . (y_i - y_j) + b_i - b_j) - regularisation / 2 |.|^2.

    A step draws a played pair (listener, i) and an item j, both uniformly; a j that was played is passed
    over. The bias of an item is its last dimension, where every listener has 1, so that the factors have
    dimensions + 1 columns and score by their dot product alone. Single-threaded: the same history and seed
    give the same bits.

    Args:
        history: what was played; counts are not used.
        dimensions: without the bias, at least 1.
        seed: of start and draws.
        epochs: passes; each takes as many steps as there are pairs. At least 1.
        learning_rate: > 0.
        regularisation: of factors and bias, >= 0.

    Raises:
        ValueError: an argument outside its range.
    """
    for name, value in (("dimensions", dimensions), ("epochs", epochs)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    if not 0.0 < learning_rate < np.inf or not 0.0 <= regularisation < np.inf:
        raise ValueError(
            "learning_rate must be positive and regularisation >= 0, both finite; "
            f"got {learning_rate} and {regularisation}"
        )
    generator = np.random.Generator(np.random.Philox([_STREAM, seed]))
    listeners = _start(generator, len(history.listener_id), dimensions)
    items = _start(generator, len(history.item_id), dimensions)
    listeners[:, -1], items[:, -1] = 1.0, 0.0
    start = by_listener(history, np.empty(0)).start
    pairs = len(history.item)
    for _ in range(epochs):
        for done in range(0, pairs, _DRAWS_AT_ONCE):
            count = min(_DRAWS_AT_ONCE, pairs - done)
            drawn = generator.integers(0, pairs, count)
            other = generator.integers(0, len(items), count)
            _steps(
                start,
                history.listener,
                history.item,
                drawn,
                other,
                listeners,
                items,
                learning_rate,
                regularisation,
            )
    return ListeningFactors(listeners.astype(np.float32), items.astype(np.float32))


def fold_in_bpr(
    item_factor: NDArray[np.floating[Any]],
    played: NDArray[np.int32],
    *,
    regularisation: float,
    steps: int = 200,
    learning_rate: float = 1.0,
) -> NDArray[np.float32]:
    """The factor [D + 1] of a listener the fit never saw, from the items played.

    Gradient ascent on the mean of BPR's objective over all pairs (played, not played), the items fixed.
    """
    items = item_factor.astype(np.float64)
    mine, others = items[played], np.delete(items, played, axis=0)
    x = np.zeros(items.shape[1])
    x[-1] = 1.0
    for _ in range(steps):
        doubt = 1.0 / (1.0 + np.exp((mine @ x)[:, None] - (others @ x)[None]))  # sigmoid(-difference)
        gradient = (doubt.mean(1) @ mine - doubt.mean(0) * len(mine) @ others / len(others)) / len(mine)
        x[:-1] += learning_rate * (gradient[:-1] - regularisation * x[:-1])
    return x.astype(np.float32)


def _start(generator: np.random.Generator, rows: int, dimensions: int) -> NDArray[np.float64]:
    return _START_SCALE * generator.standard_normal((rows, dimensions + 1))


@allocating_kernel
def _steps(start, listener, item, drawn, other, listeners, items, rate, regularisation):  # type: ignore[no-untyped-def]
    width = listeners.shape[1]
    for step in range(len(drawn)):
        u, i, j = listener[drawn[step]], item[drawn[step]], other[step]
        row = item[start[u] : start[u + 1]]
        at = np.searchsorted(row, j)
        if at < len(row) and row[at] == j:
            continue
        difference = 0.0
        for d in range(width):
            difference += listeners[u, d] * (items[i, d] - items[j, d])
        doubt = 1.0 / (1.0 + np.exp(difference))
        for d in range(width):
            x, better, worse = listeners[u, d], items[i, d], items[j, d]
            if d < width - 1:  # the last is the constant that carries the bias
                listeners[u, d] += rate * (doubt * (better - worse) - regularisation * x)
            items[i, d] += rate * (doubt * x - regularisation * better)
            items[j, d] += rate * (-doubt * x - regularisation * worse)
