"""A campaign's bid landscape: what other multipliers would have won, spent and earned, from logged bids.

A function of the bidding room that stands alone: it reads rows that were written and touches no market and
no other role. Every logged bid of a window is made again as it was meant, before an empty purse cut it,
multiplied by k, in order of arrival:

- It wins where it reaches the price to beat, all other bids being as they were. Beyond the price table that
  price is not known: such opportunities are never won, whatever k (the log is censored there).
- It pays the price to beat, its own bid under first price. In pods what was won keeps its price as
  far as the bid reaches it, else falls to the price of entry; what is won anew pays that, and is heard as
  often as the placement's wins were.
- Budget, daily cap and daily frequency cap are counted anew, in order of arrival. A bid that was not
  made, for the frequency cap or since nothing at all was left, is in no log: a landscape cannot know it.
- What was served brings what it brought. What is won anew brings completions and clicks in proportion to its
  predicted value, at its cell's rate (observed per predicted value served), drawn to the market's rate and
  that to all markets' as far as the cell saw little. Conversions, which no log ties to a bid, follow
  completions at the market's reported rate. Clicks of invalid traffic look like others, so that a wave of
  them lifts what wins elsewhere seem to bring.
- Listeners, wear and rivals answer to nothing. So within one interval wins and spend are exact for second
  price and one slot, as far as no cap, bound on multipliers or rival's budget binds, and over several
  intervals they are an approximation.

Source of the idea: Feldman, Muthukrishnan, Pál & Stein, "Budget optimization in search-based advertising
auctions" (2007), whose landscapes are what ad platforms call bid simulators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from envs.catalogue import P, S
from envs.errors import ConfigurationError
from envs.event_log import column_of, read_table
from envs.scenario import Scenario
from envs.state import Float, Int

TABLES: Final = ("markets", "bids", "accounts", "segments")
"""The tables of an event log from which a landscape is made."""
DEFAULT_MULTIPLIERS: Final = (0.5, 0.7, 1.0, 1.4, 2.0)
PRIOR_IMPRESSIONS: Final = 10.0
"""How many average impressions weigh as much as the rate that a cell's own is drawn to."""
_LOST, _SERVED = 0, 1


class CampaignLog(NamedTuple):
    """What was logged of one campaign in B markets of one scenario; rows by market, interval, arrival."""

    market: Int  # [N] from 0
    interval: Int  # [N]
    listener: Int  # [N]
    segment: Int  # [N]
    placement: Int  # [N]
    status: Int  # [N] LOST, SERVED, UNHEARD of `envs.bids`
    predicted: Float  # [N] value that the bid stood on
    wish_usd: Float  # [N] the bid before it was cut to what budget and daily cap left
    price_to_beat_usd: Float  # [N] NaN = unwinnable
    paid_usd: Float  # [N]
    completions: Float  # [N] NaN where lost or untracked
    clicks: Float  # [N] the same
    granted_usd: Float  # [B, T] money put in or taken out at an interval's start
    conversions: Float  # [B] reported and settled, whole flight
    scenario: Scenario

    @classmethod
    def of(cls, tables: Mapping[str, Any], campaign: int) -> CampaignLog:
        """From tables of one run of an event log (`TABLES`).

        Raises:
            ConfigurationError: no such campaign.
        """
        try:
            scenario = Scenario.model_validate_json(tables["markets"]["scenario_json"][0].as_py())
        except ValueError as error:
            raise ConfigurationError(f"the log's scenario is not one of this version: {error}") from error
        if not 0 <= campaign < scenario.campaigns:
            raise ConfigurationError(
                f"campaign {campaign} does not exist: the log's markets have {scenario.campaigns}, from 0"
            )

        def columns(table: str, *names: str) -> list[Any]:
            whose = column_of(tables[table], table, "campaign") == campaign
            return [column_of(tables[table], table, name)[whose] for name in names]

        numbers = np.unique(column_of(tables["markets"], "markets", "market"))
        market, interval, left, spend = columns(
            "accounts", "market", "interval", "left_before_usd", "spend_usd"
        )
        shape = (len(numbers), int(interval.max()) + 1)
        at = np.searchsorted(numbers, market), interval
        before, spent = np.zeros(shape), np.zeros(shape)
        before[at], spent[at] = left, spend
        granted = before.copy()
        granted[:, 1:] -= before[:, :-1] - spent[:, :-1]
        whose_segment, reported, settled = columns("segments", "market", "conversions", "conversions_settled")
        conversions = np.zeros(len(numbers))
        np.add.at(conversions, np.searchsorted(numbers, whose_segment), reported + settled)
        names = cls._fields[: cls._fields.index("granted_usd")]
        rows = dict(zip(names, columns("bids", *names), strict=True))
        order = np.lexsort((rows["interval"], rows["market"]))  # stable: arrival within an interval stays
        rows = {name: column[order] for name, column in rows.items()}
        rows["market"] = np.searchsorted(numbers, rows["market"])
        for name in ("market", "interval", "listener", "segment", "placement", "status"):
            rows[name] = np.asarray(rows[name], np.int64)
        for name in ("completions", "clicks"):
            rows[name] = np.asarray(rows[name], np.float64)
        return cls(**rows, granted_usd=granted, conversions=conversions, scenario=scenario)

    @classmethod
    def read(cls, directory: str | Path, run: str, campaign: int) -> CampaignLog:
        """From an event log on disc.

        Raises:
            ConfigurationError: no such run or campaign.
        """
        return cls.of({name: read_table(directory, name, run) for name in TABLES}, campaign)


