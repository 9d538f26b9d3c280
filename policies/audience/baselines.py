"""What a model must beat: what everybody plays, and what usually comes soon after."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from policies.audience.sequences import ListeningSequences

MARKOV_WINDOW = 20
MARKOV_MEMORY = 50


def popularity(item: NDArray[np.int32], items: int) -> NDArray[np.float32]:
    """Scores [I]: how often each item stands in item [E]."""
    return np.bincount(item, minlength=items).astype(np.float32)


class DecayedMarkov:
    """Item-to-item transitions whose weight falls by `decay` a step, in what is learned and in what is asked.

    An item scores the sum over the last 50 played of decay^age * (weight of its transitions from there), and
    a millionth of its popularity, which decides where no transition was seen.
    """

    def __init__(self, sequences: ListeningSequences, decay: float = 0.8) -> None:
        """Counts the transitions of up to 20 steps.

        Raises:
            ValueError: a decay outside (0, 1].
        """
        if not 0.0 < decay <= 1.0:
            raise ValueError(f"decay must lie in (0, 1], got {decay}")
        self.decay, self.items = decay, len(sequences.item_id)
        owner = np.repeat(np.arange(len(sequences.listener_id)), np.diff(sequences.start))
        item = sequences.item
        transitions = csr_matrix((self.items, self.items), dtype=np.float32)
        for lag in range(1, min(MARKOV_WINDOW, len(item))):
            together = owner[lag:] == owner[:-lag]
            pair = (item[:-lag][together], item[lag:][together])
            weight = np.full(len(pair[0]), decay ** (lag - 1), np.float32)
            transitions = transitions + coo_matrix((weight, pair), transitions.shape).tocsr()
        self._transitions = transitions
        self._popularity = popularity(item, self.items)

    def scores(self, histories: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Scores [N, I] of what comes after each history, oldest item first."""
        recent = [played[::-1][:MARKOV_MEMORY] for played in histories]
        row = np.repeat(np.arange(len(recent)), [len(played) for played in recent])
        age = np.concatenate([np.arange(len(played)) for played in recent])
        weight = (self.decay**age).astype(np.float32)
        asked = coo_matrix((weight, (row, np.concatenate(recent))), (len(recent), self.items)).tocsr()
        return np.asarray((asked @ self._transitions).toarray() + 1e-6 * self._popularity, np.float32)
