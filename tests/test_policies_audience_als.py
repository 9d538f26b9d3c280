from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from support.listening import two_tastes

from policies.audience.als import factorise, fold_in, objective
from policies.audience.evaluate import held_out_ranks
from policies.audience.factors import ListeningFactors
from policies.audience.history import ListeningHistory, read_listening_history
from policies.audience.holdout import split_history
from policies.audience.interactions import Interactions, by_item, by_listener, pair_weights
from policies.audience.ranking import recall_at


def test_factors_solve_the_stated_problem() -> None:
    history = two_tastes(12, 10)
    slope, regularisation = 3.0, 0.7
    listeners, items = factorise(
        history, 3, iterations=200, confidence_slope=slope, regularisation=regularisation
    )
    assert listeners.shape == (12, 3) and items.shape == (10, 3) and listeners.dtype == np.float32
    preference = np.zeros((12, 10))
    preference[history.listener, history.item] = 1.0
    confidence = np.ones((12, 10))
    confidence[history.listener, history.item] += slope * np.log1p(history.plays)
    for row in range(12):  # at the fixed point each listener is the weighted ridge solution
        weighted = items * confidence[row][:, None]
        exact = np.linalg.solve(items.T @ weighted + regularisation * np.eye(3), weighted.T @ preference[row])
        np.testing.assert_allclose(listeners[row], exact, atol=1e-3)


def test_factors_find_the_two_tastes_and_are_repeatable() -> None:
    history = two_tastes()
    first, again, other = (factorise(history, 4, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.item_factor, other.item_factor)
    score = first.listener_factor @ first.item_factor.T
    same = np.arange(60)[:, None] % 2 == np.arange(40) % 2
    assert score[same].mean() > 0.3 and abs(score[~same].mean()) < 0.1


@pytest.mark.parametrize(
    "change",
    [{"dimensions": 0}, {"iterations": 0}, {"confidence_slope": 0.0}, {"regularisation": float("nan")}],
)
def test_factorise_names_a_bad_argument(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        factorise(two_tastes(), **change)  # type: ignore[arg-type]


def dense(history: ListeningHistory, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Preference and confidence [L, I]."""
    shape = (len(history.listener_id), len(history.item_id))
    preference, confidence = np.zeros(shape), np.ones(shape)
    preference[history.listener, history.item] = 1.0
    confidence[history.listener, history.item] += slope * np.log1p(history.plays)
    return preference, confidence


def test_the_objective_is_the_dense_sum() -> None:
    history, slope, regularisation = two_tastes(9, 7), 2.0, 0.3
    factors = factorise(history, 3, iterations=2, confidence_slope=slope, regularisation=regularisation)
    preference, confidence = dense(history, slope)
    x, y = (factor.astype(np.float64) for factor in factors)
    exact = (confidence * (preference - x @ y.T) ** 2).sum() + regularisation * ((x**2).sum() + (y**2).sum())
    rows = by_listener(history, slope * pair_weights(history))
    assert objective(rows, factors, regularisation) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("weighting", ["log", "constant"])
def test_the_objective_falls_with_every_iteration(weighting: str) -> None:
    history = two_tastes()
    rows = by_listener(history, 4.0 * pair_weights(history, weighting))  # type: ignore[arg-type]
    value = [
        objective(
            rows,
            factorise(
                history,
                5,
                iterations=iterations,
                confidence_slope=4.0,
                regularisation=2.0,
                weighting=weighting,  # type: ignore[arg-type]
            ),
            2.0,
        )
        for iterations in range(1, 9)
    ]
    assert all(after < before for before, after in itertools.pairwise(value))


def test_a_fit_equals_dense_alternation() -> None:
    """The same alternation in plain NumPy, from the same start, with matrices written out."""
    history, slope, regularisation = two_tastes(12, 10), 3.0, 0.7
    preference, confidence = dense(history, slope)
    once = factorise(history, 3, iterations=1, confidence_slope=slope, regularisation=regularisation)
    thrice = factorise(history, 3, iterations=3, confidence_slope=slope, regularisation=regularisation)

    def half(fixed: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.array(
            [
                np.linalg.solve(fixed.T * w @ fixed + regularisation * np.eye(3), fixed.T @ (w * p))
                for p, w in zip(wanted, weight, strict=True)
            ]
        )

    items = once.item_factor.astype(np.float64)
    for _ in range(2):
        listeners = half(items, preference, confidence)
        items = half(listeners, preference.T, confidence.T)
    np.testing.assert_allclose(thrice.item_factor, items, atol=2e-5)
    np.testing.assert_allclose(thrice.listener_factor, listeners, atol=2e-5)


def test_a_known_listener_folds_in_where_the_fit_left_it() -> None:
    history = two_tastes()
    factors = factorise(history, 4, iterations=600, regularisation=3.0)
    rows = by_listener(history, 5.0 * pair_weights(history))
    again = fold_in(factors.item_factor, rows, regularisation=3.0)
    np.testing.assert_allclose(again, factors.listener_factor, atol=1e-3)


def test_a_listener_who_played_nothing_folds_in_at_zero_and_unknown_items_are_refused() -> None:
    items = factorise(two_tastes(), 4).item_factor
    nothing = Interactions(np.zeros(2, np.int64), np.empty(0, np.int32), np.empty(0))
    np.testing.assert_array_equal(fold_in(items, nothing, regularisation=1.0), np.zeros((1, 4)))
    unknown = Interactions(np.array([0, 1]), np.array([40], np.int32), np.ones(1))
    with pytest.raises(ValueError, match=r"\[0, 39\]"):
        fold_in(items, unknown, regularisation=1.0)


def test_rows_and_columns_hold_the_same_pairs() -> None:
    history = two_tastes(11, 8)
    weight = pair_weights(history)
    rows, columns = by_listener(history, weight), by_item(history, weight)
    table = [np.zeros((11, 8)) for _ in range(2)]
    for u in range(11):
        part = slice(rows.start[u], rows.start[u + 1])
        table[0][u, rows.column[part]] = rows.weight[part]
    for i in range(8):
        part = slice(columns.start[i], columns.start[i + 1])
        table[1][columns.column[part], i] = columns.weight[part]
        assert (np.diff(columns.column[part]) > 0).all()
    np.testing.assert_array_equal(*table)
    assert table[0][history.listener, history.item] == pytest.approx(np.log1p(history.plays))
    with pytest.raises(ValueError, match="log, constant"):
        pair_weights(history, "linear")  # type: ignore[arg-type]


def recall_at_20(factors: ListeningFactors, training: ListeningHistory, held_out: ListeningHistory) -> float:
    start, ranks = held_out_ranks(
        lambda rows: factors.listener_factor[rows] @ factors.item_factor.T, training, held_out
    )
    return recall_at(20, start, ranks)


def test_factors_of_the_real_history_find_what_was_held_out(data_dir: Path) -> None:
    """Eight dimensions, as tastes are made of: well above the .100 that popularity finds."""
    folder = data_dir / "lastfm-hetrec2011"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    training, held_out = split_history(read_listening_history(folder), 0)
    assert recall_at_20(factorise(training, 8), training, held_out) > 0.2
