"""What impressions bring, simulated: clicks by screen, a flight of every creative, delays of conversions."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from envs.calibration.findings import Findings, curve
from envs.calibration.laboratory import CALM, UNLIMITED, Laboratory, scenario, total
from envs.catalogue import ARMS, FORMATS, SCREEN_VISIBLE_PROBABILITY, VIDEO, K, P, S
from envs.scenario import load_scenario

AUDIO, DISPLAY = FORMATS.index("audio"), FORMATS.index("display")
_AUDIO_ARMS: Final = np.flatnonzero(ARMS[:, 0] == AUDIO)
_CLICK_WEIGHT: Final = 10_000


def _click_rate(visible: bool) -> float:
    """Clicks per impression of audio, over all its creatives, on listeners who never heard it."""
    clicks = impressions = 0.0
    for seed in range(3):
        kind = scenario(campaigns=2, intervals=1, impression_weight=_CLICK_WEIGHT, listeners={"count": 128})
        for arm in _AUDIO_ARMS:
            laboratory = Laboratory(kind, 1, seed)
            laboratory.air(int(arm))
            laboratory.expose(visible)
            outcome = laboratory.play()
            clicks += outcome.clicks.sum()
            impressions += outcome.wins.sum() * _CLICK_WEIGHT
    return clicks / impressions


@cache
def screen() -> Findings:
    """How often the screen is in view, seen by display's bids, and what that does to clicks."""
    kind = scenario(
        campaigns=1,
        intervals=12,
        opportunities_per_interval=500,
        budget_fraction=UNLIMITED,
        listeners={"count": 512, "daily_frequency_cap": 100},
    )
    laboratory = Laboratory(kind, 16)
    laboratory.air(int(np.flatnonzero(ARMS[:, 0] == DISPLAY)[0]))
    laboratory.bid(1.0)
    outcomes = laboratory.flight()
    opportunities = total(outcomes, "opportunities").sum((0, 1))
    seen = total(outcomes, "bids").sum((0, 1, 2)) / opportunities
    seen = np.where(seen > 0.0, seen, SCREEN_VISIBLE_PROBABILITY)
    visible = float(seen @ opportunities / opportunities.sum())
    hidden_rate, visible_rate = _click_rate(False), _click_rate(True)
    figures = {
        "out_of_focus": 1.0 - visible,
        "click_hidden": hidden_rate,
        "click_visible": visible_rate,
        "click_factor": visible_rate / hidden_rate,
        "click_mean": hidden_rate + visible * (visible_rate - hidden_rate),
    }
    return Findings(figures, {})


@cache
def flight() -> Findings:
    """Flights of the default market in which every creative airs in turn on flat bids."""
    kind = load_scenario("default")
    kind = kind.model_copy(update={"incidents": type(kind.incidents)(**CALM)})
    count, weight = 96, kind.impression_weight
    laboratory = Laboratory(kind, count)
    laboratory.bid(0.8)
    market, campaign, segment = np.ogrid[:count, : kind.campaigns, :S]
    counts = {name: np.zeros((K, P)) for name in ("wins", "clicks", "completions")}
    purchases, outcomes = 0.0, []
    for t in range(kind.intervals):
        arm = (5 * market + 12 * campaign + 9 * segment + 7 * t) % K
        laboratory.air(arm)
        outcome = laboratory.play()
        for name, table in counts.items():
            np.add.at(table, arm, getattr(outcome, name))
        purchases += outcome.conversions_caused.sum()
        outcomes.append(outcome)
    people = outcomes[-1].reach.sum() * kind.listeners.count * weight

    def rate(name: str, fmt: int, length: int | None = None) -> float:
        rows = (ARMS[:, 0] == fmt) & (True if length is None else ARMS[:, 2] == length)
        return float(counts[name][rows].sum() / (weight * counts["wins"][rows].sum()))

    figures = {
        "click_audio": rate("clicks", AUDIO),
        "completion_audio": rate("completions", AUDIO),
        "completion_video_15": rate("completions", VIDEO, 0),
        "completion_video_30": rate("completions", VIDEO, 1),
        "conversion": float(purchases / people),
    }
    return Findings(figures, {})


@cache
def delay() -> Findings:
    """Conversions of one hour's impressions, hour by hour as they are reported."""
    hours = 30 * 24
    kind = scenario(
        intervals=hours, intervals_per_day=24, opportunities_per_interval=1, impression_weight=_CLICK_WEIGHT
    )
    reported = np.zeros(hours)
    for seed in range(8):
        laboratory = Laboratory(kind, 1, seed)
        for _ in range(3):
            laboratory.expose()
        reported += [outcome.conversions.sum() for outcome in laboratory.flight()]
    share = np.cumsum(reported) / reported.sum()
    return Findings(
        {"hour": float(share[0]), "day": float(share[23])}, {"share": curve(np.arange(1, hours + 1), share)}
    )
