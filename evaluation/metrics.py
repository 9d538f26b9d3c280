"""The ledger that fills the table of KPIs (`evaluation.metric_table`) during a flight.

`FlightLedger.finish()` gives each KPI per market over the whole flight, `series()` per interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import ARM_FORMAT, FORMATS, F, K
from envs.market import Step, VectorMarket
from envs.rewards import segment_size
from envs.state import Float
from evaluation.metric_table import HEADLINES, KPIS, OBJECTIVE, PARTS, Kpi
from evaluation.watchdog.scoring import Watch, Watchdog

__all__ = ["HEADLINES", "KPIS", "OBJECTIVE", "PARTS", "FlightLedger", "Kpi", "gini", "mean_over_markets"]


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
    campaign_spend_usd: Float  # [..., B, C]
    attributed: Float  # [..., B, C] conversions reported, and at the end those that wait
    watch: Watch  # of [..., B, kinds]
    won_by_arm: Float  # [..., B, C, K]


class Levels(NamedTuple):
    """Where things stood at a stretch's end, means over listeners and campaigns: [..., B]."""

    recall: Float
    health: Float
    churn: Float
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
        # [B, T] at full health: `traffic` is that of the reference ad load
        self._traffic = market.parameters.traffic.sum((2, 3)) * market.constants.load_factor
        self._budget = market.parameters.budget_usd  # [B, C]
        self._keep_series = keep_series
        self._total: Tally | None = None
        self._intervals: list[tuple[Tally, Levels]] = []
        self._watchdog = Watchdog(market)

    def add(self, step: Step) -> None:
        """Books one interval."""
        tally, levels = self._tally(step), self._levels(step)
        if self._total is None:
            self._total, self._start_recall = tally, self._mean(step.outcome.recall_before)
        else:
            self._total = _sum(self._total, tally)
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
            _stacked(tallies),
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
            campaign_spend_usd=_array(out.spend_usd.sum((2, 3))),
            attributed=_array((out.conversions + out.conversions_settled).sum(2)),
            watch=self._watchdog.add(market.board.alert, market.board.creative_alert, market.interval - 1),
            won_by_arm=_by_arm(out.wins.sum(3), market.aired),
            **{name: _per_market(getattr(out, name)) for name in _SUMMED},
        )

    def _levels(self, step: Step) -> Levels:
        out = step.outcome
        return Levels(
            recall=self._mean(out.recall),
            health=(out.health * self._share).sum(1),
            churn=np.maximum(0.0, 1.0 - self._market.market_state.health).mean(1),
            frequency=self._mean(out.frequency),
            reach=out.reach.mean(1),
        )

    def _kpis(self, total: Tally, level: Levels) -> dict[str, Float]:
        """The table's formulas; arrays [..., B]."""
        scenario, watch = self._market.scenario, Watch(*(_array(field.sum(-1)) for field in total.watch))
        impressions = total.wins * scenario.impression_weight
        target_usd = scenario.values.conversion_usd
        by_format = _ratio(_by_format(total.won_by_arm), total.wins[..., None])
        intervals = total.intervals[..., None]
        value = total.completions_usd + total.conversions_usd + total.recall_usd
        cpa_usd = total.campaign_spend_usd / np.maximum(1.0, total.attributed)  # [..., B, C]
        hours = scenario.listeners.ads_per_hour * scenario.listeners.count
        return {
            OBJECTIVE: value + total.health_usd - total.wasted_usd,
            "market/completions_usd": total.completions_usd,
            "market/conversions_usd": total.conversions_usd,
            "market/recall_usd": total.recall_usd,
            "market/health_usd": total.health_usd,
            "market/wasted_usd": total.wasted_usd,
            "advertiser/value_usd": value,
            "advertiser/return_on_spend": _ratio(value, total.spend_usd),
            "advertiser/cpa_to_target": _ratio(cpa_usd, target_usd).mean(-1),
            "advertiser/competition_score_usd": (
                total.attributed * target_usd * cpa_factor(cpa_usd, target_usd)
            ).sum(-1),
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
            "listeners/churn": level.churn,
            "listeners/hours": total.opportunities / hours,
            "listeners/listening_fraction": _ratio(total.opportunities, total.traffic),
            **{f"creative/{name}_share": by_format[..., f] for f, name in enumerate(FORMATS)},
            "creative/entropy": _entropy(total.won_by_arm),
            "monitor/alerts": watch.alerts,
            "monitor/incidents": watch.incidents,
            "monitor/precision": _ratio(watch.right, watch.alerts, np.nan),
            "monitor/recall": _ratio(watch.found, watch.incidents, np.nan),
            "monitor/delay": _ratio(watch.delay, watch.found, np.nan),
            "fairness/worst_objective_per_budget": _ratio(total.objective_usd, self._budget).min(-1),
            "fairness/gini": gini(np.maximum(0.0, total.objective_usd)),
        }


_SUMMED: Final = tuple(
    "opportunities bids wins spend_usd won_bid_usd completions skips dislikes clicks conversions "
    "affinity_won".split()
)
"""Fields of an outcome that a tally sums over campaigns, segments and placements."""


def mean_over_markets(values: Float) -> Float:
    """Mean over the last axis of a KPI's values, markets that have none (NaN) left out; NaN if none has."""
    there = np.isfinite(values)
    if there.all():
        return _array(np.ascontiguousarray(values).mean(-1))
    return _ratio(np.where(there, values, 0.0).sum(-1), there.sum(-1), np.nan)


def cpa_factor(cpa_usd: Float, target_usd: float) -> Float:
    """AuctionNet's penalty min(1, (target / CPA)²): 1 up to the target, .25 at twice the target."""
    return np.minimum(1.0, np.square(_ratio(target_usd, cpa_usd, np.inf)))


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


def _ratio(numerator: Float | float, denominator: Float | float, empty: float = 0.0) -> Float:
    """Numerator / denominator, and `empty` where the denominator is 0."""
    below: Any = np.asarray(denominator, np.float64)
    out = np.full(np.broadcast(numerator, below).shape, empty)
    return _array(np.divide(numerator, below, out=out, where=below != 0))


def _sum(one: Tally, other: Tally) -> Tally:
    """Two stretches as one."""
    return _combined([one, other], lambda pair: pair[0] + pair[1])


def _stacked(tallies: Sequence[Tally]) -> Tally:
    """Stretches one after the other, on a new first axis."""
    return _combined(tallies, np.stack)


def _combined(tallies: Sequence[Tally], combine: Callable[[Sequence[Float]], Float]) -> Tally:
    watch = Watch(*map(combine, zip(*(tally.watch for tally in tallies), strict=True)))
    fields = {name: combine([getattr(t, name) for t in tallies]) for name in Tally._fields if name != "watch"}
    return Tally(**fields, watch=watch)


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
