"""What another policy would have earned, from the log of one that chose at random with known probabilities.

Three estimators of V = E[Σ over a of π(a | x)·r(x, a)], where a logged choice weighs w = π(a | x) / p(a | x):

* IPS, mean of w·r (Horvitz & Thompson 1952): unbiased where p > 0 wherever π > 0;
* SNIPS, Σ w·r / Σ w (Swaminathan & Joachims 2015): far less noisy, biased by O(1 / n);
* doubly robust, mean of Σ_a π(a | x)·q(x, a) + w·(r − q(x, a)) (Dudík et al. 2011): unbiased too, and less
  noisy as far as the reward model q knows something; q never saw the rows it predicts (cross-fitting).

A choice's reward must not depend on other choices: where it does, as with fatigue and recall, the estimate is
of a policy that changes one choice and leaves the rest as logged.

Intervals are percentile bootstraps over units (rows of one market belong together), with the levels that
make them as wide as Student's t for normal means (Hesterberg 2015, §5.3); `bernstein_interval` holds in any
sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Method = Literal["ips", "snips", "doubly robust", "on policy"]
RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
FOLDS: Final = 5
PRIOR_ROWS: Final = 20.0
"""Rows that a cell of the reward model is pulled towards what is known without it."""
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Logged:
    """Choices that were logged, and how a target policy would have made them."""

    action: Int  # [n] from 0
    reward: Float  # [n]
    propensity: Float  # [n] with which the logging policy chose so
    target: Float  # [n, A] the target policy's probabilities
    context: Int | None = None  # [n] stratum that the reward model tells apart
    unit: Int | None = None  # [n] rows of a unit depend on each other; None = none do

    def __post_init__(self) -> None:
        """Checks shapes and probabilities.

        Raises:
            ValueError: what is wrong, with the first offending row.
        """
        n = len(self.action)
        shapes = {name: getattr(self, name).shape for name in ("action", "reward", "propensity")}
        if not n or any(shape != (n,) for shape in shapes.values()) or self.target.shape[:1] != (n,):
            raise ValueError(f"need n >= 1 rows everywhere, got {shapes}, target {self.target.shape}")
        for name in ("context", "unit"):
            column = getattr(self, name)
            if column is not None and column.shape != (n,):
                raise ValueError(f"{name} must be [{n}], got {column.shape}")
        if self.action.min() < 0 or self.action.max() >= self.target.shape[1]:
            raise ValueError(
                f"actions must be below A = {self.target.shape[1]}, got up to {self.action.max()}"
            )
        bad = ~((self.propensity > 0.0) & (self.propensity <= 1.0))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"propensities must be in (0, 1], got {self.propensity[row]} in row {row}")
        if (self.target < 0.0).any() or np.abs(self.target.sum(1) - 1.0).max() > 1e-6:
            raise ValueError("the target's probabilities must be at least 0 and sum to 1 in every row")
        if not np.isfinite(self.reward).all():
            raise ValueError("rewards must be finite")

    @property
    def weight(self) -> Float:
        """[n] π / p of what was chosen."""
        return np.asarray(self.target[np.arange(len(self.action)), self.action] / self.propensity)


@dataclass(frozen=True)
class Estimate:
    """Mean reward of a choice under the target policy, its interval, and how far it can be trusted."""

    method: Method
    value: float
    low: float
    high: float
    interval: Literal["bootstrap", "bernstein"]
    rows: int
    units: int
    effective_sample_size: float
    """(Σ w)² / Σ w²: how many rows of the target's own log would carry as much; few = do not trust it."""
    max_weight: float
    mean_weight: float
    """About 1 where the log covers the target; less says that the target does what was never logged."""
    clipped_fraction: float
    """Share of rows whose weight was clipped: the estimate is biased towards 0 for them."""
    confidence: float = CONFIDENCE


def on_policy(reward: ArrayLike, unit: Int | None = None, *, seed: int = 0) -> Estimate:
    """Mean reward [n] of the policy that made the log, by the same interval."""
    earned = np.asarray(reward, np.float64)
    one = np.ones(len(earned))
    logged = Logged(np.zeros(len(earned), np.int64), earned, one, one[:, None], unit=unit)
    return replace(inverse_propensity(logged, seed=seed), method="on policy")


def inverse_propensity(logged: Logged, *, clip: float | None = None, seed: int = 0) -> Estimate:
    """IPS; `clip` is the largest weight that is believed."""
    weight, clipped = _clipped(logged, clip)
    return _estimate("ips", logged, weight * logged.reward, np.ones_like(weight), weight, clipped, seed)


def self_normalised(logged: Logged, *, clip: float | None = None, seed: int = 0) -> Estimate:
    """SNIPS; not a number where every weight is 0."""
    weight, clipped = _clipped(logged, clip)
    return _estimate("snips", logged, weight * logged.reward, weight, weight, clipped, seed)


