from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.markets import tiny
from typer.testing import CliRunner

from envs.benchmark import AUCTIONNET, LAST_SHARE, Plan, lasting_multiplier, measure, prepared
from envs.benchmark_report import market_report
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from interlude import app

RATES = ("market_steps_per_second", "auctions_per_second", "bids_per_second", "impressions_per_second")


def test_the_command_measures_the_market_and_says_so_in_json() -> None:
    result = CliRunner().invoke(app, ["benchmark", "market", "--quick", "--json", "-"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["market"]
    plan, courses = Plan.quick(), found["courses"]
    assert [course["scenario"] for course in courses] == ["default", AUCTIONNET]
    for course, batches in zip(courses, (plan.batches, plan.large_batches), strict=True):
        asked = [(b, threads) for b in batches for threads in plan.threads if threads <= b]
        assert [(pace["batch_size"], pace["threads"]) for pace in course["paces"]] == asked
        assert set(course["two_threads_over_one"]) == {str(b) for b in batches if b > 1}
        assert all(pace[rate] > 0 for pace in course["paces"] for rate in RATES)
        for pace in course["paces"]:
            assert pace["impressions_per_second"] < pace["bids_per_second"]
            sold = pace["auctions_per_second"] / pace["market_steps_per_second"]
            assert sold == pytest.approx(course["opportunities_per_interval"], rel=0.5)
        roof = course["roofline"]
        assert roof["memory_bound_steps_per_second"] > 0 and roof["compute_bound_steps_per_second"] > 0
        assert set(roof["operations"]) == set(found["operations_counted"])
        assert course["python_auctions_per_second"] < course["numpy_auctions_per_second"]
        assert 0 < course["spent_fraction"] <= LAST_SHARE
    assert [(pace["campaigns"], pace["rivals"]) for pace in found["bidders"]] == [*plan.bidders]
    assert found["pettingzoo_steps_per_second"] > 0 and found["memory"]["array_bytes"] > 0
    assert found["machine"]["processor"] and found["machine"]["cores"] > 0
    for target in found["targets"]:
        enough = target["measured"] >= target["target"]
        assert target["met"] == (not enough if "bytes" in target["name"] else enough)


def test_the_report_names_what_was_measured() -> None:
    plan = replace(Plan.quick(), batches=(2,), bidders=((2, 5),))
    said: list[str] = []
    speed = measure(plan, "quick", said.append)
    text = market_report(speed)
    for word in ("quick", AUCTIONNET, "market-steps/s", "PettingZoo", "roofline", "plain Python", "load"):
        assert word in text
    assert len(said) == 5


def test_budgets_last_with_the_multiplier_found_and_not_with_more() -> None:
    scenario = tiny(intervals=12, opportunities_per_interval=200)
    low, spent = lasting_multiplier(scenario)
    assert 0.5 < spent <= LAST_SHARE
    market = VectorMarket(scenario, 8)
    market.reset(market_seeds("train", 1, 0, 8))
    actions = prepared(scenario, 8, low + 0.5)
    while not market.step(actions).terminated:
        pass
    assert (market.feed.spend_usd / market.feed.budget_usd).mean() > LAST_SHARE


def test_a_shorter_flight_is_the_same_scenario_otherwise() -> None:
    plan = Plan()
    assert plan.intervals is None and load_scenario(AUCTIONNET).rivals.count == 48
    assert np.all(np.diff(plan.batches) > 0)
