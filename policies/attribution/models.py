"""Attribution models by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from envs.errors import UnknownNameError
from policies.attribution import rules
from policies.attribution.incrementality import Incrementality
from policies.attribution.journeys import AttributionModel
from policies.attribution.logistic import Logistic
from policies.attribution.markov import Markov
from policies.attribution.rules import Rule
from policies.attribution.shapley import Shapley
from policies.attribution.survival import Survival
from policies.attribution.windows import DEFAULT_WINDOWS, Windows

HALF_LIFE_HOURS: Final = 7 * 24.0


def _time_decay(windows: Windows) -> Rule:
    return Rule("time-decay", rules.time_decay(HALF_LIFE_HOURS), windows)


def _incrementality(windows: Windows) -> Incrementality:
    """With bases of three kinds: a hazard, a rule and a regression."""
    bases = (Survival(windows=windows), _time_decay(windows), Logistic(windows=windows))
    return Incrementality(bases=bases, windows=windows)


MODELS: Final[dict[str, Callable[[Windows], AttributionModel]]] = {
    "last": lambda windows: Rule("last", rules.last, windows),
    "first": lambda windows: Rule("first", rules.first, windows),
    "linear": lambda windows: Rule("linear", rules.linear, windows),
    "time-decay": _time_decay,
    "position": lambda windows: Rule("position", rules.position, windows),
    "shapley": lambda windows: Shapley(windows=windows),
    "markov": lambda windows: Markov(windows=windows),
    "logistic": lambda windows: Logistic(windows=windows),
    "survival": lambda windows: Survival(windows=windows),
    "incrementality": _incrementality,
}
"""Factories of every model, each with the windows it is given."""


def make_model(name: str, windows: Windows = DEFAULT_WINDOWS) -> AttributionModel:
    """A model by name.

    Raises:
        UnknownNameError: no such model; the valid names are listed.
    """
    if name not in MODELS:
        raise UnknownNameError("attribution model", name, MODELS)
    return MODELS[name](windows)
