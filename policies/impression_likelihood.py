"""One impression: what is known of its response before, what its counts tell, what it leaves behind."""

from __future__ import annotations

import math
from typing import Final

from envs import catalogue as cat
from envs import response as res
from envs.kernel import kernel

_HAZARD, _CLICK, _FIT, _FATIGUE = cat.ARM_HAZARD, cat.ARM_CLICK, cat.ARM_FIT, cat.ARM_FATIGUE
_ACTIVITY_CLICK = float(cat.ACTIVITY_CLICK.mean())
_LOWEST_Z: Final = 0.05


@kernel
def known_log_response(log, n, annoyance):  # type: ignore[no-untyped-def]
    """Log response of row n of an ImpressionLog by quality, fit, attention and fatigue alone.

    `annoyance` [B, C, L] is of the listeners with each campaign at the interval's start.
    """
    b, i = log.market[n], log.listener[n]
    shared = 0.0
    for c in range(annoyance.shape[1]):
        shared += annoyance[b, c, i]
    known = math.log(log.quality[n] * _FIT[log.arm[n], log.placement[n]] * log.attention[n])
    return known - (res.FATIGUE_OWN * annoyance[b, log.campaign[n], i] + res.FATIGUE_SHARED * shared)


@kernel
def age_annoyance(annoyance, log, kept):  # type: ignore[no-untyped-def]
    """Fades annoyance [B, C, L] by an interval and adds its impressions, as the market does.

    `kept` is the share that an interval leaves.
    """
    for b in range(annoyance.shape[0]):
        for c in range(annoyance.shape[1]):
            of_listener = annoyance[b, c]
            for i in range(of_listener.shape[0]):
                of_listener[i] *= kept
    for n in range(log.market.shape[0]):
        annoyance[log.market[n], log.campaign[n], log.listener[n]] += _FATIGUE[log.arm[n]]


def fading(hours: float) -> float:
    """Share of annoyance that an interval of so many hours leaves."""
    return float(res.kept(hours, res.ANNOYANCE_HOURS))


@kernel
def score_counts(log_z, arm, visible, completions, skips, dislikes, clicks, annoyance, impressions):  # type: ignore[no-untyped-def]
    """Derivative of the log likelihood of an impression's counts by log z, and its Fisher information.

    Where completions are 0 tracking is out, and skips alone tell.

    Args:
        log_z: log response at which both are taken.
        arm: the creative that aired.
        visible: 1 = the screen was in view.
        completions: of `impressions`, as tracked.
        skips: of them.
        dislikes: of them.
        clicks: of them.
        annoyance: of the listener with the campaign.
        impressions: real ones that a row stands for.
    """
    z = max(_LOWEST_Z, math.exp(log_z))
    hazard = _HAZARD[arm] * z ** (-res.COMPLETION_ELASTICITY)
    done = math.exp(-hazard)
    lost, share = impressions - completions, 1.0
    if completions == 0.0:
        lost, share = skips, res.SKIP_SHARE
    p = min(0.999, share * (1.0 - done))
    slope = -share * done * hazard * res.COMPLETION_ELASTICITY
    score = (lost - impressions * p) * slope / (p * (1.0 - p))
    information = impressions * slope * slope / (p * (1.0 - p))
    mean = impressions * min(0.5, res.DISLIKE_RATE * math.exp(min(4.0, annoyance)) / max(0.2, z))
    score -= dislikes - mean
    information += mean
    if completions > 0.0:
        rate = res.CLICK_RATE * _CLICK[arm] * _ACTIVITY_CLICK
        mean = impressions * rate * z * (1.0 + (res.VISIBLE_CLICK_FACTOR - 1.0) * visible)
        score += clicks - mean
        information += mean
    return score, information
