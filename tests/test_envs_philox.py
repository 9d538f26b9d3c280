from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from envs.philox import (
    binomial,
    fill_words,
    fill_words_at,
    normal_pair,
    normal_quantile,
    normals,
    philox4x32,
    uniform4,
    uniforms,
)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_known_answers_of_random123(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    assert tuple(int(word) for word in philox4x32(*counter, *key)) == answer


def test_every_part_of_an_address_changes_the_draw() -> None:
    seed = (3 << 40) + 5
    base = uniform4(np.uint64(seed), 1, 2, 3, 4)
    others = [
        uniform4(np.uint64(seed + 1), 1, 2, 3, 4),
        uniform4(np.uint64(seed + (1 << 32)), 1, 2, 3, 4),
        uniform4(np.uint64(seed), 2, 2, 3, 4),
        uniform4(np.uint64(seed), 1, 3, 3, 4),
        uniform4(np.uint64(seed), 1, 2, 4, 4),
        uniform4(np.uint64(seed), 1, 2, 3, 5),
    ]
    assert uniform4(np.uint64(seed), 1, 2, 3, 4) == base
    assert all(not set(other) & set(base) for other in others)


def test_a_block_of_words_holds_what_each_address_says() -> None:
    seed, words = np.uint64((7 << 40) + 3), np.zeros((8, 5), np.uint32)
    fill_words(seed, 2, 9, 100, 3, 2, words)
    for item in range(3):
        singly = [u for draw in range(2) for u in uniform4(seed, 2, 9, 100 + item, draw)]
        assert np.array_equal((words[:, item] + 0.5) / 2**32, singly)
    assert (words[:, 3:] == 0).all()


def test_words_at_addresses_hold_what_each_address_says() -> None:
    seed, words = np.uint64((7 << 40) + 3), np.zeros((8, 4), np.uint32)
    items, first_draw = np.array([5, 5, 90, -1]), np.array([0, 2, 4, -1])
    fill_words_at(seed, 2, 9, items, first_draw, 3, 2, words)
    for n in range(3):
        singly = [u for draw in range(2) for u in uniform4(seed, 2, 9, items[n], first_draw[n] + draw)]
        assert np.array_equal((words[:, n] + 0.5) / 2**32, singly)
    assert (words[:, 3] == 0).all()


def test_uniforms_are_uniform_and_never_reach_an_end() -> None:
    draws = uniforms(np.arange(8, dtype=np.uint64), 7, (4001,))
    assert draws.shape == (8, 4001)
    assert 0.0 < draws.min() and draws.max() < 1.0
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3


def test_normals_are_normal() -> None:
    assert stats.kstest(normals(np.arange(8, dtype=np.uint64), 7, (4001,)).ravel(), "norm").pvalue > 1e-3
    assert normal_pair(0.5, 0.0)[0] == pytest.approx(math.sqrt(2 * math.log(2)))


def test_a_seed_draws_the_same_in_any_batch() -> None:
    seeds = np.array([5, 9, 2**63 + 1], np.uint64)
    together = normals(seeds, 3, (2, 5))
    for row, seed in enumerate(seeds):
        assert np.array_equal(normals(np.array([seed]), 3, (2, 5))[0], together[row])


def test_normal_quantiles() -> None:
    u = np.concatenate([np.linspace(0.001, 0.999, 999), [1e-12, 1e-9, 0.5, 1 - 1e-9]])
    found = np.array([normal_quantile(x) for x in u])
    assert found == pytest.approx(stats.norm.ppf(u), rel=2e-7, abs=2e-7)


@pytest.mark.parametrize("n", [1, 3, 30, 100, 5000])
@pytest.mark.parametrize("p", [0.0004, 0.02, 0.3, 0.5, 0.7, 0.999])
def test_binomial_moments(n: int, p: float) -> None:
    draws = uniforms(np.array([11], np.uint64), n, (20_000,))[0]
    counts = np.array([binomial(n, p, u) for u in draws])
    assert (np.diff(counts[np.argsort(draws)]) >= 0).all(), "a larger uniform never brings fewer"
    assert counts.min() >= 0 and counts.max() <= n
    spread = math.sqrt(n * p * (1 - p))
    assert counts.mean() == pytest.approx(n * p, abs=4 * spread / math.sqrt(len(counts)) + 1e-9)
    assert counts.var() == pytest.approx(spread**2, rel=0.06, abs=4 * spread / math.sqrt(len(counts)))


@pytest.mark.parametrize("p", [0.01, 0.1, 0.95])
def test_binomial_by_inversion_is_exact(p: float) -> None:
    draws = uniforms(np.array([4], np.uint64), 1, (20_000,))[0]
    counts = np.bincount([binomial(100, p, u) for u in draws], minlength=101)
    expected = len(draws) * stats.binom.pmf(np.arange(101), 100, p)
    often = expected > 8
    seen = [*counts[often], counts[~often].sum()]
    wanted = [*expected[often], expected[~often].sum()]
    assert stats.chisquare(seen, wanted).pvalue > 1e-3


def test_binomial_at_its_limits() -> None:
    assert binomial(0, 0.5, 0.5) == 0
    assert binomial(-1, 0.5, 0.5) == 0
    assert binomial(10, 0.0, 0.5) == 0
    assert binomial(10, 1.0, 0.5) == 10
    assert binomial(10, 2.0, 0.5) == 10
    for n, p in ((10, 0.5), (10_000, 0.3), (10_000, 0.999)):
        assert binomial(n, p, 1.0 - 1e-12) <= n and binomial(n, p, 1e-12) >= 0
    assert binomial(10, 0.5, 1.0 - 1e-12) == 10
