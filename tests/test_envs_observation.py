from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.markets import RandomTeam, play, started, tiny

from envs.catalogue import ARMS, FORMATS
from envs.market import Observations, VectorMarket
from envs.observation import ROLES, SCHEMAS, Field, Schema, schema_hash

SCHEMA = Schema(
    "test",
    (
        Field("alone", (), "USD", 0.0, 10.0, "a number"),
        Field("table", (2, 3), "factor", -1.0, 1.0, "a table"),
        Field("list", (2,), "count", 0.0, 5.0, "a list"),
    ),
)


def test_a_schema_packs_clips_and_gives_back() -> None:
    table = np.arange(12.0).reshape(2, 2, 3) / 20
    values = {"alone": np.array([3.0, 99.0]), "table": table, "list": np.array([[1.0, -2.0], [7.0, 2.0]])}
    packed = SCHEMA.pack(values, (2,))
    assert packed.shape == (2, SCHEMA.size) == (2, 9) and packed.dtype == np.float32
    assert SCHEMA.view(packed, "alone").tolist() == [3.0, 10.0]
    assert np.allclose(SCHEMA.view(packed, "table"), table)
    assert SCHEMA.view(packed, "list").tolist() == [[1.0, 0.0], [5.0, 2.0]]
    assert SCHEMA.view(packed, "table").base is not None
    assert SCHEMA.low.tolist() == [0.0] + 6 * [-1.0] + 2 * [0.0]
    with pytest.raises(ValueError, match="list"):
        SCHEMA.pack({"alone": values["alone"], "table": table}, (2,))


@pytest.mark.parametrize("change", [{"unit": "EUR"}, {"high": 11.0}, {"name": "other"}, {"shape": (1,)}])
def test_the_hash_changes_with_every_field(change: dict[str, object]) -> None:
    fields = (dataclasses.replace(SCHEMA.fields[0], **change), *SCHEMA.fields[1:])
    assert Schema("test", fields).hash != SCHEMA.hash
    assert len(schema_hash()) == 16


@pytest.mark.parametrize("role", ROLES)
def test_every_field_is_described_and_bounded(role: str) -> None:
    schema = SCHEMAS[role]
    assert len(schema.by_name) == len(schema.fields)
    for field in schema.fields:
        assert field.low < field.high and field.unit and field.meaning
        assert np.isfinite([field.low, field.high]).all()


def check(observations: Observations, market: VectorMarket) -> None:
    agents = {"creative": market.num_campaigns, "bidding": market.num_campaigns}
    for role in ROLES:
        view, schema = getattr(observations, role), SCHEMAS[role]
        assert view.shape == (market.num_markets, agents.get(role, 1), schema.size)
        assert view.dtype == np.float32
        assert ((view >= schema.low) & (view <= schema.high)).all(), role


@pytest.mark.parametrize("campaigns", [1, 2, 3, 4])
def test_observations_stay_within_their_bounds(campaigns: int) -> None:
    market = started(tiny(campaigns=campaigns, budget_fraction=3.0), 3)
    check(market._observations(), market)
    for step in play(market, RandomTeam()):
        check(step.observations, market)


def test_fields_tell_what_happened() -> None:
    market = started(tiny(campaigns=2, budget_fraction=2.0), 2)
    market.step(RandomTeam()(market))
    step = market.step(RandomTeam()(market))
    out, campaign = step.outcome, step.observations.bidding

    def field(name: str) -> np.ndarray:
        return SCHEMAS["bidding"].view(campaign, name)

    assert np.allclose(field("elapsed_fraction"), 2 / 6)
    assert np.allclose(field("opportunities"), out.opportunities[:, None])
    assert np.allclose(field("wins"), out.wins)
    assert np.allclose(field("spend_usd"), out.spend_usd)
    assert np.allclose(
        field("budget_left_fraction"), market.market_state.budget_left_usd / market.feed.budget_usd
    )
    assert np.allclose(field("completions"), out.completions * out.tracked[:, None, None])
    assert np.allclose(field("health"), np.minimum(1.0, out.health)[:, None])
    formats = ARMS[market.market_state.on_air, 0]
    assert np.array_equal(field("on_air_format").argmax(-1), formats)
    assert set(np.unique(field("on_air_format").sum(-1))) == {1.0} and len(FORMATS) == 3
    monitor = SCHEMAS["monitor"].view(step.observations.monitor[:, 0], "wins")
    assert np.allclose(monitor[:, :2], out.wins.sum(2)) and (monitor[:, 2:] == 0).all()
    orchestrator = SCHEMAS["orchestrator"].view(step.observations.orchestrator[:, 0], "budget_left_usd")
    assert np.allclose(orchestrator[:, :2], market.market_state.budget_left_usd)
    mask = SCHEMAS["audience"].view(step.observations.audience[:, 0], "campaign_mask")
    assert mask.tolist() == 2 * [[1.0, 1.0, 0.0, 0.0]]


def test_creative_and_bidding_agents_of_a_campaign_see_the_same_but_share_no_memory() -> None:
    market = started(tiny())
    step = market.step(RandomTeam()(market))
    assert np.array_equal(step.observations.creative, step.observations.bidding)
    assert not np.shares_memory(step.observations.creative, step.observations.bidding)
