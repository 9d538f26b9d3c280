"""How a listener answers an impression: closed forms of the response z, for kernels and policies alike.

z is the strength of an impression for a listener, 1 on average: affinity × creative × placement fit ×
attention × what repetition left of it. Plain NumPy functions; the market's kernels compile the same ones.
Forms: MARKET.md ("Equations that produced it") with CALIBRATION.md's levels. Time constants are in hours
of the market's clock; those of forgetting and of health run `time_acceleration` times as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CLICK_RATE = 0.00027
"""Of a hidden screen, audio, z = 1; ten times that when the screen is visible (Spotify Research, 2025)."""
VISIBLE_CLICK_FACTOR = 10.0
CONVERSION_RATE = 0.0003
"""Purchases per impression at z = 1 and 9 % recall: .043 % of listeners reached buy (Podsights, Q1 2023)."""
FUNNEL_BASE, FUNNEL_SLOPE = 0.1, 10.0
COMPLETION_ELASTICITY = 0.6
RECALL_GAIN_SLOW, RECALL_GAIN_FAST = 0.069, 0.135
"""Filled by one exposure of z = 1: eight exposures, one a day and of fresh scripts, bring 41 %
recall (Dentsu / Lumen 2023)."""
SPACING = 0.3
FAST_MEMORY_WEIGHT = 0.36
FAST_MEMORY_HOURS, SLOW_MEMORY_HOURS = 0.331, 30.4 * 24.0
"""Two stores through 77 / 62 / 52 % of the first recall at 20 minutes / 1 day / 1 week (Ameritest), on
average over verticals."""
ANNOYANCE_HOURS = 9.0
LOAD_HOURS = 19.0
RECENT_EXPOSURE_HOURS = 7.0
WEAR_HOURS = 132.0
FATIGUE_OWN, FATIGUE_SHARED = 0.35, 0.25
ANNOYANCE_THRESHOLD, ANNOYANCE_SLOPE = 1.5, 0.13
"""Of the 24 % whom repetition turns: attitude peaks at about ten massed exposures (Schmidt & Eisend 2015)."""
LOAD_EFFECT = 0.02
"""Listening lost per extra ad an hour in the long run (Huang, Reiley & Riabov)."""
REFERENCE_ADS_PER_HOUR = 6.0
HEALTH_HOURS = 75.0 * 24.0
"""Lag of listening behind its cause: 33 % of the effect after a month, 99 % after a year."""
HEALTH_THRESHOLD = 1.0
HEALTH_MAX = 1.1
DISLIKE_RATE = 0.002
SKIP_SHARE = 0.7
"""Of impressions that are not completed; the rest stops listening."""
DELAY_SHARE = (0.347, 0.170, 0.483)
DELAY_HOURS = (0.25, 24.0, 240.0)
"""Conversion delays, a mixture of minutes, days and weeks within the window of 30 days: 35 % within an hour,
50 % within a day (Chapelle 2014)."""


def kept(hours: Any, time_constant_hours: Any) -> Any:
    """Share of an exponentially fading store that is left after some hours."""
    return np.exp(-hours / time_constant_hours)


def completion_probability(z: Any, hazard: Any) -> Any:
    """P(an impression is completed): survival of a hazard that falls with the response."""
    return np.exp(-hazard * np.exp(-COMPLETION_ELASTICITY * np.log(np.maximum(z, 0.02))))


def click_probability(z: Any, click: Any, visible: Any) -> Any:
    """P(click) of a response z, an arm's click factor and screen visibility in [0, 1]."""
    return np.minimum(0.5, CLICK_RATE * click * z * (1.0 + (VISIBLE_CLICK_FACTOR - 1.0) * visible))


def conversion_probability(z: Any, conversion: Any, recall: Any) -> Any:
    """P(conversion caused) of a response z: awareness opens the funnel."""
    return np.minimum(0.5, CONVERSION_RATE * conversion * z * (FUNNEL_BASE + FUNNEL_SLOPE * recall))


def recall_of(memory_slow: Any, memory_fast: Any) -> Any:
    """P(listener recalls the brand) of two memory stores: one exponential cannot fit forgetting."""
    return 1.0 - (1.0 - memory_slow) * (1.0 - FAST_MEMORY_WEIGHT * memory_fast)


def memory_gain(z_recall: Any, rate: Any, recent_exposure: Any) -> Any:
    """Share of the unaware part of a store that one exposure fills; massing slows it."""
    return 1.0 - np.exp(-rate * z_recall / (1.0 + SPACING * recent_exposure))


def irritation(annoyance: Any) -> Any:
    """Share of an irritable listener's response that repetition takes: c·max(0, A − θ)."""
    return ANNOYANCE_SLOPE * np.maximum(0.0, annoyance - ANNOYANCE_THRESHOLD)
