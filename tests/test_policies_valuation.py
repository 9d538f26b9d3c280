"""The closed-form value and surplus against naive Python and Monte-Carlo."""

import math

import numpy as np
import pytest

from envs import catalogue as cat
from envs import response as res
from envs.catalogue import K, P, S
from envs.scenario import load_scenario
from policies.valuation import (
    ATTENTIVE_SHARE,
    FATIGUE_AT_REST,
    LOWEST_LOG_SCORE,
    Estimate,
    ShadowPrices,
    arm_log_scores,
    arm_surpluses,
    impression_values,
    premium_values,
    unit_values,
)

M = 3
UNITS = unit_values(load_scenario("default"))


def an_estimate(rng: np.random.Generator) -> Estimate:
    return Estimate(
        response=rng.lognormal(0.0, 0.5, (M, S, K)),
        conversion=rng.lognormal(0.0, 0.3, M),
        recall=rng.lognormal(0.0, 0.3, M),
        recall_decay=rng.uniform(0.96, 0.999, M),
        funnel=rng.uniform(0.0, 0.5, (M, S)),
        memory_room=rng.uniform(0.2, 1.0, (M, S)),
        fatigue=rng.uniform(0.0, 0.8, (M, S)),
        affinity=np.ones((M, S)),
    )


def naive_value(
    e: Estimate, attention: np.ndarray, shadow: ShadowPrices, left: float, at: tuple[int, ...]
) -> float:
    """One impression of arm k in segment s on placement p of campaign m."""
    m, s, p, k = at
    fit = float(cat.ARM_FIT[k, p])
    if fit == 0.0:
        return 0.0
    z = float(e.response[m, s, k]) * fit * float(attention[m, p])
    completion = math.exp(-float(cat.ARM_HAZARD[k]) * max(z, 0.02) ** -res.COMPLETION_ELASTICITY)
    opened = res.FUNNEL_BASE + res.FUNNEL_SLOPE * float(e.funnel[m, s])
    conversion = float(cat.ARM_CONVERSION[k]) * float(e.conversion[m]) * opened * z
    gained = 1.0 - math.exp(-res.RECALL_GAIN_SLOW * float(cat.ARM_RECALL[k]) * float(e.recall[m]) * z)
    decay, level = float(e.recall_decay[m]), 0.0
    for step in range(int(left)):
        level += decay**step / UNITS.intervals
    worth = shadow.recall * (UNITS.recall_gain * decay**left + UNITS.recall_level * level)
    worth += shadow.funnel * UNITS.conversion * float(e.conversion[m]) * res.FUNNEL_SLOPE * level
    value = UNITS.completion * completion + UNITS.conversion * conversion
    value += worth * float(e.memory_room[m, s]) * gained
    tiring = float(cat.ARM_FATIGUE[k]) * (FATIGUE_AT_REST + float(e.fatigue[m, s]))
    tiring *= shadow.fatigue * UNITS.price_level
    return max(0.0, ATTENTIVE_SHARE * value - tiring)


@pytest.mark.parametrize("shadow", [ShadowPrices(), ShadowPrices(0.0), ShadowPrices(0.7, 1.4, 2.0)])
def test_values_are_those_of_naive_python(shadow: ShadowPrices) -> None:
    rng = np.random.default_rng(5)
    estimate, attention = an_estimate(rng), rng.uniform(0.5, 1.5, (M, P))
    values = impression_values(estimate, attention, UNITS, shadow, 17.0)
    assert values.shape == (M, S, P, K)
    for at in np.ndindex(M, S, P, K):
        assert values[at] == pytest.approx(
            naive_value(estimate, attention, shadow, 17.0, at), rel=1e-9, abs=1e-12
        )


def test_the_value_of_what_airs_is_that_of_its_arm() -> None:
    rng = np.random.default_rng(6)
    estimate, attention = an_estimate(rng), np.ones((M, P))
    arms = rng.integers(0, K, (M, S))
    every = impression_values(estimate, attention, UNITS, ShadowPrices(), 9.0)
    aired = impression_values(estimate, attention, UNITS, ShadowPrices(), 9.0, arms)
    np.testing.assert_array_equal(aired, np.take_along_axis(every, arms[:, :, None, None], -1)[..., 0])


