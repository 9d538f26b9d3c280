"""A team: one policy for each role, and what happens when one of them fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from envs.catalogue import CREATIVE_CHOICES, S
from envs.errors import InterludeError
from envs.impressions import ImpressionLog
from envs.market import Observations
from envs.observation import ROLES
from envs.protocol import (
    ATTRIBUTION,
    BOUNDS,
    OF_CREATIVES,
    Actions,
    Alert,
    CellCredit,
    Directive,
    SegmentValue,
    action_shape,
)
from envs.reception import creatives_problem, credit_problem
from policies.attribution.agent import STAND_IN, Attribution
from policies.policy import (
    CreditReader,
    Flight,
    ListenerReader,
    Policy,
    StateReader,
    TroubleReader,
    reads_listeners,
)
from policies.roll_call import RollCall

BESIDE_THE_ACTION: Final = {
    "audience": "listener_affinity",
    "creative": "premium_value_usd",
    **{role: name for name, (role, _, _) in OF_CREATIVES.items()},
}
"""What a policy of the role may say beside its action: an attribute, read after `act`; None says nothing."""


@dataclass(frozen=True)
class Incapacity:
    """A role whose policy failed, and since when its stand-in acts."""

    role: str
    interval: int
    reason: str


@dataclass
class Team:
    """Five policies that act together, and a sixth, of attribution, where there is one.

    Where a role's policy raises, is late, answers with something outside its space or not anew, its stand-in
    takes over from that interval to the flight's end; the others go on. `incapacities` says so, `suspicions`
    who has begun anew or seems stuck, and is left at work. A `TroubleReader` is told of both.
    """

    name: str
    policies: Mapping[str, Policy]
    stand_ins: Mapping[str, Policy] = field(default_factory=dict)
    model_aware: bool = False
    deadline_seconds: float = float("inf")
    incapacities: list[Incapacity] = field(default_factory=list)
    suspicions: list[Incapacity] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Checks that every role has a policy; of stand-ins, the sixth role has one where it is there."""
        missing = [role for role in ROLES if role not in self.policies]
        if missing:
            raise InterludeError(f"team {self.name!r} has no policy for {', '.join(missing)}")
        if self.stand_ins and ATTRIBUTION in self.policies and ATTRIBUTION not in self.stand_ins:
            self.stand_ins = {**self.stand_ins, ATTRIBUTION: Attribution(STAND_IN)}

    @property
    def privileged(self) -> bool:
        """Whether any role reads the hidden truth (evaluation only)."""
        return any(policy.privileged for policy in self.policies.values())

    @property
    def reads_listeners(self) -> bool:
        """Whether any role learns from histories or impressions: give it both (`flight_of`, `act`)."""
        return any(reads_listeners(policy) for policy in self.policies.values())

    @property
    def reads_order(self) -> bool:
        """Whether its audience reads the last plays in order, too."""
        return bool(getattr(self.policies["audience"], "reads_order", False))

    def start(self, flight: Flight) -> None:
        """Starts all policies and stand-ins on a new flight; only privileged ones are told of its market."""
        self._interval = 0
        self._flight = replace(flight, market=None, journeys=None)
        self._credit: CellCredit | None = None
        self.incapacities.clear()
        self.suspicions.clear()
        self._roll = RollCall()

        def told(role: str, policy: Policy) -> Flight:
            if role == ATTRIBUTION and not policy.privileged:
                return replace(flight, market=None)
            return flight if policy.privileged else self._flight

        for role, policy in self.stand_ins.items():
            policy.start(told(role, policy))
        for role, policy in self.policies.items():
            try:
                policy.start(told(role, policy))
            except Exception as error:
                if role not in self.stand_ins:
                    raise
                self.incapacities.append(Incapacity(role, 0, f"{type(error).__name__}: {error}"))

    def act(self, observations: Observations, impressions: ImpressionLog | None = None) -> Actions:
        """Every role's action; a failing role is replaced by its stand-in.

        Args:
            observations: what every role sees.
            impressions: of the interval before, for roles that read them (`reads_listeners`).
        """
        self._impressions, self._seen = impressions, observations
        answers = {role: self._answer(role, getattr(observations, role)) for role in ROLES}
        self._credit = self._attributed()
        self._interval += 1
        return Actions(
            audience=answers["audience"],
            creative=answers["creative"],
            bidding=answers["bidding"],
            monitor=answers["monitor"],
            orchestrator=answers["orchestrator"],
            **{name: getattr(self._acting(role), name, None) for role, name in BESIDE_THE_ACTION.items()},
            credit=self._credit,
        )

    def _attributed(self) -> CellCredit | None:
        """What the attribution agent posts, which sees what the monitor sees, if there is one."""
        if ATTRIBUTION not in self.policies:
            return None
        credit: CellCredit = self._answer(ATTRIBUTION, self._seen.monitor)
        return credit

    def _acting(self, role: str) -> Policy:
        return (self.stand_ins if self._failed(role) else self.policies)[role]

    def _failed(self, role: str) -> bool:
        return any(incapacity.role == role for incapacity in self.incapacities)

    def _answer(self, role: str, observation: Any) -> Any:
        stand_in = self.stand_ins.get(role)
        if stand_in is not None:
            self._tell(stand_in)
        spare = stand_in.act(observation) if stand_in is not None else None
        if stand_in is not None and self._failed(role):
            return spare
        started = time.perf_counter()
        try:
            policy = self.policies[role]
            if self._impressions is not None and isinstance(policy, ListenerReader):
                policy.read_impressions(self._impressions)
            if self._credit is not None and isinstance(policy, CreditReader):
                policy.read_credit(self._credit)  # posted an interval ago
            self._tell(policy)
            answer = policy.act(observation)
            problem = answer_problem(role, answer, self._flight)
            if problem is None and role in BESIDE_THE_ACTION:
                said = getattr(policy, BESIDE_THE_ACTION[role], None)
                problem = beside_problem(role, said, self._flight)
            problem = problem or self._missed(role, policy, observation, answer)
        except Exception as error:
            if stand_in is None:
                raise
            answer, problem = None, f"{type(error).__name__}: {error}"
        if problem is None and time.perf_counter() - started > self.deadline_seconds:
            problem = f"answered after more than {self.deadline_seconds} s"
        if problem is None or stand_in is None:
            return answer
        self.incapacities.append(Incapacity(role, self._interval, problem))
        return spare

    def _tell(self, policy: Policy) -> None:
        """What is in no role's own observation."""
        if isinstance(policy, StateReader):
            policy.read_observations(self._seen)
        if isinstance(policy, TroubleReader):
            policy.read_troubles(len(self.incapacities) + len(self.suspicions))

    def _missed(self, role: str, policy: Policy, observation: Any, answer: Any) -> str | None:
        """Why a role that answered is not there all the same, or None; notes what is suspected of it."""
        heard = self._roll.hear(role, getattr(policy, "answered", None), observation, answer)
        if heard.suspicion is not None:
            self.suspicions.append(Incapacity(role, self._interval, heard.suspicion))
        return heard.missing


