"""A training run's configuration: everything that decides what is learned, validated from YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from envs.configuration import apply_overrides, load_yaml, resolve_named, validate
from envs.errors import UnknownNameError
from envs.scenario import Scenario, load_scenario, with_all_verticals
from policies.attribution.models import MODELS
from policies.networks import NetworkSettings
from policies.registry import rule_names, team_names
from policies.tensors import ROLES_OF_CAMPAIGNS
from training.reserved_markets import MOST_PRIOR_MARKETS

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
LearnedRole = Literal["creative", "bidding", "orchestrator"]
TEAM: Final = "team"
"""The RLModule of a monolithic policy."""
CriticKind = Literal["shared", "unprivileged", "independent"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PpoSettings(_Part):
    """Proximal policy optimisation (Schulman et al. 2017) with generalised advantages."""

    epochs: Annotated[int, Field(ge=1, le=64)] = 4
    minibatches: Annotated[int, Field(ge=1, le=1024)] = 6
    """Per epoch; a minibatch holds whole markets at single intervals, so that the critic sees them whole."""
    creative_learning_rate: Positive = 3e-3
    bidding_learning_rate: Positive = 3e-4
    orchestrator_learning_rate: Positive = 1e-3
    team_learning_rate: Positive = 1e-3
    """Of a monolithic policy; about the geometric mean of the two above."""
    critic_learning_rate: Positive = 1e-3
    final_learning_rate_fraction: Fraction = 0.1
    """What is left of the learning rates at the end of the run, reached linearly."""
    gamma: Fraction = 0.995
    lambda_: Fraction = 0.95
    clip: Positive = 0.2
    creative_entropy: NonNegative = 0.002
    bidding_entropy: NonNegative = 0.0003
    gradient_clip: Positive = 1.0
    """Largest norm of a network's gradient."""
    segment_credit: Fraction = 0.5
    """Share of a creative's advantage that comes from its own segment; the rest from the whole."""
    team_reward_fraction: Fraction = 0.5
    """Share of the team's reward in every agent's; the rest is its own."""
    own_reward: Literal["campaign", "role", "difference"] = "campaign"
    """An agent's own reward: its campaign's part of the objective, its role's reward, or the difference that
    its campaign makes: J less J of the same flight without its bids, played again for every campaign."""

    def learning_rate(self, module: str, progress: float) -> float:
        """Adam's step of a module (a learned role, the team, the critic) when a share of the run is over."""
        rates = {
            "creative": self.creative_learning_rate,
            "bidding": self.bidding_learning_rate,
            "orchestrator": self.orchestrator_learning_rate,
            TEAM: self.team_learning_rate,
        }
        left = 1.0 + progress * (self.final_learning_rate_fraction - 1.0)
        return rates.get(module, self.critic_learning_rate) * left


class TeacherSettings(_Part):
    """Learning from the oracle's rule on the true responses: it labels what the learners' own play met.

    Only training sees the truth; what is learned sees what agents may see (Chen et al. 2019, "Learning by
    cheating"; Ross et al. 2011 for labels on the learner's own states).
    """

    imitation: NonNegative = 0.0
    """Weight, at the run's start, of the cross-entropy from the teacher's creatives and of the squared error
    from its bids."""
    until: Fraction = 0.5
    """Share of the run over which imitation fades to nothing, linearly."""
    sharpness: Positive = 8.0
    """The teacher's probability of an arm is softmax(sharpness × its log score)."""
    foretelling: NonNegative = 0.0
    """Weight of the error in foretelling hidden log responses; wants `networks.foretells`."""

    @property
    def teaches(self) -> bool:
        """Whether runners must ask the teacher at all."""
        return self.imitation > 0.0 or self.foretelling > 0.0

    def imitation_weight(self, progress: float) -> float:
        """Weight of imitation when a share of the run is over."""
        return self.imitation * max(0.0, 1.0 - progress / self.until) if self.until > 0.0 else 0.0


class Sampling(_Part):
    """Where experience comes from."""

    markets: Annotated[int, Field(ge=1, le=65536)] = 48
    """Markets a runner plays at once; one iteration is one flight of all of them."""
    num_env_runners: Annotated[int, Field(ge=0, le=1024)] = 0
    """Remote runners; 0 samples in this process."""
    overlap: bool = False
    """Remote runners play the next flight while the last one is learned from, with the weights of before
    it: sampling costs no time of its own where a core is free, and policies that learn are one update ahead
    of those that play, which `training.proximal` allows for."""
    max_failures: Annotated[int, Field(ge=0, le=100)] = 3
    """How often in a row an iteration may lose all its runners before the run ends."""
    timeout_seconds: Positive = 120.0
    """How long a remote runner may take for a flight; one that takes longer is killed and started again."""

    @model_validator(mode="after")
    def _check(self) -> Sampling:
        if self.overlap and not self.num_env_runners:
            raise ValueError(
                "sampling.overlap wants remote runners, but sampling.num_env_runners is 0: "
                "set it to 1 or more"
            )
        return self


class Development(_Part):
    """Deterministic flights on development markets during training, against the base team."""

    every: Annotated[int, Field(ge=0)] = 25
    """Iterations; 0 = never."""
    markets: Annotated[int, Field(ge=1, le=65536)] = 48