def test_an_arm_is_worth_nothing_where_it_may_not_be_shown() -> None:
    values = impression_values(
        an_estimate(np.random.default_rng(7)), np.ones((M, P)), UNITS, ShadowPrices(), 9.0
    )
    assert (values[..., cat.ARM_FIT.T == 0.0] == 0.0).all()
    assert (values[..., cat.ARM_FIT.T > 0.0] > 0.0).all()


def test_scores_are_the_surplus_that_prices_leave() -> None:
    """E[(v − λ·price)⁺] summed over placements, by Monte-Carlo over log-normal prices."""
    rng = np.random.default_rng(8)
    price_sd, value = 0.6, rng.uniform(0.5, 4.0, (1, 1, P, K)) * (cat.ARM_FIT.T > 0)
    dual, price, volume = np.array([1.2]), rng.uniform(0.8, 2.0, (1, 1, P)), rng.uniform(2.0, 9.0, (1, 1, P))
    found = arm_surpluses(value, dual, price, price_sd, volume)
    scores = arm_log_scores(found)[0, 0]
    draws = np.exp(price_sd * rng.standard_normal(200_000) - 0.5 * price_sd**2)
    surplus = np.zeros(K)
    for k in range(K):
        for p in range(P):
            seen = cat.SCREEN_VISIBLE_PROBABILITY[p] if cat.NEEDS_SCREEN[cat.ARM_FORMAT[k]] else 1.0
            gain = np.maximum(0.0, value[0, 0, p, k] - dual[0] * price[0, 0, p] * draws)
            surplus[k] += gain.mean() * volume[0, 0, p] * seen
    np.testing.assert_allclose(found[0, 0], surplus, rtol=0.02, atol=0.01 * surplus.max())
    expected = np.maximum(LOWEST_LOG_SCORE, np.log(surplus / surplus.max()))
    np.testing.assert_allclose(scores, expected, atol=0.01)
    assert scores.max() == 0.0


def test_where_nothing_is_worth_its_price_all_arms_are_alike() -> None:
    surplus = arm_surpluses(np.zeros((1, S, P, K)), np.ones(1), np.ones((1, S, P)), 0.5, np.ones((1, S, P)))
    assert (arm_log_scores(surplus) == 0.0).all()
    assert (premium_values(surplus) == 0.0).all()


def test_video_is_worth_what_its_best_arm_brings_over_the_best_without() -> None:
    video, other = np.flatnonzero(cat.ARM_FORMAT == cat.VIDEO), np.flatnonzero(cat.ARM_FORMAT != cat.VIDEO)
    surplus = np.full((1, S, K), 0.5)
    surplus[0, 0, video[3]], surplus[0, 0, other[1]] = 7.0, 4.0
    surplus[0, 1, video[0]], surplus[0, 1, other[0]] = 4.0, 7.0
    surplus[0, 2, video[1]] = 2.0
    np.testing.assert_array_equal(premium_values(surplus), [[3.0, 0.0, 1.5, 0.0]])


def test_a_claim_is_in_usd_of_the_objective() -> None:
    """One placement, prices far below the value: volume × chance to be seen × (value − dual × price)."""
    value = np.zeros((1, 1, P, K))
    screen = cat.PLACEMENTS.index("on_screen")
    video, audio = ((cat.ARM_FORMAT == f).argmax() for f in (cat.VIDEO, cat.FORMATS.index("audio")))
    value[0, 0, screen, video], value[0, 0, screen, audio] = 10.0, 6.0
    surplus = arm_surpluses(value, np.array([2.0]), np.full((1, 1, P), 0.5), 0.1, np.full((1, 1, P), 30.0))
    seen = cat.SCREEN_VISIBLE_PROBABILITY[screen]
    np.testing.assert_allclose(
        premium_values(surplus), [[30.0 * (seen * (10.0 - 1.0) - (6.0 - 1.0))]], rtol=1e-3
    )
