"""What credit is worth: the same team under each attribution model and under true credit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from envs.protocol import ATTRIBUTION
from envs.scenario import Scenario
from envs.state import Float
from evaluation.intervals import MarketBootstrap
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, play
from policies.attribution.agent import MEASURES, TRUTH, Attribution, TrueCredit
from policies.attribution.models import MODELS
from policies.registry import make_team
from policies.team import Team

WASTED: Final = "market/wasted_usd"
NOBODY: Final = "none"
"""The team without the role."""
MUTE: Final = "hold-out alone"
"""Ghost ads whose lesson nobody hears: what the best hold-out costs."""


class Silent(Attribution):
    """Holds out as a measuring model does, and never says what it found."""

    def __init__(self) -> None:
        """As the model that measures."""
        super().__init__(MEASURES[0], every_days=1e6)


VARIANTS: Final = (NOBODY, TRUTH, *MODELS, MUTE)


def team_of(name: str, variant: str) -> Team:
    """The team with one attribution, or none."""
    policies = dict(make_team(name).policies)
    if variant == TRUTH:
        policies[ATTRIBUTION] = TrueCredit()
    elif variant == MUTE:
        policies[ATTRIBUTION] = Silent()
    elif variant != NOBODY:
        policies[ATTRIBUTION] = Attribution(variant)
    return Team(f"{name}+{ATTRIBUTION}={variant}", policies)


def played(task: tuple[str, Scenario, str, int, int]) -> tuple[Float, Float]:
    """[n] objective and [n] wasted spend: (team, scenario, variant, first market, how many)."""
    name, scenario, variant, first, count = task
    course = Course(scenario, "held_out", num_markets=count, first_market=first)
    found = play(team_of(name, variant), course).metrics
    return found[OBJECTIVE], found[WASTED]


def table(objective: Mapping[str, Float], wasted: Mapping[str, Float]) -> dict[str, Any]:
    """Figures by variant, each [n] on the same markets; intervals over markets, in pairs.

    Lifts are over the team without attribution; the share of the gain is of what true credit gains.
    """
    names = list(objective)
    bootstrap = MarketBootstrap(np.stack([objective[name] for name in names]))
    waste = MarketBootstrap(np.stack([wasted[name] for name in names]))
    base, true = names.index(NOBODY), names.index(TRUTH)
    rows: dict[str, Any] = {}
    for n, name in enumerate(names):
        rows[name] = {
            "objective_usd": float(objective[name].mean()),
            "lift": bootstrap.lift(n, base).listed(),
            "over_truth": bootstrap.lift(n, true).listed(),
            "share_of_true_gain": bootstrap.share_of_gain(n, true, base).listed(),
            "wasted_usd": float(wasted[name].mean()),
            "wasted_difference_usd": waste.difference(n, base).listed(),
        }
    true_gain = bootstrap.lift(true, base)
    return {"variants": rows, "true_gain_is_sure": bool(true_gain.low > 0.0)}