class Point(NamedTuple):
    """What one multiplier would have brought within the window, all markets together."""

    multiplier: float
    bids: int
    wins: float
    """Simulated impressions served; not whole where pods may go unheard."""
    spend_usd: float
    completions: float
    clicks: float
    conversions: float
    earned_usd: float
    """Completions and conversions at the scenario's values."""
    won_anew_fraction: float
    """Share of wins that nobody saw happen: what they bring is the model's word. 0 without wins."""
    stopped_fraction: float
    """Share of bids not made for want of budget or for a cap. 0 without bids."""


def bid_landscape(
    log: CampaignLog,
    multipliers: Sequence[float] = DEFAULT_MULTIPLIERS,
    first: int = 0,
    end: int | None = None,
) -> list[Point]:
    """What the campaign would have won, spent and earned, had its bids been multiplied within a window.

    Args:
        log: its bids; nothing of it is changed.
        multipliers: k, each non-negative.
        first: first interval of the window; before it everything is as it was.
        end: interval after its last; the flight's end if None.

    Raises:
        ConfigurationError: an empty window, or a multiplier that is negative or not finite.
    """
    grid, end = checked(multipliers, first, end, log.granted_usd.shape[1])
    heard, completions, clicks = _expected(log)
    daily_cap, markets = log.scenario.daily_cap_fraction, len(log.granted_usd)
    cap_usd = np.full(markets, np.inf) if daily_cap is None else daily_cap * log.granted_usd[:, 0]
    totals = np.zeros((len(grid), _TOTALS, len(log.granted_usd)))
    replay: Any = _replay  # numba's stubs know no positional arguments
    replay(
        *log[: log._fields.index("paid_usd") + 1],
        *(log.granted_usd, heard, completions, clicks, cap_usd),
        float(log.scenario.listeners.daily_frequency_cap),
        log.scenario.intervals_per_day,
        log.scenario.auction.pricing == "first_price",
        *(grid, first, end, totals),
    )
    seen = np.where(
        np.isnan(log.completions), np.where(log.status == _SERVED, completions, 0.0), log.completions
    )
    completed = np.bincount(log.market, seen, minlength=len(log.conversions))
    rate = log.conversions / np.where(completed > 0.0, completed, np.inf)
    points = []
    for k, total in zip(grid.tolist(), totals, strict=True):
        bids, stopped, wins, anew, spend, completed_k, clicked = total.sum(1).tolist()
        conversions = float(total[_COMPLETIONS] @ rate)
        values = log.scenario.values
        points.append(
            Point(
                multiplier=k,
                bids=int(bids),
                wins=wins,
                spend_usd=spend,
                completions=completed_k,
                clicks=clicked,
                conversions=conversions,
                earned_usd=values.completion_usd * completed_k + values.conversion_usd * conversions,
                won_anew_fraction=anew / wins if wins else 0.0,
                stopped_fraction=stopped / (bids + stopped) if bids + stopped else 0.0,
            )
        )
    return points


