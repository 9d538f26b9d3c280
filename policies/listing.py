"""The scripted policies there are: by role, what they know, which teams they serve in."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Final

from envs.observation import ROLES
from policies.registry import TEAMS, make_team

KNOWLEDGE: Final = ("model-free", "part model-aware", "model-aware", "privileged")
"""What may be known of the simulator, least first: nothing, some of its equations, all, its hidden truth."""


@dataclass(frozen=True)
class Listed:
    """A scripted policy."""

    role: str
    name: str
    knowledge: str
    description: str
    teams: tuple[str, ...]


def describe_policies() -> list[Listed]:
    """Every policy of the scripted teams, by role.

    A policy knows what the least knowing of its teams knows: the rule book of the oracle is that of others.
    """
    teams: dict[tuple[str, str], list[str]] = {}
    descriptions: dict[tuple[str, str], str] = {}
    for team in TEAMS:
        for role, policy in make_team(team).policies.items():
            teams.setdefault((role, policy.name), []).append(team)
            descriptions[role, policy.name] = inspect.getdoc(type(policy)) or ""
    return [
        Listed(
            role=role,
            name=name,
            knowledge=min((TEAMS[team].knowledge for team in found), key=KNOWLEDGE.index),
            description=descriptions[role, name].partition("\n")[0].rstrip("."),
            teams=tuple(found),
        )
        for (role, name), found in sorted(teams.items(), key=lambda entry: ROLES.index(entry[0][0]))
    ]
