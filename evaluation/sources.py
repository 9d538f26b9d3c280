"""What a TEAM on the command line means, and the team it makes.

A TEAM is a scripted team's name, a run directory, a bundle directory or `reference`; with `@vertical` behind
it, a scripted team has the knobs of each campaign's vertical. `BASE+role=SOURCE` replaces roles, SOURCE
being any of these, a scripted policy of the role (`creative=thompson`), or `module:Class` for a policy of
the user's own. `orchestrator=critic:RUN` splits budgets by the critic of a run or bundle;
`attribution=MODEL` adds the sixth role, where the scenario has journeys.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from envs.configuration import load_yaml
from envs.errors import ConfigurationError, UnknownNameError
from envs.observation import ROLES
from envs.paths import ROOT
from envs.protocol import ATTRIBUTION
from policies import load_team
from policies.attribution.agent import TRUTH, make_attribution
from policies.audience.agent import FOLDER as AUDIENCE
from policies.audience.agent import CollaborativeAudience
from policies.audience.listener_model import load_listener_model
from policies.critic_orchestrator import OWN_CRITIC, load_critic_orchestrator
from policies.policy import Policy
from policies.registry import (
    is_policy,
    is_team,
    make_policy,
    make_team,
    of_no_team,
    policy_knowledge,
    policy_names,
    rule_names,
    team_knowledge,
    team_names,
)
from policies.team import Team
from policies.teams import TEAMS

Knowledge = Literal["model-free", "part model-aware", "model-aware", "privileged"]
KNOWLEDGE: Final[tuple[Knowledge, ...]] = get_args(Knowledge)
"""What a team knows of the simulator, least first: nothing, some of its equations, all, its hidden truth."""

ALL_SCRIPTED: Final = "scripted"
"""A TEAM that stands for all scripted teams."""
ALL_RULES: Final = "rules"
"""A TEAM that stands for all rules of one role, each with value-aware's other roles."""
REFERENCE: Final = "reference"
STAND_IN_TEAM: Final = "pid"
"""Its policies stand in for roles that fail: plain, quick, and they never read more than observations."""
BY_CRITIC: Final = "critic:"
"""`critic:RUN` as an orchestrator: the rule book, and budgets split by the run's critic."""
BUNDLE_KIND: Final = "interlude-bundle"
_ACTING: Final = ("creative", "bidding")
"""Roles by which a team's knowledge acts; the others follow rules that know no equation."""


@dataclass(frozen=True)
class Origin:
    """A set of policies and where they come from."""

    name: str
    policies: dict[str, Policy]
    knowledge: Knowledge
    learned_roles: tuple[str, ...] = ()
    training_seed: int | None = None
    method: str | None = None
    """Hash of the training configuration without its seed: runs that share it are one method's."""


@dataclass(frozen=True)
class Entrant:
    """A team that takes part in a comparison."""

    argument: str
    team: Team
    knowledge: Knowledge
    learned_roles: tuple[str, ...] = ()
    training_seeds: tuple[int, ...] = ()
    method: str | None = None

    @property
    def name(self) -> str:
        """How tables call it."""
        return self.team.name

    @property
    def learned(self) -> bool:
        """Whether any role was trained."""
        return bool(self.learned_roles)

    @property
    def kind(self) -> str:
        """Its mark in tables: what it knows of the simulator, and whether it learned."""
        return f"learned, {self.knowledge}" if self.learned else self.knowledge


@dataclass(frozen=True)
class TeamSource:
    """A TEAM argument, not yet resolved: it can be hashed and sent to workers; calling it makes the team."""

    argument: str
    sample: bool = False
    """Whether learned policies sample their actions instead of taking the likeliest."""

    def __call__(self) -> Team:
        """A fresh team."""
        return self.resolve().team

    def resolve(self) -> Entrant:
        """The team, with scripted stand-ins for every role, and what is known of it.

        Raises:
            UnknownNameError: no such team, role or source; the valid ones are listed.
            ConfigurationError: something of that name is there but cannot be used.
        """
        base, *replacements = re.split(r"\+(?=\w+=)", self.argument)
        workshop = _Workshop(self.sample)
        origin = workshop.team(base)
        chosen = dict.fromkeys((role for role in (*ROLES, ATTRIBUTION) if role in origin.policies), origin)
        for replacement in replacements:
            role, _, source = replacement.partition("=")
            if role not in (*ROLES, ATTRIBUTION):
                raise UnknownNameError("role", role, (*ROLES, ATTRIBUTION))
            chosen[role] = workshop.policy(source, role)
        return _entrant(self.argument, origin, chosen)


