"""A scenario fitted to a user's own data: prices from an auction log, spreads from a listening history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from envs.catalogue import P
from envs.output import write_json, write_text_atomically
from envs.scenario import Scenario, load_scenario


class ListenerSpread(NamedTuple):
    """What a listening history tells about the differences between listeners."""

    activity_sd: float
    """Standard deviation of log plays a listener."""
    taste_sd: float
    """Standard deviation of log affinity over listeners for one campaign."""


def fitted_scenario(
    name: str,
    base: str,
    price_table: Path | None = None,
    probability_within_table: float | None = None,
    spread: ListenerSpread | None = None,
) -> dict[str, Any]:
    """The settings of scenario `base` with the fitted ones in their place, ready to be written as YAML.

    One log holds one market's prices, so its table stands for every placement, held-out markets included;
    the price level in USD stays, since a log says nothing of the currency.
    """
    settings = load_scenario(base).model_dump(mode="json", exclude_unset=True)
    fitted = []
    if price_table is not None:
        prices = settings.setdefault("auction", {})
        prices["price_landscape"] = [str(price_table.resolve())] * P
        settings.setdefault("held_out", {})["price_landscape"] = [str(price_table.resolve())] * P
        prices["probability_within_table"] = [probability_within_table] * P
        fitted.append("prices to an auction log")
    if spread is not None:
        listeners = settings.setdefault("listeners", {})
        listeners["activity_sd"] = round(spread.activity_sd, 4)
        listeners["taste_sd"] = round(spread.taste_sd, 4)
        fitted.append("listeners to a listening history")
    settings["name"] = name
    settings["description"] = f"The scenario {base} with {' and '.join(fitted)}."
    Scenario.model_validate(settings)
    return settings


def write_scenario(
    path: Path, base: str, landscape: dict[str, object] | None, spread: ListenerSpread | None
) -> None:
    """Writes the fitted scenario and, beside it, the price table that it refers to (`NAME.prices.json`).

    Args:
        path: the YAML file that `--scenario` takes.
        base: name or file of the scenario that gives everything else.
        landscape: what `envs.price_log.derive` gives; None leaves the prices.
        spread: of the listeners; None leaves them.

    Raises:
        UnknownNameError: no such base.
        InterludeError: a path cannot be written.
    """
    table, probability = None, None
    if landscape is not None:
        table = path.with_suffix(".prices.json")
        probability = float(str(landscape["probability_within_table"]))
    settings = fitted_scenario(path.stem, base, table, probability, spread)
    if table is not None:
        write_json(table, landscape)
    ordered = {key: settings.pop(key) for key in ("name", "description")} | settings
    write_text_atomically(path, yaml.safe_dump(json.loads(json.dumps(ordered)), sort_keys=False, width=100))
