"""Scripted teams and policies by name, with the knobs that tuning found for them.

A team is one of `policies.teams`, or a rule of `policies.rules` with value-aware's other roles.
`NAME@vertical` is the same team with knobs of each vertical (`interlude tune-baselines --per-vertical`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from envs.errors import ConfigurationError, UnknownNameError
from envs.paths import configs_directory
from envs.protocol import ATTRIBUTION
from policies.arbitrating_orchestrator import Arbitrating
from policies.arm_prior import ArmPrior
from policies.attribution.agent import make_attribution
from policies.audience.agent import CollaborativeAudience
from policies.audience.learned_segments import LearnedSegments
from policies.audience.listener_model import shipped_session_model
from policies.by_vertical import GLOBAL, ByVertical, VerticalSplit
from policies.desk import CampaignDesk
from policies.marginal_orchestrator import EqualMargins
from policies.policy import Policy
from policies.rules import RULES
from policies.scripted_audience import NoisyAffinity
from policies.scripted_orchestrator import NoOrchestrator
from policies.specs import (
    MODEL_AWARE,
    MODEL_FREE,
    PART_MODEL_AWARE,
    PRIVILEGED,
    Knob,
    Knobs,
    RuleSpec,
    TeamSpec,
)
from policies.team import Team
from policies.teams import TEAMS, filter_desk
from policies.watchdog.oracle import OracleMonitor

RULE_BASE: Final = "value-aware"
"""The team that a rule joins, and whose knobs it takes what it does not set from."""
BY_VERTICAL: Final = "@vertical"
_CAMPAIGN_ROLES: Final = ("creative", "bidding")
SEQUENCE: Final = "sequence"
"""Listener-aware's audience with the model that reads the order of plays: no team has it of its own."""
LEARNED_SEGMENTS: Final = "learned-segments"
"""Listener-aware's audience that addresses groups of listeners; `learned-segments:N` has N of them."""
_ORCHESTRATORS: Final[Mapping[str, Callable[[], Policy]]] = {
    "none": NoOrchestrator,
    "equal-margins": EqualMargins,
    "arbitrating": Arbitrating,
}
"""Orchestrators that no team has of its own."""

_POLICY_SOURCES: dict[str, dict[str, tuple[str, str]]] = {
    "audience": {
        "segment-average": ("siloed", MODEL_FREE),
        "collaborative": ("listener-aware", MODEL_AWARE),
        SEQUENCE: ("listener-aware", MODEL_AWARE),
        LEARNED_SEGMENTS: ("listener-aware", MODEL_AWARE),
        "oracle": ("oracle", PRIVILEGED),
    },
    "creative": {
        "random": ("random", MODEL_FREE),
        "rotate": ("pid", MODEL_FREE),
        "thompson": ("value-aware", PART_MODEL_AWARE),
        "shadow-price": ("shadow-price", PART_MODEL_AWARE),
        "certainty-equivalent": ("certainty-equivalent", MODEL_AWARE),
        "listener-aware": ("listener-aware", MODEL_AWARE),
        "oracle": ("oracle", PRIVILEGED),
    },
    "bidding": {
        "random": ("random", MODEL_FREE),
        "pid": ("pid", MODEL_FREE),
        "adaptive-dual": ("siloed", MODEL_FREE),
        "value": ("value-aware", PART_MODEL_AWARE),
        "shadow-price": ("shadow-price", PART_MODEL_AWARE),
        "certainty-equivalent": ("certainty-equivalent", MODEL_AWARE),
        "listener-aware": ("listener-aware", MODEL_AWARE),
        "oracle": ("oracle", PRIVILEGED),
    },
    "monitor": {
        "quiet": ("random", MODEL_FREE),
        "watchdog": ("siloed", MODEL_FREE),
        "oracle": ("oracle", PRIVILEGED),
    },
    "orchestrator": {
        "none": ("siloed", MODEL_FREE),
        "rotation": ("siloed", MODEL_FREE),
        "rule-book": ("value-aware", MODEL_FREE),
        "equal-margins": ("value-aware", MODEL_FREE),
        "arbitrating": ("value-aware", MODEL_FREE),
    },
}
"""Policies of teams by role and name: the team whose tuned knobs each takes, and what it knows alone."""


