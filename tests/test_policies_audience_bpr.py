from __future__ import annotations

import numpy as np
import pytest
from support.listening import two_tastes

from policies.audience.bpr import _steps, fit_bpr, fold_in_bpr


def test_factors_find_the_two_tastes_and_are_repeatable() -> None:
    history = two_tastes()
    first, again, other = (fit_bpr(history, 4, seed, epochs=100) for seed in (0, 0, 1))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.item_factor, other.item_factor)
    score = first.listener_factor @ first.item_factor.T
    same = np.arange(60)[:, None] % 2 == np.arange(40) % 2
    assert np.mean(score[same] > score[~same].mean()) > 0.9


def test_the_last_dimension_is_the_bias() -> None:
    listeners, items = fit_bpr(two_tastes(), 4, epochs=20)
    assert listeners.shape == (60, 5) and items.shape == (40, 5)
    assert (listeners[:, -1] == 1.0).all() and items[:, -1].std() > 0.0


def test_a_step_goes_up_the_gradient() -> None:
    """One step against the numerical gradient of log sigmoid(difference) - regularisation / 2 |.|^2."""
    generator = np.random.default_rng(0)
    listeners, items = generator.normal(size=(1, 4)), generator.normal(size=(3, 4))
    listeners[0, -1] = 1.0
    regularisation, rate = 0.3, 1e-4

    def value(x: np.ndarray, y: np.ndarray) -> float:
        difference = x[0] @ (y[0] - y[2])
        squares = (x[0, :-1] ** 2).sum() + (y[0] ** 2).sum() + (y[2] ** 2).sum()
        return float(-np.log1p(np.exp(-difference)) - regularisation / 2 * squares)

    moved = listeners.copy(), items.copy()
    start, zero = np.array([0, 1]), np.zeros(1, np.int32)
    _steps(start, zero, zero, np.zeros(1, np.int64), np.array([2]), *moved, rate, regularisation)
    for part, before in enumerate((listeners, items)):
        for at in np.ndindex(*before.shape):
            if part == 0 and at[1] == 3:
                continue  # the constant
            change = []
            for sign in (1, -1):
                nudged = [listeners.copy(), items.copy()]
                nudged[part][at] += sign * 1e-5
                change.append(value(*nudged))
            gradient = (change[0] - change[1]) / 2e-5
            assert (moved[part][at] - before[at]) / rate == pytest.approx(gradient, abs=1e-5)
    assert moved[0][0, -1] == 1.0


def test_a_played_item_is_no_negative() -> None:
    listeners, items = np.ones((1, 3)), np.ones((2, 3))
    start, drawn = np.array([0, 2]), np.zeros(1, np.int64)
    _steps(
        start,
        np.zeros(2, np.int32),
        np.arange(2, dtype=np.int32),
        drawn,
        np.array([1]),
        listeners,
        items,
        0.1,
        0.1,
    )
    assert (listeners == 1.0).all() and (items == 1.0).all()


def test_a_newcomer_is_put_among_its_like() -> None:
    history = two_tastes()
    items = fit_bpr(history, 4, epochs=100).item_factor
    for half in (0, 1):
        factor = fold_in_bpr(items, np.arange(half, 10, 2, dtype=np.int32), regularisation=0.01)
        score = items @ factor
        mine = np.arange(40) % 2 == half
        assert score[10:][mine[10:]].mean() > score[10:][~mine[10:]].mean() + 1.0


@pytest.mark.parametrize(
    "change", [{"dimensions": 0}, {"epochs": 0}, {"learning_rate": 0.0}, {"regularisation": float("nan")}]
)
def test_a_bad_argument_is_named(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        fit_bpr(two_tastes(), **change)  # type: ignore[arg-type]
