from __future__ import annotations

import numpy as np
import pytest
from support.listening import rounds

from policies.audience.baselines import DecayedMarkov, popularity


def test_popularity_counts() -> None:
    assert popularity(np.array([2, 0, 2], np.int32), 4).tolist() == [1.0, 0.0, 2.0, 0.0]


def test_transitions_equal_plain_loops() -> None:
    sequences, decay = rounds(6, 9, 7, seed=2), 0.5
    histories = [sequences.of(0)[:4], np.array([3, 3], np.int32)]
    expected = np.zeros((2, 9))
    for row, history in enumerate(histories):
        for age, came in enumerate(history[::-1]):
            for listener in range(6):
                played = sequences.of(listener)
                for a in range(len(played)):
                    for b in range(a + 1, len(played)):
                        if played[a] == came:
                            expected[row, played[b]] += decay**age * decay ** (b - a - 1)
        expected[row] += 1e-6 * np.bincount(sequences.item, minlength=9)
    np.testing.assert_allclose(DecayedMarkov(sequences, decay).scores(histories), expected, rtol=1e-5)


def test_the_next_one_round_is_foretold() -> None:
    sequences = rounds()
    model = DecayedMarkov(sequences)
    for last in range(24):
        assert model.scores([np.array([last], np.int32)]).argmax() == (last + 1) % 24
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        DecayedMarkov(sequences, 1.5)