def policy_names(role: str) -> list[str]:
    """Names of a role's scripted policies: those of teams, then the rules."""
    if role not in _POLICY_SOURCES:
        raise UnknownNameError("role", role, list(_POLICY_SOURCES))
    return [*_POLICY_SOURCES[role], *(name for name, rule in RULES.items() if rule.role == role)]


NOISY: Final = "noisy:"
"""`noisy:SD` as an audience: the truth of every listener with noise of that standard deviation."""
_WITH_NUMBER: Final[dict[str, tuple[Callable[[str], Policy], str]]] = {
    NOISY: (lambda number: NoisyAffinity(float(number)), "noisy:0.3"),
    f"{LEARNED_SEGMENTS}:": (lambda number: LearnedSegments(int(number)), f"{LEARNED_SEGMENTS}:8"),
}
"""Audiences whose name ends in a number, and an example."""


def is_policy(role: str, name: str) -> bool:
    """Whether `make_policy` knows the name."""
    return name in policy_names(role) or (role == "audience" and name.startswith(tuple(_WITH_NUMBER)))


def make_policy(role: str, name: str) -> Policy:
    """A role's scripted policy by name, alone, with its tuned knobs or those of the team it comes from.

    Raises:
        UnknownNameError: no such policy; the valid names are listed.
        ConfigurationError: `noisy:SD` or `learned-segments:N` with a number that it cannot be.
    """
    if role == "audience" and name.startswith(tuple(_WITH_NUMBER)):
        return _numbered_audience(name)
    if name not in policy_names(role):
        raise UnknownNameError(f"{role} policy", name, policy_names(role))
    if role == "audience" and name == SEQUENCE:
        return CollaborativeAudience(name=SEQUENCE, model=shipped_session_model())
    if role == "audience" and name == LEARNED_SEGMENTS:
        return LearnedSegments()
    if of_no_team(role, name):
        return OracleMonitor()
    if role == "orchestrator" and name in _ORCHESTRATORS:
        return _ORCHESTRATORS[name]()
    team = name if name in RULES else _POLICY_SOURCES[role][name][0]
    return make_team(team).policies[role]


def of_no_team(role: str, name: str) -> bool:
    """Whether a policy is not that of the team of its name: team `oracle` has everybody's watchdog."""
    return (role, name) == ("monitor", "oracle")


def _numbered_audience(name: str) -> Policy:
    kind, _, number = name.partition(":")
    make, example = _WITH_NUMBER[f"{kind}:"]
    try:
        return make(number)
    except ValueError as error:
        raise ConfigurationError(f"audience policy {name!r}: {error}; as in {example}") from error


def policy_knowledge(role: str, name: str) -> str:
    """What a role's scripted policy knows of the simulator."""
    policy_names(role)
    if role == "audience" and name.startswith(NOISY):
        return PRIVILEGED
    if role == "audience":
        name = name.partition(":")[0]
    return RULES[name].knowledge if name in RULES else _POLICY_SOURCES[role][name][1]


def team_names() -> list[str]:
    """Names of the scripted teams, from the plainest to the oracle; rules are teams beside them."""
    return list(TEAMS)


def rule_names() -> list[str]:
    """Names of the rules for one role, each a team with value-aware's other roles."""
    return list(RULES)


def is_team(name: str) -> bool:
    """Whether `make_team` knows the name."""
    base = name.removesuffix(BY_VERTICAL)
    return base in TEAMS or base in RULES


def team_knowledge(name: str) -> str:
    """What a scripted team knows of the simulator."""
    spec = _spec(name.removesuffix(BY_VERTICAL))
    return spec.knowledge if isinstance(spec, TeamSpec) else TEAMS[RULE_BASE].knowledge


def _spec(name: str) -> TeamSpec | RuleSpec:
    found = TEAMS.get(name) or RULES.get(name)
    if found is None:
        raise UnknownNameError("team", name, [*team_names(), *rule_names()])
    return found


def knob_space(name: str) -> Mapping[str, Knob]:
    """What `interlude tune-baselines` may move in a team."""
    return _spec(name).knobs