def checked(multipliers: Sequence[float], first: int, end: int | None, intervals: int) -> tuple[Float, int]:
    """The grid as an array and the interval after the window's last, of a flight of so many intervals.

    Raises:
        ConfigurationError: an empty window, or a multiplier that is negative or not finite.
    """
    end = intervals if end is None else end
    if not 0 <= first < end <= intervals:
        raise ConfigurationError(
            f"the window {first}:{end} is empty or outside the {intervals} intervals of a flight"
        )
    grid = np.asarray(multipliers, np.float64)
    if not (np.isfinite(grid) & (grid >= 0.0)).all() or grid.ndim != 1 or len(grid) == 0:
        raise ConfigurationError(f"multipliers must be numbers of at least 0, got {list(multipliers)}")
    return grid, end


def _expected(log: CampaignLog) -> tuple[Float, Float, Float]:
    """[N] each: how much of a win is heard, and what it brings: as it was, or by the model."""
    won, served = log.status != _LOST, log.status == _SERVED
    wins = np.bincount(log.placement[won], minlength=P)
    overall = served.sum() / won.sum() if won.any() else 1.0  # who never won is taken to be heard
    share = np.where(wins > 0, np.bincount(log.placement[served], minlength=P) / np.maximum(1, wins), overall)
    heard = np.where(won, served, share[log.placement]).astype(np.float64)
    brought = []
    for observed in (log.completions, log.clicks):
        told = served & ~np.isnan(observed)
        rate = _rates(log, told, observed)
        brought.append(np.where(told, observed, heard * rate * log.predicted))
    return heard, brought[0], brought[1]


def _rates(log: CampaignLog, told: Any, observed: Float) -> Float:
    """[N] observed per predicted value in the row's market and cell, drawn to the market's and to all's."""
    markets, y, x = len(log.granted_usd), observed[told], log.predicted[told]
    if not x.sum():
        return np.zeros(len(told))
    overall, prior = y.sum() / x.sum(), PRIOR_IMPRESSIONS * x.mean()
    cell = (log.market * S + log.segment) * P + log.placement

    def drawn(group: Int, groups: int, to: Any) -> Any:
        above = np.bincount(group[told], y, groups) + prior * to
        return above / (np.bincount(group[told], x, groups) + prior)

    by_market = drawn(log.market, markets, overall)
    by_cell: Float = drawn(cell, markets * S * P, np.repeat(by_market, S * P))[cell]
    return by_cell


_TOTALS: Final = 7
_BIDS, _STOPPED, _WINS, _ANEW, _SPEND, _COMPLETIONS, _CLICKS = range(_TOTALS)


@njit(cache=True, nogil=True)
def _replay(  # type: ignore[no-untyped-def]
    market,
    interval,
    listener,
    segment,
    placement,
    status,
    predicted,
    wish_usd,
    price_to_beat_usd,
    paid_usd,
    granted_usd,
    heard,
    completions,
    clicks,
    daily_cap_usd,
    frequency_cap,
    intervals_per_day,
    first_price,
    multipliers,
    first,
    end,
    totals,
):
    """Adds to totals [multipliers, _TOTALS, B] what every multiplier brings within the window."""
    today = np.zeros(listener.max() + 1 if len(listener) else 1)
    for j in range(len(multipliers)):
        b, t, left, day_left = -1, -1, 0.0, 0.0
        for n in range(len(market)):
            if market[n] != b:
                b, t, left = market[n], -1, 0.0
            while t < interval[n]:
                t += 1
                left = max(0.0, left + granted_usd[b, t])
                if t % intervals_per_day == 0:
                    today[:] = 0.0
                    day_left = daily_cap_usd[b]
            beat, i, total = price_to_beat_usd[n], listener[n], totals[j, :, b]
            if not first <= t < end:  # as it was
                if status[n] == _SERVED:
                    left = max(0.0, left - paid_usd[n])
                    day_left = max(0.0, day_left - paid_usd[n])
                    today[i] += 1.0
                continue
            offer = min(multipliers[j] * wish_usd[n], left, day_left)
            if offer <= 0.0 or today[i] >= frequency_cap:
                total[_STOPPED] += 1.0
                continue
            total[_BIDS] += 1.0
            if not offer >= beat:  # NaN: unwinnable
                continue
            if first_price:
                price = offer
            else:
                price = paid_usd[n] if status[n] == _SERVED and paid_usd[n] <= offer else beat
            paid = price * heard[n]
            left = max(0.0, left - paid)
            day_left = max(0.0, day_left - paid)
            today[i] += heard[n]
            total[_WINS] += heard[n]
            total[_ANEW] += heard[n] if status[n] == _LOST else 0.0
            total[_SPEND] += paid
            total[_COMPLETIONS] += completions[n]
            total[_CLICKS] += clicks[n]
