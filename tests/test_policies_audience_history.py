from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from policies.listening_history import (
    ListeningFactors,
    ListeningHistory,
    factorise,
    read_listening_history,
    tastes,
)

from envs.errors import ConfigurationError

HEADER = "userID\tartistID\tweight\r\n"


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "user_artists.dat").write_bytes(text.encode())
    return tmp_path


def two_tastes(listeners: int = 60, items: int = 40, seed: int = 0) -> ListeningHistory:
    """Two kinds of listeners, each of whom plays a third of its own half of the items."""
    generator = np.random.default_rng(seed)
    half = np.arange(listeners)[:, None] % 2 == np.arange(items) % 2
    listener, item = np.nonzero(half & (generator.random((listeners, items)) < 1 / 3))
    plays = generator.integers(1, 500, len(listener))
    return ListeningHistory(
        listener.astype(np.int32), item.astype(np.int32), plays, np.arange(listeners), np.arange(items)
    )


def test_a_history_is_read_and_numbered(tmp_path: Path) -> None:
    history = read_listening_history(write(tmp_path, HEADER + "9\t70\t3\r\n2\t70\t1\r\n9\t51\t13883\r\n"))
    assert history.listener_id.tolist() == [2, 9] and history.item_id.tolist() == [51, 70]
    assert history.listener.tolist() == [0, 1, 1]
    assert history.item.tolist() == [1, 0, 1]
    assert history.plays.tolist() == [1, 13883, 3]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    text = "\ufeffweight\textra\tartistID\tuserID\n3\tx\t70\t9\n"
    history = read_listening_history(write(tmp_path, text))
    assert (history.listener_id[0], history.item_id[0], history.plays[0]) == (9, 70, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (HEADER, "line 1: the header is all there is"),
        (
            "userID\tartistID\n1\t2\n",
            "line 1, column 'weight': this column is missing; the header has 'userID'",
        ),
        ("userID,artistID,weight\n1,2,3\n", "line 1, column 'userID': this column is missing"),
        ("userID\tuserID\tartistID\tweight\n", "line 1, column 'userID': this column stands twice"),
        (
            HEADER + "1\t2\t3\n1\tabba\t3\n",
            "line 3, column 'artistID': must be a whole number >= 0, got 'abba'",
        ),
        (HEADER + "1\t2\tmany\n", "line 2, column 'weight': must be a whole number >= 1, got 'many'"),
        (HEADER + "1\t2\t2.5\n", "line 2, column 'weight': .*got '2.5'"),
        (HEADER + "1\t2\t-3\n", "line 2, column 'weight': .*got '-3'"),
        (HEADER + "1\t2\t0\n", "line 2, column 'weight': must be a whole number >= 1, got '0'"),
        (HEADER + "1\t2\t" + "9" * 40 + "\n", "line 2, column 'weight'"),
        (HEADER + "\t2\t3\n", "line 2, column 'userID': .*got ''"),
        (HEADER + "1\t2\n", "line 2: has 2 tab-separated fields, the header has 3"),
        (HEADER + "1\t2\t3\n\n", "line 3: has 1 tab-separated fields"),
        (
            HEADER + "1\t2\t3\n1\t3\t3\n4\t2\t3\n1\t2\t9\n",
            "line 5, columns 'userID' and 'artistID': listener 1 with item 2 stands twice, first on line 2",
        ),
    ],
)
def test_a_malformed_history_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_listening_history(write(tmp_path, text))
    assert str(tmp_path / "user_artists.dat") in str(caught.value)


def test_a_folder_that_is_no_history_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(
            ConfigurationError, match=r"user_artists.dat: no such file; a listening history is"
        ):
            read_listening_history(folder)
    (tmp_path / "user_artists.dat").write_bytes(HEADER.encode() + b"1\t\xff\t3\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_listening_history(tmp_path)


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


def correlated_factors(listeners: int = 500, dimensions: int = 5) -> ListeningFactors:
    generator = np.random.default_rng(2)
    factor = generator.normal(3.0, 1.0, (listeners, dimensions)) @ generator.normal(
        size=(dimensions, dimensions)
    )
    return ListeningFactors(factor.astype(np.float32), np.zeros((1, dimensions), np.float32))


@pytest.mark.parametrize("dimensions", [1, 3, 5])
def test_tastes_are_whitened(dimensions: int) -> None:
    taste = tastes(correlated_factors(), dimensions)
    assert taste.shape == (500, dimensions) and taste.dtype == np.float32
    np.testing.assert_allclose(taste.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.atleast_2d(np.cov(taste.T, bias=True)), np.eye(dimensions), atol=1e-4)


def test_tastes_do_not_hang_on_the_order_asked_for() -> None:
    factors = correlated_factors()
    np.testing.assert_array_equal(tastes(factors, 2), tastes(factors, 5)[:, :2])


def test_tastes_refuse_more_dimensions_than_there_are() -> None:
    factors = correlated_factors()
    for dimensions in (0, 6):
        with pytest.raises(ValueError, match=r"\[1, 5\]"):
            tastes(factors, dimensions)
    flat = factors._replace(listener_factor=factors.listener_factor[:, :1] * np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"\[1, 1\]"):
        tastes(flat, 2)


@pytest.fixture(scope="module")
def real_history(data_dir: Path) -> ListeningHistory:
    folder = data_dir / "lastfm-hetrec2011"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    return read_listening_history(folder)


def test_the_real_history_has_its_known_size(real_history: ListeningHistory) -> None:
    assert len(real_history.plays) == 92_834
    assert len(real_history.listener_id) == 1_892
    assert len(real_history.item_id) == 17_632
    assert np.median(np.bincount(real_history.listener)) == 50
    plays_of_item = np.sort(np.bincount(real_history.item, real_history.plays))[::-1]
    assert plays_of_item[:176].sum() / plays_of_item.sum() == pytest.approx(0.52, abs=0.01)


def recall_at_20(score: NDArray[np.float32], train: ListeningHistory, test: ListeningHistory) -> float:
    """Mean over listeners of the share of held-out items among the 20 best not seen in training."""
    score = score.copy()
    score[train.listener, train.item] = -np.inf
    hit = np.zeros(score.shape, bool)
    np.put_along_axis(hit, np.argpartition(-score, 20, axis=1)[:, :20], True, axis=1)
    held_out = np.bincount(test.listener, minlength=len(score))
    found = np.bincount(test.listener, hit[test.listener, test.item], minlength=len(score))
    return float((found / np.minimum(np.maximum(held_out, 1), 20))[held_out > 0].mean())


def test_factors_of_the_real_history_beat_popularity(real_history: ListeningHistory) -> None:
    held_out = np.random.default_rng(0).random(len(real_history.plays)) < 0.2

    def part(keep: NDArray[np.bool_]) -> ListeningHistory:
        listener, item, plays, *ids = real_history
        return ListeningHistory(listener[keep], item[keep], plays[keep], *ids)

    train, test = part(~held_out), part(held_out)
    popularity = np.bincount(train.item, minlength=len(train.item_id)).astype(np.float32)
    of_popularity = recall_at_20(np.tile(popularity, (len(train.listener_id), 1)), train, test)
    factors = factorise(train, 8)
    of_factors = recall_at_20(factors.listener_factor @ factors.item_factor.T, train, test)
    assert of_popularity == pytest.approx(0.100, abs=0.01)
    assert of_factors > 0.2
    taste = tastes(factors, 8)
    assert np.isfinite(taste).all() and np.abs(taste).max() < 10.0
