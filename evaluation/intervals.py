"""How sure a comparison is: paired bootstrap over markets, stratified bootstrap over training runs.

The two are never mixed and always labelled. `over_markets` takes the policies as they are and asks how
another draw of markets would have come out; it says nothing about training luck. `over_runs` asks how
another set of training runs of the same method would have come out. Percentile bootstrap (Efron &
Tibshirani 1993, ch. 13): with few runs it covers less than it says (measured in docs/coverage.md), so fewer
than `MIN_RUNS` runs are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.errors import InterludeError
from evaluation.aggregates import (
    CONFIDENCE,
    Aggregate,
    Float,
    above,
    lift,
    mean,
    probability_of_a_better_run,
)

Kind = Literal["over_markets", "over_runs"]

MIN_RUNS: Final = 5
RESAMPLES: Final = 4000
MEASURED_COVERAGE: Final = {3: 0.76, 5: 0.83, 10: 0.90, 20: 0.92}
"""By runs: how often the nominal 95 % of a mean over one task's runs held the truth (docs/coverage.md)."""
_CHUNK = 1 << 19


class TooFewRunsError(InterludeError):
    """A claim about a method on fewer training runs than its interval can stand on."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval. Not a number where it has no meaning (see `lift`)."""

    estimate: float
    low: float
    high: float
    kind: Kind
    count: int
    """Markets (`over_markets`) or training runs (`over_runs`) it stands on."""
    confidence: float = CONFIDENCE

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0.0 or self.high < 0.0

    def listed(self) -> list[float]:
        """Estimate and ends, as a report's JSON has them."""
        return [self.estimate, self.low, self.high]


@dataclass(frozen=True, eq=False)
class Profile:
    """A performance profile: which share of scores lies above each threshold, with pointwise intervals."""

    thresholds: Float  # [T] fractions of the reference
    share: Float  # [T]
    low: Float  # [T]
    high: Float  # [T]
    kind: Kind
    count: int
    confidence: float = CONFIDENCE


class MarketBootstrap:
    """Bootstrap over markets of what K teams scored on the same n of them.

    A market's scores stay together in every resample, so each comparison is paired: common random numbers
    make a difference far less noisy than its terms. All methods see the same resamples.
    """

    def __init__(
        self,
        values: ArrayLike,
        *,
        resamples: int = RESAMPLES,
        confidence: float = CONFIDENCE,
        seed: int = 0,
    ) -> None:
        """Resamples the markets' means once for all comparisons; `values` is [K, n]."""
        scores = np.asarray(values, np.float64)
        if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
            raise ValueError(f"values must be finite, of shape [K, n] with n >= 1, got shape {scores.shape}")
        self.count, self.confidence = scores.shape[1], confidence
        self._resamples, self._seed = resamples, seed
        self._mean = scores.mean(1)  # [K]
        self._drawn = np.concatenate([scores[:, index].mean(2) for index in self._indices()], 1)

    def mean(self, a: int) -> Interval:
        """Mean of team a."""
        return self._interval(self._mean[a], self._drawn[a])

    def difference(self, a: int, b: int) -> Interval:
        """Mean of team a - mean of team b."""
        return self._interval(self._mean[a] - self._mean[b], self._drawn[a] - self._drawn[b])

    def lift(self, a: int, b: int) -> Interval:
        """Mean of team a / mean of team b - 1."""
        return self._interval(lift(self._mean[a], self._mean[b]), lift(self._drawn[a], self._drawn[b]))

    def ratio(self, a: int, b: int) -> Interval:
        """Mean of team a / mean of team b."""
        return self._interval(
            lift(self._mean[a], self._mean[b]) + 1.0, lift(self._drawn[a], self._drawn[b]) + 1.0
        )

    def share_of_gain(self, a: int, b: int, base: int) -> Interval:
        """Of what team b gains over the base, the share that team a gains; 1 = as much.

        Not a number where b gains nothing: a share of that has no meaning.
        """
        return self._interval(
            lift(self._mean[a] - self._mean[base], self._mean[b] - self._mean[base]) + 1.0,
            lift(self._drawn[a] - self._drawn[base], self._drawn[b] - self._drawn[base]) + 1.0,
        )

    def mean_lift(self, pairs: Sequence[tuple[int, int]]) -> Interval:
        """Mean over pairs (a, b), such as one team and another in every scenario, of `lift`."""
        a, b = (list(side) for side in zip(*pairs, strict=True))
        return self._interval(
            lift(self._mean[a], self._mean[b]).mean(), lift(self._drawn[a], self._drawn[b]).mean(0)
        )

    def aggregate(self, values: Float, aggregate: Aggregate) -> Interval:
        """Any aggregate of figures [n] of the same markets."""
        drawn = np.concatenate([aggregate(values[index]) for index in self._indices()])
        return self._interval(aggregate(values), drawn)

    def shares(self, indicators: Float) -> list[Interval]:
        """Mean of each row of [m, n], whose entries are multiples of ½."""
        drawn = self._drawn_shares(indicators)
        return [self._interval(row.mean(), column) for row, column in zip(indicators, drawn, strict=True)]

    def profile(self, scores: Float, thresholds: Float) -> Profile:
        """Performance profile of scores [n] over thresholds [T]."""
        drawn = self._drawn_shares(above(scores, thresholds))
        return _profile(
            *(scores, thresholds, drawn, "over_markets", self.count, self.confidence),
        )

    def _drawn_shares(self, indicators: Float) -> Float:
        """[m, resamples]. Sums of halves are exact, so the order of a matrix product does not show."""
        drawn = []
        for index in self._indices():
            rows = len(index)
            flat = index + self.count * np.arange(rows)[:, None]
            times = np.bincount(flat.ravel(), minlength=rows * self.count).reshape(rows, self.count)
            drawn.append(indicators @ times.T.astype(np.float64) / self.count)
        return np.concatenate(drawn, 1)

    def _indices(self) -> Iterator[NDArray[np.int64]]:
        return _resampled(self.count, self._resamples, self._seed)

    def _interval(self, estimate: Float | float, drawn: Float) -> Interval:
        return _interval(float(estimate), drawn, "over_markets", self.count, self.confidence)


