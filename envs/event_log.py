"""The event log: what happened in a batch of markets, interval by interval, as Parquet.

`docs/event_log.md` describes the tables; a part of a log appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from envs.errors import ConfigurationError, InterludeError, UnknownNameError
from envs.event_rows import flight_tables, interval_tables, schema_of
from envs.event_schema import TABLES
from envs.market import VectorMarket
from envs.protocol import Actions
from envs.state import Float, Int

ROWS_A_GROUP: Final = 1 << 18


class EventLog:
    """Writes one part of a run's log: the flights of a batch of markets.

    A context manager, entered after the market's reset; `add` follows every step. The part appears when
    the block ends; an exception, or the end of the process, leaves nothing that a reader would see.
    """

    def __init__(
        self, directory: str | os.PathLike[str], run: str, market: VectorMarket, first_market: int = 0
    ) -> None:
        """A part that is not there yet.

        Args:
            directory: the log; runs are folders in it.
            run: name of the run, usually the team's.
            market: made with `log=True`, and reset.
            first_market: number in the run of the batch's first market.
        """
        if not market.constants.log:
            raise InterludeError("the market keeps no events: make it with VectorMarket(…, log=True)")
        self.part = _run_folder(directory, run) / f"part={first_market:06d}"
        self._temporary = self.part.with_name(f".{self.part.name}.{os.getpid()}.tmp")
        self._market, self._first = market, first_market
        self._waiting: dict[str, list[pa.Table]] = {name: [] for name in TABLES}
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> Self:
        """Opens a hidden folder, and logs what the markets are.

        Raises:
            InterludeError: the part is there already, or the folder cannot be written.
        """
        if self.part.exists():
            raise InterludeError(
                f"{self.part} is there already: an event log is written once, into a new folder"
            )
        try:
            self._temporary.mkdir(parents=True)
        except OSError as error:
            raise InterludeError(f"cannot write {self.part}: {error.strerror or error}") from error
        for name in TABLES:
            repeating = [
                column.name for column in TABLES[name].columns if column.kind not in ("number", "usd")
            ]
            self._writers[name] = pq.ParquetWriter(
                self._temporary / f"{name}.parquet",
                schema_of(name),
                compression="zstd",
                use_dictionary=repeating,
            )
        self._keep(flight_tables(self._market, self._first))
        return self

    def add(self, actions: Actions, log_propensity: Mapping[str, Any] | None = None) -> None:
        """Logs the interval that was just played.

        Args:
            actions: what the agents did in it.
            log_propensity: log-probabilities of what `creative` [B, C, S] and `bidding` [B, C] did; a role
                that is missing is deterministic, NaN is unknown.
        """
        self._keep(interval_tables(self._market, actions, log_propensity or {}, self._first))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Moves the finished part into its place, or clears it away."""
        try:
            for name, writer in self._writers.items():
                if error is None:
                    self._flush(name)
                writer.close()
            if error is None:
                self._publish()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _keep(self, tables: Mapping[str, pa.Table]) -> None:
        for name, table in tables.items():
            self._waiting[name].append(table)
            if sum(map(len, self._waiting[name])) >= ROWS_A_GROUP:
                self._flush(name)

    def _flush(self, name: str) -> None:
        if self._waiting[name]:
            self._writers[name].write_table(pa.concat_tables(self._waiting[name]).combine_chunks())
            self._waiting[name].clear()

    def _publish(self) -> None:
        try:
            for path in self._temporary.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            self._temporary.rename(self.part)
        except OSError as failure:
            raise InterludeError(f"cannot write {self.part}: {failure.strerror or failure}") from failure


def _run_folder(directory: str | os.PathLike[str], run: str) -> Path:
    return Path(directory) / f"run={quote(run, safe='+')}"


def run_names(directory: str | os.PathLike[str]) -> list[str]:
    """The runs of a log, sorted."""
    return sorted(unquote(path.name.removeprefix("run=")) for path in Path(directory).glob("run=*"))


def read_table(
    directory: str | os.PathLike[str], table: str, run: str, columns: Iterable[str] | None = None
) -> pa.Table:
    """A table of one run, in order of market.

    Args:
        directory: the log.
        table: one of `envs.event_schema.TABLES`.
        run: its name.
        columns: which ones; all if None.

    Raises:
        UnknownNameError: no such table, or no such run in the log.
        ConfigurationError: the run has no finished part, or a file of it is damaged.
    """
    if table not in TABLES:
        raise UnknownNameError("table", table, TABLES)
    if run not in run_names(directory):
        raise UnknownNameError(f"run in the event log {os.fspath(directory)}", run, run_names(directory))
    paths = sorted(_run_folder(directory, run).glob(f"part=*/{table}.parquet"))
    if not paths:
        raise ConfigurationError(f"run {run!r} of the event log {os.fspath(directory)} has no finished part")
    wanted = None if columns is None else list(columns)
    try:
        files = [pq.ParquetFile(path) for path in paths]
        missing = sorted(set(wanted or schema_of(table).names) - set(files[0].schema_arrow.names))
        if missing:
            raise ConfigurationError(
                f"{paths[0]} has no column {', '.join(missing)}: it was written by another version"
            )
        tables = [file.read(columns=wanted) for file in files]
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(f"run {run!r} of the event log {os.fspath(directory)}: {error}") from error
    return pa.concat_tables(tables).combine_chunks().unify_dictionaries()


def column_of(rows: pa.Table, table: str, name: str) -> Float | Int:
    """A column of a table as an array: words as their index in the schema's list, nulls as NaN."""
    array = rows[name].combine_chunks()
    if pa.types.is_dictionary(array.type):  # Parquet keeps words in the order in which they occurred
        words = next(column.words for column in TABLES[table].columns if column.name == name)
        place = np.array([words.index(word) for word in array.dictionary.to_pylist()], np.int64)
        index: Int = place[array.indices.to_numpy()]
        return index
    found: Float | Int = array.to_numpy(zero_copy_only=False)
    return found
