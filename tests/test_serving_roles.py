import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.catalogue import ALERT_KINDS, S
from envs.market import VectorMarket
from envs.observation import ROLES
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from policies.policy import flight_of
from policies.registry import make_team
from serving.packing import packed, unpacked
from serving.roles import (
    Actor,
    Answer,
    BehindError,
    Cast,
    History,
    LocalRole,
    Seen,
    caught_up,
    local_cast,
)


@pytest.fixture(scope="module")
def history() -> History:
    """Some intervals of a market, played by a scripted team."""
    scenario = load_scenario("quick").model_copy(update={"intervals": 6})
    market = VectorMarket(scenario, 1)
    observations = market.reset(market_seeds("train", 0, 0, 1))
    flight = flight_of(market)
    team = make_team("pid")
    team.start(flight)
    found = History("flight", flight)
    for _ in range(5):
        found.deliveries.append(Seen(observations))
        observations = market.step(team.act(observations)).observations
    return found


def until(history: History, count: int) -> History:
    return replace(history, deliveries=history.deliveries[:count])


def team() -> Any:
    made = make_team("value-aware")
    made.stand_ins = make_team("pid").policies
    return made


def test_a_cast_answers_as_its_team_does(history: History) -> None:
    async def play() -> None:
        cast, alone = local_cast(team, 30.0), team()
        alone.start(history.flight)
        for count in range(1, 6):
            actions, failures = await cast.act(until(history, count))
            expected = alone.act(history.deliveries[count - 1].observations)
            assert not failures
            np.testing.assert_array_equal(actions.bidding, expected.bidding)
            np.testing.assert_array_equal(actions.creative, expected.creative)
            for role in ("audience", "monitor", "orchestrator"):
                for one, other in zip(getattr(actions, role), getattr(expected, role), strict=True):
                    np.testing.assert_array_equal(one, other)

    asyncio.run(play())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_comes_late_catches_up(history: History, role: str) -> None:
    async def play() -> None:
        early, late = (LocalRole(role, lambda: team().policies[role]) for _ in range(2))
        for count in range(1, 6):
            expected = await caught_up(early, until(history, count))
        found = await caught_up(late, history)
        np.testing.assert_equal(found.action, expected.action)

    asyncio.run(play())


def test_an_actor_says_from_where_it_must_be_told(history: History) -> None:
    actor = Actor("bidding", lambda: team().policies["bidding"])
    actor.act("flight", history.flight, 0, until(history, 2).seen(0))
    with pytest.raises(BehindError) as behind:
        actor.act("flight", history.flight, 4, history.seen(4))
    assert behind.value.position == 2
    with pytest.raises(BehindError) as behind:
        actor.act("another flight", history.flight, 4, history.seen(4))
    assert behind.value.position == 0


def test_a_role_that_failed_is_asked_again(history: History) -> None:
    class Moody:
        privileged, name, moody = False, "moody", True

        def start(self, flight: Any) -> None:
            self.inner = team().policies["bidding"]
            self.inner.start(flight)

        def act(self, observation: Any) -> Any:
            if Moody.moody:
                raise RuntimeError("not today")
            return self.inner.act(observation)

    async def play() -> None:
        cast = local_cast(team, 30.0)
        cast = Cast({**cast.roles, "bidding": LocalRole("bidding", Moody)}, cast.stand_ins, 30.0)
        _, failures = await cast.act(until(history, 1))
        assert [(f.role, f.interval, f.reason) for f in failures] == [
            ("bidding", 0, "RuntimeError: not today")
        ]
        Moody.moody = False
        actions, failures = await cast.act(history)
        sound, _ = await local_cast(team, 30.0).act(history)
        assert not failures
        np.testing.assert_array_equal(actions.bidding, sound.bidding)

    asyncio.run(play())