def over_markets(
    values: ArrayLike,
    baseline: ArrayLike | None = None,
    *,
    relative: bool = True,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Bootstrap over markets, in pairs where there is a baseline on the same markets.

    Args:
        values: [n] a figure of team A on n markets.
        baseline: [n] the same of team B on the same markets; None gives the interval of A's own mean.
        relative: lift mean(A) / mean(B) - 1, else the difference mean(A) - mean(B).
        resamples: bootstrap samples.
        confidence: share of resamples inside the interval.
        seed: of the resampling.
    """
    a = _vector(values, "values")
    b = a if baseline is None else _vector(baseline, "baseline")
    if a.shape != b.shape:
        raise ValueError(f"a pair needs the same markets on both sides, got {len(a)} and {len(b)}")
    bootstrap = MarketBootstrap(np.stack([a, b]), resamples=resamples, confidence=confidence, seed=seed)
    if baseline is None:
        return bootstrap.mean(0)
    return bootstrap.lift(0, 1) if relative else bootstrap.difference(0, 1)


def over_runs(
    runs: ArrayLike,
    baseline: ArrayLike | None = None,
    *,
    aggregate: Aggregate = mean,
    whole: bool = False,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Stratified bootstrap over training runs: what a *method* gains, not one of its runs.

    Args:
        runs: [R, K] score of each of R training runs on each of K tasks (scenarios); [R] is one task.
        baseline: [K] score of a fixed baseline on the same tasks, or one number; None gives the aggregate
            itself, else it is a lift over the baseline's mean.
        aggregate: what the scores of all runs and tasks together come to.
        whole: draw a run together with all its tasks, for where the same run plays them all.
        resamples: bootstrap samples.
        confidence: share of resamples inside the interval.
        seed: of the resampling.

    Runs are resampled within every task apart (Agarwal et al. 2021, §4), unless `whole`.

    Raises:
        TooFewRunsError: fewer than `MIN_RUNS` training runs.
    """
    scores = _runs(runs)
    if baseline is None:
        return interval_over_runs(scores, aggregate, resamples, confidence, seed, whole)
    base = np.asarray(np.broadcast_to(np.asarray(baseline, np.float64), scores.shape[1:]).mean())

    def gain(drawn: Float) -> Float:
        return lift(aggregate(drawn), base)

    return interval_over_runs(scores, gain, resamples, confidence, seed, whole)


def interval_over_runs(
    scores: Float, aggregate: Aggregate, resamples: int, confidence: float, seed: int, whole: bool = False
) -> Interval:
    """`over_runs` of scores [R, K] that refuses nothing: for measuring what it covers."""
    drawn = aggregate(_redrawn(scores, resamples, np.random.default_rng(seed), whole))
    return _interval(float(aggregate(scores.ravel())), drawn, "over_runs", len(scores), confidence)


def lift_over_runs(
    runs: ArrayLike,
    others: ArrayLike,
    *,
    whole: bool = False,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Lift of one method's mean over another's, [R, K] and [Q, K], the runs of both resampled.

    As in `over_runs`, within every task apart unless `whole`.

    Raises:
        TooFewRunsError: fewer than `MIN_RUNS` training runs of either.
    """
    a, b, drawn_a, drawn_b = _two_redrawn(runs, others, resamples, seed, whole)
    drawn = lift(mean(drawn_a), mean(drawn_b))
    count = min(len(a), len(b))
    return _interval(float(lift(mean(a.ravel()), mean(b.ravel()))), drawn, "over_runs", count, confidence)


def better_run_over_runs(
    runs: ArrayLike,
    others: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Probability that a run of one method beats a run of another on one task: [R] and [Q], unpaired.

    Raises:
        TooFewRunsError: fewer than `MIN_RUNS` training runs of either.
    """
    a, b, drawn_a, drawn_b = _two_redrawn(runs, others, resamples, seed)
    estimate = probability_of_a_better_run(a.ravel(), b.ravel())
    drawn = probability_of_a_better_run(drawn_a, drawn_b)
    return _interval(float(estimate), drawn, "over_runs", min(len(a), len(b)), confidence)


def profile_over_runs(
    runs: ArrayLike,
    thresholds: Float,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Profile:
    """Performance profile of a method's runs [R, K], which are fractions of a reference.

    Raises:
        TooFewRunsError: fewer than `MIN_RUNS` training runs.
    """
    scores = _runs(runs)
    redrawn = _redrawn(scores, resamples, np.random.default_rng(seed))
    drawn = np.stack(
        [above(redrawn.ravel(), threshold[None]).reshape(redrawn.shape).mean(1) for threshold in thresholds]
    )
    return _profile(scores.ravel(), thresholds, drawn, "over_runs", len(scores), confidence)


def check_runs(count: int) -> None:
    """Refuses to speak of a method on too few training runs.

    Raises:
        TooFewRunsError: why, and what there is instead.
    """
    if count < MIN_RUNS:
        raise TooFewRunsError(
            f"an interval over training runs needs at least {MIN_RUNS} runs of the method, got {count}: "
            f"with 3 its nominal 95 % covers {MEASURED_COVERAGE[3]:.0%} (docs/coverage.md). Train more "
            f"seeds, or report over_markets, which holds for these runs alone"
        )


def _runs(runs: ArrayLike) -> Float:
    scores = np.asarray(runs, np.float64)
    scores = scores[:, None] if scores.ndim == 1 else scores
    if scores.ndim != 2 or not (np.isfinite(scores).all() or np.isnan(scores).all()):
        raise ValueError(
            f"runs must be finite (or all NaN) and of shape [R] or [R, K], got shape {scores.shape}"
        )
    check_runs(len(scores))
    return scores


def _redrawn(scores: Float, resamples: int, rng: np.random.Generator, whole: bool = False) -> Float:
    """[resamples, R * K]: runs drawn again within every task, or with all their tasks."""
    if whole:
        drawn: Float = scores[rng.integers(0, len(scores), (resamples, len(scores)))]
        return drawn.reshape(resamples, -1)
    index = rng.integers(0, len(scores), (resamples, *scores.shape))
    return np.take_along_axis(scores[None], index, 1).reshape(resamples, -1)


def _two_redrawn(
    runs: ArrayLike, others: ArrayLike, resamples: int, seed: int, whole: bool = False
) -> tuple[Float, Float, Float, Float]:
    a, b, rng = _runs(runs), _runs(others), np.random.default_rng(seed)
    return a, b, _redrawn(a, resamples, rng, whole), _redrawn(b, resamples, rng, whole)


def _vector(values: ArrayLike, name: str) -> Float:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, of shape [n] with n >= 1, got shape {array.shape}")
    return array


def _resampled(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Indices [chunk, n] of resampled markets; the chunk bounds memory and changes no draw."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // n)
    for start in range(0, resamples, chunk):
        yield rng.integers(0, n, (min(chunk, resamples - start), n))


def _percentiles(drawn: Float, confidence: float) -> Float:
    """[2, ...] ends of the interval over the last axis; not a number where anything drawn is not."""
    tail = 50.0 * (1.0 - confidence)
    ends: Float = np.percentile(drawn, [tail, 100.0 - tail], axis=-1)
    return ends


def _interval(estimate: float, drawn: Float, kind: Kind, count: int, confidence: float) -> Interval:
    low, high = _percentiles(drawn, confidence)
    return Interval(estimate, float(low), float(high), kind, count, confidence)


def _profile(
    scores: Float, thresholds: Float, drawn: Float, kind: Kind, count: int, confidence: float
) -> Profile:
    low, high = _percentiles(drawn, confidence)
    share = above(scores, thresholds).mean(-1)
    return Profile(thresholds, share, low, high, kind, count, confidence)
