"""The roles of a served team, five or six: each answers once an interval, in time, or its stand-in does.

A role keeps its own policy and learns of intervals in order; one that starts late, or again, first catches
up with what it missed. So a role that failed is asked again in the next interval, wherever it runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

from envs.impressions import ImpressionLog
from envs.journeys.feed import ToldFeed
from envs.journeys.identity import JourneyRows
from envs.market import Observations
from envs.protocol import ATTRIBUTION, Actions, CellCredit
from policies.policy import CreditReader, Flight, Policy, StateReader, TroubleReader, reads_listeners
from policies.roll_call import RollCall
from policies.team import BESIDE_THE_ACTION, Team, answer_problem, beside_problem

DEADLINE_SECONDS: Final = 1.0
SIGHT: Final = {ATTRIBUTION: "monitor"}
"""Whose part of the observations a role sees, where it is not its own."""
CATCH_UPS: Final = 2
"""Times that a role is told only what it says it missed."""


class Answer(NamedTuple):
    """What a role says in an interval."""

    action: Any
    beside: Any = None
    """What `BESIDE_THE_ACTION` names for the role, if its policy says it."""
    answered: int | None = None
    """Intervals of the flight that the role has answered, this one included; None where nobody counts."""


class Seen(NamedTuple):
    """What a role may learn in one interval; most read only their own part."""

    observations: Observations
    impressions: ImpressionLog | None = None
    """Of the interval before; None where nobody reads them."""
    credit: CellCredit | None = None
    """As delivered now; None where nobody attributes."""
    journeys: Sequence[JourneyRows] | None = None
    """Of every campaign, told in the interval before, for attribution; None where nobody tells."""
    troubles: int = 0
    """How many roles have failed or are suspected so far."""


class BehindError(Exception):
    """A role has not seen the intervals before the one it was asked about; it needs them from `position`."""

    def __init__(self, position: int) -> None:
        """Only the position, so that the error travels between processes."""
        super().__init__(position)
        self.position = position


class Actor:
    """One role's policy, and how far it has come in a flight."""

    def __init__(self, role: str, make: Callable[[], Policy]) -> None:
        """`make` gives a fresh policy of the role."""
        self.role, self._make = role, make
        self._flight_id: str | None = None
        self._position = 0

    def act(self, flight_id: str, flight: Flight, first: int, seen: Sequence[Seen]) -> Answer:
        """The answer in the last of the intervals first … first + len(seen) − 1.

        Raises:
            BehindError: intervals before `first` are missing.
        """
        if flight_id != self._flight_id or self._position > first:
            self._policy = self._make()
            if self.role == ATTRIBUTION:
                self._feed = ToldFeed(flight.scenario, flight.num_campaigns)
                flight = replace(flight, journeys=self._feed)
            self._policy.start(flight)
            self._flight_id, self._position = flight_id, 0
        if self._position < first:
            raise BehindError(self._position)
        try:
            for told in seen:
                self._hear(told, flight.scenario.hours_per_interval)
                action = self._policy.act(getattr(told.observations, SIGHT.get(self.role, self.role)))
                self._position += 1
        except Exception:
            self._flight_id = None  # from the start again: what it holds may be half of an interval
            raise
        name = BESIDE_THE_ACTION.get(self.role)
        beside = None if name is None else getattr(self._policy, name, None)
        own = getattr(self._policy, "answered", None)
        return Answer(action, beside, self._position if own is None else own)

    def _hear(self, seen: Seen, hours: float) -> None:
        """What comes before an observation; intervals are `hours` long."""
        if seen.impressions is not None and reads_listeners(self._policy):
            self._policy.read_impressions(seen.impressions)
        if seen.credit is not None and isinstance(self._policy, CreditReader):
            self._policy.read_credit(seen.credit)
        if isinstance(self._policy, StateReader):
            self._policy.read_observations(seen.observations)
        if isinstance(self._policy, TroubleReader):
            self._policy.read_troubles(seen.troubles)
        if seen.journeys is not None and self.role == ATTRIBUTION:
            self._feed.hear(seen.journeys, self._position * hours)


class Role(Protocol):
    """A role somewhere: in a thread here, or in a process of its own."""

    async def act(self, flight_id: str, flight: Flight, first: int, seen: Sequence[Seen]) -> Answer:
        """As `Actor.act`."""


class LocalRole:
    """A role in threads of this process."""

    def __init__(self, role: str, make: Callable[[], Policy]) -> None:
        """As `Actor`."""
        self._new: Callable[[], Actor] = lambda: Actor(role, make)
        self._actor = self._new()

    async def act(self, flight_id: str, flight: Flight, first: int, seen: Sequence[Seen]) -> Answer:
        """As `Actor.act`; when it is cancelled the thread is left to itself, and another policy goes on."""
        actor = self._actor
        try:
            answer: Answer = await in_thread(lambda: actor.act(flight_id, flight, first, seen))
            return answer
        except asyncio.CancelledError:
            self._actor = self._new()
            raise


