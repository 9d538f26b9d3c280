from __future__ import annotations

import numpy as np
import pytest
from support.listening import rounds, two_tastes

from envs.errors import ConfigurationError
from policies.audience.history import ListeningHistory
from policies.audience.holdout import draw_negatives, last_items, split_history


def triples(history: ListeningHistory) -> set[tuple[int, int, int]]:
    return {
        (int(u), int(i), int(n))
        for u, i, n in zip(history.listener, history.item, history.plays, strict=True)
    }


def test_a_fifth_of_every_listener_is_held_out() -> None:
    history = two_tastes()
    training, held_out = split_history(history, 3)
    assert triples(training) | triples(held_out) == triples(history)
    assert not triples(training) & triples(held_out)
    whole, apart = (np.bincount(part.listener, minlength=60) for part in (history, held_out))
    assert (apart == np.minimum(np.rint(0.2 * whole), whole - 1)).all()
    again, other = split_history(history, 3), split_history(history, 4)
    assert triples(again.held_out) == triples(held_out) != triples(other.held_out)


def test_one_item_at_least_stays() -> None:
    one = ListeningHistory(*(np.zeros(1, int),) * 2, np.ones(1, int), *(np.zeros(1, int),) * 2)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no listener has enough items"):
        split_history(one, 0, 0.9)
    two = one._replace(
        listener=np.zeros(2, int), item=np.arange(2), plays=np.ones(2, int), item_id=np.arange(2)
    )
    training, held_out = split_history(two, 0, 0.9)
    assert len(training.item) == len(held_out.item) == 1
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        split_history(one, 0, 1.0)


def test_the_last_items() -> None:
    sequences = rounds(5, 24, 12)
    test, validation = last_items(sequences, 1), last_items(sequences, 2)
    assert test.listener.tolist() == list(range(5))
    for row in range(5):
        whole = sequences.of(row).tolist()
        assert [*test.before[row].tolist(), int(test.target[row])] == whole
        assert [*validation.before[row].tolist(), int(validation.target[row])] == whole[:-1]
    with pytest.raises(ConfigurationError, match="3 items"):
        last_items(rounds(5, 24, 2), 1)


def test_negatives_are_items_never_played() -> None:
    sequences = rounds(6, 24, 12)
    drawn = draw_negatives(sequences, np.arange(6), 0, 12)
    for row in range(6):
        assert sorted({*drawn[row].tolist(), *sequences.of(row).tolist()}) == list(range(24))
    few = [draw_negatives(sequences, np.arange(6), seed, 3) for seed in (0, 0, 1)]
    assert (few[0] == few[1]).all() and (few[0] != few[2]).any()
    with pytest.raises(ConfigurationError, match="has not played 12 items, 13 negatives"):
        draw_negatives(sequences, np.arange(6), 0, 13)
