"""What is kept apart to judge by: a share of every listener's items, or the last items of every sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.errors import ConfigurationError
from policies.audience.history import ListeningHistory
from policies.audience.sequences import ListeningSequences

SAMPLED_NEGATIVES = 99


class Split(NamedTuple):
    """A history in two parts; listeners and items keep their numbers."""

    training: ListeningHistory
    held_out: ListeningHistory


def split_history(history: ListeningHistory, seed: int, share: float = 0.2) -> Split:
    """Hold out round(share * n) of each listener's n items, drawn uniformly; one at least stays.

    Raises:
        ValueError: a share outside (0, 1).
        ConfigurationError: nobody has enough items for one to be held out.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must lie in (0, 1), got {share}")
    draw = np.random.Generator(np.random.Philox(seed)).random(len(history.item))
    count = np.bincount(history.listener, minlength=len(history.listener_id))
    place = np.empty(len(draw), np.int64)  # of each pair among its listener's, in the order of the draws
    place[np.lexsort((draw, history.listener))] = np.arange(len(draw))
    place -= (np.cumsum(count) - count)[history.listener]
    apart = place < np.minimum(np.rint(share * count), count - 1)[history.listener]
    if not apart.any():
        raise ConfigurationError("no listener has enough items for one to be held out")
    return Split(history.part(~apart), history.part(apart))


class LastItems(NamedTuple):
    """One item of each of H listeners, and what they played before it."""

    listener: NDArray[np.int64]
    """[H] index of the listener."""
    target: NDArray[np.int32]
    """[H] the item to foretell."""
    before: list[NDArray[np.int32]]
    """[H] what came before it, oldest first."""


def last_items(sequences: ListeningSequences, back: int) -> LastItems:
    """The last item (back = 1, the test) or the one before (back = 2, validation) of every sequence.

    Sequences shorter than 3 are for training alone.

    Raises:
        ConfigurationError: no sequence is long enough.
    """
    length = np.diff(sequences.start)
    listener = np.flatnonzero(length >= 3)
    if not listener.size:
        raise ConfigurationError("no listener has 3 items or more: nothing can be held out")
    whole = [sequences.of(row) for row in listener.tolist()]
    target = np.array([played[-back] for played in whole], np.int32)
    return LastItems(listener, target, [played[:-back] for played in whole])


def draw_negatives(
    sequences: ListeningSequences, listener: NDArray[np.int64], seed: int, count: int = SAMPLED_NEGATIVES
) -> NDArray[np.int32]:
    """Items [H, count] drawn uniformly, without repetition, of those a listener's whole sequence lacks.

    Raises:
        ConfigurationError: a listener for whom fewer than `count` are left.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    items = len(sequences.item_id)
    drawn = np.empty((len(listener), count), np.int32)
    for row, who in zip(drawn, listener.tolist(), strict=True):
        left = np.setdiff1d(np.arange(items, dtype=np.int32), sequences.of(who))
        if len(left) < count:
            identity = sequences.listener_id[who]
            raise ConfigurationError(
                f"listener {identity} has not played {len(left)} items, {count} negatives are asked for"
            )
        row[:] = generator.choice(left, count, replace=False)
    return drawn
