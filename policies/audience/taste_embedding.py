"""Listeners as vectors: collaborative filtering of listening histories, after implicit ALS.

Alternating least squares with a confidence a cell (Hu, Koren & Volinsky, "Collaborative filtering for
implicit feedback datasets", 2008), in a form that lets little heard tell little. What is explained is how
much oftener than expected a listener plays an item, in logs, shrunk by one play:

    r = log((n + 1) / (e + 1)) · (e + 1) / e,    e = the listener's plays × the item's share of all plays,

with the confidence e / (1 + e · LIKING_VARIANCE), the precision of such a log ratio around what taste
explains. Who played nothing has no confidence anywhere, and the embedding 0: the average listener.

What is embedded is the expected taste, in units of its standard deviation over listeners: `trust` says how
far a solution of so many plays is to be believed.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.generator import draw_markets
from envs.histories import ITEMS, draw_histories
from envs.kernel import allocating_kernel
from envs.philox import normals
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Float
from policies.audience.cholesky import decompose, solve_in_place, substitute
from policies.audience.trust import NO_DOUBT, fit_trust, trusted

FACTORS: Final = 8
"""Dimensions of the embedding; more of them explained no more of what training listeners play."""
LIKING_VARIANCE: Final = 0.8
"""Of log ratios around what taste explains, where plays are many."""
RIDGE: Final = 2.0
ROUNDS: Final = 8
TRAINING_MARKETS: Final = 32
_TRAINING_SEED, _TRUST_SEED = 0x7A57E, 0x7A580
"""Sequences of training markets of their own; trust takes four: two populations, two years of each."""
SPARSE: Final = 1.0 / 16.0
RICH: Final = 4.0
"""How many times the plays listeners have that trust is learned from, half and half: so that it is learned
of few plays and of many, whichever the scenario's have."""
_START_STREAM: Final = 0x7A03


class TasteModel(NamedTuple):
    """What turns a history into an embedding."""

    item_share: Float  # [I] of all plays
    item_offset: Float  # [I] mean log ratio
    item_factor: Float  # [I, FACTORS]
    whitening: (
        Float  # [FACTORS, FACTORS] makes the embeddings of training listeners uncorrelated, of variance 1
    )
    trust: Float  # [KNOTS, 2] by plays: see `policies.audience.trust`


@allocating_kernel
def _log_ratios(plays, share, offset, confidence, ratio):  # type: ignore[no-untyped-def]
    """Fills confidence and log ratio [L, I] of plays [L, I], less offset [I] and the listener's mean."""
    listeners, items = plays.shape
    for i in range(listeners):
        total = 0
        for k in range(items):
            total += plays[i, k]
        weight, mean = 0.0, 0.0
        for k in range(items):
            e = total * share[k]
            c = e / (1.0 + e * LIKING_VARIANCE)
            r = 0.0
            if e > 0.0:
                r = math.log((plays[i, k] + 1.0) / (e + 1.0)) * (e + 1.0) / e - offset[k]
            confidence[i, k], ratio[i, k] = c, r
            weight += c
            mean += c * r
        if weight > 0.0:
            for k in range(items):
                ratio[i, k] -= mean / weight


@allocating_kernel
def _ridge(factor, confidence, ratio, out):  # type: ignore[no-untyped-def]
    """Solves (Σ c·y·yᵀ + RIDGE·1) x = Σ c·r·y for every row of confidence and ratio [m, n]: out [m, D].

    Args:
        factor: [n, D] the other side's vectors y.
        confidence: [m, n].
        ratio: [m, n].
        out: [m, D], overwritten; 0 where there is no confidence.
    """
    rows, size = factor.shape
    squares, total, a = np.empty((rows, size * size)), np.empty(size * size), np.empty((size, size))
    for k in range(rows):  # once for all, and flat: what follows then runs along them
        for d in range(size):
            for j in range(size):
                squares[k, d * size + j] = factor[k, d] * factor[k, j]
    for i in range(out.shape[0]):
        x = out[i]
        x[:] = 0.0
        total[:] = 0.0
        for k in range(rows):
            c, y, square = confidence[i, k], factor[k], squares[k]
            cr = c * ratio[i, k]
            for d in range(size):
                x[d] += cr * y[d]
            for n in range(size * size):
                total[n] += c * square[n]
        for d in range(size):
            for j in range(size):
                a[d, j] = total[d * size + j]
            a[d, d] += RIDGE
        solve_in_place(a, x)


_LOG_COUNT: Final = np.log1p(np.arange(4096.0))


