"""The scripted policies there are: by role, what they know, which teams they serve in."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from envs.observation import ROLES
from envs.protocol import ATTRIBUTION
from policies.attribution.agent import TRUTH, TrueCredit
from policies.attribution.journeys import AttributionModel
from policies.attribution.models import MODELS, make_model
from policies.attribution.rules import Rule
from policies.registry import make_policy, make_team, policy_knowledge, policy_names
from policies.rules import RULES
from policies.specs import MODEL_FREE, PRIVILEGED
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
    """Every scripted policy, by role; last those of attribution, which no team has of itself."""
    serving = {team: make_team(team).policies for team in TEAMS}
    return (
        [
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
        + [Listed(ATTRIBUTION, name, MODEL_FREE, _of_model(make_model(name)), ()) for name in MODELS]
        + [Listed(ATTRIBUTION, TRUTH, PRIVILEGED, _first_line(TrueCredit), ())]
    )


def _of_model(model: AttributionModel) -> str:
    """A rule tells by what it weighs, other models what they are."""
    return _first_line(model.weigh if isinstance(model, Rule) else type(model))


def _first_line(kind: object) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".")
