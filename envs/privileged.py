"""Hidden truth, which only training and evaluation may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs import constants as con
from envs.catalogue import P, S
from envs.observation import Observation

if TYPE_CHECKING:
    from envs.market import VectorMarket


def privileged_blocks(market: VectorMarket) -> tuple[Observation, Observation]:
    """Hidden truth: market block [B, ·] and campaign blocks [B, C, ·], roughly standardised.

    Of incidents it holds those that markets of the default scenario may meet: critics that were trained have
    this width.
    """
    m, st = market.parameters, market.market_state
    b, c = market.num_markets, market.num_campaigns
    t = min(market.interval, market.scenario.intervals - 1)
    expectation = market.expectation()
    log_response = np.log(np.maximum(1e-3, expectation.response))
    best = log_response.max(-1)
    on_air = np.take_along_axis(log_response, st.on_air[..., None], -1)[..., 0]
    active = (m.incident_start <= t) & (t < m.incident_start + m.incident_length)
    kinds = np.where(active, m.incident_kind, 0)[..., None] == np.arange(1, 1 + con.OVERSPEND_FAULT)
    at = (active & (m.incident_kind == con.INVALID_TRAFFIC))[..., None] & (
        m.incident_placement[..., None] == np.arange(P)
    )
    market_block = np.concatenate(
        [
            st.rival_left_usd.sum(1, keepdims=True)
            / np.maximum(1e-9, m.rival_budget_usd.sum(1, keepdims=True)),
            st.rival_pace.mean(1, keepdims=True),
            kinds.any(1),
            at.any(1),
            market.outcome.health if market.outcome is not None else np.ones((b, S)),
        ],
        1,
    )
    recall = market.outcome.recall if market.outcome is not None else np.zeros((b, c, S))
    campaign_block = np.concatenate(
        [
            best,
            on_air,
            expectation.memory_room,
            4.0 * expectation.funnel,
            4.0 * recall,
            np.stack([3 * m.wear_out, m.conversion, m.recall, 100 * (m.recall_decay - 0.985)], -1),
            np.log1p(st.conversion_pool.sum((2, 3)))[..., None],
        ],
        -1,
    )
    return market_block.astype(np.float32), campaign_block.astype(np.float32)
