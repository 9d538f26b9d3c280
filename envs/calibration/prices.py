"""Prices, simulated: the table as it is resampled, what rivals make of it, shading, pods."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.calibration.findings import Findings, curve
from envs.calibration.laboratory import UNLIMITED, Laboratory, scenario, total
from envs.catalogue import P
from envs.price_landscape import (
    IPINYOU_PRICE_CNY_FEN_CPM,
    IPINYOU_PRICE_QUANTILES_BY_EXCHANGE,
    exchange_prices,
)

EXCHANGE: Final = (3, 2, 1)
"""By placement: the exchange whose prices it resamples in the shipped market."""
PROBABILITY: Final = (0.25, 0.50, 0.75, 0.90, 0.95)
ATOMS: Final = (20, 50, 70, 77, 80)
_ANY_BID: Final = 1e3
_FREE: Final = {
    "campaigns": 1,
    "budget_fraction": UNLIMITED,
    "rivals": {"daily_budget_fraction": UNLIMITED},
}
"""One campaign whose money never ends, nor do its rivals'."""
_PLAIN: Final = {"quality_sd": 0.0}


class Sales(NamedTuple):
    """Single impressions, by placement, bought by one who bids above every price."""

    price_usd: list[NDArray[np.float64]]
    value: list[NDArray[np.float64]]  # predicted
    within: NDArray[np.float64]  # [P] share of opportunities that could be won
    pooled: float  # the same over placements
    laboratory: Laboratory


def _buy_everything(even: bool, **changes: Any) -> Sales:
    """Buys whatever can be won; cells of exactly one win tell its price (small intervals, so most do)."""
    fields = _FREE | {
        "intervals": 64,
        "opportunities_per_interval": 4,
        "listeners": {"count": 16, "daily_frequency_cap": 100},
    }
    laboratory = Laboratory(scenario(**(fields | changes)), 1024)
    laboratory.truth.rival_paces[:] = False
    if even:
        laboratory.even_prices()
    laboratory.bid(_ANY_BID)
    outcomes = laboratory.flight()
    price: list[list[NDArray[np.float64]]] = [[] for _ in range(P)]
    value: list[list[NDArray[np.float64]]] = [[] for _ in range(P)]
    for outcome in outcomes:
        one = outcome.wins == 1.0
        for p in range(P):
            price[p].append(outcome.spend_usd[..., p][one[..., p]])
            value[p].append(outcome.predicted_won[..., p][one[..., p]])
    wins = total(outcomes, "wins").sum((0, 1, 2))
    opportunities = total(outcomes, "opportunities").sum((0, 1))
    return Sales(
        [np.concatenate(found) for found in price],
        [np.concatenate(found) for found in value],
        wins / opportunities,
        float(wins.sum() / opportunities.sum()),
        laboratory,
    )


@cache
def price() -> Findings:
    """The table itself: rivals that are all alike, opportunities of one quality, no reserve."""
    plain = {"reserve_fraction": (0.0,) * P, "placement_price": (1.0,) * P}
    sales = _buy_everything(True, response=_PLAIN, auction=plain)
    level = sales.laboratory.scenario.auction.price_level_usd
    error, curves = 0.0, {}
    for p, exchange in enumerate(EXCHANGE):
        fen = sales.price_usd[p] / level * exchange_prices(exchange).mean()
        known = np.array(IPINYOU_PRICE_QUANTILES_BY_EXCHANGE[exchange])
        error = max(error, float(np.abs(np.quantile(fen, PROBABILITY) / known - 1.0).max()))
        curves[f"exchange {exchange}"] = curve(np.sort(fen), (np.arange(fen.size) + 0.5) / fen.size)
    pooled = plain | {"price_landscape": ("ipinyou",) * P, "probability_within_table": (1.0,) * P}
    sales = _buy_everything(True, response=_PLAIN, auction=pooled, intervals=16)
    fen = np.concatenate(sales.price_usd) / level * np.mean(IPINYOU_PRICE_CNY_FEN_CPM)
    atoms = float(np.isin(fen.round(3), ATOMS).mean())
    within = _buy_everything(False)
    figures = {f"within_{exchange}": float(within.within[p]) for p, exchange in enumerate(EXCHANGE)}
    return Findings({"within": within.pooled, "quantiles": error, "atoms": atoms} | figures, curves)