async def in_thread(call: Callable[[], Any]) -> Any:
    """Runs a call in a daemon thread of its own: one that hangs holds nobody up, not even the exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def finish(result: Any, error: BaseException | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as caught:
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await future


@dataclass
class History:
    """What every role has seen of a flight."""

    flight_id: str
    flight: Flight
    deliveries: list[Seen] = field(default_factory=list)
    attributed: bool = False
    """Whether the sixth role, if the team has it, is asked."""
    troubles: dict[int, int] = field(default_factory=dict)
    """How many roles had failed or were suspected before an interval; those not named are as in none."""

    def seen(self, first: int) -> list[Seen]:
        """What there was to see from an interval on; what a role reads of it is its policy's affair."""
        return [
            told._replace(troubles=self.troubles.get(t, 0))
            for t, told in enumerate(self.deliveries[first:], first)
        ]


class RoleFailure(NamedTuple):
    """A role whose stand-in answered, or that is suspected and left at work."""

    role: str
    interval: int
    reason: str
    suspected: bool = False


class Cast:
    """The roles and their stand-ins."""

    def __init__(
        self, roles: Mapping[str, Role], stand_ins: Mapping[str, Role], deadline_seconds: float
    ) -> None:
        """Each role has `deadline_seconds` to answer in an interval."""
        self.roles, self.stand_ins, self.deadline_seconds = roles, stand_ins, deadline_seconds
        self.seconds = dict.fromkeys(roles, 0.0)
        """How long each role took in the last interval."""
        self._flight_id: str | None = None
        self._roll, self._failing = RollCall(), set[str]()

    async def act(self, history: History) -> tuple[Actions, list[RoleFailure]]:
        """What the team does in a history's newest interval, whose stand-in answered, who is suspected."""
        self._call(history)
        asked = [role for role in self.roles if role != ATTRIBUTION or history.attributed]
        found = await asyncio.gather(*(self._answer(role, history) for role in asked))
        answers = {role: answer for role, (answer, _) in zip(asked, found, strict=True)}
        said: dict[str, Any] = {name: answers[role].beside for role, name in BESIDE_THE_ACTION.items()}
        said |= {"credit" if role == ATTRIBUTION else role: one.action for role, one in answers.items()}
        actions = Actions(**said)
        told = [failure for _, failure in found if failure is not None]
        failing = {failure.role for failure in told if not failure.suspected}
        self._troubles += len(failing - self._failing) + sum(failure.suspected for failure in told)
        self._failing = failing
        return actions, told

    def _call(self, history: History) -> None:
        """Readies the roll of a flight, and tells how its roles have fared so far."""
        interval = len(history.deliveries) - 1
        if history.flight_id != self._flight_id:
            self._flight_id, self._heard, self._troubles = history.flight_id, -1, 0
            self._roll, self._failing = RollCall(), set[str]()
        self._new, self._heard = interval > self._heard, interval
        history.troubles[interval] = self._troubles

    async def _answer(self, role: str, history: History) -> tuple[Answer, RoleFailure | None]:
        started = asyncio.get_running_loop().time()
        try:
            answer = await asyncio.wait_for(caught_up(self.roles[role], history), self.deadline_seconds)
            reason, suspicion = _fault(role, answer, history.flight), None
            if reason is None and self._new:  # asked again about an interval, it rightly says the same
                own = getattr(history.deliveries[-1].observations, SIGHT.get(role, role))
                reason, suspicion = self._roll.hear(role, answer.answered, own, answer.action)
        except TimeoutError:
            reason = f"no answer within {self.deadline_seconds:g} s"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        self.seconds[role] = asyncio.get_running_loop().time() - started
        interval = len(history.deliveries) - 1
        if reason is None:
            return answer, None if suspicion is None else RoleFailure(role, interval, suspicion, True)
        failure = RoleFailure(role, interval, reason)
        return await caught_up(self.stand_ins[role], history), failure


async def caught_up(role: Role, history: History) -> Answer:
    """A role's answer; where it is behind it is told what it missed, in the end everything."""
    first = len(history.deliveries) - 1
    for _ in range(CATCH_UPS):
        try:
            return await role.act(history.flight_id, history.flight, first, history.seen(first))
        except BehindError as behind:  # of several replicas each may be behind by its own
            first = min(behind.position, first - 1)
    return await role.act(history.flight_id, history.flight, 0, history.seen(0))


def local_cast(make_team: Callable[[], Team], deadline_seconds: float = DEADLINE_SECONDS) -> Cast:
    """All roles in this process, each with a policy (and a desk) of its own."""

    def policy(role: str) -> Callable[[], Policy]:
        return lambda: make_team().policies[role]

    def stand_in(role: str) -> Callable[[], Policy]:
        return lambda: make_team().stand_ins[role]

    roles = list(make_team().policies)
    return Cast(
        {role: LocalRole(role, policy(role)) for role in roles},
        {role: LocalRole(role, stand_in(role)) for role in roles},
        deadline_seconds,
    )


def _fault(role: str, answer: Answer, flight: Flight) -> str | None:
    """Why an answer cannot be used, or None."""
    fault = answer_problem(role, answer.action, flight)
    if fault is None and role in BESIDE_THE_ACTION:
        fault = beside_problem(role, answer.beside, flight)
    return fault
