"""Conformance of every scenario in `configs/scenarios`: it plays, and its splits differ as they should."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from support.markets import RandomTeam

from envs.catalogue import INCIDENT_KINDS, VERTICALS
from envs.constants import constants_of
from envs.generator import draw_markets
from envs.market import Observations, VectorMarket
from envs.observation import SCHEMAS
from envs.scenario import Scenario, load_scenario, scenario_names
from envs.seeds import SPLITS, Split, market_seeds
from envs.state import Float

ONE_INCIDENT = tuple(kind.replace("_", "-") for kind in INCIDENT_KINDS[1:])
"""Scenarios about one kind of incident, which is the same in every split."""


@cache
def short(name: str) -> Scenario:
    """The scenario for a quarter of an ordinary flight."""
    return load_scenario(name).model_copy(update={"intervals": 12})


def seen_within_bounds(observations: Observations) -> None:
    for role, schema in SCHEMAS.items():
        view = getattr(observations, role)
        assert view.dtype == np.float32
        assert np.isfinite(view).all()
        assert (view >= schema.low).all() and (view <= schema.high).all()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_plays_on_every_split(name: str, split: Split) -> None:
    """Random actions over the whole of every space: finite rewards, observations in bounds, budgets kept."""
    market, team = VectorMarket(short(name), 2, split=split), RandomTeam(3)
    seen_within_bounds(market.reset(market_seeds(split, 4, 0, 2)))
    total = market.parameters.budget_usd.sum(1)
    spent, wins, step = np.zeros_like(market.parameters.budget_usd), 0.0, None
    for _ in range(market.scenario.intervals):
        step = market.step(team(market))
        seen_within_bounds(step.observations)
        assert all(np.isfinite(reward).all() for reward in step.rewards)
        spent += step.outcome.spend_usd.sum((2, 3))
        wins += step.outcome.wins.sum()
        left = market.market_state.budget_left_usd
        assert (left >= 0.0).all()
        np.testing.assert_allclose(spent + left, market.feed.budget_usd, rtol=1e-9)
        np.testing.assert_allclose(market.feed.budget_usd.sum(1), total, rtol=1e-9)
    assert step is not None and step.terminated
    assert wins > 0


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_has_a_paragraph(name: str) -> None:
    """What it is for and what differs, in at least two sentences."""
    assert load_scenario(name).description.count(". ") >= 1


def test_scenarios_differ_in_kind() -> None:
    """No two scenarios are the same market under two names."""
    told = {
        name: load_scenario(name).model_dump(exclude={"name", "description"}) for name in scenario_names()
    }
    assert all(told[one] != told[other] for one, other in combinations(told, 2))


@pytest.mark.parametrize("name", scenario_names())
def test_training_and_development_share_a_regime_and_no_market(name: str) -> None:
    scenario = short(name)
    drawn = {split: draw_markets(market_seeds(split, 0, 0, 64), scenario, split)[0] for split in SPLITS}
    assert not np.intersect1d(drawn["train"].seed, drawn["development"].seed).size
    assert not np.intersect1d(drawn["train"].seed, drawn["held_out"].seed).size
    for split in ("train", "development"):
        assert {VERTICALS[v] for v in drawn[split].vertical.ravel()} == set(scenario.verticals)
    same_seeds = market_seeds("train", 0, 0, 4)
    for one, other in zip(
        draw_markets(same_seeds, scenario, "train")[0],
        draw_markets(same_seeds, scenario, "development")[0],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def _prices(scenario: Scenario, held_out: bool) -> Float:
    """[P, Q]"""
    return constants_of(scenario, held_out).price_quantile


@pytest.mark.parametrize("name", scenario_names())
def test_held_out_markets_are_of_another_regime(name: str) -> None:
    """Verticals, price level, the price table of every placement and kinds of incident are new."""
    scenario = load_scenario(name)
    assert set(scenario.held_out.verticals) - set(scenario.verticals)
    assert scenario.held_out.price_shift != 0.0
    trained, held_out = _prices(scenario, False), _prices(scenario, True)
    for table in held_out:
        assert not any(np.array_equal(table, known) for known in trained)
    new_kinds = set(scenario.held_out.incident_kinds) - set(scenario.incidents.kinds)
    assert bool(new_kinds) == (name not in ONE_INCIDENT)


@pytest.mark.parametrize("name", ONE_INCIDENT)
def test_an_incident_scenario_holds_its_incident_and_no_other(name: str) -> None:
    scenario = load_scenario(name)
    kind = name.replace("-", "_")
    assert scenario.incidents.kinds == scenario.held_out.incident_kinds == (kind,)
    assert scenario.incidents.incident_probability == 1.0
