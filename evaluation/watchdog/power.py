"""What the counts of an incident can tell at best, and intervals of what was counted."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.stats import beta, chi2, poisson

from envs.state import Bool, Float
from evaluation.watchdog.calibration import Streams

NEEDED_RECALL: Final = 0.9


def share_interval(successes: float, trials: float) -> tuple[float, float]:
    """95 % interval of a share (Clopper & Pearson 1934)."""
    low = beta.ppf(0.025, successes, trials - successes + 1.0) if successes > 0 else 0.0
    high = beta.ppf(0.975, successes + 1.0, trials - successes) if successes < trials else 1.0
    return float(low), float(high)


def rate_interval(count: float, exposure: float) -> tuple[float, float]:
    """95 % interval of a Poisson rate (Garwood 1936)."""
    low = chi2.ppf(0.025, 2.0 * count) / 2.0 if count > 0 else 0.0
    return float(low / exposure), float(chi2.ppf(0.975, 2.0 * count + 2.0) / 2.0 / exposure)


def mean_interval(values: Float) -> tuple[float, float, float]:
    """Mean of paired differences with its 95 % interval."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def share_of_means(part: Float, whole: Float, draws: int = 2000) -> tuple[float, float, float]:
    """Mean of a part over the mean of the whole, with its 95 % interval by the bootstrap over flights."""
    rng = np.random.Generator(np.random.Philox(17))
    pick = rng.integers(0, len(part), (draws, len(part)))
    low, high = np.quantile(part[pick].mean(1) / whole[pick].mean(1), (0.025, 0.975))
    return float(part.mean() / whole.mean()), float(low), float(high)


def power(
    kind: str, struck: Streams, where: Bool, calm: Streams, alarms_per_interval: float
) -> dict[str, float]:
    """What the counts of an incident can tell at best.

    A detector that raises a false alarm in a share α of intervals needs evidence of about ln(1 / α) (Lorden
    1971); the ceiling is the power of the test that is told when an incident starts and how large it is, and
    sums up all of its counts, at that level.

    Args:
        kind: of incident.
        struck: signals of flights with such incidents, without a watchdog.
        where: [T, B, places] where they struck.
        calm: signals of clean flights, which tell how far counts vary.
        alarms_per_interval: α.

    Returns:
        `expected`: median count that was to be expected over an incident; `dispersion`: variance / mean of
        counts on clean flights, by which evidence is divided; `ratio`: what came over what was expected;
        `nothing_to_see`: share of incidents that no count could show; `ceiling`; `needed`: the expected count
        from which on that test finds nine in ten.
    """
    late = np.concatenate([np.zeros_like(where[:1]), where[:-1]])  # news is an interval old
    starts = late & ~np.concatenate([np.zeros_like(late[:1]), late[:-1]])
    observed, expected = [], []
    for t, b, place in np.argwhere(starts):
        on = late[t:, b, place]
        end = t + (int(np.argmin(on)) if not on.all() else len(on))
        observed.append(struck[kind].observed[t:end, b, place].sum())
        expected.append(struck[kind].expected[t:end, b, place].sum())
    n, mu = np.array(observed), np.array(expected)
    known = calm[kind].expected > 0.0
    usual, off = calm[kind].expected[known], (calm[kind].observed - calm[kind].expected)[known]
    dispersion = max(1.0, float(np.square(off).sum() / usual.sum()))
    ratio, level = float(n.sum() / max(1e-9, mu.sum())), float(np.log(1.0 / alarms_per_interval))
    return {
        "expected": float(np.median(mu)),
        "dispersion": dispersion,
        "ratio": ratio,
        "nothing_to_see": float((mu <= 0.0).mean()),
        "ceiling": float(ceiling(mu / dispersion, ratio, level).mean()),
        "needed": dispersion * needed(ratio, level),
    }


def ceiling(size: Float, ratio: float, level: float) -> Float:
    """P(n ln ρ − (ρ − 1) μ > level) of counts n with mean ρ μ."""
    ratio = max(ratio, 1e-3)
    if abs(np.log(ratio)) < 1e-3:
        return np.zeros(len(size))
    edge = (level + (ratio - 1.0) * size) / np.log(ratio)
    if ratio > 1.0:
        return np.asarray(poisson.sf(np.floor(edge), ratio * size), np.float64)
    return np.where(edge >= 0.0, poisson.cdf(np.ceil(edge) - 1.0, ratio * size), 0.0)


def needed(ratio: float, level: float, share: float = NEEDED_RECALL) -> float:
    """The expected count from which on that test finds `share` of incidents; inf if that is over 10 000."""
    sizes = np.geomspace(0.1, 1e4, 400)
    enough = ceiling(sizes, ratio, level) >= share
    steady = np.flatnonzero(~enough)  # counts are whole: power is not quite monotone
    first = 0 if not len(steady) else int(steady[-1]) + 1
    return float(sizes[first]) if first < len(sizes) else float("inf")
