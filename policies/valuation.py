"""What an impression is worth in the closed form heuristics know, and which creative buys most with it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.kernel import kernel
from envs.scenario import Scenario
from envs.state import Float, Int

_completion = kernel(res.completion_probability)
_HAZARD, _RECALL, _CONVERSION, _FATIGUE = cat.ARM_HAZARD, cat.ARM_RECALL, cat.ARM_CONVERSION, cat.ARM_FATIGUE
_FIT = cat.ARM_FIT
_FORMAT = np.ascontiguousarray(cat.ARM_FORMAT)
_NEEDS_SCREEN = cat.NEEDS_SCREEN[cat.ARM_FORMAT]
_VISIBLE = cat.SCREEN_VISIBLE_PROBABILITY
ATTENTIVE_SHARE = 0.96
LOWEST_LOG_SCORE = math.log(0.2)
FATIGUE_AT_REST = 0.05
"""Fatigue that a first impression causes is priced as if this much were there already."""


class Estimate(NamedTuple):
    """What a team believes about its campaigns' responses, rows M = B × C."""

    response: Float  # [M, S, K] at fit 1, attention 1, quality 1
    conversion: Float  # [M] factor
    recall: Float  # [M] factor
    recall_decay: Float  # [M] share of slow memory kept an interval
    funnel: Float  # [M, S] recall as conversions see it
    memory_room: Float  # [M, S] unfilled slow memory / massing
    fatigue: Float  # [M, S] log response lost to repetition
    affinity: Float  # [M, S] the audience's part in the response
    credit: Float | None = None  # [M, P, F] factor on conversions of a cell; None: 1


class ShadowPrices(NamedTuple):
    """What a team adds to an impression's immediate value; tuned. Zeros and ones = immediate value only."""

    recall: float = 1.0  # factor on the direct value of recall
    funnel: float = 0.0  # later impressions whose conversions recall over the whole flight helps
    fatigue: float = 0.0  # cost of an impression's fatigue, prices paid per unit of fatigue already there


class UnitValues(NamedTuple):
    """Unit values of one simulated opportunity (impression weight included), USD."""

    completion: float
    conversion: float
    recall_gain: float
    recall_level: float
    price_level: float  # mean market price, what an impression costs before any was bought
    intervals: float


def unit_values(scenario: Scenario) -> UnitValues:
    """The scenario's unit values, times its impression weight."""
    values, weight = scenario.values, scenario.impression_weight
    return UnitValues(
        completion=values.completion_usd * weight,
        conversion=values.conversion_usd * weight * res.CONVERSION_RATE,
        recall_gain=values.recall_gain_usd * weight,
        recall_level=values.recall_level_usd * weight,
        price_level=scenario.auction.price_level_usd,
        intervals=float(scenario.intervals),
    )


@kernel
def _fill_values(  # type: ignore[no-untyped-def]
    response,
    arms,
    attention,
    conversion,
    credit,
    recall,
    funnel,
    room,
    horizon,
    units,
    fatigue_price,
    fatigue,
    out,
):
    """Fills out [M, S, P, J] with the value of one impression, USD; 0 where an arm is not eligible."""
    rows, segments, choices = response.shape
    for m in range(rows):
        for s in range(segments):
            opened = res.FUNNEL_BASE + res.FUNNEL_SLOPE * max(0.0, funnel[m, s])
            for j in range(choices):
                k = arms[m, s, j]
                converting = units.conversion * _CONVERSION[k] * conversion[m] * opened
                gain = res.RECALL_GAIN_SLOW * _RECALL[k] * recall[m]
                cost = fatigue_price[m] * _FATIGUE[k] * (FATIGUE_AT_REST + fatigue[m, s])
                for p in range(attention.shape[1]):
                    fit = _FIT[k, p]
                    if fit <= 0.0:
                        out[m, s, p, j] = 0.0
                        continue
                    z = response[m, s, j] * fit * attention[m, p]
                    value = units.completion * _completion(z, _HAZARD[k])
                    value += converting * credit[m, p, _FORMAT[k]] * z
                    value += horizon[m] * room[m, s] * (1.0 - math.exp(-gain * z))
                    out[m, s, p, j] = max(0.0, ATTENTIVE_SHARE * value - cost)


@kernel
def _normal_cdf(x):  # type: ignore[no-untyped-def]
    """Φ(x) within 2e-4 (Page 1977): a logistic of a cubic."""
    return 1.0 / (1.0 + math.exp(-x * (1.5976 + 0.070566 * x * x)))


