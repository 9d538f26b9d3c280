"""The table of facts: what real markets show, who says so, and within which interval ours has to lie.

Facts marked weak come from trade press or vendors; derived ones are arithmetic on the others. A row's
`key` names the figure that an experiment gives; `low` and `high` are the interval in which it holds.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Row(NamedTuple):
    """A fact and the interval in which the simulated figure agrees with it."""

    key: str
    """Group and figure, as in `memory.day`; the group is the experiment's name."""
    quantity: str
    unit: str
    """`fraction` is shown as a percentage; anything else behind the number."""
    target: str
    """The fact as its source gives it."""
    low: float
    high: float
    source: str
    judged: str = ""
    """How the figure is taken, where the quantity does not say it."""


_PANDORA = "Huang, Reiley & Riabov, field experiment on Pandora (SSRN 3166676)"
_SPOTIFY = "Spotify Research, 2025"
_SPLIT = "derived from Spotify Research, 2025, at a mean of .1 %"
_VIDEO = "Extreme Reach, 2020"
_MEMORY = "Ameritest"
_DENTSU = "Dentsu / Lumen, 2023"
_META = "Schmidt & Eisend, 2015"
_WEAR = "doi 10.1177/0022243718820587"
_DAY = "Spotify / TU Delft, 2013"
_IPINYOU = "iPinYou"
_WEAK = "trade press (weak)"
_AUCTIONNET = "AuctionNet"
_PODSIGHTS = "Podsights, Q1 2023"
_DELAY = "Chapelle, 2014"
_MASSED = "massed: within one interval; a brand nobody knew"
_DAILY = "one a day, three scripts in turn; a brand nobody knew"

