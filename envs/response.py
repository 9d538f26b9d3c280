"""How a listener answers an impression: closed forms of the response z, for kernels and policies alike.

z is the strength of an impression for a listener, 1 on average: affinity × creative × placement fit ×
attention × what repetition left of it. Plain NumPy functions; `envs.dynamics` compiles the same ones.
Forms: MARKET.md ("Equations that produced it") with CALIBRATION.md's levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CLICK_RATE = 0.0004
"""Of a hidden screen, audio, z = 1; ten times that when the screen is visible (Spotify Research, 2025)."""
VISIBLE_CLICK_FACTOR = 10.0
CONVERSION_RATE = 0.0004
"""Purchases per impression at z = 1: about .043 % per listener reached (Podsights, Q1 2023)."""
FUNNEL_BASE, FUNNEL_SLOPE = 0.1, 4.5
COMPLETION_ELASTICITY = 0.6
RECALL_GAIN_SLOW, RECALL_GAIN_FAST = 0.30, 0.50
SPACING = 1.5
FAST_MEMORY_KEPT, FAST_MEMORY_WEIGHT = 0.70, 0.35
ANNOYANCE_KEPT = 0.80
LOAD_KEPT = 0.90
RECENT_EXPOSURE_KEPT = 0.75
FATIGUE_OWN, FATIGUE_SHARED = 0.35, 0.25
WEAR_KEPT = 0.985
ANNOYANCE_THRESHOLD, ANNOYANCE_SLOPE = 1.5, 0.8
HEALTH_RECOVERY = 0.015
HEALTH_THRESHOLD = 1.0
DISLIKE_RATE = 0.002
DELAY_SHARE = (0.35, 0.15, 0.50)
"""Share of conversions within the interval, a day, later (Chapelle 2014: 35 % in an hour, 50 % in a day)."""
DELAY_RELEASE = (1.0, 0.25, 0.02)
"""Share of a delay class that is reported each interval."""


def completion_probability(z: Any, hazard: Any) -> Any:
    """P(an impression is completed): survival of a hazard that falls with the response."""
    return np.exp(-hazard * np.maximum(z, 0.02) ** -COMPLETION_ELASTICITY)


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
