"""How well a ranking finds what was held out: ranks first, then Recall@k, nDCG@k and HR@k of the ranks.

A rank is the number of candidates that score at least as well as the item held out: ties count against the
model, so that neither a constant score nor the order of ids can flatter it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from envs.kernel import allocating_kernel


def full_ranks(
    score: NDArray[np.floating[Any]],
    held_out: tuple[NDArray[np.int64], NDArray[np.int32]],
    known: tuple[NDArray[np.int64], NDArray[np.int32]],
) -> NDArray[np.int64]:
    """Ranks among all items but those known: [H], 0 the best.

    Args:
        score: [L, I] one row a listener.
        held_out: start [L + 1] and item [H], compressed rows: what was held out of each listener. The
            others held out of the same listener are candidates too.
        known: start [L + 1] and item [E]: what each listener is known to have played. An item that is also
            held out (it came again) stays a candidate.

    Raises:
        ValueError: a score that is not a number, or rows that do not fit the scores.
    """
    for name, (start, item) in (("held_out", held_out), ("known", known)):
        if len(start) != len(score) + 1:
            raise ValueError(
                f"{name} must have {len(score) + 1} starts, one a row and the end; got {len(start)}"
            )
        if item.size and not 0 <= item.min() <= item.max() < score.shape[1]:
            raise ValueError(f"{name}: items must lie in [0, {score.shape[1] - 1}]")
    _check_numbers(score)
    ranks = np.empty(len(held_out[1]), np.int64)
    _full_ranks(np.ascontiguousarray(score), *held_out, *known, ranks)
    return ranks


def sampled_ranks(
    positive: NDArray[np.floating[Any]], negative: NDArray[np.floating[Any]]
) -> NDArray[np.int64]:
    """Ranks among sampled negatives: [H], 0 the best.

    Args:
        positive: [H] scores of what was held out.
        negative: [H, N] scores of the negatives drawn for each.

    Raises:
        ValueError: a score that is not a number.
    """
    _check_numbers(positive)
    _check_numbers(negative)
    ranks: NDArray[np.int64] = (negative >= positive[:, None]).sum(1)
    return ranks


def expected_sampled_hit_rate(
    k: int, ranks: NDArray[np.int64], candidates: NDArray[np.int64], negatives: int
) -> float:
    """HR@k among uniformly sampled negatives, averaged over all draws of them: a hypergeometric sum.

    Args:
        k: length of the list.
        ranks: [H] ranks among all candidates, one item held out a listener.
        candidates: [H] how many candidates there are, the item held out included.
        negatives: how many would be drawn without repetition; no more than there are.
    """
    others = candidates - 1
    chance = hypergeom.cdf(k - 1, others, ranks, np.minimum(negatives, others))
    return float(np.where(others == 0, 1.0, chance).mean())


def recall_at(k: int, start: NDArray[np.int64], ranks: NDArray[np.int64]) -> float:
    """Share of what was held out that is among the first k, of min(k, held out), mean over listeners.

    Args:
        k: length of the list.
        start: [L + 1] where the ranks of each listener begin; listeners without any are left out.
        ranks: [H] of `full_ranks`.

    Raises:
        ValueError: nothing was held out, or k < 1.
    """
    count = _held_out_counts(k, start)
    found = _by_listener(start, (ranks < k).astype(np.float64))
    return float((found / np.minimum(count, k)).mean())


def ndcg_at(k: int, start: NDArray[np.int64], ranks: NDArray[np.int64]) -> float:
    """Normalised discounted cumulative gain: sum of 1 / log2(rank + 2) over the best sum there could be.

    Järvelin & Kekäläinen 2002, binary gains; arguments and errors as in `recall_at`.
    """
    count = _held_out_counts(k, start)
    gain = _by_listener(start, np.where(ranks < k, 1.0 / np.log2(ranks + 2.0), 0.0))
    best = np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))
    return float((gain / best[np.minimum(count, k) - 1]).mean())


def hit_rate_at(k: int, start: NDArray[np.int64], ranks: NDArray[np.int64]) -> float:
    """Share of listeners with at least one of what was held out among the first k.

    Arguments and errors as in `recall_at`.
    """
    _held_out_counts(k, start)
    return float((_by_listener(start, (ranks < k).astype(np.float64)) > 0).mean())


def one_each(listeners: int) -> NDArray[np.int64]:
    """The starts [L + 1] where one item was held out of every listener."""
    return np.arange(listeners + 1, dtype=np.int64)


def _held_out_counts(k: int, start: NDArray[np.int64]) -> NDArray[np.int64]:
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    count = np.diff(start)
    if not count.any():
        raise ValueError("nothing was held out, so there is nothing to find")
    return count[count > 0]


def _by_listener(start: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums [listeners with any] of the values [H] of each listener."""
    return np.add.reduceat(value, start[:-1][np.diff(start) > 0])


def _check_numbers(score: NDArray[np.floating[Any]]) -> None:
    if np.isnan(score).any():
        at = tuple(int(i) for i in np.argwhere(np.isnan(score))[0])
        raise ValueError(f"scores must be numbers, got NaN at {at}: nothing can be ranked by it")


@allocating_kernel
def _full_ranks(score, held_start, held_item, known_start, known_item, out):  # type: ignore[no-untyped-def]
    candidate = np.empty(score.shape[1], np.bool_)
    for row in range(score.shape[0]):
        candidate[:] = True
        for e in range(known_start[row], known_start[row + 1]):
            candidate[known_item[e]] = False
        for h in range(held_start[row], held_start[row + 1]):
            candidate[held_item[h]] = True
        for h in range(held_start[row], held_start[row + 1]):
            own = held_item[h]
            better = 0
            for i in range(score.shape[1]):
                if candidate[i] and i != own and score[row, i] >= score[row, own]:
                    better += 1
            out[h] = better
