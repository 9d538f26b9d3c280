"""A role that fails is replaced by its stand-in; the others go on."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.flights import flight
from support.markets import leaves, tiny

from envs.catalogue import P, S
from envs.errors import InterludeError
from envs.observation import ROLES
from envs.protocol import SegmentValue
from policies.policy import Flight, Policy
from policies.registry import make_team
from policies.team import Team

SCENARIO = tiny()
FAILS_AT = 2


class Failing:
    """A good policy until interval 2; from then on it fails, in its own way, for one interval."""

    def __init__(self, policy: Policy, fault: Callable[[Any], Any]) -> None:
        self.policy, self.fault = policy, fault
        self.name, self.privileged = "failing", False
        self.calls = 0

    def start(self, flight: Flight) -> None:
        self.policy.start(flight)
        self.calls = 0

    def act(self, observation: Any) -> Any:
        answer = self.policy.act(observation)
        self.calls += 1
        return self.fault(answer) if self.calls == FAILS_AT + 1 else answer


def raising(answer: Any) -> Any:
    raise ZeroDivisionError("by zero")


def not_a_number(answer: Any) -> Any:
    if isinstance(answer, tuple):
        return type(answer)(*(np.full(np.shape(array), np.nan) for array in answer))
    return np.full(answer.shape, np.nan)


def late(answer: Any) -> Any:
    time.sleep(0.3)
    return answer


def out_of_bounds(answer: Any) -> Any:
    if isinstance(answer, tuple):
        return type(answer)(*(np.asarray(array) + 1000 for array in answer))
    return answer + 1000


def misshapen(answer: Any) -> Any:
    if isinstance(answer, tuple):
        return type(answer)(*(np.asarray(array)[..., :1] for array in answer))
    return answer[..., :1]


def nothing(answer: Any) -> Any:
    return None


FAULTS = {
    raising: "ZeroDivisionError: by zero",
    not_a_number: "not finite",
    late: "answered after more than",
    out_of_bounds: "outside",
    misshapen: "has shape",
    nothing: "",
}


def team_with(role: str, fault: Callable[[Any], Any], deadline: float = float("inf")) -> Team:
    good = dict(make_team("value-aware").policies)
    good[role] = Failing(good[role], fault)
    return Team("mixed", good, stand_ins=make_team("pid").policies, deadline_seconds=deadline)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("role", ROLES)
def test_the_stand_in_takes_over_and_the_others_go_on(role: str, fault: Callable[[Any], Any]) -> None:
    team = team_with(role, fault, 0.2 if fault is late else float("inf"))
    moments = [(moment, len(team.incapacities)) for moment in flight(team, SCENARIO, 3)]
    moment = moments[-1][0]
    assert moment.step.terminated
    assert [failed for _, failed in moments] == [
        int(interval >= FAILS_AT) for interval in range(SCENARIO.intervals)
    ]
    (incapacity,) = team.incapacities
    assert (incapacity.role, incapacity.interval) == (role, FAILS_AT)
    assert FAULTS[fault] in incapacity.reason
    failing = team.policies[role]
    assert isinstance(failing, Failing)
    assert failing.calls == FAILS_AT + 1, "a failed policy is not asked again in this flight"
    spent = moment.market.feed.spend_usd
    assert (spent <= moment.market.feed.budget_usd + 1e-9).all()


def test_the_stand_in_has_been_flying_along() -> None:
    """It takes over as if it had acted all the time: paced, in turn, with its memory."""
    team, watched = team_with("bidding", raising), make_team("pid").policies["bidding"]
    for interval, moment in enumerate(flight(team, SCENARIO, 3)):
        if interval == 0:
            watched.start(team._flight)
        expected = watched.act(moment.observations.bidding)
        if interval >= FAILS_AT:
            np.testing.assert_array_equal(moment.actions.bidding, expected)


def test_a_flight_starts_with_every_policy_in_its_place_again() -> None:
    team = team_with("creative", raising)
    for _ in range(2):
        assert len(list(flight(team, SCENARIO, 2))) == SCENARIO.intervals
        assert len(team.incapacities) == 1


def test_without_faults_stand_ins_change_nothing() -> None:
    alone = Team("alone", make_team("value-aware").policies)
    backed = Team("backed", make_team("value-aware").policies, stand_ins=make_team("pid").policies)
    for one, other in zip(flight(alone, SCENARIO), flight(backed, SCENARIO), strict=True):
        for a, b in zip(leaves(one.actions), leaves(other.actions), strict=True):
            np.testing.assert_array_equal(a, b)


def test_without_a_stand_in_the_fault_is_raised() -> None:
    policies = dict(make_team("value-aware").policies)
    policies["monitor"] = Failing(policies["monitor"], raising)
    with pytest.raises(ZeroDivisionError):
        list(flight(Team("bare", policies), SCENARIO))


def test_a_choice_no_creative_has_is_a_fault() -> None:
    """Length 2 is within the field's bounds, but there are two lengths only."""

    def third_length(answer: Any) -> Any:
        wrong = answer.copy()
        wrong[..., 2] = 2
        return wrong

    for fault in (third_length, lambda answer: answer + 0.5):
        team = team_with("creative", fault)
        list(flight(team, SCENARIO))
        assert [incapacity.role for incapacity in team.incapacities] == ["creative"]


