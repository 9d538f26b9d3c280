"""The vocabulary of the market: axes, names and the public constants of formats and placements.

Axes, one letter each, the same everywhere: B markets, T intervals, N impression opportunities,
C campaigns (ours), R rivals, L listeners, S segments, P placements, F formats, V scripts,
M activities (moods), D taste dimensions, K arms (creative choices).
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

SEGMENTS: Final = ("commuters", "focused", "active", "evening")
PLACEMENTS: Final = ("music_break", "podcast_break", "on_screen")
FORMATS: Final = ("audio", "video", "display")
SCRIPTS: Final = ("informative", "storytelling", "humorous")
LENGTHS: Final = ("short", "long")
LENGTH_SECONDS: Final = (15.0, 30.0)
CALLS_TO_ACTION: Final = ("late", "early")
ACTIVITIES: Final = ("working", "travelling", "exercising", "relaxing")
VERTICALS: Final = (
    "retail",
    "automotive",
    "finance",
    "food",
    "entertainment",
    "telecom",
    "travel",
    "health",
)
INCIDENT_KINDS: Final = (
    "none",
    "invalid_traffic",
    "rival_surge",
    "tracking_outage",
    "creative_burn_out",
    "overspend_fault",
    "frequency_breach",
    "dislike_surge",
    "silent_agent",
    "ctr_drop",
    "cpa_breach",
)
INCIDENTS_ON_PLACEMENTS: Final = ("invalid_traffic", "tracking_outage")
"""They strike one placement, for every campaign; a rival surge strikes everything."""
INCIDENTS_ON_CAMPAIGNS: Final = INCIDENT_KINDS[INCIDENT_KINDS.index("creative_burn_out") :]
"""They strike one campaign, on every placement."""
INCIDENTS_ON_CREATIVES: Final = ("creative_burn_out", "dislike_surge", "ctr_drop")
"""Of these, those that strike one of its creatives: a script, in whatever format, length and call it airs."""
ADVICE: Final = ("none", "throttle", "pause", "resume")
ALERT_KINDS: Final = (
    "none",
    "invalid_traffic",
    "rival_surge",
    "tracking_outage",
    "creative_burn_out",
    "overspend",
    "frequency_breach",
    "dislike_surge",
    "silent_agent",
    "ctr_drop",
    "cpa_breach",
)
"""What alerts tell of: the incidents, under the same numbers."""
SEVERITIES: Final = ("none", "notice", "warning", "critical")

S, P, F, V, M = len(SEGMENTS), len(PLACEMENTS), len(FORMATS), len(SCRIPTS), len(ACTIVITIES)
D = 8
MAX_CAMPAIGNS: Final = 4
CREATIVE_CHOICES: Final = (F, V, len(LENGTHS), len(CALLS_TO_ACTION))
VIDEO: Final = FORMATS.index("video")

FloatTable = NDArray[np.float64]

ARMS: Final[NDArray[np.int64]] = np.array(
    list(product(*(range(n) for n in CREATIVE_CHOICES))), dtype=np.int64
)
"""[K, 4] every (format, script, length, call to action), in the order of `arm_index`."""
K = len(ARMS)


def of_creative(campaign: int | str, script: int) -> str:
    """How a sentence names a campaign's creative."""
    name = campaign if isinstance(campaign, str) else f"campaign {campaign}"
    return f"the {SCRIPTS[script]} creative of {name}"


def on_placement(name: str) -> str:
    """How a sentence says where: "on music break", but "on screen"."""
    return f"on {name.replace('_', ' ').removeprefix('on ')}"


