"""The KPIs by which teams are judged: one table, and the ledger that fills it during a flight.

A KPI's name is its TensorBoard tag; training, evaluation and reports all log the same ones.
`FlightLedger.finish()` gives each KPI per market over the whole flight, `series()` per interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import ARM_FORMAT, FORMATS, F, K
from envs.market import Step, VectorMarket
from envs.rewards import segment_size
from envs.state import Float

Better = Literal["more", "less", "neither"]


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


_ROWS: Final = (
    Kpi("market/objective_usd", "USD", "J: the team's rewards of all intervals, summed", "", "more", True),
    Kpi("market/completions_usd", "USD", "part of J: value of completions", "", "more"),
    Kpi("market/conversions_usd", "USD", "part of J: value of conversions caused", "", "more", True),
    Kpi("market/recall_usd", "USD", "part of J: value of recall, gain and mean level", "", "more", True),
    Kpi("market/health_usd", "USD", "part of J: value of listening won or lost", "", "more", True),
    Kpi("market/wasted_usd", "USD", "part of J, subtracted: paid for nothing", "", "less", True),
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
    Kpi("listeners/listening_fraction", "fraction", "opportunities / at full health", "0", "more", True),
    Kpi("creative/audio_share", "fraction", "impressions of audio / impressions", "0", "neither"),
    Kpi("creative/video_share", "fraction", "impressions of video / impressions", "0", "neither"),
    Kpi("creative/display_share", "fraction", "impressions of display / impressions", "0", "neither"),
    Kpi("creative/entropy", "fraction", "entropy of impressions over creatives / ln K", "0", "neither"),
    Kpi("monitor/alerts", "count", "times a campaign and placement came under alert", "", "neither"),
    Kpi("fairness/worst_objective_per_budget", "ratio", "least campaign's J / budget", "0", "more", True),
    Kpi("fairness/gini", "fraction", "Gini coefficient of the campaigns' J, losses as 0", "0", "less", True),
)
KPIS: Final[dict[str, Kpi]] = {row.tag: row for row in _ROWS}
"""Every KPI by tag.

Impressions are real ones: wins * impression weight. What campaigns have apart (recall, frequency, reach,
fatigue, pacing, entropy) is the mean over campaigns; what listeners have, over listeners. Relevance counts
an impression that nobody heard (invalid, inattentive) as 0; 1 is the average listener.
"""

OBJECTIVE: Final = "market/objective_usd"
PARTS: Final = tuple(row.tag for row in _ROWS if row.formula.startswith("part of J"))
"""The parts of the objective; `market/wasted_usd` is subtracted, the others are added."""


class Tally(NamedTuple):
    """What a stretch of a flight added up to. Leading axes may stand before B."""

    intervals: Float  # [...] scalar per stretch
    objective_usd: Float  # [..., B, C]
    completions_usd: Float  # [..., B]
    conversions_usd: Float  # [..., B]
    recall_usd: Float  # [..., B]
    health_usd: Float  # [..., B]
    wasted_usd: Float  # [..., B]
    traffic: Float  # [..., B] opportunities had all listeners been healthy
    opportunities: Float  # [..., B]
    bids: Float  # [..., B]
    wins: Float  # [..., B]
    spend_usd: Float  # [..., B]
    won_bid_usd: Float  # [..., B]
    completions: Float  # [..., B]
    skips: Float  # [..., B]
    dislikes: Float  # [..., B]
    clicks: Float  # [..., B]
    conversions: Float  # [..., B]
    affinity_won: Float  # [..., B]
    pacing_error: Float  # [..., B] sum over intervals of the campaigns' mean
    fatigue: Float  # [..., B] likewise
    alerts: Float  # [..., B]
    won_by_arm: Float  # [..., B, C, K]


class Levels(NamedTuple):
    """Where things stood at a stretch's end, means over listeners and campaigns: [..., B]."""

    recall: Float
    health: Float
    frequency: Float
    reach: Float