def test_a_broken_table_of_listeners_is_dropped_with_its_audience() -> None:
    class Tabling:
        name, privileged = "tabling", False
        listener_affinity: Any = None

        def __init__(self) -> None:
            self.inner = make_team("pid").policies["audience"]

        def start(self, flight: Flight) -> None:
            self.inner.start(flight)
            shape = (flight.num_markets, flight.num_campaigns, flight.scenario.listeners.count)
            self.listener_affinity, self.interval = np.ones(shape), 0

        def act(self, observation: Any) -> SegmentValue:
            self.interval += 1
            if self.interval == FAILS_AT + 1:
                self.listener_affinity = self.listener_affinity * np.nan
            answer: SegmentValue = self.inner.act(observation)
            return answer

    good = {**make_team("value-aware").policies, "audience": Tabling()}
    team = Team("tabling", good, stand_ins=make_team("pid").policies)
    tables = [moment.actions.listener_affinity for moment in flight(team, SCENARIO)]
    assert [table is not None for table in tables] == [interval < FAILS_AT for interval in range(6)]
    assert "listener_affinity is not finite" in team.incapacities[0].reason


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        (np.full((4, 2, S), np.nan), "not finite"),
        (np.ones((4, 1, S)), "shape"),
        (-np.ones((4, 2, S)), "outside"),
    ],
)
def test_a_broken_claim_on_video_is_dropped_with_its_creative(claims: Any, says: str) -> None:
    class Claiming:
        name, privileged = "claiming", False
        premium_value_usd: Any = None

        def __init__(self) -> None:
            self.inner = make_team("pid").policies["creative"]

        def start(self, flight: Flight) -> None:
            self.inner.start(flight)
            self.premium_value_usd, self.interval = np.ones((flight.num_markets, flight.num_campaigns, S)), 0

        def act(self, observation: Any) -> Any:
            self.interval += 1
            if self.interval == FAILS_AT + 1:
                self.premium_value_usd = claims
            return self.inner.act(observation)

    good = {**make_team("value-aware").policies, "creative": Claiming()}
    team = Team("claiming", good, stand_ins=make_team("pid").policies)
    told = [moment.actions.premium_value_usd for moment in flight(team, SCENARIO)]
    assert [claim is not None for claim in told] == [interval < FAILS_AT for interval in range(6)]
    reason = team.incapacities[0].reason
    assert reason.startswith("premium_value_usd is") and says in reason


def test_a_team_needs_every_role() -> None:
    policies = dict(make_team("pid").policies)
    del policies["monitor"], policies["bidding"]
    with pytest.raises(InterludeError, match="'half' has no policy for bidding, monitor"):
        Team("half", policies)


def test_two_roles_may_fail_at_once_with_the_desk_they_share() -> None:
    """Where the desk itself fails, both roles that stand on it are replaced in the same interval."""
    policies = make_team("certainty-equivalent").policies
    team = Team("desk", policies, stand_ins=make_team("pid").policies)
    desk = policies["creative"].desk  # type: ignore[attr-defined]
    for interval, moment in enumerate(flight(team, SCENARIO)):
        if interval == FAILS_AT - 1:
            desk.estimator.update = raising
        assert len(team.incapacities) == (2 if interval >= FAILS_AT else 0)
        assert moment.actions.bidding.shape == (4, 2, 1 + P + S)
    assert {incapacity.interval for incapacity in team.incapacities} == {FAILS_AT}