def expand(arguments: Sequence[str], sample: bool = False) -> list[TeamSource]:
    """The sources of TEAM arguments, `scripted` and `rules` unfolded, each once, in order."""
    unfolded = {ALL_SCRIPTED: team_names(), ALL_RULES: rule_names()}
    names: list[str] = []
    for argument in arguments:
        names += unfolded.get(argument, [argument])
    return [TeamSource(name, sample) for name in dict.fromkeys(names)]


def trained_on(arguments: Iterable[str]) -> str:
    """The scenario that the runs among TEAM arguments were trained on, where they agree; else `default`."""
    parts = [part.rpartition("=")[2] for argument in arguments for part in argument.split("+")]
    configs = [Path(part) / "config.yaml" for part in parts]
    found = {str(load_yaml(config).get("scenario", "default")) for config in configs if config.is_file()}
    return found.pop() if len(found) == 1 else "default"


@dataclass
class _Workshop:
    """Resolves the parts of one TEAM; roles taken from the same source share its desk."""

    sample: bool
    origins: dict[str, Origin] = field(default_factory=dict)

    def team(self, source: str) -> Origin:
        """All five roles of a source."""
        if source not in self.origins:
            self.origins[source] = self._make(source)
        return self.origins[source]

    def policy(self, source: str, role: str) -> Origin:
        """One role of a source, or the user's own policy."""
        if role == ATTRIBUTION and ":" not in source:
            known: Knowledge = "privileged" if source == TRUTH else "model-free"
            return Origin(source, {role: make_attribution(source)}, known)
        scripted = is_policy(role, source) and (source not in TEAMS or of_no_team(role, source))
        if role == "orchestrator" and source.startswith(BY_CRITIC):
            directory = _directory(source.removeprefix(BY_CRITIC))
            split = load_critic_orchestrator(directory)
            known = _policy_knowledge(split, "model-aware")
            return Origin(f"{BY_CRITIC}{directory.resolve().name}", {role: split}, known)
        if not scripted and re.fullmatch(r"[\w.]+:\w+", source):
            return Origin(source, {role: _own_policy(source)}, "model-free")
        if scripted:
            return Origin(
                source, {role: make_policy(role, source)}, _knowledge(policy_knowledge(role, source))
            )
        try:
            origin = self.team(source)
        except UnknownNameError as error:
            valid = dict.fromkeys((*policy_names(role), "your.module:Class", *error.valid))
            raise UnknownNameError(f"{role} policy or team", source, valid) from None
        if origin.learned_roles and role not in origin.learned_roles:
            raise ConfigurationError(
                f"{source} did not learn {role!r}; it learned {', '.join(origin.learned_roles)}. "
                f"Take the role from a scripted team: {', '.join(team_names())}"
            )
        return origin

    def _make(self, source: str) -> Origin:
        if is_team(source):
            return Origin(source, dict(make_team(source).policies), _knowledge(team_knowledge(source)))
        directory = _directory(source)
        if _manifest(directory).get("kind") == BUNDLE_KIND:
            return self._bundle(directory)
        if (directory / "config.yaml").is_file():
            return self._run(directory)
        if directory.is_dir():
            raise ConfigurationError(
                f"{directory} is neither a run directory (no config.yaml) nor a bundle (no manifest.json of "
                f"kind {BUNDLE_KIND!r})"
            )
        valid = (
            *team_names(),
            *rule_names(),
            ALL_SCRIPTED,
            ALL_RULES,
            REFERENCE,
            "a run directory",
            "a bundle directory",
        )
        raise UnknownNameError("team", source, valid)

    def _run(self, directory: Path) -> Origin:
        from policies.learned import load_run_policies

        config = load_yaml(directory / "config.yaml")
        learned = load_run_policies(directory, sample=self.sample)
        name = str(config.get("base_team", "certainty-equivalent"))
        base = dict(make_team(name, attribution=config.get("attribution")).policies)
        audience = base["audience"]
        if isinstance(audience, CollaborativeAudience) and (directory / AUDIENCE).is_dir():
            audience.embed_by(load_listener_model(directory / AUDIENCE))
        seed = config.get("seed")
        return Origin(
            name=directory.resolve().name,
            policies={**base, **learned},
            knowledge=_highest(
                _policy_knowledge(policy, "model-aware") for role, policy in learned.items() if role in ROLES
            ),
            learned_roles=tuple(role for role in ROLES if role in learned),
            training_seed=seed if isinstance(seed, int) else None,
            method=_manifest(directory).get("configuration_hash"),
        )

    def _bundle(self, directory: Path) -> Origin:
        if self.sample:
            raise ConfigurationError(
                f"{directory}: a bundle takes the likeliest action; to sample, name the run it was made from"
            )
        team, manifest = load_team(directory), _manifest(directory)
        roles = {*manifest.get("learned_roles", ())}
        if manifest.get("orchestrator") == OWN_CRITIC:
            roles.add("orchestrator")
        return Origin(
            name=directory.resolve().name,
            policies=dict(team.policies),
            knowledge="model-aware" if team.model_aware else "model-free",
            learned_roles=tuple(role for role in ROLES if role in roles),
            training_seed=manifest.get("training_seed"),
        )


