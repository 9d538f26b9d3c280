from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.markets import tiny

from envs.configuration import load_yaml, validate
from envs.errors import ConfigurationError, UnknownNameError
from envs.paths import configs_directory
from envs.price_landscape import IPINYOU
from envs.scenario import Scenario, load_scenario, scenario_names


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_is_named_like_its_file_and_says_what_it_is(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.description.endswith(".")
    assert "\n" not in scenario.description


def test_a_scenario_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ndescription: my own.\nintervals: 5\nlisteners: {count: 20}\n")
    scenario = load_scenario(str(file))
    assert (scenario.intervals, scenario.listeners.count) == (5, 20)
    file.write_text("name: mine\ndescription: changed.\n")
    assert load_scenario(str(file)).description == "changed."


def test_unknown_scenario_names_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match="default") as caught:
        load_scenario("defualt")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("intervalls: 5", "intervals"),
        ("intervals: 0", "greater than or equal to 1"),
        ("intervals: -3", "greater than or equal to 1"),
        ("intervals: many", "integer"),
        ("campaigns: 5", "less than or equal to 4"),
        ("budget_fraction: 0", "greater than 0"),
        ("budget_fraction: -1", "greater than 0"),
        ("budget_fraction: .nan", "budget_fraction"),
        ("budget_fraction: .inf", "budget_fraction"),
        ("verticals: [retial]", "retail"),
        ("auction: {pricing: third_price}", "first_price"),
        ("auction: {reserve_fraction: [0.1, 0.1]}", "reserve_fraction"),
        ("auction: {reserve_fraction: [-0.1, 0.1, 0.1]}", "reserve_fraction"),
        ("auction: {probability_within_table: [0.1, 1.2, 0.1]}", "probability_within_table"),
        ("listeners: {count: 3}", "listeners.count"),
        ("verticals: []", "at least 1 item"),
        ("held_out: {verticals: []}", "at least 1 item"),
        ("held_out: {price_shift: 4}", "held_out.price_shift"),
        ("held_out_verticals: [retail]", "held_out"),
        ("placement_share: [0.5, 0.5, 0.5]", "add up to 1, got (0.5, 0.5, 0.5)"),
        ("placement_share: [1.0, 0.0, 0.0]", "greater than 0"),
        ("budget_fraction: 1e7", "less than or equal to"),
        ("auction: {price_level_usd: 1e9}", "price_level_usd"),
        ("auction: {placement_price: [1, 1, 1000]}", "placement_price"),
        ("rivals: {daily_budget_fraction: 1e7}", "daily_budget_fraction"),
        ("response: {format_sd: 5}", "format_sd"),
        ("values: {conversion_usd: 1e9}", "conversion_usd"),
    ],
)
def test_a_bad_value_is_refused_where_it_stands(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(f"name: bad\ndescription: bad.\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"bad\.yaml:3") as caught:
        load_scenario(str(file))
    assert says in str(caught.value)


@pytest.mark.parametrize("changes", [{"intervals": 0}, {"budget_fraction": float("nan")}, {"campaigns": 0}])
def test_the_class_refuses_the_same(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tiny(**changes)


def test_scenarios_do_not_change() -> None:
    with pytest.raises(ValidationError):
        tiny().intervals = 3  # type: ignore[misc]


def test_the_price_landscape_is_the_shipped_one_or_a_file(tmp_path: Path) -> None:
    assert tiny(held_out={"price_landscape": ("ipinyou",) * 3}).landscapes(held_out=True) == [IPINYOU] * 3
    file = tmp_path / "prices.json"
    file.write_text('{"quantile": [0.5, 1.5], "probability_within_table": 0.4, "source": "a test"}')
    scenario = tiny(auction={"price_landscape": ("ipinyou", str(file), "ipinyou-exchange-1")})
    first, own, last = scenario.landscapes()
    assert first is IPINYOU
    assert own.quantile.tolist() == [0.5, 1.5]
    assert not np.array_equal(last.quantile, IPINYOU.quantile)


def test_yaml_files_hold_nothing_but_what_they_change() -> None:
    for path in (configs_directory() / "scenarios").glob("*.yaml"):
        values = load_yaml(path)
        default = Scenario(name="", description="").model_dump()
        same = [key for key, value in values.items() if default[key] == value]
        assert not same, f"{path.name} repeats the default of {same}"
        validate(Scenario, values, path)
