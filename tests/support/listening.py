"""Listening histories for tests, drawn: two kinds of listeners, each with half of the items."""

from __future__ import annotations

import numpy as np

from policies.audience.history import ListeningHistory
from policies.audience.sequences import ListeningSequences


def two_tastes(listeners: int = 60, items: int = 40, seed: int = 0) -> ListeningHistory:
    """Two kinds of listeners, each of whom plays a third of its own half of the items."""
    generator = np.random.default_rng(seed)
    half = np.arange(listeners)[:, None] % 2 == np.arange(items) % 2
    listener, item = np.nonzero(half & (generator.random((listeners, items)) < 1 / 3))
    plays = generator.integers(1, 500, len(listener))
    return ListeningHistory(
        listener.astype(np.int32), item.astype(np.int32), plays, np.arange(listeners), np.arange(items)
    )


def rounds(listeners: int = 40, items: int = 24, length: int = 12, seed: int = 0) -> ListeningSequences:
    """Listeners who go round the items, each from a place of its own: the next item is the last plus one."""
    first = np.random.default_rng(seed).integers(0, items, listeners)
    item = (first[:, None] + np.arange(length)) % items
    return ListeningSequences(
        np.arange(listeners + 1) * length,
        item.ravel().astype(np.int32),
        np.arange(listeners),
        np.arange(items),
    )
