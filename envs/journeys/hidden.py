"""What a seed fixes about journeys, hidden from agents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.catalogue import F, P
from envs.journeys.settings import CHANNELS, DEVICES, JourneySettings
from envs.journeys.touches import WINDOW_HOURS, live
from envs.philox import normals, uniforms
from envs.scenario import Scenario
from envs.state import Float, Int, MarketParameters

_CELL, _CHANNEL, _ORGANIC, _SEASON, _LINK, _SHOP = 210, 211, 212, 213, 214, 215
CHANNEL_SD, ORGANIC_SD = 0.3, 0.3
"""Of log pulls of channels and of log organic rates, by campaign."""
WEEKLY_SWING, MONTHLY_SWING = 0.3, 0.2


class Hidden(NamedTuple):
    """One market's journeys, of C campaigns, L listeners and `people` behind each."""

    cell_effect: Float  # [C, P, F] factors on conversions, 1 on average
    organic: Float  # [C] expected organic conversions of a person of affinity 1 up to the horizon
    channel_pull: Float  # [C, channels]
    search_pull: Float  # [C] of searches that touches bring about
    season: Float  # [D] cumulative weights of days up to the horizon
    organic_hour: Float  # [W] when people convert without any touch; inf: never
    link: Float  # [people of the market, devices] linked where below the match rate
    conversion_device: Int  # [W]


def horizon_hours(scenario: Scenario) -> float:
    """Until when conversions count: the flight and the window after it."""
    return scenario.intervals * scenario.hours_per_interval + WINDOW_HOURS


def draw_hidden(settings: JourneySettings, scenario: Scenario, m: MarketParameters, b: int) -> Hidden:
    """What the seed of market b fixes."""
    seed, c = m.seed[b : b + 1], m.affinity.shape[1]
    affinity, listeners = m.affinity[b], m.affinity.shape[2]
    months = horizon_hours(scenario) / WINDOW_HOURS
    sd = settings.cell_sd
    cell_effect = np.exp(sd * normals(seed, _CELL, (c, P, F))[0] - 0.5 * sd * sd)
    factor = np.exp(CHANNEL_SD * normals(seed, _CHANNEL, (c, len(CHANNELS) + 1))[0])
    organic = settings.organic * months * np.exp(ORGANIC_SD * normals(seed, _ORGANIC, (c,))[0])
    season = _season(uniforms(seed, _SEASON, (2,))[0], int(np.ceil(months * WINDOW_HOURS / 24.0)))
    organic_hour = np.empty(c * listeners * settings.people)
    live(seed[0], affinity, settings.people, organic, season, organic_hour)
    u = uniforms(seed, _SHOP, (len(organic_hour),))[0]
    shop = DEVICES.index("shop")
    at_home = np.where(u < 0.5 * (1.0 + settings.shop_share), DEVICES.index("phone"), DEVICES.index("desk"))
    return Hidden(
        cell_effect=cell_effect,
        organic=organic,
        channel_pull=np.array(settings.channel_pull) * factor[:, :-1],
        search_pull=np.minimum(1.0, settings.search_pull * factor[:, -1]),
        season=season,
        organic_hour=organic_hour,
        link=uniforms(seed, _LINK, (listeners * settings.people, len(DEVICES)))[0],
        conversion_device=np.where(u < settings.shop_share, shop, at_home).astype(np.int64),
    )


def _season(phase: Float, days: int) -> Float:
    """[D] cumulative weights: weeks and a slower swing, each with a phase of its own."""
    day = np.arange(days) + 0.5
    weekly = 1.0 + WEEKLY_SWING * np.sin(2.0 * np.pi * (day / 7.0 + phase[0]))
    monthly = 1.0 + MONTHLY_SWING * np.sin(2.0 * np.pi * (day / 30.0 + phase[1]))
    weight = weekly * monthly
    cumulative: Float = np.cumsum(weight) / weight.sum()
    cumulative[-1] = 1.0
    return cumulative