class TrainingConfiguration(_Part):
    """One training run."""

    name: str
    description: str = ""
    scenario: str = "default"
    verticals: Literal["scenario", "all"] = "scenario"
    """`all` trains on held-out markets' verticals too: only to measure what not having seen them costs."""
    seed: Annotated[int, Field(ge=0, lt=1 << 31)] = 0
    base_team: str = "certainty-equivalent"
    """Scripted team that drives the roles which do not learn."""
    orchestrator: Literal["base", "critic"] = "base"
    """Who directs the trained team: the base team's, or one that splits budgets by the run's critic. Flights
    that are learned from have the base team's: a critic that moved money by itself would chase its tail."""
    attribution: str | None = None
    """Model of the sixth role, which the team then has; wants a scenario with journeys. With
    `networks.credit` the networks see what it says, else they hear of it by the desk's scores alone."""
    learned_roles: tuple[LearnedRole, ...] = ("creative", "bidding")
    critic: CriticKind = "shared"
    """`shared` sees the whole market and its hidden truth; `unprivileged` only what is observable;
    `independent` is one network per role that sees its own campaign."""
    prior_markets: Annotated[int, Field(ge=0, le=MOST_PRIOR_MARKETS)] = 1024
    """Training markets whose truth teaches the desk's prior on creatives; 0 = it starts from briefs alone."""
    networks: NetworkSettings = NetworkSettings()
    ppo: PpoSettings = PpoSettings()
    teacher: TeacherSettings = TeacherSettings()
    sampling: Sampling = Sampling()
    num_learners: Annotated[int, Field(ge=0, le=64)] = 0
    iterations: Annotated[int, Field(ge=1)] = 400
    time_budget_seconds: Positive | None = None
    """Ends the run early, and the learning rate's schedule with it; without it a run is reproducible."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 10
    development: Development = Development()

    @model_validator(mode="after")
    def _check(self) -> TrainingConfiguration:
        if not self.learned_roles or len(set(self.learned_roles)) < len(self.learned_roles):
            raise ValueError("learned_roles must name some of creative, bidding and orchestrator, each once")
        if self.networks.monolithic and not {*ROLES_OF_CAMPAIGNS} <= {*self.learned_roles}:
            raise ValueError(
                "networks.monolithic learns creative and bidding, but learned_roles is "
                f"{list(self.learned_roles)}"
            )
        if self.orchestrator == "critic" and "orchestrator" in self.learned_roles:
            raise ValueError("orchestrator is 'critic', but learned_roles has one that learns: choose one")
        if self.base_team not in (names := [*team_names(), *rule_names()]):
            raise ValueError(str(UnknownNameError("team", self.base_team, names)))
        self._check_attribution()
        if (self.teacher.foretelling > 0.0) != self.networks.foretells:
            raise ValueError("teacher.foretelling and networks.foretells want one another")
        rows, row = self.sampling.markets, "flights (a recurrent actor learns from whole ones)"
        if not self.networks.memory:
            rows, row = rows * load_scenario(self.scenario).intervals, "rows"
        if self.ppo.minibatches > rows:
            raise ValueError(f"ppo.minibatches is {self.ppo.minibatches}, but an iteration has {rows} {row}")
        if self.num_learners > 1 and self.sampling.markets % self.num_learners:
            raise ValueError(f"sampling.markets must be a multiple of num_learners ({self.num_learners})")
        return self

    def _check_attribution(self) -> None:
        if self.attribution is None:
            if self.networks.credit:
                raise ValueError(
                    "networks.credit wants attribution: nobody else tells the networks of credit"
                )
            return
        if self.attribution not in MODELS:
            raise ValueError(str(UnknownNameError("attribution", self.attribution, list(MODELS))))
        if load_scenario(self.scenario).journeys is None:
            raise ValueError(
                f"attribution is {self.attribution!r}, but scenario {self.scenario!r} has no journeys; "
                "one that has is 'attribution'"
            )

    def load_scenario(self) -> Scenario:
        """The scenario it trains on."""
        scenario = load_scenario(self.scenario)
        return with_all_verticals(scenario) if self.verticals == "all" else scenario

    @property
    def actor_modules(self) -> dict[str, tuple[LearnedRole, ...]]:
        """The RLModules that act, and the roles of each: one a role, or both of a campaign's in one."""
        alone: dict[str, tuple[LearnedRole, ...]] = {role: (role,) for role in self.learned_roles}
        if not self.networks.monolithic:
            return alone
        both = tuple(role for role in self.learned_roles if role in ROLES_OF_CAMPAIGNS)
        return {TEAM: both} | {role: one for role, one in alone.items() if role not in both}

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits over all settings but seed and name: which experiment this is."""
        exclude: dict[str, Any] = dict.fromkeys(("name", "description", "seed"), True)
        if self.attribution is None:  # as before there was any
            exclude |= {"attribution": True, "networks": {"credit"}}
        if not self.sampling.overlap:  # nor that
            exclude |= {"sampling": {"overlap"}}
        settings = self.model_dump(mode="json", exclude=exclude)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]

    def to_yaml(self) -> str:
        """The resolved configuration, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_training(
    name_or_path: str | Path, overrides: Iterable[str] = (), seed: int | None = None
) -> TrainingConfiguration:
    """A configuration by its name in `configs/training` or its path, with `key=value` overrides.

    Raises:
        UnknownNameError: no such configuration; the valid names are listed.
        ConfigurationError: it is not valid; file, line, key path and value are named.
    """
    path = resolve_named("training configuration", "training", name_or_path)
    extra = [] if seed is None else [f"seed={seed}"]
    return validate(TrainingConfiguration, apply_overrides(load_yaml(path), [*overrides, *extra]), str(path))