class FlightLedger:
    """Adds up a flight of a batch of markets.

    Make one right after `market.reset`, call `add` with every step right after it was taken, then
    `finish`. It reads the market and never changes it.
    """

    def __init__(self, market: VectorMarket, *, keep_series: bool = False) -> None:
        """Starts an empty ledger; `series()` needs `keep_series` (40 kB a market and flight)."""
        self._market = market
        size = segment_size(market.parameters)
        self._share = size / size.sum(1, keepdims=True)  # [B, S]
        self._traffic = market.parameters.traffic.sum((2, 3))  # [B, T]
        self._budget = market.parameters.budget_usd  # [B, C]
        self._keep_series = keep_series
        self._total: Tally | None = None
        self._intervals: list[tuple[Tally, Levels]] = []
        self._under_alert = np.zeros(1, np.bool_)

    def add(self, step: Step) -> None:
        """Books one interval."""
        tally, levels = self._tally(step), self._levels(step)
        if self._total is None:
            self._total, self._start_recall = tally, self._mean(step.outcome.recall_before)
        else:
            self._total = Tally(*(old + new for old, new in zip(self._total, tally, strict=True)))
        self._last = levels
        if self._keep_series:
            self._intervals.append((tally, levels))

    def finish(self) -> dict[str, Float]:
        """Every KPI of the flight so far: [B]."""
        if self._total is None:
            raise ValueError("finish() before any step was added")
        return self._kpis(self._total, self._last)

    def series(self) -> dict[str, Float]:
        """Every KPI of each interval alone: [T, B]; levels (recall, health, reach …) at its end."""
        if not self._intervals:
            raise ValueError("series() needs steps, and FlightLedger(market, keep_series=True)")
        tallies, levels = zip(*self._intervals, strict=True)
        return self._kpis(
            Tally(*(np.stack(arrays) for arrays in zip(*tallies, strict=True))),
            Levels(*(np.stack(arrays) for arrays in zip(*levels, strict=True))),
        )

    def _mean(self, by_segment: Float) -> Float:
        """[B, C, S] → [B]: mean over listeners and campaigns."""
        return _array((by_segment * self._share[:, None]).sum(2).mean(1))

    def _tally(self, step: Step) -> Tally:
        out, worth, market = step.outcome, step.worth, self._market
        return Tally(
            intervals=np.ones(()),
            objective_usd=step.rewards.campaign,
            completions_usd=_per_market(worth.completions),
            conversions_usd=_per_market(worth.conversions),
            recall_usd=_per_market(worth.recall),
            health_usd=_per_market(worth.health),
            wasted_usd=_per_market(worth.waste),
            traffic=self._traffic[:, market.interval - 1],
            fatigue=self._mean(out.fatigue),
            pacing_error=np.abs(market.pacing_error()).mean(1),
            alerts=self._new_alerts(),
            won_by_arm=_by_arm(out.wins.sum(3), market.aired),
            **{name: _per_market(getattr(out, name)) for name in _SUMMED},
        )

    def _new_alerts(self) -> Float:
        """[B] (campaign, placement) pairs under alert now and not an interval ago."""
        now = self._market.board.alert.kind[:, : self._market.num_campaigns] > 0
        fresh = now & ~self._under_alert
        self._under_alert = now
        return _array(fresh.sum((1, 2)))

    def _levels(self, step: Step) -> Levels:
        out = step.outcome
        return Levels(
            recall=self._mean(out.recall),
            health=(out.health * self._share).sum(1),
            frequency=self._mean(out.frequency),
            reach=out.reach.mean(1),
        )

    def _kpis(self, total: Tally, level: Levels) -> dict[str, Float]:
        """The table's formulas; arrays [..., B]."""
        impressions = total.wins * self._market.scenario.impression_weight
        by_format = _ratio(_by_format(total.won_by_arm), total.wins[..., None])
        intervals = total.intervals[..., None]
        value = total.completions_usd + total.conversions_usd + total.recall_usd
        return {
            OBJECTIVE: value + total.health_usd - total.wasted_usd,
            "market/completions_usd": total.completions_usd,
            "market/conversions_usd": total.conversions_usd,
            "market/recall_usd": total.recall_usd,
            "market/health_usd": total.health_usd,
            "market/wasted_usd": total.wasted_usd,
            "spend/spend_usd": total.spend_usd,
            "spend/budget_fraction": _ratio(total.spend_usd, self._budget.sum(1)),
            "spend/pacing_error": total.pacing_error / intervals,
            "spend/wasted_fraction": _ratio(total.wasted_usd, total.spend_usd),
            "auction/win_rate": _ratio(total.wins, total.bids),
            "auction/cpm_usd": 1000.0 * _ratio(total.spend_usd, impressions),
            "auction/price_to_bid": _ratio(total.spend_usd, total.won_bid_usd),
            "auction/cpa_usd": total.spend_usd / np.maximum(1.0, total.conversions),
            "response/completion_rate": _ratio(total.completions, impressions),
            "response/skip_rate": _ratio(total.skips, impressions),
            "response/dislike_rate": _ratio(total.dislikes, impressions),
            "response/click_rate": _ratio(total.clicks, impressions),
            "response/conversions": total.conversions,
            "response/recall_lift": level.recall - self._start_recall,
            "listeners/relevance": _ratio(total.affinity_won, total.wins),
            "listeners/frequency": _ratio(level.frequency, level.reach),
            "listeners/reach": level.reach,
            "listeners/fatigue": total.fatigue / intervals,
            "listeners/health": level.health,
            "listeners/listening_fraction": _ratio(total.opportunities, total.traffic),
            **{f"creative/{name}_share": by_format[..., f] for f, name in enumerate(FORMATS)},
            "creative/entropy": _entropy(total.won_by_arm),
            "monitor/alerts": total.alerts,
            "fairness/worst_objective_per_budget": _ratio(total.objective_usd, self._budget).min(-1),
            "fairness/gini": gini(np.maximum(0.0, total.objective_usd)),
        }


