"""The inner auction without kernels, in plain Python and in NumPy: what the benchmark is set beside.

Nothing of the market uses it. Values, rivals' prices, the auction at the next price, a slot's cascade,
budgets and frequency caps, and no more: no listeners who answer, no accounts, no observations. Each rival
bids by itself, as in AuctionNet, where the market's kernels draw the highest prices only.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from envs.constants import constants_of
from envs.scenario import Scenario
from envs.state import Float


class Stall(NamedTuple):
    """What both versions sell with."""

    campaigns: int
    rivals: int
    listeners: int
    slots: int
    reserve_usd: float
    level_usd: float
    frequency_cap: float
    table: Float  # [Q] prices of the first placement
    exposure: Float  # [slots]


def stall_of(scenario: Scenario) -> Stall:
    """The first placement of a scenario."""
    k = constants_of(scenario)
    return Stall(
        campaigns=scenario.campaigns,
        rivals=scenario.rivals.count,
        listeners=scenario.listeners.count,
        slots=int(k.slots[0]),
        reserve_usd=float(k.reserve_usd[0]),
        level_usd=k.price_level_usd,
        frequency_cap=k.frequency_cap,
        table=k.price_quantile[0],
        exposure=k.exposure[: int(k.slots[0])],
    )


def sell_in_python(stall: Stall, opportunities: int, seed: int = 0) -> float:
    """Sells one by one, budgets and caps exact; gives the revenue in USD."""
    draw, table, size = random.Random(seed).random, stall.table.tolist(), len(stall.table)
    exposure, bidders = stall.exposure.tolist(), stall.campaigns + stall.rivals
    budget = [stall.level_usd * opportunities] * bidders
    shown = [[0] * stall.campaigns for _ in range(stall.listeners)]
    affinity = [[0.5 + draw() for _ in range(stall.campaigns)] for _ in range(stall.listeners)]
    revenue = 0.0
    for _ in range(opportunities):
        listener, quality = int(draw() * stall.listeners), 0.5 + draw()
        bids = []
        for c in range(stall.campaigns):
            if shown[listener][c] < stall.frequency_cap:
                usd = min(affinity[listener][c] * quality * stall.level_usd, budget[c])
                bids.append((usd, c))
        for rival in range(stall.campaigns, bidders):
            bids.append((min(table[int(draw() * size)] * stall.level_usd * quality, budget[rival]), rival))
        bids = sorted((bid for bid in bids if bid[0] >= stall.reserve_usd), reverse=True)
        hears_until = draw()
        for slot, (_, winner) in enumerate(bids[: stall.slots]):
            if hears_until >= exposure[slot]:
                break
            price = max(stall.reserve_usd, bids[slot + 1][0] if slot + 1 < len(bids) else 0.0)
            budget[winner] -= price
            revenue += price
            if winner < stall.campaigns:
                shown[listener][winner] += 1
    return revenue


def sell_in_numpy(stall: Stall, opportunities: int, seed: int = 0) -> float:
    """Sells all at once, [N, A], budgets and caps as they were before; gives the revenue in USD."""
    rng = np.random.default_rng(seed)
    listener = rng.integers(0, stall.listeners, opportunities)
    quality = 0.5 + rng.random((opportunities, 1))
    affinity = 0.5 + rng.random((stall.listeners, stall.campaigns))
    ours = affinity[listener] * quality * stall.level_usd
    table = stall.table[rng.integers(0, len(stall.table), (opportunities, stall.rivals))]
    bids = np.concatenate([ours, table * quality * stall.level_usd], 1)
    bids[bids < stall.reserve_usd] = 0.0
    top = min(stall.slots + 1, bids.shape[1])
    order = np.argpartition(bids, -top, 1)[:, -top:]
    ranked = np.take_along_axis(bids, order, 1)
    place = np.argsort(-ranked, 1)
    order, ranked = np.take_along_axis(order, place, 1), np.take_along_axis(ranked, place, 1)
    ranked = np.concatenate([ranked, np.zeros((opportunities, 1))], 1)
    sold = stall.slots if top > stall.slots else top
    heard = rng.random((opportunities, 1)) < stall.exposure[:sold]
    price = np.maximum(stall.reserve_usd, ranked[:, 1 : sold + 1]) * (heard & (ranked[:, :sold] > 0.0))
    spent = np.zeros(bids.shape[1])
    np.add.at(spent, order[:, :sold], price)
    return float(spent.sum())
