"""The event log against the outcomes it tells of, whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from support.markets import RandomTeam, leaves, quiet, started, tiny

from envs import constants as con
from envs.errors import ConfigurationError, InterludeError, UnknownNameError
from envs.event_log import EventLog, column_of, read_table, run_names, schema_of
from envs.event_schema import TABLES, event_log_text
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
MARKETS = 5


def logged(scenario: Scenario, folder: Path, threads: int = 1) -> tuple[VectorMarket, list[Outcome]]:
    """A flight of random agents, logged as the run `random`."""
    market = VectorMarket(scenario, MARKETS, log=True, threads=threads)
    market.reset(market_seeds("train", 1, 0, MARKETS))
    team, outcomes = RandomTeam(), []
    with EventLog(folder, "random", market) as events:
        while market.interval < scenario.intervals:
            actions = team(market)._replace(bidding=quiet(market).bidding + 1.0)
            outcomes.append(market.step(actions).outcome)
            events.add(actions)
    return market, outcomes


def columns(folder: Path, table: str) -> dict[str, Any]:
    """All columns of the run as arrays, words as indices."""
    rows = read_table(folder, table, "random")
    return {
        column.name: column_of(rows, table, column.name)
        for column in TABLES[table].columns
        if column.kind not in ("text", "numbers")
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


def test_a_crash_leaves_nothing_that_a_reader_sees(tmp_path: Path) -> None:
    market = VectorMarket(tiny(), 1, log=True)
    market.reset(market_seeds("train", 0, 0, 1))
    with pytest.raises(ZeroDivisionError), EventLog(tmp_path, "broken", market) as events:
        market.step(quiet(market))
        events.add(quiet(market))
        raise ZeroDivisionError
    assert list((tmp_path / "run=broken").iterdir()) == []
    EventLog(tmp_path, "killed", market).__enter__()  # as after SIGKILL: never left
    for run in ("broken", "killed"):
        assert list(tmp_path.glob(f"run={run}/part=*")) == []
        with pytest.raises(ConfigurationError, match="no finished part"):
            read_table(tmp_path, "bids", run)


def test_a_part_is_written_once(tmp_path: Path) -> None:
    logged(tiny(), tmp_path)
    with pytest.raises(InterludeError, match="is there already"):
        logged(tiny(), tmp_path)
    assert [path.name for path in (tmp_path / "run=random").iterdir()] == ["part=000000"]


def test_a_market_that_keeps_nothing_cannot_be_logged(tmp_path: Path) -> None:
    with pytest.raises(InterludeError, match="log=True"):
        EventLog(tmp_path, "x", started(tiny()))


def test_files_have_the_documented_schema(tmp_path: Path) -> None:
    logged(tiny(), tmp_path)
    part = tmp_path / "run=random" / "part=000000"
    assert {path.name for path in part.iterdir()} == {f"{name}.parquet" for name in TABLES}
    text = event_log_text()
    for name, table in TABLES.items():
        schema = pq.read_schema(part / f"{name}.parquet")
        assert schema.equals(schema_of(name))
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for column in table.columns:
            told = schema.field(column.name).metadata
            assert told[b"truth"] == (b"true" if column.name.startswith("truth_") else b"false")
            assert f"| `{column.name}` |" in section


def test_unknown_tables_and_runs_are_met_with_what_there_is(tmp_path: Path) -> None:
    logged(tiny(), tmp_path)
    with pytest.raises(UnknownNameError, match="unknown table 'bid'"):
        read_table(tmp_path, "bid", "random")
    with pytest.raises(UnknownNameError, match="random"):
        read_table(tmp_path, "bids", "rando")


def test_several_parts_and_odd_names_are_one_run(tmp_path: Path) -> None:
    name = "pid+creative=a/b c.yaml"
    for first in (0, 3):
        market = VectorMarket(tiny(), 3, log=True)
        market.reset(market_seeds("train", 0, first, 3))
        with EventLog(tmp_path, name, market, first) as events:
            market.step(quiet(market))
            events.add(quiet(market))
    assert run_names(tmp_path) == [name]
    accounts = read_table(tmp_path, "accounts", name, ["market"])
    assert accounts["market"].unique().to_pylist() == list(range(6))
    files = sorted(map(str, tmp_path.glob("run=*/part=*/bids.parquet")))
    found = ds.dataset(files, partitioning=ds.partitioning(flavor="hive"), partition_base_dir=str(tmp_path))
    assert found.to_table(columns=["run"])["run"].unique().to_pylist() == [name]


def test_duckdb_reads_it(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    _, outcomes = logged(tiny(), tmp_path)
    query = f"SELECT run, sum(paid_usd) FROM read_parquet('{tmp_path}/run=*/part=*/bids.parquet', "
    ((run, paid),) = duckdb.sql(f"{query} hive_partitioning=true) GROUP BY ALL").fetchall()
    assert run == "random"
    assert paid == pytest.approx(sum(out.spend_usd.sum() for out in outcomes))


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
