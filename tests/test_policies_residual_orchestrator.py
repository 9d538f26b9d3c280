"""An orchestrator that departs from equal margins moves money and grants by its numbers, within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from support.flights import flight
from support.markets import tiny

from envs.catalogue import MAX_CAMPAIGNS, F, P
from envs.observation import Observation
from envs.protocol import CellCredit
from envs.state import Float
from policies.policy import Policy
from policies.registry import learning_desk, make_policy, make_team
from policies.residual_orchestrator import ResidualOrchestrator
from policies.team import Team

SCENARIO = tiny(intervals=12, opportunities_per_interval=96)


class Fixed(ResidualOrchestrator):
    """The same numbers in every interval."""

    def __init__(self, money: tuple[float, float], claims: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__(learning_desk(), "fixed")
        self.fixed = np.stack([money, claims], -1)

    def numbers(self, orchestrator: Observation) -> Float:
        return np.broadcast_to(self.fixed, (len(orchestrator), *self.fixed.shape))


def team_of(orchestrator: Policy) -> Team:
    return Team("directed", {**make_team("certainty-equivalent").policies, "orchestrator": orchestrator})


def test_numbers_of_zero_are_equal_margins() -> None:
    rules = make_policy("orchestrator", "equal-margins")
    base, mine = (list(flight(team_of(o), SCENARIO, 2)) for o in (rules, Fixed((0.0, 0.0))))
    for one, other in zip(base, mine, strict=True):
        for name, field in one.actions.orchestrator._asdict().items():
            np.testing.assert_allclose(getattr(other.actions.orchestrator, name), field, rtol=1e-6)


@pytest.mark.parametrize("number", [1.0, 50.0])
def test_money_moves_to_the_higher_number_and_no_further_than_the_bounds(number: float) -> None:
    moments = list(flight(team_of(Fixed((number, -number))), SCENARIO, 2))
    first, last = moments[0].market.parameters.budget_usd, moments[-1].market.feed.budget_usd
    assert (last[:, 0] > 1.1 * first[:, 0]).all()
    assert (last <= 2.2 * first).all() and (last >= 0.35 * first).all()  # others are cut to them, too
    np.testing.assert_allclose(last.sum(1), first.sum(1), rtol=1e-9)
    for moment in moments:
        share = moment.actions.orchestrator.budget_share
        assert share.shape == (2, MAX_CAMPAIGNS) and (share >= 0.5).all() and (share <= 2.0).all()


def test_a_claim_that_is_weighed_up_is_granted_more_often() -> None:
    granted = []
    for claims in ((0.0, 0.0), (3.0, -3.0)):
        moments = flight(team_of(Fixed((0.0, 0.0), claims)), SCENARIO, 2)
        granted.append(sum(int((m.actions.orchestrator.premium_grant == 1).sum()) for m in moments))
    assert granted[1] > granted[0]


def test_credit_moves_money_as_the_rule_book_has_it() -> None:
    """Campaign 0 is said to bring four times the purchases for the same money."""
    orchestrator = Fixed((0.0, 0.0))
    *_, before = flight(team_of(orchestrator), SCENARIO, 2)
    orchestrator.rules.every = 1000  # margins stay out of it
    seen, cells = before.observations, (2, MAX_CAMPAIGNS, P, F)
    rate = np.zeros(cells)
    rate[:, 0], rate[:, 1] = 0.04, 0.01
    share = []
    for credit in (None, CellCredit(rate, np.zeros(cells), np.ones(cells), np.zeros(cells[:2]))):
        if credit is not None:
            orchestrator.read_credit(credit)
        share.append(orchestrator.act(seen.orchestrator).budget_share)
    np.testing.assert_allclose(share[0], 1.0, rtol=1e-6)
    assert (share[1][:, 0] > 1.05).all() and (share[1][:, 1] < 0.95).all()
