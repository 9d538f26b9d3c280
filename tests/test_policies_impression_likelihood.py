import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import catalogue as cat
from envs import response as res
from policies.impression_likelihood import score_counts

ARM, WEIGHT = 7, 250.0


def counts(completions: float) -> tuple[float, float, float, float]:
    """Completions, skips, dislikes and clicks of an impression."""
    return completions, round(0.7 * (WEIGHT - completions)), 1.0, 0.0


def log_likelihood(log_z: float, completions: float, dislikes: float, clicks: float) -> float:
    """Binomial completions, Poisson dislikes and clicks, up to a constant."""
    z = math.exp(log_z)
    done = math.exp(-cat.ARM_HAZARD[ARM] * z ** (-res.COMPLETION_ELASTICITY))
    angry = WEIGHT * res.DISLIKE_RATE / z
    clicking = WEIGHT * res.CLICK_RATE * cat.ARM_CLICK[ARM] * float(cat.ACTIVITY_CLICK.mean()) * z
    found = completions * math.log(done) + (WEIGHT - completions) * math.log1p(-done)
    return found + dislikes * math.log(angry) - angry + clicks * math.log(clicking) - clicking


@settings(deadline=None)
@given(st.floats(-0.8, 0.8), st.integers(120, 230))
def test_the_score_is_the_likelihoods_slope(log_z: float, completions: int) -> None:
    done, skips, dislikes, clicks = counts(float(completions))
    score, information = score_counts(log_z, ARM, 0, done, skips, dislikes, clicks, 0.0, WEIGHT)
    step = 1e-5
    low, high = (log_likelihood(log_z + sign * step, done, dislikes, clicks) for sign in (-1, 1))
    np.testing.assert_allclose(score, (high - low) / (2 * step), rtol=1e-4, atol=1e-4)
    assert information > 0.0


def test_where_tracking_is_out_skips_alone_tell() -> None:
    many = score_counts(0.0, ARM, 0, 0.0, 150.0, 1.0, 0.0, 0.0, WEIGHT)[0]
    few = score_counts(0.0, ARM, 0, 0.0, 1.0, 1.0, 0.0, 0.0, WEIGHT)[0]
    assert many < 0.0 < few
