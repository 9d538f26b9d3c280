"""What happened in an interval, as the tables of the event log: read off a market that was just stepped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.bids import LOST, SERVED, Bids
from envs.catalogue import P, S
from envs.event_schema import TABLES, Column
from envs.market import VectorMarket
from envs.protocol import Actions, log_records
from envs.seeds import SPLITS
from envs.state import Int

_ON_PLACEMENT = [cat.INCIDENT_KINDS.index(name) for name in cat.INCIDENTS_ON_PLACEMENTS]
_ON_CREATIVE = [cat.INCIDENT_KINDS.index(name) for name in cat.INCIDENTS_ON_CREATIVES]
_ON_CAMPAIGN = [cat.INCIDENT_KINDS.index(name) for name in cat.INCIDENTS_ON_CAMPAIGNS]
_TYPES: Final = {
    "market": pa.int32(),
    "count": pa.int32(),
    "number": pa.float64(),
    "usd": pa.float64(),
    "flag": pa.bool_(),
    "word": pa.dictionary(pa.int8(), pa.string()),
    "text": pa.string(),
    "numbers": pa.list_(pa.float64()),
}


def schema_of(table: str) -> pa.Schema:
    """The Parquet schema of a table; every field's metadata says what it means, and whether it is truth."""
    return pa.schema(
        [
            pa.field(
                column.name,
                _TYPES[column.kind],
                metadata={"meaning": column.meaning, "truth": str(column.truth).lower()},
            )
            for column in TABLES[table].columns
        ]
    )


def flight_tables(market: VectorMarket, first_market: int = 0) -> dict[str, pa.Table]:
    """What is fixed for a whole flight: markets, incidents."""
    m, scenario = market.parameters, market.scenario
    b = market.num_markets
    numbers = first_market + np.arange(b)
    row, slot = np.nonzero(m.incident_kind > 0)
    kind = m.incident_kind[row, slot]
    here, whose = np.isin(kind, _ON_PLACEMENT), np.isin(kind, _ON_CAMPAIGN)
    return {
        "markets": _table(
            "markets",
            market=numbers,
            truth_seed=[str(int(seed)) for seed in m.seed],
            split=np.full(b, SPLITS.index(market.split)),
            scenario=[scenario.name] * b,
            scenario_json=[scenario.model_dump_json()] * b,
        ),
        "incidents": _table(
            "incidents",
            market=numbers[row],
            truth_kind=kind,
            truth_start_interval=m.incident_start[row, slot],
            truth_intervals=m.incident_length[row, slot],
            truth_placement=_where(here, m.incident_placement[row, slot]),
            truth_campaign=_where(whose, m.incident_campaign[row, slot]),
            truth_segment=_where(np.isin(kind, _ON_CREATIVE), m.incident_segment[row, slot]),
        ),
    }


def interval_tables(
    market: VectorMarket, actions: Actions, log_propensity: Mapping[str, Any], first_market: int = 0
) -> dict[str, pa.Table]:
    """What happened in the interval that was just played, in order of market."""
    t = market.interval - 1
    return {
        "bids": _bids(market, t, first_market),
        **_ledger(market, t, first_market),
        **_decisions(market, actions, log_propensity, t, first_market),
        "messages": _messages(market, t, first_market),
    }


def _bids(market: VectorMarket, t: int, first_market: int) -> pa.Table:
    out, made = market.last_outcome, Bids(*map(np.concatenate, zip(*market.bids, strict=True)))
    b = np.repeat(np.arange(market.num_markets), [len(rows.item) for rows in market.bids])
    served = made.status == SERVED
    tracked = served & (out.tracked[b, made.placement] > 0.0)
    return _table(
        "bids",
        market=first_market + b,
        interval=np.full(len(b), t),
        campaign=made.campaign,
        opportunity=made.item,
        listener=made.listener,
        segment=made.segment,
        placement=made.placement,
        screen_visible=made.visible > 0,
        **_creative(cat.ARMS[market.aired[b, made.campaign, made.segment]]),
        quality=made.quality,
        predicted=made.predicted,
        wish_usd=made.wish_usd,
        bid_usd=made.bid_usd,
        status=made.status,
        slot=_where(made.status != LOST, made.slot),
        price_to_beat_usd=_where(~np.isnan(made.price_to_beat_usd), made.price_to_beat_usd),
        paid_usd=made.paid_usd,
        completions=_where(tracked, made.completions),
        skips=_where(served, made.skips),
        dislikes=_where(served, made.dislikes),
        clicks=_where(tracked, made.clicks),
        truth_valid=made.valid > 0,
        truth_response=made.response,
        truth_completions=made.completions,
        truth_clicks=made.clicks,
        truth_conversions=made.conversions,
    )