_SUMMED: Final = (
    *(
        "opportunities",
        "bids",
        "wins",
        "spend_usd",
        "won_bid_usd",
        "completions",
        "skips",
        "dislikes",
        "clicks",
    ),
    *("conversions", "affinity_won"),
)
"""Fields of an outcome that a tally sums over campaigns, segments and placements."""


def gini(values: Float) -> Float:
    """Gini coefficient of non-negative values [..., n]: [...]; 0 = all alike, also where all are 0.

    G = Σ_i (2i - n - 1) x_(i) / (n Σ x), x sorted upwards, i from 1.
    """
    n = values.shape[-1]
    rank = 2.0 * np.arange(1, n + 1) - n - 1.0
    return _ratio((np.sort(values, -1) * rank).sum(-1), n * values.sum(-1))


def _array(value: Any) -> Float:
    return np.asarray(value, np.float64)


def _per_market(array: Float) -> Float:
    """[B, ...] → [B]; rows are made contiguous, so that a market's sum cannot depend on its batch."""
    return _array(np.ascontiguousarray(array).reshape(len(array), -1).sum(1))


def _ratio(numerator: Float, denominator: Float | float) -> Float:
    """Numerator / denominator, and 0 where the denominator is 0."""
    below: Any = np.asarray(denominator, np.float64)
    empty = np.zeros(np.broadcast(numerator, below).shape)
    return _array(np.divide(numerator, below, out=empty, where=below != 0))


def _by_arm(wins: Float, arm: NDArray[np.int64]) -> Float:
    """Wins [B, C, S] of the arms [B, C, S] that aired: [B, C, K]."""
    b, c, _ = arm.shape
    row = np.arange(b * c).reshape(b, c, 1) * K + arm
    return _array(np.bincount(row.ravel(), wins.ravel(), b * c * K).reshape(b, c, K))


def _by_format(won_by_arm: Float) -> Float:
    """[..., B, C, K] → [..., B, F]."""
    by_arm = won_by_arm.sum(-2)
    return np.stack([by_arm[..., f == ARM_FORMAT].sum(-1) for f in range(F)], -1)


def _entropy(won_by_arm: Float) -> Float:
    """Normalised entropy over creatives of [..., B, C, K], mean over campaigns: [..., B]."""
    share = _ratio(won_by_arm, won_by_arm.sum(-1, keepdims=True))
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return _array(-(share * logs).sum(-1).mean(-1) / np.log(K))