ROWS: Final = (
    Row("ad_load.effect", "listening lost per extra ad an hour, in the long run", "fraction", "2 %", 0.018,
        0.022, _PANDORA, "slope over 3, 6, 9 and 12 ads an hour after three years"),
    Row("ad_load.linear", "straightness of that over 3–12 ads an hour", "R²", "linear", 0.99, 1.0, _PANDORA),
    Row("ad_load.month", "share of the effect after a month", "fraction", "about a third", 0.30, 0.36,
        _PANDORA),
    Row("ad_load.year", "share of the effect after 12 months", "fraction", "99 %", 0.975, 1.0,
        "derived from Pandora's experiment: more than a year to realise"),
    Row("ad_load.grouping", "listening lost by grouping the same ads in pairs", "fraction",
        "total matters more", -0.01, 0.01, _PANDORA,
        "breaks of two ads against twice as many of one, in the long run"),
    Row("screen.out_of_focus", "listening out of focus", "fraction", "over 70 %", 0.70, 0.80, _SPOTIFY,
        "where display is not eligible (podcasts), by the table of the catalogue"),
    Row("screen.click_factor", "clicks, screen visible against hidden", "times", "about 10", 9.0, 11.0,
        _SPOTIFY),
    Row("screen.click_hidden", "click-through rate of audio, screen hidden", "fraction", "0.027 %", 0.00023,
        0.00031, _SPLIT, "first exposure"),
    Row("screen.click_visible", "click-through rate of audio, screen visible", "fraction", "0.27 %", 0.0023,
        0.0031, _SPLIT, "first exposure"),
    Row("screen.click_mean", "click-through rate of audio, mean over listening", "fraction", "0.1 %", 0.0009,
        0.0011, _SPLIT, "first exposure"),
    Row("flight.click_audio", "click-through rate of audio in a flight", "fraction", "0.06–0.15 %", 0.0006,
        0.0015, _WEAK, "every creative in turn, flat bids"),
    Row("flight.completion_audio", "completion of audio", "fraction", "90–98 %", 0.90, 0.98, _WEAK,
        "every creative in turn, flat bids; so the next two"),
    Row("flight.completion_video_15", "completion of video, 15 s", "fraction", "81 %", 0.79, 0.83, _VIDEO),
    Row("flight.completion_video_30", "completion of video, 30 s", "fraction", "80 %", 0.78, 0.82, _VIDEO),
    Row("flight.conversion", "purchases caused per person reached", "fraction", "0.043 %", 0.00036, 0.00050,
        _PODSIGHTS, "visits are not modelled"),
    Row("memory.minutes", "recall left after 20 minutes", "fraction", "77 %", 0.74, 0.80, _MEMORY,
        "lift over unexposed listeners, one exposure, mean over verticals; so the next two"),
    Row("memory.day", "recall left after a day", "fraction", "62 %", 0.59, 0.65, _MEMORY),
    Row("memory.week", "recall left after a week", "fraction", "52 %", 0.49, 0.55, _MEMORY),
    Row("memory.annoyance", "annoyance left after a day, against recall", "times", "less than 1", 0.0, 0.5,
        "Kronrod & Huber, 2018", "annoyance decays faster"),
    Row("frequency.recall_audio", "recall of audio after eight exposures", "fraction", "41 %", 0.38, 0.44,
        _DENTSU, _DAILY),
    Row("frequency.recall_norm", "the same, mean over formats", "fraction", "38 % (norm)", 0.35, 0.41,
        _DENTSU, _DAILY),
    Row("frequency.linear", "straightness of recall over 1–8 exposures", "R²", "linear to at least 8", 0.97,
        1.0, _META, _MASSED),
    Row("frequency.linear_paced", "straightness of recall, one exposure an interval", "R²",
        "linear to at least 8", 0.97, 1.0, _META,
        "one every two hours, one script: the creative wears out, so recall flattens"),
    Row("frequency.attitude_peak", "exposures at which attitude peaks", "exposures", "about 10", 8.0, 12.0,
        _META, f"recall − irritation of those who turn; {_MASSED}"),
    Row("frequency.massing", "immediate recall, eight massed − eight spaced", "fraction", "massing helps",
        0.0, 1.0, _META, "spaced: one a day"),
    Row("frequency.spacing", "attitude, eight spaced − eight massed", "fraction", "spacing helps", 0.0, 1.0,
        _META, "spaced: one a day"),
    Row("repetition.negative", "listeners who turn negative", "fraction", "24 %", 0.22, 0.26, _WEAR,
        "irritation takes the whole response after 20 exposures within one interval"),
    Row("repetition.cap_gain", "most that a frequency cap gains", "fraction", "at most 15 %", 0.0, 0.15,
        _WEAR, "objective of the default market, caps of 1–10 a day against none"),
    Row("repetition.daily_cap", "impressions a day and campaign at which the default cap ends", "a day", "5",
        5.0, 5.0, "a published audio-ads API"),
    Row("day.trough_hour", "hour of least listening on weekdays", "h", "about 02", 1.0, 3.0, _DAY),
    Row("day.morning_hour", "morning peak on weekdays", "h", "9–10", 9.0, 10.0, _DAY),
    Row("day.lunch_dip", "weekday noon against the morning peak", "times", "a dip", 0.5, 0.95, _DAY),
    Row("day.weekend_lunch", "weekend noon against 10 h", "times", "weekends differ", 1.0, 2.0, _DAY,
        "no dip at noon"),
    Row("day.main_hour", "main peak on weekdays", "h", "18–19", 18.0, 19.0, _DAY),
    Row("day.peak_to_trough", "hourly volume, peak against trough", "times", "8–11", 8.0, 11.0,
        "iPinYou; AuctionNet"),
    Row("price.within", "P(price ≤ 300 fen CPM), pooled", "fraction", "21.3 %", 0.203, 0.223, _IPINYOU,
        "share of opportunities that any bid could win"),
    Row("price.within_1", "the same on exchange 1 (on screen)", "fraction", "69 %", 0.67, 0.71, _IPINYOU),
    Row("price.within_2", "the same on exchange 2 (podcasts)", "fraction", "29 %", 0.27, 0.31, _IPINYOU),
    Row("price.within_3", "the same on exchange 3 (music)", "fraction", "12 %", 0.11, 0.13, _IPINYOU),
    Row("price.quantiles", "prices at 25–95 % of exchanges 1–3, largest relative error", "fraction", "0 %",
        0.0, 0.05, _IPINYOU, "rivals that are all alike, no reserve"),
    Row("price.atoms", "prices at 20, 50, 70, 77, 80 fen", "fraction", "23.9 %", 0.22, 0.26, _IPINYOU,
        "the pooled table, rivals that are all alike"),
    Row("sold.spread", "prices at 25–95 % with rivals' levels and quality, largest relative error",
        "fraction", "0 %", 0.0, 0.15, _IPINYOU,
        "relative to the median: rivals, hours and quality widen the real table"),
    Row("sold.floor_1", "impressions sold at the reserve, exchange 1 (on screen)", "fraction", "0 %", 0.0,
        0.02, _IPINYOU),
    Row("sold.floor_2", "the same, exchange 2 (podcasts)", "fraction", "16.5 %", 0.13, 0.20, _IPINYOU),
    Row("sold.floor_3", "the same, exchange 3 (music)", "fraction", "47.5 %", 0.42, 0.53, _IPINYOU),
    Row("sold.correlation", "correlation of value and price", "r", ".35", 0.31, 0.39,
        "iPinYou, campaign 2997"),
    Row("sold.cpm_audio", "CPM of music breaks", "USD", "15–25", 15.0, 25.0, _WEAK,
        "mean price of what can be won; so the next"),
    Row("sold.cpm_podcast", "CPM of podcast breaks", "USD", "18–25", 18.0, 25.0, _WEAK),
    Row("shading.price", "first price, shaded against unshaded", "fraction", "about 55 %", 0.45, 0.65,
        "Verizon Media", "the bid that earns most, values of 1–2 price levels"),
    Row("pod.second", "exposure of a pod's second slot", "fraction", "80 %", 0.78, 0.82, _AUCTIONNET),
    Row("pod.third", "exposure of a pod's third slot", "fraction", "48 %", 0.46, 0.50, _AUCTIONNET),
    Row("pod.scale", "opportunities of a period with 48 advertisers and ticks", "", "500,000", 475_000.0,
        525_000.0, _AUCTIONNET),
    Row("delay.hour", "conversions within an hour", "fraction", "35 %", 0.32, 0.38, _DELAY,
        "of those reported within 30 days; so the next"),
    Row("delay.day", "conversions within a day", "fraction", "50 %", 0.47, 0.53, _DELAY),
)  # fmt: skip
"""Every row of the calibration that the market can express."""

NOT_EXPRESSED: Final = {
    "days listened (−1.9 % per extra ad an hour)": "listening is a share of usual hours, not of days",
    "skips of tracks (51.7 %), sessions of 10–20 tracks, 30-minute gaps": "the market has breaks only, "
    "a skip is an ad's; histories have them (`envs/recent_plays.py`)",
    "uplift in brand choice (10 % against 6 %)": "brand choice is not modelled; purchases are",
    "caps of 35 a week and 50 a month": "the market caps by day; a flight lasts days",
    "video in apps, on the mobile web, on television": "one screen",
    "visits per reach (1.21 %), purchases per visitor (5.35 %)": "visits are not modelled",
    "radio CPM": "there is no radio",
    "auction format": "a setting (`auction.pricing`), not a quantity; the first-price scenario has it",
    "attribution window": "conversions still pending are settled when the flight ends",
}
"""Rows of the calibration that the market cannot express, and why."""