def arm_index(creative: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of `ARMS` for creatives [..., 4]: [...]."""
    formats, scripts, lengths, calls = CREATIVE_CHOICES
    _ = formats
    return ((creative[..., 0] * scripts + creative[..., 1]) * lengths + creative[..., 2]) * calls + creative[
        ..., 3
    ]


PLACEMENT_FIT: Final[FloatTable] = np.array([[1.0, 1.25, 0.30], [0.0, 0.0, 1.0], [0.35, 0.0, 0.75]])
"""[F, P] how much of a format's effect survives on a placement; 0 = not eligible (MARKET.md)."""
NEEDS_SCREEN: Final = np.array([False, True, True])
SCREEN_VISIBLE_PROBABILITY: Final[FloatTable] = np.array([0.24, 0.16, 1.0])
"""[P] over 70 % of listening is out of focus (Spotify Research, 2025)."""
# fmt: off
HOURLY_LISTENING: Final[FloatTable] = np.array(
    [
        [0.32, 0.20, 0.16, 0.17, 0.22, 0.36, 0.66, 1.05, 1.32, 1.42, 1.36, 1.24,
         1.08, 1.10, 1.20, 1.28, 1.38, 1.50, 1.56, 1.54, 1.36, 1.14, 0.86, 0.56],
        [0.46, 0.30, 0.20, 0.18, 0.20, 0.26, 0.40, 0.66, 0.96, 1.22, 1.38, 1.44,
         1.44, 1.42, 1.40, 1.40, 1.44, 1.48, 1.50, 1.42, 1.28, 1.12, 0.92, 0.66],
    ]
)
# fmt: on
"""[weekday or weekend, hour] listening: trough about 02 h, morning peak 9–10 h, lunch dip on weekdays, main
peak 18–19 h (Spotify / TU Delft 2013); peak to trough 9.8 (iPinYou 8–11, AuctionNet 11)."""
SEGMENT_PEAK_HOUR: Final[FloatTable] = np.array([7.0, 13.0, 18.0, 22.0])
FORMAT_RECALL: Final[FloatTable] = np.array([1.0, 1.5, 0.4])
FORMAT_CONVERSION: Final[FloatTable] = np.array([0.8, 1.0, 1.5])
FORMAT_FATIGUE: Final[FloatTable] = np.array([1.0, 1.3, 0.45])
FORMAT_HAZARD: Final[FloatTable] = np.array([0.025, 0.125, 0.35])
"""[F] share of an average impression lost before completion, short spot, response 1."""
FORMAT_CLICK: Final[FloatTable] = np.array([1.0, 2.0, 1.5])
LENGTH_RECALL: Final[FloatTable] = np.array([1.0, 1.45])
LENGTH_HAZARD: Final[FloatTable] = np.array([1.0, 1.07])
"""Most who leave leave early: 15 s of video are completed by 81 %, 30 s by 80 % (Extreme Reach, 2020)."""
LENGTH_FATIGUE: Final[FloatTable] = np.array([0.8, 1.3])
CALL_CONVERSION: Final[FloatTable] = np.array([0.7, 1.4])
CALL_HAZARD: Final[FloatTable] = np.array([1.0, 1.25])
CALL_RECALL: Final[FloatTable] = np.array([1.0, 0.9])
ACTIVITY_CLICK: Final[FloatTable] = np.array([1.1, 0.7, 0.5, 1.4])

ARM_FORMAT: Final = ARMS[:, 0]
ARM_RECALL: Final = FORMAT_RECALL[ARMS[:, 0]] * LENGTH_RECALL[ARMS[:, 2]] * CALL_RECALL[ARMS[:, 3]]
ARM_CONVERSION: Final = FORMAT_CONVERSION[ARMS[:, 0]] * CALL_CONVERSION[ARMS[:, 3]]
ARM_FATIGUE: Final = FORMAT_FATIGUE[ARMS[:, 0]] * LENGTH_FATIGUE[ARMS[:, 2]]
ARM_HAZARD: Final = FORMAT_HAZARD[ARMS[:, 0]] * LENGTH_HAZARD[ARMS[:, 2]] * CALL_HAZARD[ARMS[:, 3]]
ARM_CLICK: Final = FORMAT_CLICK[ARMS[:, 0]] * CALL_CONVERSION[ARMS[:, 3]]
ARM_FIT: Final = PLACEMENT_FIT[ARMS[:, 0]]
"""[K, P] fit of each arm's format to each placement."""
