"""Money moves to the campaign whose marginal price is lower, conserved, within bounds, and only when due."""

from __future__ import annotations

import numpy as np
import pytest
from support.flights import flight
from support.markets import tiny

from envs.catalogue import MAX_CAMPAIGNS
from envs.observation import SCHEMAS, Observation
from envs.state import Float
from policies.marginal_orchestrator import EqualMargins
from policies.policy import Flight
from policies.registry import make_policy, make_team
from policies.team import Team

SCENARIO = tiny(intervals=12, opportunities_per_interval=96)
ALL = SCHEMAS["orchestrator"]


def team_of(orchestrator: EqualMargins) -> Team:
    return Team("split", {**make_team("certainty-equivalent").policies, "orchestrator": orchestrator})


def seen(**fields: list[float]) -> Observation:
    """The orchestrator's observation of one market, with these fields of the first campaigns."""
    row = np.zeros((1, 1, ALL.size), np.float32)
    for name, values in fields.items():
        start = ALL.slices[name].start
        row[0, 0, start : start + len(values)] = values
    return row


def shares(orchestrator: EqualMargins, observation: Observation, intervals: int) -> list[Float]:
    orchestrator.start(Flight(SCENARIO, 1, 2, np.zeros(1, np.uint64)))
    return [orchestrator.act(observation).budget_share[0, :2] for _ in range(intervals)]


MONEY = {"budget_usd": [100.0, 100.0], "budget_left_usd": [60.0, 60.0], "campaign_mask": [1.0, 1.0]}


def test_weights_follow_the_closed_form() -> None:
    """At half the price a dollar brings twice as much: log 2 / 2 and − log 2 / 2 about the mean."""
    observation = seen(**MONEY, marginal_price_usd=[1.0, 2.0])
    first, second = shares(EqualMargins(every=2, gain=0.5, smoothing=0.0), observation, 2)
    np.testing.assert_array_equal(first, 1.0)
    weight = np.exp(0.5 * np.log([2.0, 0.5]) / 2.0)
    np.testing.assert_allclose(second, weight / weight.mean(), rtol=1e-9)


@pytest.mark.parametrize("price", [[0.0, 2.0], [0.0, 0.0], [3.0, 3.0]])
def test_nothing_moves_without_prices_or_at_equal_margins(price: list[float]) -> None:
    for share in shares(EqualMargins(every=1), seen(**MONEY, marginal_price_usd=price), 3):
        np.testing.assert_allclose(share, 1.0, rtol=1e-9)


def test_no_campaign_comes_to_less_than_half_or_more_than_twice_its_first_budget() -> None:
    observation = seen(
        budget_usd=[100.0, 100.0],
        budget_left_usd=[90.0, 90.0],
        campaign_mask=[1.0, 1.0],
        marginal_price_usd=[0.001, 9.0],
    )
    (share,) = shares(EqualMargins(every=1, gain=9.0), observation, 1)
    assert (share >= 0.5).all() and (share <= 2.0).all()
    assert (10.0 + 90.0 * share[1]) == pytest.approx(55.0)  # half of what is left: the weight's own bound


def test_in_a_flight_money_is_kept_and_every_move_has_a_reason() -> None:
    orchestrator = EqualMargins(every=2)
    moments = list(flight(team_of(orchestrator), SCENARIO, 2))
    first, last = moments[0].market.parameters.budget_usd, moments[-1].market.feed.budget_usd
    np.testing.assert_allclose(last.sum(1), first.sum(1), rtol=1e-9)
    assert not np.allclose(last, first, rtol=1e-3)
    assert any("another dollar brings" in line for line in orchestrator.reasons(1))
    for moment in moments:
        share = moment.actions.orchestrator.budget_share
        assert share.shape == (2, MAX_CAMPAIGNS) and (share >= 0.5).all() and (share <= 2.0).all()


def test_grants_throttles_and_a_gain_of_nothing_are_the_rule_books() -> None:
    rules = Team(
        "rules",
        {
            **make_team("certainty-equivalent").policies,
            "orchestrator": make_policy("orchestrator", "rule-book"),
        },
    )
    still = team_of(EqualMargins(gain=0.0))
    for ours, theirs in zip(flight(still, SCENARIO, 2), flight(rules, SCENARIO, 2), strict=True):
        for one, other in zip(ours.actions.orchestrator, theirs.actions.orchestrator, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)


def test_it_has_a_name() -> None:
    assert isinstance(make_policy("orchestrator", "equal-margins"), EqualMargins)
