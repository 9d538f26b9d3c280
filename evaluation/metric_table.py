"""The table of KPIs: what is measured, its unit, its formula, and its value where there is nothing to divide.

A KPI's name is its TensorBoard tag; training, evaluation and reports all log the same ones, and
docs/metrics.md is written from here (`python -m evaluation.reference docs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Better = Literal["more", "less", "neither"]
LEFT_OUT: Final = "left out of means"
"""`when_empty` of KPIs that are not a number (NaN) where their denominator is zero."""


@dataclass(frozen=True)
class Kpi:
    """One row of the table."""

    tag: str
    unit: str
    formula: str
    when_empty: str
    """Its value where the denominator is zero; empty where it has none."""
    better: Better
    truth: bool = False
    """Whether only a simulator can know it."""

    @property
    def may_be_empty(self) -> bool:
        """Whether markets may have no value of it (NaN)."""
        return self.when_empty == LEFT_OUT


_ONE = "as if one conversion were about to come"
_SCORE = "Σ campaigns conversions * target CPA * min(1, (target CPA / CPA)²)"
_ROWS: Final = (
    Kpi("market/objective_usd", "USD", "J: the team's rewards of all intervals, summed", "", "more", True),
    Kpi("market/completions_usd", "USD", "part of J: value of completions", "", "more"),
    Kpi("market/conversions_usd", "USD", "part of J: value of conversions caused", "", "more", True),
    Kpi("market/recall_usd", "USD", "part of J: value of recall, gain and mean level", "", "more", True),
    Kpi("market/health_usd", "USD", "part of J: value of listening won or lost", "", "more", True),
    Kpi("market/wasted_usd", "USD", "part of J, subtracted: paid for nothing", "", "less", True),
    Kpi("advertiser/value_usd", "USD", "completions + conversions + recall, USD", "", "more", True),
    Kpi("advertiser/return_on_spend", "ratio", "advertiser value / spend", "0", "more", True),
    Kpi("advertiser/cpa_to_target", "ratio", "CPA / target CPA, mean over campaigns", _ONE, "less"),
    Kpi("advertiser/competition_score_usd", "USD", _SCORE, _ONE, "more"),
    Kpi("spend/spend_usd", "USD", "all campaigns' spend", "", "neither"),
    Kpi("spend/budget_fraction", "fraction", "spend / budgets", "0", "neither"),
    Kpi("spend/pacing_error", "fraction", "mean |share spent - share of the flight gone|", "", "less"),
    Kpi("spend/wasted_fraction", "fraction", "wasted spend / spend", "0", "less", True),
    Kpi("auction/win_rate", "fraction", "wins / bids", "0", "neither"),
    Kpi("auction/cpm_usd", "USD", "1000 * spend / impressions", "0", "less"),
    Kpi("auction/price_to_bid", "fraction", "spend / sum of the bids that won", "0", "less"),
    Kpi("auction/cpa_usd", "USD", "spend / conversions reported", "spend: one is about to come", "less"),
    Kpi("response/completion_rate", "fraction", "completions / impressions", "0", "more"),
    Kpi("response/skip_rate", "fraction", "skips / impressions", "0", "less"),
    Kpi("response/dislike_rate", "fraction", "dislikes / impressions", "0", "less"),
    Kpi("response/click_rate", "fraction", "clicks, invalid ones too / impressions", "0", "more"),
    Kpi("response/conversions", "count", "conversions reported within the flight", "", "more"),
    Kpi("response/recall_lift", "fraction", "recall at the end - at the start", "", "more", True),
    Kpi("listeners/relevance", "factor", "Σ true affinity of who heard / wins", "0", "more", True),
    Kpi("listeners/frequency", "impressions", "impressions of a reached listener", "0", "neither"),
    Kpi("listeners/reach", "fraction", "listeners reached", "", "more"),
    Kpi("listeners/fatigue", "log response", "lost to repetition, mean of intervals", "", "less", True),
    Kpi("listeners/health", "fraction", "listening at the end against its usual level", "", "more"),
    Kpi("listeners/churn", "fraction", "listening lost at the end by those who listen less", "", "less"),
    Kpi("listeners/hours", "hours", "opportunities / ads an hour / listeners", "", "more"),
    Kpi("listeners/listening_fraction", "fraction", "opportunities / at full health", "0", "more", True),
    Kpi("creative/audio_share", "fraction", "impressions of audio / impressions", "0", "neither"),
    Kpi("creative/video_share", "fraction", "impressions of video / impressions", "0", "neither"),
    Kpi("creative/display_share", "fraction", "impressions of display / impressions", "0", "neither"),
    Kpi("creative/entropy", "fraction", "entropy of impressions over creatives / ln K", "0", "neither"),
    Kpi("monitor/alerts", "count", "alerts raised, one a campaign, kind and episode", "", "neither"),
    Kpi("monitor/incidents", "count", "incidents that began", "", "neither", True),
    Kpi("monitor/precision", "fraction", "alerts that were right / alerts", LEFT_OUT, "more", True),
    Kpi("monitor/recall", "fraction", "incidents found / incidents", LEFT_OUT, "more", True),
    Kpi("monitor/delay", "intervals", "from start to alert / incidents found", LEFT_OUT, "less", True),
    Kpi("fairness/worst_objective_per_budget", "ratio", "least campaign's J / budget", "0", "more", True),
    Kpi("fairness/gini", "fraction", "Gini coefficient of the campaigns' J, losses as 0", "0", "less", True),
)
KPIS: Final[dict[str, Kpi]] = {row.tag: row for row in _ROWS}
"""Every KPI by tag."""

NOTES: Final = (
    "Impressions are real ones: wins × impression weight. What campaigns have apart (recall, frequency, "
    "reach, fatigue, pacing, entropy) is the mean over campaigns; what listeners have, over listeners. "
    "Relevance counts an impression that nobody heard (invalid, inattentive) as 0; 1 is the average "
    "listener.",
    "A campaign's CPA is its spend / the conversions attributed to it: those reported, and at the flight's "
    "end those that wait to be. Its target CPA is what a conversion is worth to the advertiser "
    "(`values.conversion_usd` of the scenario): a higher CPA buys conversions at a loss. The competition "
    "score is AuctionNet's: a campaign at twice its target counts a quarter.",
    "Hours are of the market's listeners, a listener standing for `impression_weight` people: each ad break "
    "closes 1 / ads_per_hour of an hour.",
    "The watchdog is judged by incident labels: an alert is right where an incident of its kind strikes its "
    "campaign and placement in that interval or the one before, since news is an interval old. An alert that "
    "lasts, or covers several placements of a campaign, counts once. By kind: docs/watchdog.md. An incident "
    "is found by the first right alert from its start to the interval after its end; the soonest possible "
    "delay is 1.",
)
OBJECTIVE: Final = "market/objective_usd"
PARTS: Final = tuple(row.tag for row in _ROWS if row.formula.startswith("part of J"))
"""The parts of the objective; `market/wasted_usd` is subtracted, the others are added."""
HEADLINES: Final = (
    ("ad relevance", "listeners/relevance"),
    ("wasted spend", "spend/wasted_fraction"),
    ("listener satisfaction", "listeners/health"),
)
"""What the project is for: (result, KPI)."""
