"""The event log on disc: whole or not at all, and as documented."""

from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from support.event_logs import logged
from support.markets import quiet, started, tiny

from envs.errors import ConfigurationError, InterludeError, UnknownNameError
from envs.event_log import EventLog, read_table, run_names
from envs.event_rows import schema_of
from envs.event_schema import TABLES, event_log_text
from envs.market import VectorMarket
from envs.seeds import market_seeds


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


def test_a_log_of_another_version_is_named(tmp_path: Path) -> None:
    logged(tiny(), tmp_path)
    path = tmp_path / "run=random" / "part=000000" / "bids.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["wish_usd"]), path)
    with pytest.raises(ConfigurationError, match=r"bids\.parquet has no column wish_usd"):
        read_table(tmp_path, "bids", "random")
