"""Messages are muted and roles broken as told; whatever breaks, the flight ends and the money adds up."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.markets import tiny

from envs.catalogue import ADVICE, MAX_CAMPAIGNS
from envs.observation import ROLES, SCHEMAS
from envs.protocol import ATTRIBUTION
from evaluation.independence.faults import FAULTS, RESTART, STUCK, FaultyPolicy
from evaluation.independence.messages import MESSAGES, MutedTeam
from evaluation.independence.report import text
from evaluation.independence.study import faulted
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, opened, play
from interlude import HOME
from policies.policy import flight_of
from policies.registry import make_team

COURSE = Course(tiny(), "development", num_markets=2)
AT = 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("role", ROLES)
def test_a_flight_survives_every_fault_of_every_role(
    role: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.independence.faults.DEADLINE_SECONDS", 1.0)
    one = faulted(COURSE, role, fault, AT, "shadow-price")
    assert one.ledger_balances and one.within_budget
    assert np.isfinite(one.objective_usd).all() and one.objective_usd.shape == (2,)
    assert one.intervals_to_stand_in == (0 if FAULTS[fault].stood_in_for else None)
    assert one.intervals_to_notice == 0
    assert one.intervals_to_alert in (
        0,
        1,
    )  # a monitor's and an orchestrator's fault is told of an interval later


@pytest.mark.parametrize("fault", FAULTS)
def test_a_flight_survives_every_fault_of_attribution(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.independence.faults.DEADLINE_SECONDS", 1.0)
    course = Course(tiny(journeys={"people": 16}), "development", num_markets=2)
    one = faulted(course, ATTRIBUTION, fault, AT, "shadow-price")
    assert one.ledger_balances and one.within_budget
    assert one.intervals_to_stand_in == (0 if FAULTS[fault].stood_in_for else None)
    assert one.intervals_to_notice == 0
    assert one.intervals_to_alert in (0, 1)


def test_what_is_stuck_repeats_its_first_answer_and_what_restarts_begins_anew() -> None:
    policies = make_team("pid").policies
    market, observations = opened(make_team("pid"), COURSE, 0, 2)
    stuck = FaultyPolicy(policies["bidding"], STUCK, AT)
    stuck.start(flight_of(market))
    first = stuck.act(observations.bidding)
    second = stuck.act(observations.bidding * 1.5)
    assert stuck.act(observations.bidding * 0.5) is first
    assert second is not first
    fresh, restarted = (
        make_team("siloed").policies["orchestrator"],
        make_team("siloed").policies["orchestrator"],
    )
    broken = FaultyPolicy(restarted, RESTART, AT)
    for policy in (fresh, broken):
        policy.start(flight_of(market))
    seen = observations.orchestrator
    turns = [broken.act(seen).premium_grant for _ in range(AT + 5)]
    anew = [fresh.act(seen).premium_grant for _ in range(5)]
    np.testing.assert_array_equal(turns[AT : AT + 5], anew)


@pytest.mark.parametrize("message", MESSAGES)
def test_what_is_muted_reaches_nobody(message: str) -> None:
    team = MutedTeam("muted", make_team("listener-aware").policies, muted=message)
    market, observations = opened(team, COURSE, 0, 2)
    for _ in range(2):
        actions = team.act(observations, market.impressions)
        observations = market.step(actions).observations
    board = market.board
    if message == "alerts":
        assert not any(field.any() for field in (*board.alert, *board.creative_alert))
    if message in ("alerts of creatives", "pauses of creatives"):
        assert (actions.creative_alert is None) == (message == "alerts of creatives")
        assert (actions.creative_pause is None) == (message == "pauses of creatives")
    if message.startswith("segment values"):
        assert (board.segment_value.affinity == 1.0).all()
    if "listener table" in message:
        assert actions.listener_affinity is None
    if message == "creative plan: claims on video":
        assert not board.creative_plan.premium_value_usd.any()
    if message == "directive and pauses of creatives, all of it":
        assert not board.directive.premium_grant.any()
        assert (board.directive.budget_share == np.ones((2, MAX_CAMPAIGNS))).all()
    assert not team.incapacities


def test_alerts_that_only_the_orchestrator_hears_reach_nobody_else() -> None:
    message = "alerts, by campaigns and audience"
    team = MutedTeam("muted", make_team("listener-aware").policies, muted=message)
    market, observations = opened(team, COURSE, 0, 2)
    observations = market.step(team.act(observations, market.impressions)).observations
    board = observations.board
    assert board is not None
    board.creative_alert.kind[:, 0, 1], board.creative_alert.advice[:, 0, 1] = 9, ADVICE.index("pause")
    actions = team.act(observations, market.impressions)
    desk = getattr(team.policies["creative"], "desk")  # noqa: B009
    assert not desk._avoided.any() and not desk._broken.any()
    assert actions.creative_pause is not None and (actions.creative_pause.script[:, 0, 1] == 1).all()


def test_a_muted_plan_is_seen_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    team = MutedTeam("muted", make_team("value-aware").policies, muted="spend plan")
    market, observations = opened(team, COURSE, 0, 2)
    seen = []
    act = team.policies["orchestrator"].act

    def watched(row: Any) -> Any:
        seen.append(row)
        return act(row)

    bids = []
    monkeypatch.setattr(team.policies["orchestrator"], "act", watched)
    monkeypatch.setattr(
        team.policies["monitor"],
        "read_observations",
        lambda observations: bids.append(observations.board.spend_plan.bid_usd),
    )
    for _ in range(3):
        observations = market.step(team.act(observations)).observations
    assert len(bids) == 3 and not any(bid.any() for bid in bids)
    assert observations.board is not None and observations.board.spend_plan.bid_usd.any()
    schema = SCHEMAS["orchestrator"]
    assert not any(schema.view(row, "win_rate").any() for row in seen)
    assert schema.view(observations.orchestrator, "win_rate").any()


def test_a_message_that_is_not_lost_changes_nothing() -> None:
    """The rule book pauses nobody: without its pauses every flight is the same, number for number."""
    whole = play(make_team("value-aware"), COURSE).metrics
    muted = play(MutedTeam("m", make_team("value-aware").policies, muted="directive: pauses"), COURSE).metrics
    np.testing.assert_array_equal(whole[OBJECTIVE], muted[OBJECTIVE])


def test_the_document_is_that_of_its_figures() -> None:
    found = json.loads((HOME / "docs" / "independence.json").read_text(encoding="utf-8"))
    assert (HOME / "docs" / "independence.md").read_text(encoding="utf-8") == text(found)
    assert {*found["messages"]} == {*MESSAGES}
    assert {*found["faults"]} == {*ROLES}
    assert {*found["attribution"]["faults"]} == {*FAULTS}
    assert all({*faults} == {*FAULTS} for faults in found["faults"].values())
