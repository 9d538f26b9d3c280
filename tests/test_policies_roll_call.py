"""Roles that repeat themselves or begin anew are missed; those that have nothing new to say are not."""

from __future__ import annotations

import numpy as np
import pytest
from support.markets import tiny

from envs.catalogue import ALERT_KINDS
from envs.observation import ROLES
from evaluation.independence.faults import RESTART, STUCK, FaultyPolicy
from evaluation.rollout import Course, opened
from policies.registry import make_team, team_names
from policies.roll_call import CONTINUOUS, PATIENCE
from policies.team import Team

COURSE = Course(tiny(intervals=16), "development", num_markets=2)
AT = 8


def played(name: str, role: str = "", fault: str = "", *, counts: bool = False) -> tuple[Team, list[float]]:
    """A flight's team, and in every interval the share of cells with an alert of a silent agent."""
    policies = dict(make_team(name).policies)
    if role:
        policies[role] = FaultyPolicy(policies[role], fault, AT, counts=counts)
    team = Team(name, policies, stand_ins=make_team("pid").policies)
    market, observations = opened(team, COURSE, 0, 2)
    told = []
    for _ in range(COURSE.scenario.intervals):
        actions = team.act(observations, market.impressions)
        silent = actions.monitor.kind[:, : market.num_campaigns] == ALERT_KINDS.index("silent_agent")
        told.append(float(silent.mean()))
        observations = market.step(actions).observations
    return team, told


@pytest.mark.parametrize("name", [name for name in team_names() if name != "oracle"])
def test_nobody_is_missed_in_a_team_that_works(name: str) -> None:
    team, _ = played(name)
    assert team.incapacities == [] and team.suspicions == []


@pytest.mark.parametrize("role", ROLES)
def test_a_count_of_answers_tells_at_once(role: str) -> None:
    team, told = played("shadow-price", role, STUCK, counts=True)
    assert [(one.role, one.interval) for one in team.incapacities] == [(role, AT)]
    assert max(told[AT : AT + 2]) == 1.0
    team, told = played("shadow-price", role, RESTART, counts=True)
    assert team.incapacities == [] and [(one.role, one.interval) for one in team.suspicions] == [(role, AT)]
    assert max(told[AT : AT + 2]) == 1.0


@pytest.mark.parametrize("role", CONTINUOUS)
def test_where_nobody_counts_the_same_numbers_again_and_again_tell(role: str) -> None:
    team, _ = played("shadow-price", role, STUCK)
    assert team.incapacities == [] and [one.role for one in team.suspicions] == [role]
    assert AT + PATIENCE - 1 <= team.suspicions[0].interval <= AT + PATIENCE + 1


def test_what_is_told_of_is_news_for_a_while_only() -> None:
    _, told = played("shadow-price", "bidding", STUCK, counts=True)
    assert told[AT] == 1.0 and told[-1] < 1.0
    assert np.max(told[:AT]) < 1.0