@cache
def sold() -> Findings:
    """The shipped market: rivals' levels, hours and an opportunity's quality on top of the table."""
    sales = _buy_everything(False)
    reserve, weight = sales.laboratory.constants.reserve_usd, sales.laboratory.scenario.impression_weight
    spread, figures, curves = 0.0, {}, {}
    for p, exchange in enumerate(EXCHANGE):
        found = sales.price_usd[p]
        quantile, known = (
            np.quantile(found, PROBABILITY),
            np.array(IPINYOU_PRICE_QUANTILES_BY_EXCHANGE[exchange]),
        )
        error = np.abs(quantile / quantile[1] * known[1] / known - 1.0)
        spread = max(spread, float(error.max()))
        figures[f"floor_{exchange}"] = float((found <= reserve[p] * (1 + 1e-9)).mean())
        fen = np.sort(found) / quantile[1] * known[1]
        curves[f"exchange {exchange}"] = curve(fen, (np.arange(fen.size) + 0.5) / fen.size)
    cpm_usd = [1000.0 * found.mean() / weight for found in sales.price_usd]
    correlation = np.corrcoef(np.concatenate(sales.price_usd), np.concatenate(sales.value))[0, 1]
    figures |= {"spread": spread, "correlation": float(correlation)}
    return Findings(figures | {"cpm_audio": float(cpm_usd[0]), "cpm_podcast": float(cpm_usd[1])}, curves)


@cache
def shading() -> Findings:
    """First price: what is paid at the bid that earns most, against bidding the value."""
    multiplier = np.geomspace(0.1, 3.0, 36)
    won, paid = np.zeros(multiplier.size), np.zeros(multiplier.size)
    kind = scenario(
        **_FREE,
        intervals=24,
        listeners={"count": 64, "daily_frequency_cap": 100},
        auction={"pricing": "first_price"},
        response=_PLAIN,
    )
    for n, bid in enumerate(multiplier):
        laboratory = Laboratory(kind, 12)
        laboratory.bid(bid)
        outcomes = laboratory.flight()
        wins = total(outcomes, "wins").sum()
        won[n] = wins / total(outcomes, "opportunities").sum()
        paid[n] = total(outcomes, "spend_usd").sum() / max(1.0, wins) / kind.auction.price_level_usd
    value = np.linspace(1.0, 2.0, 11)
    best = [int(np.argmax(np.where(multiplier <= v, (v - paid) * won, 0.0))) for v in value]
    ratio = paid[best] / np.interp(value, multiplier, paid)
    return Findings({"price": float(ratio.mean())}, {"ratio": curve(value, ratio)})


@cache
def pod() -> Findings:
    """Three of ours take a pod's three slots in order; and a period of AuctionNet's size."""
    laboratory = Laboratory(
        scenario(
            intervals=12,
            opportunities_per_interval=500,
            budget_fraction=UNLIMITED,
            listeners={"count": 512, "daily_frequency_cap": 100},
            auction={
                "slots": (3,) * P,
                "pricing": "generalized_second_price",
                "reserve_fraction": (0.0,) * P,
                "probability_within_table": (1.0,) * P,
                "competitive_separation": False,
            },
        ),
        8,
    )
    laboratory.bid(np.array([3.0, 2.0, 1.0])[:, None, None] * _ANY_BID)
    outcomes = laboratory.flight()
    share = total(outcomes, "wins").sum((0, 2, 3)) / total(outcomes, "opportunities").sum()
    period = Laboratory(scenario(rivals={"count": 45}, opportunities_per_interval=500_000 // 48), 1)
    scale = float(total(period.flight(), "opportunities").sum())
    figures = {"second": float(share[1] / share[0]), "third": float(share[2] / share[0]), "scale": scale}
    return Findings(figures, {"exposure": curve([1, 2, 3], share)})