@kernel
def _fill_surpluses(value, dual, price, price_sd, volume, out):  # type: ignore[no-untyped-def]
    """Fills out [M, S, K] with E[(value − dual × price)⁺] × volume summed over placements."""
    rows, segments, placements, arms = value.shape
    for m in range(rows):
        for s in range(segments):
            for k in range(arms):
                total = 0.0
                for p in range(placements):
                    v = value[m, s, p, k]
                    if v <= 0.0:
                        continue
                    seen = _VISIBLE[p] if _NEEDS_SCREEN[k] else 1.0
                    mean = dual[m] * price[m, s, p]
                    d = (math.log(v / mean) + 0.5 * price_sd * price_sd) / price_sd
                    surplus = v * _normal_cdf(d) - mean * _normal_cdf(d - price_sd)
                    total += max(0.0, surplus) * volume[m, s, p] * seen
                out[m, s, k] = total


@kernel
def _fill_scores(surplus, out):  # type: ignore[no-untyped-def]
    """Fills out [M, S, K] with log(surplus / the best arm's), at least LOWEST_LOG_SCORE."""
    rows, segments, arms = surplus.shape
    for m in range(rows):
        for s in range(segments):
            best = 0.0
            for k in range(arms):
                best = max(best, surplus[m, s, k])
            for k in range(arms):
                share = surplus[m, s, k] / best if best > 0.0 else 1.0
                out[m, s, k] = max(LOWEST_LOG_SCORE, math.log(max(share, 1e-9)))


_EVERY_ARM = np.arange(cat.K)


def impression_values(
    estimate: Estimate,
    attention: Float,
    units: UnitValues,
    prices: ShadowPrices,
    intervals_left: float,
    arms: Int | None = None,
    paid: Float | None = None,
) -> Float:
    """Value of one impression: [M, S, P, K] USD, or [M, S, P] for one arm [M, S] a segment.

    Completions, conversions through the awareness funnel, and recall to the flight's end (its increment
    decayed to the end and its mean level), less the shadow price of fatigue: in prices paid [M], USD, so
    that it means the same where impressions are cheap for their level, as in pods; by default the level.
    """
    decay = np.clip(estimate.recall_decay, 0.5, 0.9999)
    kept = decay**intervals_left
    mean_level = (1.0 - kept) / (1.0 - decay) / units.intervals
    horizon = prices.recall * (units.recall_gain * kept + units.recall_level * mean_level)
    helped = units.conversion * estimate.conversion * res.FUNNEL_SLOPE
    horizon = horizon + prices.funnel * helped * mean_level
    response = estimate.response
    if arms is None:
        chosen = np.broadcast_to(_EVERY_ARM, response.shape)
    else:
        chosen = arms[..., None]
        response = np.take_along_axis(response, chosen, -1)
    out = np.empty((*response.shape[:2], attention.shape[1], response.shape[2]))
    _fill_values(
        response,
        chosen,
        attention,
        estimate.conversion,
        np.ones((len(response), cat.P, cat.F)) if estimate.credit is None else estimate.credit,
        estimate.recall,
        estimate.funnel,
        estimate.memory_room,
        horizon,
        units,
        prices.fatigue * (np.full(len(response), units.price_level) if paid is None else paid),
        estimate.fatigue,
        out,
    )
    return out if arms is None else out[..., 0]


def arm_surpluses(value: Float, dual: Float, price: Float, price_sd: float, volume: Float) -> Float:
    """What every arm is expected to bring in an interval beyond its price: [M, S, K] USD of value.

    E[(value − dual × price)⁺] with a log-normal price to beat around its running mean, over all
    opportunities on which the arm may be shown.

    Args:
        value: [M, S, P, K] by `impression_values`.
        dual: [M] USD of value that a USD of budget must bring.
        price: [M, S, P] running mean of the price to beat, USD.
        price_sd: standard deviation of the log price.
        volume: [M, S, P] expected opportunities.
    """
    out = np.empty((value.shape[0], value.shape[1], value.shape[3]))
    _fill_surpluses(value, dual, price, price_sd, volume, out)
    return out


def arm_log_scores(surplus: Float) -> Float:
    """Log score of every arm [M, S, K] by its surplus, 0 = best of its segment."""
    out = np.empty_like(surplus)
    _fill_scores(surplus, out)
    return out


def premium_values(surplus: Float) -> Float:
    """What a grant of video is worth in a segment: [M, S] USD an interval.

    The surplus [M, S, K] of the best arm with video over that of the best without, at least 0.
    """
    video = cat.ARM_FORMAT == cat.VIDEO
    gain: Float = surplus[..., video].max(-1) - surplus[..., ~video].max(-1)
    return np.maximum(0.0, gain)