def answer_problem(role: str, answer: Any, flight: Flight) -> str | None:
    """Why an answer cannot be used, or None."""
    if role == ATTRIBUTION and isinstance(answer, CellCredit):
        return credit_problem(answer, flight.num_markets)
    if role in ("creative", "bidding"):
        arrays = [(next(iter(BOUNDS[role])), np.asarray(answer))]
    elif isinstance(answer, SegmentValue | Alert | Directive):
        arrays = [(name, np.asarray(getattr(answer, name))) for name in answer._fields]
    else:
        return f"answered with {type(answer).__name__}"
    for name, array in arrays:
        shape = (flight.num_markets, *action_shape(role, name, flight.num_campaigns))
        if array.shape != shape:
            return f"field {name!r} has shape {array.shape}, expected {shape}"
        bounds = BOUNDS[role][name]
        high = np.array(CREATIVE_CHOICES) - 1 if role == "creative" else bounds.high
        if not ((array >= bounds.low) & (array <= high)).all():
            return f"field {name!r} is not finite or outside [{bounds.low}, {bounds.high}]"
        if bounds.integer and (array != np.floor(array)).any():
            return f"field {name!r} holds numbers that are not whole"
    return None


def beside_problem(role: str, said: Any, flight: Flight) -> str | None:
    """Why what a policy says beside its action cannot be used, or None; it may say nothing."""
    if said is None:
        return None
    name = BESIDE_THE_ACTION[role]
    if name in OF_CREATIVES:
        return creatives_problem(name, said, flight.num_markets)
    bounds = BOUNDS[role].get(name)
    each = flight.scenario.listeners.count if role == "audience" else S
    shape = (flight.num_markets, flight.num_campaigns, each)
    if np.shape(said) != shape or not np.isfinite(said).all():
        return f"{name} is not finite or not of shape {shape}"
    if bounds is not None and not ((said >= bounds.low) & (said <= bounds.high)).all():
        return f"{name} is outside [{bounds.low}, {bounds.high}]"
    return None
