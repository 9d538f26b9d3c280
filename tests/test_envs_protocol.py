from __future__ import annotations

import json
from typing import Any

import numpy as np
from support.markets import RandomTeam, leaves, quiet, started, tiny, with_bids, with_directive

from envs.catalogue import MAX_CAMPAIGNS, VIDEO, P, S
from envs.market import VectorMarket
from envs.observation import SCHEMAS
from envs.protocol import (
    log_records,
    quiet_board,
)


def seen(market: VectorMarket, role: str, field: str) -> Any:
    view = getattr(market._observations(), role)[0]
    return SCHEMAS[role].view(view, field)


def test_messages_are_delivered_in_the_next_interval() -> None:
    market = started(tiny())
    for before, now in zip(leaves(market.board), leaves(quiet_board(1, 2)), strict=True):
        assert np.array_equal(before, now)
    actions = RandomTeam()(market)
    market.step(actions)
    for posted, delivered in (
        (actions.audience, market.board.segment_value),
        (actions.monitor, market.board.alert),
        (actions.orchestrator, market.board.directive),
    ):
        for sent, read in zip(posted, delivered, strict=True):
            assert np.array_equal(sent, read)
    assert np.allclose(seen(market, "orchestrator", "segment_affinity"), actions.audience.affinity[0])
    assert np.allclose(seen(market, "bidding", "segment_affinity"), actions.audience.affinity[0, :2])
    assert np.array_equal(seen(market, "orchestrator", "alert_kind")[0], actions.monitor.kind[0])
    assert np.array_equal(seen(market, "creative", "alert_severity"), actions.monitor.severity[0, :2])
    assert np.allclose(seen(market, "creative", "throttle"), actions.orchestrator.throttle[0, :2])
    assert np.allclose(seen(market, "bidding", "aggression_cap"), actions.orchestrator.aggression_cap[0, :2])
    plan = market.board.creative_plan
    assert np.array_equal(seen(market, "orchestrator", "plan_video")[0, :2], plan.format[0] == VIDEO)
    assert np.array_equal(plan.wear >= 0, np.ones((1, 2, S), bool))


def test_what_was_posted_stays_as_it_was() -> None:
    market = started(tiny())
    actions = quiet(market)
    market.step(actions)
    for array in leaves(actions):
        array[...] = 1
    assert (market.board.directive.pause == 0).all()
    assert (market.board.segment_value.confidence == 0).all()


def test_a_pause_stops_bids_one_interval_later() -> None:
    market = started(tiny())
    pause = np.zeros((1, MAX_CAMPAIGNS), np.int64)
    pause[0, 1] = 1
    first = market.step(with_directive(quiet(market), pause=pause)).outcome
    second = market.step(quiet(market)).outcome
    third = market.step(quiet(market)).outcome
    assert first.bids[0, 1].sum() > 0 and third.bids[0, 1].sum() > 0
    assert second.bids[0, 1].sum() == 0 and second.bids[0, 0].sum() > 0


def test_throttle_and_cap_are_enforced_one_interval_later() -> None:
    market = started(tiny(budget_fraction=100.0))
    throttle = np.ones((1, MAX_CAMPAIGNS, P))
    throttle[0, 0, 0] = 0.0
    cap = np.full((1, MAX_CAMPAIGNS), 50.0)
    cap[0, 1] = 0.0
    actions = with_bids(quiet(market), 1.0)
    first = market.step(with_directive(actions, throttle=throttle, aggression_cap=cap)).outcome
    second = market.step(actions).outcome
    assert first.bids[0, 0, :, 0].sum() > 0 and first.bids[0, 1].sum() > 0
    assert second.bids[0, 0, :, 0].sum() == 0 and second.bids[0, 0, :, 1].sum() > 0
    assert second.bids[0, 1].sum() == 0


def test_the_log_holds_every_message_of_existing_campaigns_as_plain_data() -> None:
    market = started(tiny(), 2)
    market.step(RandomTeam()(market))
    records = log_records(market.board, 1, market.interval, 2)
    assert json.loads(json.dumps(records)) == records
    assert {record["sender"] for record in records} == {
        *("audience_0", "creative_0", "creative_1", "bidding_0", "bidding_1", "monitor_0", "orchestrator_0")
    }
    said = {(record["sender"], record["field"]): record["value"] for record in records}
    assert said["audience_0", "affinity"] == market.board.segment_value.affinity[1, :2].tolist()
    assert said["bidding_1", "win_rate"] == market.board.spend_plan.win_rate[1, 1]
    assert len(said["orchestrator_0", "premium_grant"]) == S
    assert len(said["monitor_0", "kind"]) == 2
