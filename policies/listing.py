"""The scripted policies there are: by role, what they know, which teams they serve in."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from envs.observation import ROLES
from policies.registry import make_policy, make_team, policy_knowledge, policy_names
from policies.rules import RULES
from policies.teams import TEAMS


@dataclass(frozen=True)
class Listed:
    """A scripted policy."""

    role: str
    name: str
    knowledge: str
    description: str
    teams: tuple[str, ...]


def describe_policies() -> list[Listed]:
    """Every scripted policy, by role."""
    serving = {team: make_team(team).policies for team in TEAMS}
    return [
        Listed(
            role=role,
            name=name,
            knowledge=policy_knowledge(role, name),
            description=RULES[name].description if name in RULES else _first_line(type(policy)),
            teams=(name,)
            if name in RULES
            else tuple(team for team, policies in serving.items() if policies[role].name == policy.name),
        )
        for role in ROLES
        for name in policy_names(role)
        for policy in (make_policy(role, name),)
    ]


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".")