def _ledger(market: VectorMarket, t: int, first_market: int) -> dict[str, pa.Table]:
    out, b, c = market.last_outcome, market.num_markets, market.num_campaigns
    spend = out.spend_usd.sum((2, 3))
    left = market.market_state.budget_left_usd
    tracked = np.broadcast_to(out.tracked[:, None, None] > 0.0, out.wins.shape).ravel()
    seen = {name: _where(tracked, getattr(out, name).ravel()) for name in ("completions", "clicks")}
    summed = ("bids", "wins", "bid_usd", "won_bid_usd", "spend_usd", "priced", "predicted_won")
    return {
        "cells": _table(
            "cells",
            **_axes(t, first_market, b, c, S, P),
            opportunities=np.broadcast_to(out.opportunities[:, None], out.wins.shape).ravel(),
            **{name: getattr(out, name).ravel() for name in (*summed, "skips", "dislikes")},
            price_to_beat_usd=out.price_usd.ravel(),
            **seen,
            truth_completions=out.completions.ravel(),
            truth_clicks=out.clicks.ravel(),
            truth_wasted_usd=out.wasted_usd.ravel(),
            truth_affinity_won=out.affinity_won.ravel(),
        ),
        "segments": _table(
            "segments",
            **_axes(t, first_market, b, c, S),
            **_creative(cat.ARMS[market.aired.ravel()]),
            conversions=out.conversions.ravel(),
            conversions_settled=out.conversions_settled.ravel(),
            truth_conversions_caused=out.conversions_caused.ravel(),
            truth_recall=out.recall.ravel(),
            fatigue=out.fatigue.ravel(),
        ),
        "accounts": _table(
            "accounts",
            **_axes(t, first_market, b, c),
            budget_usd=market.feed.budget_usd.ravel(),
            left_before_usd=(left + spend).ravel(),
            spend_usd=spend.ravel(),
            left_usd=left.ravel(),
        ),
    }


def _decisions(
    market: VectorMarket, actions: Actions, log_propensity: Mapping[str, Any], t: int, first_market: int
) -> dict[str, pa.Table]:
    b, c = market.num_markets, market.num_campaigns

    def given(role: str, *shape: int) -> pa.Array:
        log = np.broadcast_to(np.asarray(log_propensity.get(role, 0.0), np.float64), shape).ravel()
        return _where(~np.isnan(log), log)

    creative = np.asarray(actions.creative, np.int64).reshape(-1, 4)
    return {
        "creative_decisions": _table(
            "creative_decisions",
            **_axes(t, first_market, b, c, S),
            **_creative(creative),
            trafficked_format=cat.ARMS[market.market_state.on_air.ravel(), 0],
            log_propensity=given("creative", b, c, S),
        ),
        "bidding_decisions": _table(
            "bidding_decisions",
            **_axes(t, first_market, b, c),
            log_multipliers=np.asarray(actions.bidding, np.float64).reshape(b * c, -1).tolist(),
            log_propensity=given("bidding", b, c),
        ),
    }


def _messages(market: VectorMarket, t: int, first_market: int) -> pa.Table:
    records = [
        {**record, "market": first_market + b, "value": np.ravel(record["value"]).tolist()}
        for b in range(market.num_markets)
        for record in log_records(market.board, b, t, market.num_campaigns)
    ]
    return _table("messages", **{name: [record[name] for record in records] for name in records[0]})


def _axes(t: int, first_market: int, *shape: int) -> dict[str, Int]:
    """Columns that say where an entry of an array of this shape [B, C, S, P] stands, as far as it goes."""
    index = np.indices(shape).reshape(len(shape), -1)
    index[0] += first_market
    names = ("market", "campaign", "segment", "placement")
    return {"interval": np.full(index.shape[1], t), **dict(zip(names, index, strict=False))}


def _creative(choice: Int) -> dict[str, Int]:
    """Columns of choices [N, 4]."""
    return dict(zip(("format", "script", "length", "call_to_action"), choice.T, strict=True))


def _where(known: NDArray[np.bool_], values: Any) -> pa.Array:
    """The values, null where not known."""
    return pa.array(values.copy(), mask=~known)


def _table(name: str, **columns: Any) -> pa.Table:
    """A table in its schema; a word is given by its index."""
    schema = schema_of(name)
    arrays = [
        _column(column, field.type, columns.pop(column.name))
        for column, field in zip(TABLES[name].columns, schema, strict=True)
    ]
    assert not columns, f"{name} has no columns {', '.join(columns)}"
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(column: Column, kind: pa.DataType, values: Any) -> pa.Array:
    if column.kind == "word":
        index = values if isinstance(values, pa.Array) else pa.array(values)
        return pa.DictionaryArray.from_arrays(index.cast(pa.int8()), pa.array(column.words, pa.string()))
    if isinstance(values, np.ndarray):
        values = pa.array(
            values.copy()
        )  # Arrow would share the memory of arrays that the market goes on with
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)
