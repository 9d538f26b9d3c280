from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import gamma, poisson

from envs.state import Float
from policies.watchdog.detectors import (
    ConfidenceSequence,
    Cusum,
    Detector,
    Ewma,
    GeneralisedLikelihoodRatio,
)

EVERY: list[Detector] = [
    Ewma(),
    Cusum(2.0),
    Cusum(0.3, dispersion=2.0),
    GeneralisedLikelihoodRatio(1.5, window=4),
    GeneralisedLikelihoodRatio(0.6),
    ConfidenceSequence(),
    ConfidenceSequence(rises=False),
]


def statistics(detector: Detector, observed: Float, expected: Float) -> Float:
    """[T, ...] of streams [T, ...]."""
    detector.start(observed.shape[1:])
    return np.stack([detector.update(n, mu) for n, mu in zip(observed, expected, strict=True)])


def run_lengths(
    detector: Detector, ratio: float, level: float, streams: int = 400, most: int = 4000
) -> Float:
    """Intervals to the first alarm of Poisson streams with mean 3 × ratio where 3 is expected."""
    rng = np.random.default_rng(1)
    detector.start((streams,))
    length = np.full(streams, most)
    mu = np.full(streams, 3.0)
    for t in range(1, most + 1):
        alarm = detector.update(rng.poisson(3.0 * ratio, streams).astype(float), mu) > level
        length = np.where(alarm & (length == most), t, length)
        if (length < most).all():
            break
    return length


def brook_evans(ratio: float, actual: float, level: float, cells: int = 800) -> float:
    """Average run length of the CUSUM by a Markov chain on a fine grid (Brook & Evans 1972)."""
    mu, width = 3.0, level / cells
    value = (np.arange(cells) + 0.5) * width
    value[0] = 0.0
    n = np.arange(80)
    weight = poisson.pmf(n, mu * actual)
    following = value[:, None] + n * np.log(ratio) - (ratio - 1.0) * mu
    chain = np.zeros((cells, cells))
    for row in range(cells):
        stays = following[row] <= level
        to = np.clip((np.maximum(0.0, following[row]) / width).astype(int), 0, cells - 1)
        np.add.at(chain[row], to[stays], weight[stays])
    return float(np.linalg.solve(np.eye(cells) - chain, np.ones(cells))[0])


@pytest.mark.parametrize(("actual", "level"), [(1.0, 3.0), (2.0, 5.0), (1.5, 4.0)])
def test_the_run_length_of_a_cusum_is_that_of_its_markov_chain(actual: float, level: float) -> None:
    length = run_lengths(Cusum(2.0), actual, level)
    expected = brook_evans(2.0, actual, level)
    assert length.mean() == pytest.approx(expected, abs=4.0 * length.std() / 20.0 + 0.02 * expected)


def test_the_run_length_after_a_change_is_siegmunds() -> None:
    """E ≈ (h + overshoot + e^−(h + overshoot) − 1) / D for evidence of mean D (Siegmund 1985, with ρ₊)."""
    ratio, mu, level = 2.0, 3.0, 6.0
    drift = mu * (ratio * np.log(ratio) - ratio + 1.0)
    variance = ratio * mu * np.log(ratio) ** 2
    reach = level + 1.166 * np.sqrt(variance)
    siegmund = (reach + np.exp(-reach) - 1.0) / drift
    assert run_lengths(Cusum(ratio), ratio, level).mean() == pytest.approx(siegmund, rel=0.12)


@pytest.mark.parametrize("rises", [True, False])
def test_a_confidence_sequence_keeps_its_level_however_often_one_looks(rises: bool) -> None:
    """400 looks at 3000 streams: the share that ever leaves is below α, and not by much less than half."""
    rng, alpha = np.random.default_rng(2), 0.1
    detector = ConfidenceSequence(rises=rises)
    detector.start((3000,))
    mu, ever = np.full(3000, 0.7), np.zeros(3000, bool)
    for _ in range(400):
        ever |= detector.update(rng.poisson(0.7, 3000).astype(float), mu) >= np.log(1.0 / alpha)
    assert ever.mean() < alpha
    fixed = poisson.sf(poisson.ppf(1.0 - alpha, 280.0), 280.0)  # a test for one look, looked at 400 times
    assert fixed < alpha and ever.mean() > 0.01


