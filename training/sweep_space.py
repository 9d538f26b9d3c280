"""What a sweep varies: parameters as lists or ranges, and the points that are tried."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from envs.errors import ConfigurationError

Point = dict[str, str | float]
"""A value for every parameter, by its key; text is read as YAML, as with `--set`."""
MOST_POINTS: Final = 1024


@dataclass(frozen=True)
class Choices:
    """A parameter that takes one of a few values."""

    key: str
    values: tuple[str, ...]

    def draw(self, random: np.random.Generator) -> str:
        """One of the values, all alike."""
        return self.values[int(random.integers(len(self.values)))]


@dataclass(frozen=True)
class Range:
    """A positive number between two others, drawn so that each factor of ten has the same share."""

    key: str
    low: float
    high: float

    def draw(self, random: np.random.Generator) -> float:
        """A number of the range."""
        return float(math.exp(random.uniform(math.log(self.low), math.log(self.high))))

    def clamped(self, value: float) -> float:
        """The nearest number of the range."""
        return min(max(value, self.low), self.high)


Parameter = Choices | Range


def parse_parameter(text: str) -> Parameter:
    """A parameter as the command line gives it: `KEY=V1,V2,…` or `KEY=LOW..HIGH`.

    Raises:
        ConfigurationError: it is neither.
    """
    key, equals, given = (part.strip() for part in text.partition("="))
    if not key or not equals or not given:
        raise ConfigurationError(f"--parameter {text!r}: expected KEY=V1,V2,… or KEY=LOW..HIGH")
    if ".." in given:
        try:
            low, high = (float(end) for end in given.split(".."))
        except ValueError as error:
            raise ConfigurationError(f"--parameter {text!r}: a range is LOW..HIGH, two numbers") from error
        if not 0 < low < high < math.inf:
            raise ConfigurationError(f"--parameter {text!r}: a range goes up, from above 0, as in 1e-4..1e-2")
        return Range(key, low, high)
    values = _split(given)
    if "" in values or len(set(values)) < len(values):
        raise ConfigurationError(f"--parameter {text!r}: a value is empty or there twice")
    return Choices(key, values)


def parse_parameters(texts: Sequence[str]) -> tuple[Parameter, ...]:
    """All parameters of a sweep.

    Raises:
        ConfigurationError: there is none, one is malformed, or a key is there twice.
    """
    parameters = tuple(parse_parameter(text) for text in texts)
    keys = [parameter.key for parameter in parameters]
    if not keys:
        raise ConfigurationError("a sweep needs a --parameter, as in ppo.creative_learning_rate=1e-3,3e-3")
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigurationError(f"--parameter {twice[0]} is there twice: give all its values at once")
    return parameters


def points(parameters: Sequence[Parameter], samples: int | None, seed: int) -> list[Point]:
    """The points to try, no two alike: the whole grid, or `samples` drawn by the seed.

    A grid no larger than `samples` is tried whole.

    Raises:
        ConfigurationError: a range without `samples`, or too large a grid.
    """
    grid = [parameter for parameter in parameters if isinstance(parameter, Choices)]
    size = math.prod(len(choices.values) for choices in grid)
    if len(grid) == len(parameters) and size <= (samples or MOST_POINTS):
        keys = [choices.key for choices in grid]
        return [
            dict(zip(keys, values, strict=True))
            for values in itertools.product(*(choices.values for choices in grid))
        ]
    if samples is None:
        told = "a range" if len(grid) < len(parameters) else f"a grid of {size} points"
        raise ConfigurationError(f"{told} needs --samples: how many points are to be drawn?")
    random, drawn = np.random.default_rng(seed), dict[tuple[str | float, ...], Point]()
    while len(drawn) < samples:
        point = {parameter.key: parameter.draw(random) for parameter in parameters}
        drawn.setdefault(tuple(point.values()), point)
    return list(drawn.values())


def overrides(point: Point) -> list[str]:
    """A point as `--set` would give it."""
    return [f"{key}={value}" for key, value in point.items()]


def _split(text: str) -> tuple[str, ...]:
    """Cuts at commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(part.strip() for part in parts)
