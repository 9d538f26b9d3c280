"""Real listening histories: who played what how often.

The folder of `--listening-history DIR` holds `user_artists.dat`, as in the HetRec 2011 Last.fm sample: a
header `userID`, `artistID`, `weight`, tab-separated, then one listener, item and play count a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from envs.errors import ConfigurationError
from envs.kernel import allocating_kernel
from policies.audience.spool import Spool, group, numbered, sort_within, take

HISTORY_FILE: Final = "user_artists.dat"
HISTORY_COLUMNS: Final = ("userID", "artistID", "weight")

_LEAST: Final = (0, 0, 1)
_MAX_DIGITS: Final = 18
_MAX_TEXT: Final = 40


class ListeningHistory(NamedTuple):
    """Play counts as E triples (listener, item, plays), sorted by listener, then by item."""

    listener: NDArray[np.int32]
    """[E] index into `listener_id`."""
    item: NDArray[np.int32]
    """[E] index into `item_id`."""
    plays: NDArray[np.int64]
    """[E] play count, at least 1."""
    listener_id: NDArray[np.int64]
    """[L] the file's ids; ascending, as a file is read."""
    item_id: NDArray[np.int64]
    """[I] the file's ids, ascending."""

    def part(self, chosen: NDArray[np.bool_]) -> ListeningHistory:
        """The triples chosen by a mask [E]; listeners and items keep their numbers."""
        return self._replace(listener=self.listener[chosen], item=self.item[chosen], plays=self.plays[chosen])


def read_listening_history(directory: Path) -> ListeningHistory:
    """Read a folder's `user_artists.dat` line by line; what is read lives on disk, not in memory.

    Raises:
        ConfigurationError: as `file:line:column: fault` (column counts the fields from 1), for a folder or
            file that is missing or empty, a missing column, text where a number belongs, a play count below
            1, a pair that stands twice.
    """
    path = directory / HISTORY_FILE
    if not path.is_file():
        raise ConfigurationError(
            f"{path}: no such file; a listening history is a folder that holds {HISTORY_FILE} "
            f"(tab-separated, header {' '.join(HISTORY_COLUMNS)})"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            position, columns = _read_columns(path, file)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the listening history: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text: {error}") from error

    (listener_id, listener), (item_id, item) = numbered(columns[0]), numbered(columns[1])
    start, order = group(listener, len(listener_id))
    sort_within(start, order, item)
    listener, item, plays = take(listener, order), take(item, order), take(columns[2], order)
    at = _first_pair_twice(start, item, order)
    if at >= 0:
        _fail(
            path,
            int(order[at + 1]) + 2,
            position[1],
            f"columns 'userID' and 'artistID': listener {listener_id[listener[at]]} with item "
            f"{item_id[item[at]]} stands twice, first on line {order[at] + 2}",
        )
    return ListeningHistory(listener, item, plays, listener_id, item_id)


def _read_columns(path: Path, file: TextIO) -> tuple[list[int], list[NDArray[np.int64]]]:
    """Where the three columns stand, and their values in the order of the lines: row r is line r + 2."""
    header = [name.strip() for name in file.readline().split("\t")]
    if not any(header):
        _fail(path, 1, 0, f"the file is empty; header {' '.join(HISTORY_COLUMNS)} is needed")
    for name in HISTORY_COLUMNS:
        if header.count(name) != 1:
            fault = "is missing" if name not in header else "stands twice"
            listed = ", ".join(map(repr, header))
            at = len(header) - header[::-1].index(name) - 1 if name in header else len(header)
            _fail(path, 1, at, f"column {name!r} {fault}; the header has {listed} (tab-separated)")
    positions = [header.index(name) for name in HISTORY_COLUMNS]
    columns = [Spool() for _ in HISTORY_COLUMNS]
    wanted = tuple(zip(HISTORY_COLUMNS, positions, _LEAST, columns, strict=True))
    for number, line in enumerate(file, start=2):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != len(header):
            _fail(
                path,
                number,
                min(len(fields), len(header)),
                f"the line has {len(fields)} tab-separated fields, the header has {len(header)}",
            )
        for name, position, least, column in wanted:
            text = fields[position].strip()
            value = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else -1
            if value < least:
                found = repr(text[:_MAX_TEXT])
                fault = f"column {name!r} must be a whole number >= {least}, got {found}"
                _fail(path, number, position, fault)
            column.append(value)
    if not len(columns[0]):
        _fail(path, 1, 0, "the header is all there is; no listener, item, plays follow")
    return positions, [column.finish() for column in columns]


def _fail(path: Path, line: int, position: int, fault: str) -> NoReturn:
    """`position` counts the fields from 0, what is told from 1."""
    raise ConfigurationError(f"{path}:{line}:{position + 1}: {fault}")


@allocating_kernel
def _first_pair_twice(start, item, order):  # type: ignore[no-untyped-def]
    """Where a pair stands whose repetition is the first in the file; -1 if there is none."""
    first = -1
    for row in range(len(start) - 1):
        for e in range(start[row], start[row + 1] - 1):
            if item[e] == item[e + 1] and (first < 0 or order[e + 1] < order[first + 1]):
                first = e
    return first
