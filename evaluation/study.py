"""What a study is: variants of the team, each played (and trained, where it learns) on the same scenarios."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from envs.configuration import apply_overrides, load_yaml, resolve_named, validate
from envs.errors import UnknownNameError
from envs.seeds import Split

Name = Annotated[str, Field(pattern=r"^\w[\w .,=-]*$", max_length=60)]
Role = Literal["audience", "creative", "bidding", "monitor", "orchestrator"]
LearnedRole = Literal["creative", "bidding"]
Seed = Annotated[int, Field(ge=0, lt=1 << 31)]


def as_settings(overrides: Mapping[str, JsonValue]) -> list[str]:
    """Overrides as `--set` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Part):
    """One way to build the team: a team or runs that exist, a training configuration, or roles of others."""

    description: str = ""
    team: str | None = None
    """A TEAM as `interlude evaluate` takes it."""
    runs: tuple[str, ...] = ()
    """Run directories or bundles: training runs of one method that differ in their seed."""
    training: str | None = None
    """A training configuration, by name or file; it is trained once for every seed of the study."""
    overrides: dict[str, JsonValue] = {}
    """Settings of the training configuration by dotted key, as in `ppo.gamma`."""
    compose: dict[LearnedRole, str] = {}
    """Roles that were trained apart: each from the run of another variant with the same seed. The first one's
    scripted roles play beside them."""
    replace: dict[Role, str] = {}
    """Roles taken from elsewhere once the team stands, as `+role=SOURCE` does."""

    @property
    def is_method(self) -> bool:
        """Whether it stands for training runs, so that an interval over runs has a meaning."""
        return self.team is None

    def replaced(self, team: str) -> str:
        """The TEAM argument of a team with the variant's roles replaced."""
        return "".join([team, *(f"+{role}={source}" for role, source in self.replace.items())])

    def settings(self) -> list[str]:
        """The overrides as `--set` takes them."""
        return as_settings(self.overrides)

    @model_validator(mode="after")
    def _check(self) -> Variant:
        given = [self.team is not None, bool(self.runs), self.training is not None, bool(self.compose)]
        if sum(given) != 1:
            raise ValueError("a variant has exactly one of team, runs, training, compose")
        if self.overrides and self.training is None:
            raise ValueError("overrides belong to a variant with training")
        return self


class Study(_Part):
    """Variants × seeds × scenarios, and where they are measured.

    What variants cost to train is made equal by `iterations` (the same samples for all) or, with iterations
    that nobody reaches, by `time_budget_seconds`; the table shows what each one took of both.
    """

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    description: str = ""
    baseline: str
    """The variant against which differences are shown."""
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]
    overrides: dict[str, JsonValue] = {}
    """Settings of every variant that is trained, by dotted key; the variant's own go before."""
    scenarios: Annotated[tuple[str, ...], Field(min_length=1)] = ("default",)
    """Names or files; every variant is measured on all of them."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """Of training: a variant that is trained is trained once for each."""
    split: Split = "held_out"
    markets: Annotated[int, Field(ge=2, le=65536)] = 256
    """Of every scenario, the same for all variants."""
    market_seed: Seed = 0
    sample: bool = False
    """Whether learned policies sample their actions instead of taking the likeliest."""

    @model_validator(mode="after")
    def _check(self) -> Study:
        if self.baseline not in self.variants:
            raise ValueError(str(UnknownNameError("baseline", self.baseline, list(self.variants))))
        trained = [name for name, variant in self.variants.items() if variant.training is not None]
        for name, variant in self.variants.items():
            for source in variant.compose.values():
                if source not in trained:
                    raise ValueError(
                        f"variants.{name}: {UnknownNameError('trained variant', source, trained)}"
                    )
        for field in ("seeds", "scenarios"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field} must differ from one another, got {list(values)}")
        return self

    def settings(self, variant: Variant) -> list[str]:
        """All overrides of a variant that is trained, as `--set` takes them."""
        return as_settings({**self.overrides, **variant.overrides})


def load_study(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Study:
    """A study by its name in `configs/studies` or its path, with `key=value` overrides.

    Raises:
        UnknownNameError: no such study; the valid names are listed.
        ConfigurationError: it is not valid; file, line, key path and value are named.
    """
    path = resolve_named("study", "studies", name_or_path)
    return validate(Study, apply_overrides(load_yaml(path), overrides), str(path))
