"""What is measured: J without each message, and how a flight goes with each fault of each role."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from math import inf
from typing import Any, Final

import numpy as np

from envs.catalogue import ALERT_KINDS
from envs.market import VectorMarket
from envs.observation import ROLES
from envs.protocol import ATTRIBUTION
from envs.scenario import load_scenario
from envs.state import Float
from evaluation.independence import faults as broken
from evaluation.independence.faults import FAULTS, LATE, FaultyPolicy
from evaluation.independence.messages import MESSAGES, MutedTeam
from evaluation.intervals import over_markets
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, opened, play, worker_pool
from evaluation.sources import STAND_IN_TEAM
from policies.attribution.agent import STAND_IN
from policies.registry import make_team
from policies.team import Team

TEAM: Final = "listener-aware"
SCENARIO: Final = "default"
MODEL: Final = "position"
"""By which the sixth role attributes that fails."""
ATTRIBUTED_MARKETS: Final = 16
"""At most, of its flights: they cost much."""
_SILENT: Final = ALERT_KINDS.index("silent_agent")
ALLOWED_LOSS: Final = 0.02
"""Of the stand-in team's J, the most that a team with one broken role may fall short."""


@dataclass(frozen=True, eq=False)
class Faulted:
    """How flights went in which one role failed."""

    objective_usd: Float  # [n]
    intervals_to_stand_in: int | None  # None: nobody stood in
    intervals_to_notice: int | None  # by the team; None: never
    intervals_to_alert: int | None  # by the watchdog, of a silent agent; None: never
    ledger_balances: bool  # spent + left = budget in every interval, and nobody's budget was made or lost
    within_budget: bool


def faulted(course: Course, role: str, fault: str, at: int, name: str = TEAM) -> Faulted:
    """Plays a team of which a role fails at an interval; a flight that does not end raises."""
    objective, delays, balances, within = [], [], True, True
    noticed: list[int] = []
    alerted: list[int] = []
    for start, count in course.batches():
        team = _broken(name, role, fault, at)
        market, observations = opened(team, course, start, count)
        total = market.parameters.budget_usd.sum(1)
        earned, spent = np.zeros(count), np.zeros_like(market.parameters.budget_usd)
        first_alert: int | None = None
        for t in range(course.scenario.intervals):
            step = market.step(team.act(observations, market.impressions))
            if first_alert is None and t >= at and _tells_of_silence(market):
                first_alert = t
            observations = step.observations
            earned += step.rewards.team
            spent += step.outcome.spend_usd.sum((2, 3))
            balances &= _balances(market, spent, total)
            within &= bool((spent <= market.feed.budget_usd * (1.0 + 1e-9)).all())
        if not step.terminated:
            raise AssertionError("the flight has not ended")
        others = {incapacity.role for incapacity in team.incapacities} - {role}
        if others:
            raise AssertionError(f"{', '.join(others)} failed too: {team.incapacities}")
        delays += [incapacity.interval - at for incapacity in team.incapacities]
        noticed += [one.interval - at for one in (*team.incapacities, *team.suspicions)]
        alerted += [] if first_alert is None else [first_alert - at]
        objective.append(earned)
    return Faulted(
        np.concatenate(objective),
        *(max(delays, default=None), max(noticed, default=None), max(alerted, default=None)),
        *(balances, within),
    )


def faults_of_attribution(markets: int, workers: int = 1, name: str = TEAM) -> dict[str, Any]:
    """How flights go in which the sixth role fails, where there are journeys.

    The stand-in is another model, so that the team with it is what flights are measured against.
    """
    course = Course(load_scenario(ATTRIBUTION), "held_out", num_markets=markets)
    at = course.scenario.intervals // 3
    with worker_pool(workers) as pool:
        each = map if pool is None else pool.map
        went = list(each(faulted, repeat(course), repeat(ATTRIBUTION), FAULTS, repeat(at), repeat(name)))
        teams = [make_team(name, attribution=model) for model in (MODEL, STAND_IN)]
        whole, plain = (play(team, course).metrics[OBJECTIVE] for team in teams)
    return {
        "model": MODEL,
        "stand_in": STAND_IN,
        "scenario": course.scenario.name,
        "markets": markets,
        "fault_interval": at,
        "intervals": course.scenario.intervals,
        "faults": {fault: _told(one, fault, plain, whole) for fault, one in zip(FAULTS, went, strict=True)},
    }