def test_what_a_policy_says_beside_its_action_is_passed_on_and_checked(history: History) -> None:
    claims = np.full((1, history.flight.num_campaigns, S), 7.0)

    class Claims:
        privileged, name = False, "claims"

        def start(self, flight: Any) -> None:
            self.inner = team().policies["creative"]
            self.inner.start(flight)

        def act(self, observation: Any) -> Any:
            self.premium_value_usd = claims
            return self.inner.act(observation)

    async def play() -> None:
        cast = local_cast(team, 30.0)
        cast = Cast({**cast.roles, "creative": LocalRole("creative", Claims)}, cast.stand_ins, 30.0)
        actions, failures = await cast.act(until(history, 1))
        assert not failures and actions.premium_value_usd is claims
        np.testing.assert_array_equal(unpacked(packed(actions)).premium_value_usd, claims)
        claims[0, 0, 0] = np.nan
        _, failures = await cast.act(until(history, 2))
        assert [(f.role, f.reason.split()[0]) for f in failures] == [("creative", "premium_value_usd")]

    asyncio.run(play())


@pytest.mark.parametrize("reads", [True, False])
def test_whoever_reads_impressions_is_told_of_them(history: History, reads: bool) -> None:
    told = []

    class Reader:
        privileged, name, reads_listeners = False, "reader", reads

        def start(self, flight: Any) -> None:
            pass

        def read_impressions(self, impressions: Any) -> None:
            told.append(impressions)

        def act(self, observation: Any) -> Any:
            return None

    for role in ("audience", "creative", "bidding"):
        known = until(history, 3)
        for n, impressions in ((1, "first"), (2, "second")):
            known.deliveries[n] = known.deliveries[n]._replace(impressions=impressions)  # type: ignore[arg-type]
        Actor(role, Reader).act("flight", history.flight, 0, known.seen(0))
    assert told == ["first", "second"] * 3 * reads


class Stuck:
    """A role whose process repeats the answer that it gave in one interval, or gives none from then on."""

    def __init__(self, role: str, at: int, *, silent: bool = False) -> None:
        self.role, self.at, self.silent = LocalRole(role, lambda: team().policies[role]), at, silent
        self.kept: Answer | None = None

    async def act(self, flight_id: str, flight: Any, first: int, seen: Any) -> Answer:
        if first + len(seen) - 1 < self.at:
            self.kept = await self.role.act(flight_id, flight, first, seen)
        elif self.silent:
            await asyncio.sleep(60.0)
        assert self.kept is not None
        return self.kept


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_repeats_its_answer_is_missed_at_once_and_the_watchdog_told(
    history: History, role: str
) -> None:
    async def play() -> None:
        cast = local_cast(team, 30.0)
        cast = Cast({**cast.roles, role: Stuck(role, 2)}, cast.stand_ins, 30.0)
        for count in range(1, 6):
            known = until(history, count)
            actions, failures = await cast.act(known)
            expected = [] if count < 3 else [(role, count - 1, "says again what it has said before", False)]
            assert [tuple(failure) for failure in failures] == expected
            assert known.troubles[count - 1] == (count > 3), "the stand-in is in since the third interval"
        silent = actions.monitor.kind == ALERT_KINDS.index("silent_agent")
        assert silent[:, : history.flight.num_campaigns].all() or role == "monitor"

    asyncio.run(play())


def test_a_role_that_never_answers_is_stood_in_for(history: History) -> None:
    async def play() -> None:
        cast = local_cast(team, 30.0)
        cast = Cast({**cast.roles, "bidding": Stuck("bidding", 1, silent=True)}, cast.stand_ins, 0.5)
        assert (await cast.act(until(history, 1)))[1] == []
        actions, failures = await cast.act(until(history, 2))
        assert [(f.role, f.reason) for f in failures] == [("bidding", "no answer within 0.5 s")]
        assert np.isfinite(actions.bidding).all()

    asyncio.run(play())


def test_a_role_that_is_asked_again_about_an_interval_is_not_stuck(history: History) -> None:
    async def play() -> None:
        cast = local_cast(team, 30.0)
        for count in (1, 2, 2, 3):
            _, failures = await cast.act(until(history, count))
            assert failures == []

    asyncio.run(play())
