import numpy as np
import pytest

from evaluation.watchdog.power import (
    ceiling,
    mean_interval,
    needed,
    power,
    rate_interval,
    share_interval,
    share_of_means,
)
from policies.watchdog.signals import Signal


@pytest.mark.parametrize("ratio", [0.1, 0.6, 1.5, 4.0])
def test_the_ceiling_is_the_power_of_the_test_that_knows_all(ratio: float) -> None:
    rng, size, level = np.random.default_rng(0), np.array([2.0, 12.0, 60.0]), 4.0
    n = rng.poisson(ratio * size, (40000, 3))
    told = (n * np.log(ratio) - (ratio - 1.0) * size > level).mean(0)
    np.testing.assert_allclose(ceiling(size, ratio, level), told, atol=0.01)


def test_from_the_needed_count_on_nine_in_ten_are_found() -> None:
    for ratio in (0.1, 3.0):
        least = needed(ratio, 5.8)
        sizes = least * np.array([1.0, 1.5, 3.0])
        assert (ceiling(sizes, ratio, 5.8) >= 0.9).all() and ceiling(
            np.array([0.5 * least]), ratio, 5.8
        ) < 0.9
    assert np.isinf(needed(1.0005, 5.8))


def test_intervals_of_textbooks() -> None:
    assert share_interval(9, 10) == pytest.approx((0.5550, 0.9975), abs=1e-3)  # Clopper & Pearson
    assert share_interval(0, 10)[0] == 0.0 and share_interval(10, 10)[1] == 1.0
    assert rate_interval(10, 1.0) == pytest.approx((4.795, 18.39), abs=0.01)  # Garwood
    assert rate_interval(0, 2.0) == pytest.approx((0.0, 3.689 / 2.0), abs=1e-3)
    mean, low, high = mean_interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert mean == 2.5
    assert [high - mean, mean - low] == pytest.approx(2 * [1.96 * 1.290994 / 2.0], rel=1e-5)
    rng = np.random.default_rng(1)
    whole = rng.normal(100.0, 10.0, 400)
    share, low, high = share_of_means(0.5 * whole, whole)
    assert share == pytest.approx(low) == pytest.approx(high) == pytest.approx(0.5)


def test_power_reads_counts_of_incidents_an_interval_late() -> None:
    where = np.zeros((10, 2, 1), bool)
    where[3:6, 0, 0] = True  # heard in 4, 5 and 6
    expected = np.full((10, 2, 1), 4.0)
    observed = expected.copy()
    observed[4:7, 0, 0] = 20.0
    calm = Signal(np.where(np.arange(10)[:, None, None] % 2 == 0, 8.0, 0.0) * np.ones((10, 2, 1)), expected)
    told = power(
        "rival_surge", {"rival_surge": Signal(observed, expected)}, where, {"rival_surge": calm}, 0.01
    )
    assert (told["expected"], told["ratio"], told["dispersion"]) == (12.0, 5.0, 4.0)
    assert told["nothing_to_see"] == 0.0 and told["ceiling"] > 0.8
