from __future__ import annotations

import json
from typing import Any

import numpy as np
from support.markets import RandomTeam, leaves, quiet, started, tiny, with_bids, with_directive

from envs.catalogue import ALERT_KINDS, ARMS, MAX_CAMPAIGNS, VIDEO, P, S
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
        (actions.creative_alert, market.board.creative_alert),
        (actions.creative_pause, market.board.creative_pause),
    ):
        assert posted is not None
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


def test_claims_on_video_are_delivered_as_posted_to_the_orchestrator_alone() -> None:
    market = started(tiny(), 3)
    claims = RandomTeam()(market).premium_value_usd
    assert claims is not None and claims.shape == (3, 2, S)
    market.step(quiet(market)._replace(premium_value_usd=claims))
    assert np.array_equal(market.board.creative_plan.premium_value_usd, claims)
    heard = seen(market, "orchestrator", "premium_value_usd")
    assert np.allclose(heard[0, :2], claims[0], rtol=1e-6)
    assert (heard[0, 2:] == 0.0).all(), "campaigns that do not exist claim nothing"
    assert "premium_value_usd" not in SCHEMAS["creative"].slices
    record = next(r for r in log_records(market.board, 1, 1, 2) if r["field"] == "premium_value_usd")
    assert (record["sender"], record["value"]) == ("creative_0", claims[1, 0].tolist())
    market.step(quiet(market))
    assert (seen(market, "orchestrator", "premium_value_usd") == 0.0).all(), "silence claims nothing"


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


def test_a_paused_creative_is_off_air_from_its_delivery_on_and_back_when_that_ends() -> None:
    market, actions = started(tiny()), quiet(started(tiny()))
    alert, pause = quiet_board(1, 2).creative_alert, quiet_board(1, 2).creative_pause
    alert.kind[0, 1, 0], pause.script[0, 1, 0] = ALERT_KINDS.index("ctr_drop"), 1
    scripts = []
    for said in ({"creative_alert": alert, "creative_pause": pause}, {"creative_pause": pause}, {}, {}):
        market.step(actions._replace(**said))
        scripts.append(ARMS[market.aired[0], 1].tolist())
        heard = market.board.creative_alert.kind[0, 1, 0], market.board.creative_pause.script[0, 1, 0]
        assert heard == (9 if "creative_alert" in said else 0, int("creative_pause" in said))
    usual, moved = [[0] * S, [0] * S], [[0] * S, [1] * S]
    assert scripts == [usual, moved, moved, usual]
    for shown, said in zip(leaves(market._observations().board), leaves(market.board), strict=True):
        np.testing.assert_array_equal(shown, said)


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
