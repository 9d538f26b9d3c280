"""The tables of the event log against the outcomes they tell of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.event_logs import MARKETS, columns, logged
from support.markets import RandomTeam, leaves, quiet, started, tiny

from envs import constants as con
from envs.event_log import EventLog, read_table
from envs.market import VectorMarket
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Outcome

VARIANTS = {
    "second price": tiny(campaigns=3, opportunities_per_interval=80, budget_fraction=0.5),
    "first price, budgets that end": tiny(auction={"pricing": "first_price"}, budget_fraction=0.02),
    "pods": tiny(
        campaigns=4,
        opportunities_per_interval=80,
        auction={"pricing": "vcg", "slots": (3, 2, 1), "probability_within_table": (0.5, 0.7, 0.9)},
    ),
    "incidents": tiny(opportunities_per_interval=80, incidents={"incident_probability": 1.0}),
}


def summed(rows: dict[str, Any], name: str, shape: tuple[int, ...], *by: str) -> np.ndarray:
    """Σ of a column by some others; nulls count nothing."""
    total = np.zeros(shape)
    np.add.at(total, tuple(rows[key] for key in by), np.nan_to_num(np.asarray(rows[name], float)))
    return total


@pytest.mark.parametrize("scenario", VARIANTS.values(), ids=VARIANTS)
def test_the_ledger_reconciles_with_the_log(scenario: Scenario, tmp_path: Path) -> None:
    market, outcomes = logged(scenario, tmp_path)
    bids, cells, segments = (columns(tmp_path, name) for name in ("bids", "cells", "segments"))
    bids["made"], bids["wins"] = np.ones(len(bids["status"])), bids["status"] == 1
    axes = ("market", "interval", "campaign", "segment", "placement")
    told = Outcome(*(np.stack(arrays, 1) for arrays in zip(*outcomes, strict=True)))
    for column, field in (
        ("made", "bids"),
        ("wins", "wins"),
        ("truth_completions", "completions"),
        ("skips", "skips"),
        ("dislikes", "dislikes"),
        ("truth_clicks", "clicks"),
    ):
        of_outcome = getattr(told, field)
        assert of_outcome.sum() > 0 or field == "dislikes"
        np.testing.assert_array_equal(summed(bids, column, of_outcome.shape, *axes), of_outcome)
        name = column if column in cells else field
        np.testing.assert_array_equal(summed(cells, name, of_outcome.shape, *axes), of_outcome)
    for column, field in (("paid_usd", "spend_usd"), ("bid_usd", "bid_usd")):
        of_outcome = getattr(told, field)
        np.testing.assert_allclose(
            summed(bids, column, of_outcome.shape, *axes), of_outcome, rtol=1e-12, atol=1e-9
        )
        np.testing.assert_array_equal(summed(cells, field, of_outcome.shape, *axes), of_outcome)
    caused = told.conversions_caused
    np.testing.assert_array_equal(summed(bids, "truth_conversions", caused.shape, *axes[:4]), caused)
    np.testing.assert_array_equal(summed(segments, "conversions", caused.shape, *axes[:4]), told.conversions)

    accounts = columns(tmp_path, "accounts")
    shape = told.spend_usd.shape[:3]
    paid = summed(bids, "paid_usd", shape, *axes[:3])
    np.testing.assert_allclose(summed(accounts, "spend_usd", shape, *axes[:3]), paid, rtol=0, atol=0.005)
    before = summed(accounts, "left_before_usd", shape, *axes[:3])
    left = summed(accounts, "left_usd", shape, *axes[:3])
    np.testing.assert_allclose(before - left, paid, rtol=0, atol=0.005)
    # Directives move budgets between campaigns and never make money.
    budget = market.parameters.budget_usd.sum(1)
    np.testing.assert_allclose(budget - left[:, -1].sum(1), paid.sum((1, 2)), rtol=0, atol=0.005)


@pytest.mark.parametrize("scenario", VARIANTS.values(), ids=VARIANTS)
def test_logging_changes_nothing(scenario: Scenario) -> None:
    plain = started(scenario, MARKETS)
    keeping = [VectorMarket(scenario, MARKETS, log=True, threads=threads) for threads in (1, 2)]
    for market in keeping:
        market.reset(market_seeds("train", 0, 0, MARKETS))
    team = RandomTeam()
    for _ in range(scenario.intervals):
        steps = [market.step(team(market)) for market in (plain, *keeping)]
        for one, *others in zip(*map(leaves, ((s.observations, s.outcome) for s in steps)), strict=True):
            for other in others:
                np.testing.assert_array_equal(one, other)
        for one, other in zip(*(leaves(plain_bids(market)) for market in keeping), strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(leaves(plain.market_state), leaves(keeping[0].market_state), strict=True):
        np.testing.assert_array_equal(one, other)
    assert plain.bids == []


def plain_bids(market: VectorMarket) -> tuple[Any, ...]:
    return tuple(tuple(rows) for rows in market.bids)


def test_rows_stand_in_order_of_interval_market_and_arrival(tmp_path: Path) -> None:
    logged(VARIANTS["pods"], tmp_path)
    bids = columns(tmp_path, "bids")
    keys = np.stack([bids[name] for name in ("interval", "market", "opportunity")], 1)
    assert (np.lexsort(keys.T[::-1]) == np.arange(len(keys))).all()


def test_an_outage_hides_completions_and_clicks_but_not_the_truth(tmp_path: Path) -> None:
    market = VectorMarket(tiny(opportunities_per_interval=300, budget_fraction=50.0), 1, log=True)
    market.reset(market_seeds("train", 0, 0, 1))
    m = market.parameters
    m.incident_kind[:] = [[con.TRACKING_OUTAGE, 0]]
    m.incident_start[:], m.incident_length[:], m.incident_placement[:] = 1, 1, 1
    with EventLog(tmp_path, "random", market) as events:
        for _ in range(2):
            actions = quiet(market)._replace(bidding=quiet(market).bidding + 1.0)
            market.step(actions)
            events.add(actions)
    bids, incidents = columns(tmp_path, "bids"), read_table(tmp_path, "incidents", "random").to_pylist()
    hidden = (bids["interval"] == 1) & (bids["placement"] == 1) & (bids["status"] == 1)
    seen = (bids["status"] == 1) & ~hidden
    assert hidden.sum() > 3
    assert np.isnan(bids["completions"][hidden]).all() and np.isnan(bids["clicks"][hidden]).all()
    assert bids["truth_completions"][hidden].sum() > 0
    np.testing.assert_array_equal(bids["completions"][seen], bids["truth_completions"][seen])
    assert [(row["truth_kind"], row["truth_placement"], row["truth_campaign"]) for row in incidents] == [
        ("tracking_outage", "podcast_break", None)
    ]


def test_messages_and_decisions_are_logged(tmp_path: Path) -> None:
    scenario = tiny(intervals=2)
    market, _ = logged(scenario, tmp_path)
    messages = read_table(tmp_path, "messages", "random").to_pylist()
    directive = [
        row for row in messages if (row["market"], row["interval"], row["field"]) == (2, 1, "budget_share")
    ]
    assert [row["sender"] for row in directive] == ["orchestrator_0"]
    assert directive[0]["value"] == market.board.directive.budget_share[2, : scenario.campaigns].tolist()
    decisions = columns(tmp_path, "creative_decisions")
    last = decisions["interval"] == 1
    np.testing.assert_array_equal(decisions["log_propensity"], 0.0)
    np.testing.assert_array_equal(
        decisions["trafficked_format"][~last], columns(tmp_path, "segments")["format"][last]
    )
    bidding = read_table(tmp_path, "bidding_decisions", "random")
    assert len(bidding["log_multipliers"][0]) == 8