def _told(one: Faulted, fault: str, plain: Float, whole: Float) -> dict[str, Any]:
    return {
        "over_stand_in_team": over_markets(one.objective_usd, plain).listed(),
        "over_whole_team": over_markets(one.objective_usd, whole).listed(),
        "stood_in_for": FAULTS[fault].stood_in_for,
        "intervals_to_stand_in": one.intervals_to_stand_in,
        "intervals_to_notice": one.intervals_to_notice,
        "intervals_to_alert": one.intervals_to_alert,
        "ledger_balances": one.ledger_balances,
        "within_budget": one.within_budget,
    }


def _tells_of_silence(market: VectorMarket) -> bool:
    """Whether most campaigns carry an alert of a silent agent, as they do when a role of theirs fails."""
    told = market.board.alert.kind[:, : market.num_campaigns] == _SILENT
    return bool(told.mean() > 0.5)


def _broken(name: str, role: str, fault: str, at: int) -> Team:
    policies = dict(make_team(name, attribution=MODEL if role == ATTRIBUTION else None).policies)
    policies[role] = FaultyPolicy(policies[role], fault, at)
    stand_ins = make_team(STAND_IN_TEAM).policies
    deadline = broken.DEADLINE_SECONDS if fault == LATE else inf  # a busy machine is no fault of the others
    return Team(f"{role} {fault}", policies, stand_ins=stand_ins, deadline_seconds=deadline)


def _balances(market: VectorMarket, spent: Float, total: Float) -> bool:
    budget, left = market.feed.budget_usd, market.market_state.budget_left_usd
    return np.allclose(spent + left, budget, rtol=1e-9) and np.allclose(budget.sum(1), total, rtol=1e-9)


def muted(course: Course, message: str | None, name: str = TEAM) -> Float:
    """[n] J of a team in which nobody hears a message; of the whole team for None."""
    policies = make_team(name).policies
    team = Team(name, policies) if message is None else MutedTeam(message, policies, muted=message)
    return play(team, course).metrics[OBJECTIVE]


def measure(markets: int, fault_markets: int, workers: int = 1, name: str = TEAM) -> dict[str, Any]:
    """Everything that the report tells, as one object."""
    scenario = load_scenario(SCENARIO)
    course = Course(scenario, "held_out", num_markets=markets)
    few = Course(scenario, "held_out", num_markets=fault_markets)
    at = scenario.intervals // 3
    cases = [(role, fault) for role in ROLES for fault in FAULTS]
    with worker_pool(workers) as pool:
        each = map if pool is None else pool.map
        told = each(muted, repeat(course), (None, *MESSAGES), repeat(name))
        went = each(faulted, repeat(few), *zip(*cases, strict=True), repeat(at), repeat(name))
        objective, flights = list(told), list(went)
    whole, *without = objective
    plain = play(make_team(STAND_IN_TEAM), few).metrics[OBJECTIVE]
    faults: dict[str, Any] = {role: {} for role in ROLES}
    for (role, fault), one in zip(cases, flights, strict=True):
        faults[role][fault] = _told(one, fault, plain, whole[:fault_markets])
    return {
        "team": name,
        "stand_in_team": STAND_IN_TEAM,
        "scenario": scenario.name,
        "split": course.split,
        "seed": course.seed,
        "markets": markets,
        "fault_markets": fault_markets,
        "fault_interval": at,
        "intervals": scenario.intervals,
        "objective_usd": float(whole.mean()),
        "stand_in_objective_usd": float(plain.mean()),
        "messages": {
            name: {
                "from": message.sender,
                "lift": over_markets(found, whole).listed(),
                "markets_changed": float((found != whole).mean()),
            }
            for (name, message), found in zip(MESSAGES.items(), without, strict=True)
        },
        "faults": faults,
        "attribution": faults_of_attribution(min(fault_markets, ATTRIBUTED_MARKETS), workers, name),
    }
