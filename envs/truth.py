"""What only a simulator knows, for evaluation: true affinity, clairvoyant prices, incident labels.

True incremental lift stands in `envs.lift`, expected responses in `envs.expectation`. Nothing of it is
part of observations, messages or infos; agents that get no market (`policies.policy.Flight`) cannot ask.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from envs import constants as con
from envs.catalogue import (
    ARMS,
    INCIDENT_KINDS,
    INCIDENTS_ON_CAMPAIGNS,
    INCIDENTS_ON_CREATIVES,
    INCIDENTS_ON_PLACEMENTS,
    P,
    S,
    V,
)
from envs.dynamics import play_interval
from envs.errors import InterludeError
from envs.market import INITIAL_ARM, VectorMarket
from envs.response import HEALTH_MAX
from envs.scratch import new_scratch
from envs.state import Controls, Float, Int, MarketParameters, empty_outcome

_ON_CREATIVES = np.array([kind in INCIDENTS_ON_CREATIVES for kind in INCIDENT_KINDS])
_FAINT = 1e-100
"""Multiplier of an observer's bid: a bid, and so a row of the log, but far below any price."""


class Affinity(NamedTuple):
    """How much listeners truly care, 1 = average."""

    listener: Float  # [B, C, L]
    segment: Float  # [B, C, S] mean over a segment's listeners; 0 where it has none
    opportunity: Float  # [B, C, S] the same by how much each listens: what impressions bought blindly meet


def true_affinity(market: VectorMarket) -> Affinity:
    """Affinities of the markets being played."""
    m = market.parameters
    member = m.listener_segment[:, None] == np.arange(S)[:, None]  # [B, S, L]
    people = np.maximum(1, member.sum(-1))
    listening = member * m.listening_share[:, None]
    return Affinity(
        listener=m.affinity.copy(),
        segment=np.einsum("bcl,bsl->bcs", m.affinity, member / people[..., None]),
        opportunity=np.einsum("bcl,bsl->bcs", m.affinity, listening),
    )


class Prices(NamedTuple):
    """What it takes to win each of the N opportunities of one market's interval, in order of arrival."""

    item: Int  # [N] the opportunity's number, as in the event log
    listener: Int  # [N]
    segment: Int  # [N]
    placement: Int  # [N]
    visible: Int  # [N] 1 = the screen is in view
    quality: Float  # [N] factor of its value
    price_usd: Float  # [N, C] what a bid has to exceed for a slot; NaN beyond the price table: unwinnable


def clairvoyant_prices(market: VectorMarket, b: int = 0) -> Prices:
    """Prices of the coming interval of market b, by a trial of it on copies.

    They are the prices of the rivals and the reserve: no other campaign of ours takes part, and rivals'
    budgets go as they go when we win nothing. Campaigns differ in price where competitive separation keeps
    one of them out of a pod.

    Raises:
        InterludeError: before reset or after the flight's end.
    """
    market._check_started("clairvoyant_prices")
    if market.interval >= market.scenario.intervals:
        raise InterludeError(f"the flight ended after {market.scenario.intervals} intervals: none is to come")

    def copy(arrays: Any) -> Any:
        return type(arrays)(*(array[b : b + 1].copy() for array in arrays))

    m, state, t = copy(market.parameters), copy(market.market_state), market.interval
    m.incident_kind[m.incident_kind == con.SILENT_AGENT] = 0  # prices are there, whoever fails to bid
    state.budget_left_usd[:], state.on_air[:] = 1.0, INITIAL_ARM
    k = market.constants._replace(log=True, frequency_cap=np.inf, daily_cap_fraction=np.inf)
    state.day_left_usd[:] = np.inf
    campaigns, listeners = market.num_campaigns, market.scenario.listeners.count
    most = int(m.traffic[0, t].sum() * k.load_factor * HEALTH_MAX) + 2
    scratch = new_scratch(campaigns, listeners, int(k.slots.max()), block=most)
    faint = Controls(
        multiplier=np.full((1, campaigns, S, P), _FAINT),
        throttle=np.ones((1, campaigns, P)),
        aggression_cap=np.ones((1, campaigns)),
        predicted_affinity=np.ones((1, campaigns, listeners)),
    )
    out = empty_outcome(1, campaigns, S, P)
    play_interval(m, state, k, faint, out, scratch, state.on_air.copy(), 0, 1, t)
    rows = int(out.bids.sum())
    made = scratch.made
    _, first, place = np.unique(made.item[:rows], return_index=True, return_inverse=True)
    price_usd = np.full((len(first), campaigns), np.nan)
    price_usd[place, made.campaign[:rows]] = made.price_to_beat_usd[:rows]
    return Prices(
        item=made.item[first],
        listener=made.listener[first],
        segment=made.segment[first],
        placement=made.placement[first],
        visible=made.visible[first],
        quality=made.quality[first],
        price_usd=price_usd,
    )


def incident_labels(m: MarketParameters, intervals: int) -> Int:
    """Which incident struck whom: [B, T, C, P] index into INCIDENT_KINDS, 0 where none did.

    A placement's incidents strike every campaign there, a campaign's every placement, a rivals' surge all
    (`envs.catalogue.INCIDENTS_ON_…`).
    """
    on_placements = [INCIDENT_KINDS.index(name) for name in INCIDENTS_ON_PLACEMENTS]
    on_campaigns = [INCIDENT_KINDS.index(name) for name in INCIDENTS_ON_CAMPAIGNS]
    campaigns = m.affinity.shape[1]
    labels = np.zeros((len(m.seed), intervals, campaigns, P), np.int64)
    t = np.arange(intervals)
    for slot in range(m.incident_kind.shape[1]):
        kind, start = m.incident_kind[:, slot, None], m.incident_start[:, slot, None]
        on = (kind > 0) & (start <= t) & (t < start + m.incident_length[:, slot, None])
        by_placement, by_campaign = np.isin(kind, on_placements), np.isin(kind, on_campaigns)
        here = ~by_placement | (m.incident_placement[:, slot, None] == np.arange(P))
        whose = ~by_campaign | (m.incident_campaign[:, slot, None] == np.arange(campaigns))
        struck = on[:, :, None, None] & whose[:, None, :, None] & here[:, None, None, :]
        labels = np.where(struck, kind[:, :, None, None], labels)
    return labels


def struck_creatives(market: VectorMarket, interval: int) -> Int:
    """Which incident strikes which creative: [B, C, V] index into INCIDENT_KINDS, 0 where none does.

    Args:
        market: being played.
        interval: one that it has played, or the one to come.
    """
    m, st = market.parameters, market.market_state
    rows = np.arange(market.num_markets)
    labels = np.zeros((market.num_markets, market.num_campaigns, V), np.int64)
    for slot in range(m.incident_kind.shape[1]):
        kind, start, campaign = (
            m.incident_kind[:, slot],
            m.incident_start[:, slot],
            m.incident_campaign[:, slot],
        )
        script = st.struck_script[:, slot]
        if interval == market.interval:
            airs = ARMS[st.on_air[rows, campaign, m.incident_segment[:, slot]], 1]
            script = np.where(start == interval, airs, script)
        on = _ON_CREATIVES[kind] & (script >= 0) & (start <= interval)
        on &= interval < start + m.incident_length[:, slot]
        labels[rows[on], campaign[on], script[on]] = kind[on]
    return labels
