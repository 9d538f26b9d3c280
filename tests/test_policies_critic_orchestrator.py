"""Budgets go where a critic sees most use for another dollar, within bounds, and every move has a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.flights import flight
from support.markets import tiny

from envs.catalogue import MAX_CAMPAIGNS, S
from envs.errors import InterludeError
from envs.observation import SCHEMAS
from envs.state import Float
from policies.critic_orchestrator import Critic, CriticOrchestrator, load_critic_orchestrator
from policies.marginal_orchestrator import EqualMargins
from policies.registry import learning_desk, make_policy, make_team
from policies.team import Team
from policies.tensors import Arrays

SCENARIO = tiny(intervals=12, opportunities_per_interval=96)
OWN = SCHEMAS["bidding"]


def worth_of(*usd: float) -> Critic:
    """A critic to whom every dollar left of a campaign is worth so much."""

    def critic(fed: Arrays) -> Float:
        rows = fed["observation"].astype(np.float64)
        left = OWN.view(rows, "budget_left_fraction") * OWN.view(rows, "budget_usd")
        value = np.zeros((*left.shape, 2 + S))
        value[..., 2:] = (left * np.array(usd))[..., None] / S
        return value

    return critic


def team_of(critic: Critic, **settings: float) -> tuple[Team, CriticOrchestrator]:
    orchestrator = CriticOrchestrator(critic, learning_desk(), **settings)  # type: ignore[arg-type]
    return Team("split", {**make_team("pid").policies, "orchestrator": orchestrator}), orchestrator


def test_the_worth_of_a_dollar_is_what_the_critic_says() -> None:
    team, orchestrator = team_of(worth_of(3.0, 1.0))
    for moment in flight(team, SCENARIO, 2):
        worth = orchestrator.worth(moment.observations.orchestrator[:, 0])
        np.testing.assert_allclose(worth, [[3.0, 1.0]] * 2, rtol=1e-3)


def test_money_moves_to_where_it_is_worth_more_and_no_further_than_the_bounds() -> None:
    team, orchestrator = team_of(worth_of(3.0, 1.0), every=2, gain=2.0)
    moments = list(flight(team, SCENARIO, 2))
    first = moments[0].market.parameters.budget_usd
    last = moments[-1].market.feed.budget_usd
    assert (last[:, 0] > 1.05 * first[:, 0]).all()
    np.testing.assert_allclose(last.sum(1), first.sum(1), rtol=1e-9)
    for moment in moments:
        share = moment.actions.orchestrator.budget_share
        assert share.shape == (2, MAX_CAMPAIGNS) and (share >= 0.5).all() and (share <= 2.0).all()
    moved = [(moment.actions.orchestrator.budget_share != 1.0).any() for moment in moments]
    assert moved[1] and not any(moved[::2])
    assert any("times what it does on average" in line for line in orchestrator.reasons(1))


@pytest.mark.parametrize("usd", [(1.0, 1.0), (-1.0, -2.0), (float("nan"), 1.0)])
def test_where_the_critic_sees_no_difference_or_no_use_margins_decide(usd: tuple[float, float]) -> None:
    team, _ = team_of(worth_of(*usd), gain=0.5)
    margins = Team("margins", {**make_team("pid").policies, "orchestrator": EqualMargins(gain=0.5)})
    flights = zip(flight(team, SCENARIO, 2), flight(margins, SCENARIO, 2), strict=True)
    for ours, theirs in list(flights)[:2]:  # later ones differ by what rounding has made of bids
        mine, other = (moment.actions.orchestrator.budget_share for moment in (ours, theirs))
        np.testing.assert_allclose(mine, other, rtol=2e-3)


def test_grants_and_throttles_are_the_rule_books() -> None:
    team, _ = team_of(worth_of(1.0, 1.0), gain=0.0)
    plain = Team(
        "plain", {**make_team("pid").policies, "orchestrator": make_policy("orchestrator", "rule-book")}
    )
    for ours, theirs in zip(flight(team, SCENARIO, 2), flight(plain, SCENARIO, 2), strict=True):
        for one, other in zip(ours.actions.orchestrator, theirs.actions.orchestrator, strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InterludeError):
        load_critic_orchestrator(tmp_path)