def _entrant(argument: str, base: Origin, chosen: dict[str, Origin]) -> Entrant:
    """The team of one origin per role."""
    policies = {role: origin.policies[role] for role, origin in chosen.items()}
    acting = [chosen[role].knowledge for role in _ACTING]
    acting += [o.knowledge for role, o in chosen.items() if role not in _ACTING and o is not base]
    if any(policy.privileged for policy in policies.values()):
        acting.append("privileged")
    trained = [origin for role, origin in chosen.items() if role in origin.learned_roles]
    changed = [f"{role}={origin.name}" for role, origin in chosen.items() if origin is not base]
    knowledge = _highest(acting)
    team = Team(
        name="+".join([base.name, *changed]),
        policies=policies,
        stand_ins=dict(make_team(STAND_IN_TEAM).policies),
        model_aware=knowledge != "model-free",
    )
    return Entrant(
        argument=argument,
        team=team,
        knowledge=knowledge,
        learned_roles=tuple(role for role in ROLES if role in chosen[role].learned_roles),
        training_seeds=tuple(sorted({o.training_seed for o in trained if o.training_seed is not None})),
        method=base.method if not changed else None,
    )


def _directory(source: str) -> Path:
    """A run or a bundle by its path, or the reference."""
    return ROOT / "checkpoints" / REFERENCE if source == REFERENCE else Path(source)


def _own_policy(source: str) -> Policy:
    """An instance of the user's `module:Class`, found from the working directory too."""
    module_name, _, class_name = source.partition(":")
    sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
        policy: Any = getattr(module, class_name)()
    except Exception as error:  # whatever the user's own code does
        raise ConfigurationError(f"{source}: cannot be made: {error}") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    missing = [name for name in ("name", "privileged", "start", "act") if not hasattr(policy, name)]
    if missing:
        raise ConfigurationError(
            f"{source} is not a policy: it has no {', '.join(missing)} (see policies/policy.py)"
        )
    return policy  # type: ignore[no-any-return]


def _manifest(directory: Path) -> dict[str, Any]:
    """A directory's manifest.json, or {} without one."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    except OSError:
        return {}
    except ValueError as error:
        raise ConfigurationError(f"{directory / 'manifest.json'}: not valid JSON: {error}") from error
    return manifest if isinstance(manifest, dict) else {}


def _knowledge(name: str) -> Knowledge:
    return next(known for known in KNOWLEDGE if known == name)


def _policy_knowledge(policy: Policy, default: Knowledge) -> Knowledge:
    """A policy may say `model_aware`; one that does not is taken to be."""
    aware = getattr(policy, "model_aware", None)
    return default if aware is None else ("model-aware" if aware else "model-free")


def _highest(known: Iterable[Knowledge]) -> Knowledge:
    return max(known, key=KNOWLEDGE.index, default="model-free")
