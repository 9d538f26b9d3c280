"""What a scripted team is made of: its knobs, who builds it, what it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from policies.policy import Policy

Knobs = Mapping[str, float]

MODEL_FREE: Final = "model-free"
PART_MODEL_AWARE: Final = "part model-aware"
MODEL_AWARE: Final = "model-aware"
PRIVILEGED: Final = "privileged"


@dataclass(frozen=True)
class Knob:
    """A setting that `interlude tune-baselines` may move."""

    low: float
    high: float
    default: float
    log: bool = False


@dataclass(frozen=True)
class TeamSpec:
    """A scripted team."""

    description: str
    knowledge: str  # model-free, part model-aware, model-aware, privileged
    build: Callable[[Knobs], dict[str, Policy]]
    knobs: Mapping[str, Knob]


@dataclass(frozen=True)
class RuleSpec:
    """A rule for one role; as a team, the other roles are value-aware's."""

    role: str
    knowledge: str
    build: Callable[[Knobs], Policy]
    """Makes the policy from its own knobs over value-aware's."""
    knobs: Mapping[str, Knob]
    description: str


PACING: Final = {
    "initial_dual": Knob(0.2, 30.0, 2.0, log=True),
    "step": Knob(0.02, 0.4, 0.12, log=True),
    "tilt": Knob(-0.6, 0.6, 0.1),
}
"""Knobs of every pacer that follows what is spent."""