@allocating_kernel
def _embed(plays, total, order, share, offset, factor, trust, out):  # type: ignore[no-untyped-def]
    """Fills out [n, FACTORS] with (Σ c·y·yᵀ + 1)⁻¹ Σ c·r·y times the trust in it, of counts plays [n, I].

    Confidences and expectations depend on the listener's total alone: among listeners of one total the
    solution is linear in log(count + 1), so the equations are solved once for all of them.

    Args:
        plays: [n, I].
        total: [n] of each row, or about: its mean over items is taken away.
        order: [n] rows by total.
        share: [I] of all plays.
        offset: [I] mean log ratio.
        factor: [I, FACTORS] vectors y, in units in which tastes have variance 1.
        trust: [KNOTS, 2].
        out: overwritten.
    """
    items = share.shape[0]
    a, inverse, column = np.empty((FACTORS, FACTORS)), np.empty((FACTORS, FACTORS)), np.empty(FACTORS)
    weight, expected = np.empty(items), np.empty(items)
    slope, level = np.empty((items, FACTORS)), np.empty(FACTORS)
    middle = np.empty(FACTORS)
    solved = 0
    for n in range(order.shape[0]):
        i = order[n]
        if total[i] == 0:
            out[i] = 0.0
            continue
        if total[i] != solved:
            solved = total[i]
            a[:] = 0.0
            middle[:] = 0.0
            sure = 0.0
            for k in range(items):
                e = solved * share[k]
                c = e / (1.0 + e * LIKING_VARIANCE)
                weight[k] = c * (e + 1.0) / e
                expected[k] = weight[k] * math.log(1.0 + e) + c * offset[k]
                sure += c
                for d in range(FACTORS):
                    cy = c * factor[k, d]
                    middle[d] += cy
                    for j in range(FACTORS):
                        a[d, j] += cy * factor[k, j]
            for d in range(FACTORS):
                a[d, d] += 1.0
            decompose(a)
            believed = trusted(trust, math.log1p(solved))
            for d in range(FACTORS):
                column[:] = 0.0
                column[d] = believed
                substitute(a, column)
                inverse[d] = column
            level[:] = 0.0
            for k in range(items):
                vector = slope[k]
                vector[:] = 0.0
                for j in range(FACTORS):
                    y = factor[k, j] - middle[j] / sure  # less the mean: a listener's level is no taste
                    for d in range(FACTORS):
                        vector[d] += y * inverse[j, d]
                for d in range(FACTORS):
                    level[d] += expected[k] * vector[d]
                    vector[d] *= weight[k]
        x = out[i]
        for d in range(FACTORS):
            x[d] = -level[d]
        for k in range(items):
            count = plays[i, k]
            if count == 0:
                continue
            log = _LOG_COUNT[count] if count < _LOG_COUNT.shape[0] else math.log1p(count)
            for d in range(FACTORS):
                x[d] += log * slope[k, d]


def fit_tastes(plays: NDArray[np.int32]) -> TasteModel:
    """Item factors of play counts [L, I].

    Raises:
        ValueError: nobody has played anything.
    """
    total = plays.sum(dtype=np.int64)
    if total == 0:
        raise ValueError("fit_tastes needs histories with plays: listeners.plays_median is 0?")
    share = (plays.sum(0) + 0.5) / (total + 0.5 * plays.shape[1])
    confidence, ratio = np.empty(plays.shape), np.empty(plays.shape)
    _log_ratios(plays, share, np.zeros(plays.shape[1]), confidence, ratio)
    offset = (confidence * ratio).sum(0) / confidence.sum(0)
    _log_ratios(plays, share, offset, confidence, ratio)
    listener = np.empty((plays.shape[0], FACTORS))
    item = 0.3 * normals(np.zeros(1, np.uint64), _START_STREAM, (plays.shape[1], FACTORS))[0]
    by_item = np.ascontiguousarray(confidence.T), np.ascontiguousarray(ratio.T)
    for _ in range(ROUNDS):
        _ridge(item, confidence, ratio, listener)
        _ridge(listener, *by_item, item)
    _ridge(item, confidence, ratio, listener)
    known = listener[plays.sum(1) > 0]
    variance, axes = np.linalg.eigh(known.T @ known / len(known))
    return TasteModel(share, offset, item, axes / np.sqrt(np.maximum(variance, 1e-9)), NO_DOUBT)


@lru_cache(maxsize=8)
def taste_model(scenario: Scenario) -> TasteModel:
    """The model of a scenario's training markets, learned once a process."""
    seeds = market_seeds("train", _TRAINING_SEED, 0, TRAINING_MARKETS)
    truth, _ = draw_markets(seeds, scenario, "train")
    plays = draw_histories(seeds, truth.listener_taste, scenario)
    model = fit_tastes(plays.reshape(-1, ITEMS))
    years = [_two_years(scenario, with_plays(scenario, share), n) for n, share in enumerate((SPARSE, RICH))]
    year, other = (np.concatenate(part) for part in zip(*years, strict=True))
    told, again = ((embed(model, plays), plays.sum(1, dtype=np.int64)) for plays in (year, other))
    return model._replace(trust=fit_trust(*told, *again))


def with_plays(scenario: Scenario, share: float) -> Scenario:
    """The scenario with listeners of whom so many times as much is known."""
    median = scenario.listeners.plays_median * share
    listeners = scenario.listeners.model_copy(update={"plays_median": median})
    return scenario.model_copy(update={"listeners": listeners})


def _two_years(
    scenario: Scenario, known: Scenario, number: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Plays [n, ITEMS] of listeners as `known` has them, and of the same listeners another, usual year."""
    start = _TRUST_SEED + 2 * number
    seeds = [market_seeds("train", start + year, 0, TRAINING_MARKETS) for year in (0, 1)]
    taste = draw_markets(seeds[0], scenario, "train")[0].listener_taste
    year, other = (
        draw_histories(of, taste, one).reshape(-1, ITEMS)
        for of, one in zip(seeds, (known, scenario), strict=True)
    )
    return year, other


def _about(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """Totals to 7 binary digits, within .8 %: so few different ones that equations are solved for each."""
    mantissa, exponent = np.frexp(total)
    rounded: NDArray[np.int64] = np.ldexp(np.round(mantissa * 128.0) / 128.0, exponent).astype(np.int64)
    return rounded


def embed(model: TasteModel, plays: NDArray[np.int32]) -> Float:
    """Embeddings [..., FACTORS] of play counts [..., I]; 0 for who played nothing."""
    rows = np.ascontiguousarray(plays.reshape(-1, plays.shape[-1]))
    total = _about(rows.sum(1, dtype=np.int64))
    out = np.empty((len(rows), FACTORS))
    factor = np.linalg.solve(model.whitening, model.item_factor.T).T
    by_plays = np.argsort(total, kind="stable")
    _embed(rows, total, by_plays, model.item_share, model.item_offset, factor, model.trust, out)
    return out.reshape(*plays.shape[:-1], FACTORS)