@settings(max_examples=30, deadline=None)
@example(21, 0.125, 0.5)  # the integrand reaches far beyond 60
@given(st.integers(0, 30), st.floats(0.1, 20.0), st.floats(0.5, 8.0))
def test_the_mixture_of_a_confidence_sequence_is_the_integral(n: int, mu: float, shape: float) -> None:
    def ratio(rho: float) -> float:
        return float(rho**n * np.exp(-(rho - 1.0) * mu) * gamma.pdf(rho, shape, scale=1.0 / shape))

    ends = (0.0, 1.0, 10.0, 30.0, 60.0, 120.0, 400.0)
    expected = sum(quad(ratio, start, end, limit=200)[0] for start, end in pairwise(ends))
    detector = ConfidenceSequence(shape, rises=n > mu)
    found = statistics(detector, np.array([[float(n)]]), np.array([[mu]]))[0, 0]
    assert found == pytest.approx(max(0.0, np.log(expected)), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.sampled_from([1.5, 0.5]))
def test_the_generalised_likelihood_ratio_is_the_best_of_all_stretches_and_ratios(
    counts: list[int], least: float
) -> None:
    mu, window = 3.0, 5
    n = np.array(counts, float)[:, None]
    found = statistics(GeneralisedLikelihoodRatio(least, window=window), n, np.full_like(n, mu))[-1, 0]
    grid = np.geomspace(least, 30.0, 4000) if least > 1.0 else np.geomspace(1e-9, least, 4000)
    best = 0.0
    for k in range(1, min(window, len(counts)) + 1):
        total = n[-k:].sum()
        best = max(best, float((total * np.log(grid) - (grid - 1.0) * k * mu).max()))
    assert found == pytest.approx(best, abs=1e-3)


def test_a_cusum_is_the_best_of_all_starts() -> None:
    rng = np.random.default_rng(3)
    n, mu = rng.poisson(2.0, (40, 5)).astype(float), rng.uniform(0.5, 4.0, (40, 5))
    found = statistics(Cusum(1.7, dispersion=1.4), n, mu)
    evidence = (n * np.log(1.7) - 0.7 * mu) / 1.4
    for t in range(40):
        sums = np.stack([evidence[start : t + 1].sum(0) for start in range(t + 2)])
        np.testing.assert_allclose(found[t], sums.max(0), atol=1e-12)


def test_the_deviation_of_an_ewma_has_variance_one_from_the_first_interval() -> None:
    rng = np.random.default_rng(4)
    n = rng.poisson(50.0, (6, 20000)).astype(float)
    up, down = (statistics(Ewma(0.7, rises=rises), n, np.full_like(n, 50.0)) for rises in (True, False))
    for t in range(6):
        assert (up[t] - down[t]).std() == pytest.approx(1.0, abs=0.02)
        assert (up[t] > 0).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("detector", EVERY, ids=lambda d: f"{type(d).__name__}-{EVERY.index(d)}")
def test_nothing_known_is_no_evidence_and_places_do_not_touch(detector: Any) -> None:
    rng = np.random.default_rng(5)
    n, mu = rng.poisson(2.0, (12, 3)).astype(float), np.full((12, 3), 2.0)
    mu[4:8, 1] = 0.0
    whole = statistics(detector, n, mu)
    for place in range(3):
        alone = statistics(detector, n[:, place : place + 1], mu[:, place : place + 1])
        np.testing.assert_array_equal(whole[:, place], alone[:, 0])
    if not isinstance(detector, GeneralisedLikelihoodRatio):
        assert (whole[4:8, 1] == whole[3, 1]).all()
    detector.start((3,))
    for t in range(6):
        detector.update(n[t], mu[t])
    detector.restart(np.array([True, False, False]))
    after = detector.update(n[6], mu[6])
    np.testing.assert_allclose(after[0], statistics(detector, n[6:7, :1], mu[6:7, :1])[0, 0])


@pytest.mark.parametrize("ratio", [1.0, 0.0, -2.0])
def test_a_ratio_that_is_no_change_is_told(ratio: float) -> None:
    with pytest.raises(ValueError, match="above 0 and not 1"):
        Cusum(ratio)
    with pytest.raises(ValueError, match="above 0 and not 1"):
        GeneralisedLikelihoodRatio(ratio)