@lru_cache
def _stored(name: str) -> dict[str, Any]:
    path = configs_directory() / "baselines" / f"{name}.json"
    if not path.exists():
        return {}
    stored: dict[str, Any] = json.loads(path.read_text())
    by_vertical = stored.get("verticals", {})
    for knobs in (stored.get("knobs", {}), *(found["knobs"] for found in by_vertical.values())):
        unknown = knobs.keys() - _spec(name).knobs.keys()
        if unknown:
            raise ConfigurationError(
                f"{path}: unknown knobs {sorted(unknown)}; valid: {sorted(_spec(name).knobs)}"
            )
    return stored


def forget_tuned() -> None:
    """Reads `configs/baselines` again: a search has written there."""
    _stored.cache_clear()


def tuned_knobs(name: str, vertical: str | None = None) -> dict[str, float]:
    """Knobs of `configs/baselines/<name>.json`, a vertical's own over the global ones over the defaults."""
    defaults = {knob: spec.default for knob, spec in _spec(name).knobs.items()}
    stored = _stored(name)
    own = stored.get("verticals", {}).get(vertical, {}).get("knobs", {})
    return {**defaults, **stored.get("knobs", {}), **own}


def tuned_verticals(name: str) -> tuple[str, ...]:
    """Verticals for which a team has knobs of their own."""
    return tuple(_stored(name).get("verticals", {}))


def make_team(name: str, knobs: Knobs | None = None, attribution: str | None = None) -> Team:
    """A scripted team with its tuned knobs, or with others; with the sixth role where a model is named.

    Raises:
        UnknownNameError: no such team or attribution model; the valid names are listed.
        ConfigurationError: `NAME@vertical` of a team that was not tuned by vertical.
    """
    base = name.removesuffix(BY_VERTICAL)
    policies = _policies(base, knobs)
    if base != name:
        policies |= _by_vertical(base, policies, knobs)
    if attribution is not None:
        policies[ATTRIBUTION] = make_attribution(attribution)
    return Team(name=name, policies=policies, model_aware=team_knowledge(base) != MODEL_FREE)


def _policies(name: str, knobs: Knobs | None, vertical: str | None = None) -> dict[str, Policy]:
    spec = _spec(name)
    own = {**tuned_knobs(name, vertical), **(knobs or {})}
    if isinstance(spec, TeamSpec):
        return spec.build(own)
    rest = tuned_knobs(RULE_BASE)
    return {**TEAMS[RULE_BASE].build(rest), spec.role: spec.build({**rest, **own})}


def _by_vertical(name: str, others: dict[str, Policy], knobs: Knobs | None) -> dict[str, Policy]:
    """The creative and the bidding policy that look their campaign's vertical up."""
    names = tuned_verticals(name)
    if not names:
        raise ConfigurationError(
            f"team {name!r} has no knobs by vertical: run interlude tune-baselines {name} --per-vertical"
        )
    if any(policy.privileged for policy in others.values()):
        raise ConfigurationError(f"team {name!r} reads whole markets and cannot be split by vertical")
    split = VerticalSplit(names)
    parts = {vertical: _policies(name, knobs, vertical) for vertical in names} | {GLOBAL: others}
    return {
        role: ByVertical({part: policies[role] for part, policies in parts.items()}, split)
        for role in _CAMPAIGN_ROLES
    }


DESK_TEAM: Final = "certainty-equivalent"
"""Whose knobs the desk of learned policies has."""


def learning_desk(
    knobs: Knobs | None = None,
    arm_prior: ArmPrior | None = None,
    *,
    reads_listeners: bool = False,
    tells_credit: bool = False,
) -> CampaignDesk:
    """The certainty-equivalent desk that learned policies stand on, with its tuned knobs or with others.

    `arm_prior` is what past campaigns taught, by default nothing; with `reads_listeners` it learns from
    single impressions instead of counts; with `tells_credit` its features tell what attribution says.
    """
    knobs = {**tuned_knobs(DESK_TEAM), **(knobs or {})}
    return filter_desk(knobs, arm_prior, reads_listeners=reads_listeners, tells_credit=tells_credit)


def describe_teams() -> list[dict[str, str]]:
    """Name, description and knowledge of every scripted team, the rules' teams after the others."""
    specs: dict[str, TeamSpec | RuleSpec] = {**TEAMS, **RULES}
    return [
        {"name": name, "description": spec.description, "knowledge": team_knowledge(name)}
        for name, spec in specs.items()
    ]