def doubly_robust(
    logged: Logged, *, clip: float | None = None, predicted: ArrayLike | None = None, seed: int = 0
) -> Estimate:
    """Doubly robust, on the cross-fitted cell means of `reward_model` or on `predicted` rewards [n, A]."""
    weight, clipped = _clipped(logged, clip)
    q = reward_model(logged, seed=seed) if predicted is None else np.asarray(predicted, np.float64)
    own = q[np.arange(len(weight)), logged.action]
    terms = (logged.target * q).sum(1) + weight * (logged.reward - own)
    return _estimate("doubly robust", logged, terms, np.ones_like(weight), weight, clipped, seed)


def reward_model(logged: Logged, *, folds: int = FOLDS, seed: int = 0) -> Float:
    """Mean rewards by context and action, [n, A], each row's from units of other folds.

    A cell's mean is pulled towards its action's, an action's towards the mean of all, by `PRIOR_ROWS` rows.
    """
    n, actions = logged.target.shape
    context = np.zeros(n, np.int64) if logged.context is None else _numbered(logged.context)
    unit = _units(logged)
    fold = np.random.default_rng(seed).permutation(int(unit.max()) + 1)[unit] % folds
    cells = int(context.max()) + 1
    cell = context * actions + logged.action
    predicted = np.empty((n, actions))
    for one in range(folds):
        known = fold != one
        reward, action = logged.reward[known], logged.action[known]
        overall = float(reward.mean()) if known.any() else 0.0
        by_action = _pulled(action, reward, actions, np.full(actions, overall))
        by_cell = _pulled(cell[known], reward, cells * actions, np.tile(by_action, cells))
        predicted[~known] = by_cell.reshape(cells, actions)[context[~known]]
    return predicted


def bernstein_interval(
    logged: Logged, largest_reward: float, *, clip: float, confidence: float = CONFIDENCE
) -> Estimate:
    """IPS with weights clipped at `clip` and an interval that holds in any sample of independent rows.

    mean ± √(2 V ln(4/δ) / n) + 7 R ln(4/δ) / (3 (n − 1)), V the sample variance and R = clip × the largest
    reward (Maurer & Pontil 2009, theorem 4, on both sides). Wide: for decisions, not for ranking.

    Raises:
        ValueError: rows that come in units, a reward outside [0, largest_reward], fewer than 2 rows.
    """
    n = len(logged.reward)
    if logged.unit is not None or n < 2:
        raise ValueError("the empirical Bernstein bound needs at least 2 rows, independent of each other")
    if logged.reward.min() < 0.0 or logged.reward.max() > largest_reward:
        raise ValueError(f"rewards must be in [0, {largest_reward}], got up to {logged.reward.max()}")
    estimate = inverse_propensity(logged, clip=clip)
    terms = np.minimum(logged.weight, clip) * logged.reward
    log = np.log(4.0 / (1.0 - confidence))
    half = np.sqrt(2.0 * terms.var(ddof=1) * log / n) + 7.0 * clip * largest_reward * log / (3.0 * (n - 1))
    low, high = max(0.0, estimate.value - half), min(clip * largest_reward, estimate.value + half)
    return replace(estimate, low=float(low), high=float(high), interval="bernstein", confidence=confidence)


def _clipped(logged: Logged, clip: float | None) -> tuple[Float, float]:
    weight = logged.weight
    if clip is None:
        return weight, 0.0
    return np.minimum(weight, clip), float((weight > clip).mean())


def _pulled(index: Int, reward: Float, size: int, prior: Float) -> Float:
    """Means by index, pulled towards a prior."""
    total, count = np.bincount(index, reward, size), np.bincount(index, minlength=size)
    return np.asarray((total + PRIOR_ROWS * prior) / (count + PRIOR_ROWS))


def _numbered(labels: Int) -> Int:
    """The same labels, numbered from 0."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _units(logged: Logged) -> Int:
    return np.arange(len(logged.action)) if logged.unit is None else _numbered(logged.unit)


def _estimate(
    method: Method, logged: Logged, above: Float, below: Float, weight: Float, clipped: float, seed: int
) -> Estimate:
    """Σ above / Σ below over rows, with a bootstrap over units."""
    unit = _units(logged)
    units = int(unit.max()) + 1
    sums = np.stack([np.bincount(unit, above, units), np.bincount(unit, below, units)])  # [2, units]
    rng = np.random.default_rng(seed)
    drawn = []
    chunk = max(1, _CHUNK // units)
    for first in range(0, RESAMPLES, chunk):
        index = rng.integers(0, units, (min(chunk, RESAMPLES - first), units))
        drawn.append(sums[:, index].sum(2))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.concatenate([one[0] / one[1] for one in drawn])
        value = float(sums[0].sum() / sums[1].sum())
    tail = 0.5 * (1.0 - CONFIDENCE)
    if units > 1:
        tail = float(norm.cdf(np.sqrt(units / (units - 1)) * t.ppf(tail, units - 1)))
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    total = float(weight.sum())
    return Estimate(
        method=method,
        value=value,
        low=float(low),
        high=float(high),
        interval="bootstrap",
        rows=len(weight),
        units=units,
        effective_sample_size=total**2 / float((weight**2).sum()) if total > 0.0 else 0.0,
        max_weight=float(weight.max()),
        mean_weight=total / len(weight),
        clipped_fraction=clipped,
    )
