from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audience.ranking import (
    expected_sampled_hit_rate,
    full_ranks,
    hit_rate_at,
    ndcg_at,
    one_each,
    recall_at,
    sampled_ranks,
)

START = np.array([0, 2, 2, 3])  # two held out, none, one
RANKS = np.array([0, 3, 1])


def rows(*items: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Compressed rows."""
    return np.cumsum([0, *map(len, items)]), np.array([i for row in items for i in row], np.int32)


def test_metrics_of_known_ranks() -> None:
    gain = [1.0, 1.0 / np.log2(3.0), 0.5, 1.0 / np.log2(5.0)]
    assert recall_at(1, START, RANKS) == pytest.approx((1 / 1 + 0) / 2)  # of at most one that fits
    assert recall_at(2, START, RANKS) == pytest.approx((1 / 2 + 1) / 2)
    assert recall_at(4, START, RANKS) == 1.0
    assert ndcg_at(1, START, RANKS) == pytest.approx((1.0 + 0.0) / 2)
    assert ndcg_at(4, START, RANKS) == pytest.approx(
        ((gain[0] + gain[3]) / (gain[0] + gain[1]) + gain[1] / gain[0]) / 2
    )
    assert hit_rate_at(1, START, RANKS) == 0.5
    assert hit_rate_at(2, START, RANKS) == 1.0


def test_the_best_order_scores_one() -> None:
    for metric in (recall_at, ndcg_at, hit_rate_at):
        assert metric(20, START, np.array([0, 1, 0])) == pytest.approx(1.0)
        assert metric(1, START, np.array([0, 1, 0])) == pytest.approx(1.0)
        assert metric(20, START, np.array([20, 21, 99])) == 0.0


def test_full_ranks_leave_out_what_is_known() -> None:
    score = np.array([[5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    ranks = full_ranks(score, rows([2, 4], [0]), rows([0], [4, 3]))
    assert ranks.tolist() == [1, 3, 2]


def test_an_item_that_comes_again_stays_a_candidate() -> None:
    assert full_ranks(np.array([[3.0, 2.0, 1.0]]), rows([1]), rows([0, 1])).tolist() == [0]


def test_ties_count_against_the_model() -> None:
    assert full_ranks(np.zeros((1, 50)), rows([0]), rows([])).tolist() == [49]
    assert sampled_ranks(np.zeros(1), np.zeros((1, 99))).tolist() == [99]


def test_sampled_ranks_count_the_better() -> None:
    ranks = sampled_ranks(np.array([0.5, -1.0]), np.array([[0.4, 0.6, 0.9], [0.0, -2.0, 0.0]]))
    assert ranks.tolist() == [2, 2]


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_full_ranks_equal_sorting(items: int, listeners: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    score = generator.integers(0, 4, (listeners, items)).astype(np.float32)
    role = generator.integers(0, 3, (listeners, items))  # 0 held out, 1 known, 2 neither
    held, known = ([np.flatnonzero(row == value).tolist() for row in role] for value in (0, 1))
    found = full_ranks(score, rows(*held), rows(*known))
    expected = [
        sum(score[u, j] >= score[u, i] for j in range(items) if j != i and role[u, j] != 1)
        for u in range(listeners)
        for i in held[u]
    ]
    assert found.tolist() == expected


def test_the_expected_hit_rate_is_the_mean_over_draws() -> None:
    generator = np.random.default_rng(0)
    score, rank = np.array([0.5, *np.linspace(1.0, 0.6, 9), *np.linspace(0.4, 0.0, 30)]), 9
    drawn = [generator.choice(39, 20, replace=False) + 1 for _ in range(4000)]
    hits = np.mean([(score[d] >= score[0]).sum() < 5 for d in drawn])
    expected = expected_sampled_hit_rate(5, np.array([rank]), np.array([40]), 20)
    assert 0.02 < expected < 0.98
    assert hits == pytest.approx(expected, abs=0.03)


def test_the_expected_hit_rate_at_its_ends() -> None:
    many = np.array([1000])
    assert expected_sampled_hit_rate(10, np.array([9]), many, 99) == 1.0
    assert expected_sampled_hit_rate(10, np.array([999]), many, 99) == pytest.approx(0.0)
    assert expected_sampled_hit_rate(1, np.array([0]), np.array([1]), 99) == 1.0
    # one better item among 999: it is drawn with probability 99 / 999
    assert expected_sampled_hit_rate(1, np.array([1]), many, 99) == pytest.approx(1 - 99 / 999)


def test_what_cannot_be_ranked_is_refused() -> None:
    score = np.zeros((1, 3))
    with pytest.raises(ValueError, match=r"NaN at \(0, 1\)"):
        full_ranks(np.array([[0.0, np.nan, 0.0]]), rows([0]), rows([]))
    with pytest.raises(ValueError, match="NaN"):
        sampled_ranks(np.array([np.nan]), np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"held_out: items must lie in \[0, 2\]"):
        full_ranks(score, rows([3]), rows([]))
    with pytest.raises(ValueError, match="known must have 2 starts"):
        full_ranks(score, rows([0]), rows([], []))
    with pytest.raises(ValueError, match="k must be >= 1"):
        recall_at(0, START, RANKS)
    with pytest.raises(ValueError, match="nothing was held out"):
        ndcg_at(5, np.zeros(4, np.int64), np.empty(0, np.int64))
    assert one_each(3).tolist() == [0, 1, 2, 3]
