"""Real listening histories: who played what how often, and the tastes that follow from it.

The folder of `--listening-history DIR` holds `user_artists.dat`, as in the HetRec 2011 Last.fm sample: a
header `userID`, `artistID`, `weight`, tab-separated, then one listener, item and play count a line.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.errors import ConfigurationError
from envs.philox import normals

HISTORY_FILE: Final = "user_artists.dat"
HISTORY_COLUMNS: Final = ("userID", "artistID", "weight")

_LEAST: Final = (0, 0, 1)
_MAX_DIGITS: Final = 18
_MAX_TEXT: Final = 40
_ITEM_STREAM: Final = 0x7A01
_START_SCALE: Final = 0.1
_LEAST_VARIANCE_RATIO: Final = 1e-8


class ListeningHistory(NamedTuple):
    """Play counts as E triples (listener, item, plays), sorted by listener, then by item."""

    listener: NDArray[np.int32]
    """[E] index into `listener_id`."""
    item: NDArray[np.int32]
    """[E] index into `item_id`."""
    plays: NDArray[np.int64]
    """[E] play count, at least 1."""
    listener_id: NDArray[np.int64]
    """[L] the file's ids, ascending."""
    item_id: NDArray[np.int64]
    """[I] the file's ids, ascending."""


class ListeningFactors(NamedTuple):
    """Listeners and items in one space of D dimensions; their dot product is the preference."""

    listener_factor: NDArray[np.float32]
    """[L, D]"""
    item_factor: NDArray[np.float32]
    """[I, D]"""


def read_listening_history(directory: Path) -> ListeningHistory:
    """Read a folder's `user_artists.dat`, line by line, holding 24 bytes a row.

    Raises:
        ConfigurationError: naming file, line and column, for a folder or file that is missing or empty, a
            missing column, text where a number belongs, a play count below 1, a pair that stands twice.
    """
    path = directory / HISTORY_FILE
    if not path.is_file():
        raise ConfigurationError(
            f"{path}: no such file; a listening history is a folder that holds {HISTORY_FILE} "
            f"(tab-separated, header {' '.join(HISTORY_COLUMNS)})"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            listener_id, item_id, plays = _read_columns(path, file)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the listening history: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text: {error}") from error

    order = np.lexsort((item_id, listener_id))  # stable: of a pair that stands twice, the first line first
    listener_id, item_id, plays = listener_id[order], item_id[order], plays[order]
    twice = np.flatnonzero((np.diff(listener_id) == 0) & (np.diff(item_id) == 0))
    if twice.size:
        at = int(twice[np.argmin(order[twice + 1])])
        raise ConfigurationError(
            f"{path}: line {order[at + 1] + 2}, columns 'userID' and 'artistID': listener {listener_id[at]} "
            f"with item {item_id[at]} stands twice, first on line {order[at] + 2}"
        )
    listeners, listener = np.unique(listener_id, return_inverse=True)
    items, item = np.unique(item_id, return_inverse=True)
    return ListeningHistory(listener.astype(np.int32), item.astype(np.int32), plays, listeners, items)


def _read_columns(path: Path, file: TextIO) -> list[NDArray[np.int64]]:
    """The three columns, in the order of the lines: row r stands on line r + 2."""
    header = [name.strip() for name in file.readline().split("\t")]
    if not any(header):
        raise ConfigurationError(f"{path}: the file is empty; header {' '.join(HISTORY_COLUMNS)} is needed")
    for name in HISTORY_COLUMNS:
        if header.count(name) != 1:
            fault = "is missing" if name not in header else "stands twice"
            raise ConfigurationError(
                f"{path}: line 1, column {name!r}: this column {fault}; the header has "
                f"{', '.join(map(repr, header))} (tab-separated)"
            )
    positions = [header.index(name) for name in HISTORY_COLUMNS]
    columns = [array("q") for _ in HISTORY_COLUMNS]
    for number, line in enumerate(file, start=2):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != len(header):
            raise ConfigurationError(
                f"{path}: line {number}: has {len(fields)} tab-separated fields, the header has {len(header)}"
            )
        for name, position, column, least in zip(HISTORY_COLUMNS, positions, columns, _LEAST, strict=True):
            text = fields[position].strip()
            value = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else -1
            if value < least:
                raise ConfigurationError(
                    f"{path}: line {number}, column {name!r}: must be a whole number >= {least}, "
                    f"got {text[:_MAX_TEXT]!r}"
                )
            column.append(value)
    if not columns[0]:
        raise ConfigurationError(
            f"{path}: line 1: the header is all there is; no listener, item, plays follow"
        )
    return [np.frombuffer(column, np.int64).copy() for column in columns]


def factorise(
    history: ListeningHistory,
    dimensions: int = 8,
    seed: int = 0,
    *,
    iterations: int = 15,
    confidence_slope: float = 5.0,
    regularisation: float = 20.0,
) -> ListeningFactors:
    """Implicit-feedback alternating least squares (Hu, Koren & Volinsky 2008).

    Minimises sum over all (listener, item) of c (p - x . y)^2 + regularisation (|x|^2 + |y|^2), where p is 1
    for a pair that was played and 0 else, and the confidence c = 1 + confidence_slope * log(1 + plays). Each
    half step is exact (a D x D Cholesky solve a row), single-threaded, in float64: the same history and seed
    give the same bits.

    Args:
        history: what was played.
        dimensions: D, at least 1.
        seed: of the items' random start.
        iterations: pairs of half steps, at least 1.
        confidence_slope: alpha of the paper, > 0.
        regularisation: lambda of the paper, > 0.

    Raises:
        ValueError: an argument outside its range.
    """
    for name, value, least in (("dimensions", dimensions, 1), ("iterations", iterations, 1)):
        if value < least:
            raise ValueError(f"{name} must be >= {least}, got {value}")
    for name, slope in (("confidence_slope", confidence_slope), ("regularisation", regularisation)):
        if not 0.0 < slope < np.inf:
            raise ValueError(f"{name} must be positive and finite, got {slope}")
    extra = confidence_slope * np.log1p(history.plays)  # c - 1
    of_listener = _grouped(history.listener, history.item, extra, len(history.listener_id))
    of_item = _grouped(history.item, history.listener, extra, len(history.item_id))
    items = (
        _START_SCALE
        * normals(np.array([seed], np.uint64), _ITEM_STREAM, (len(history.item_id), dimensions))[0]
    )
    listeners = np.zeros((len(history.listener_id), dimensions))
    for _ in range(iterations):
        _solve_rows(*of_listener, items, regularisation, listeners)
        _solve_rows(*of_item, listeners, regularisation, items)
    return ListeningFactors(listeners.astype(np.float32), items.astype(np.float32))


def tastes(factors: ListeningFactors, dimensions: int) -> NDArray[np.float32]:
    """Listeners' factors [L, dimensions], whitened: zero mean, unit variance, uncorrelated.

    The dimensions are the principal components of the factors, the widest first, each with its largest
    loading positive, so that the result does not hang on the solver's signs.

    Raises:
        ValueError: more dimensions asked for than the factors span.
    """
    factor = factors.listener_factor.astype(np.float64)
    centred = factor - factor.mean(axis=0)
    covariance = np.einsum("li,lj->ij", centred, centred) / len(centred)
    variance, direction = np.linalg.eigh(covariance)
    variance, direction = variance[::-1], direction[:, ::-1]
    spanned = int((variance > _LEAST_VARIANCE_RATIO * variance[0]).sum()) if variance[0] > 0.0 else 0
    if not 1 <= dimensions <= spanned:
        raise ValueError(f"dimensions must be in [1, {spanned}], what these factors span; got {dimensions}")
    direction = direction[:, :dimensions]
    largest = direction[np.abs(direction).argmax(axis=0), np.arange(dimensions)]
    component = np.einsum("li,ij->lj", centred, direction * np.sign(largest))
    component -= component.mean(axis=0)
    return np.asarray(component / component.std(axis=0), np.float32)


def _grouped(
    row: NDArray[np.int32], column: NDArray[np.int32], extra: NDArray[np.float64], rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Triples as compressed sparse rows: start [rows + 1], column [E], extra confidence [E]."""
    order = np.argsort(row, kind="stable")
    start = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=rows), out=start[1:])
    return start, column[order], extra[order]


@njit(cache=True)
def _solve_rows(start, column, extra, fixed, regularisation, out):  # type: ignore[no-untyped-def]
    """Least squares for every row of `out` [R, D] given `fixed` [K, D], by Cholesky."""
    rows, dimensions = out.shape
    gram = np.zeros((dimensions, dimensions))
    for k in range(fixed.shape[0]):
        for i in range(dimensions):
            for j in range(i + 1):
                gram[i, j] += fixed[k, i] * fixed[k, j]
    for i in range(dimensions):
        gram[i, i] += regularisation
    matrix = np.empty((dimensions, dimensions))
    vector = np.empty(dimensions)
    for row in range(rows):
        for i in range(dimensions):
            vector[i] = 0.0
            for j in range(i + 1):
                matrix[i, j] = gram[i, j]
        for e in range(start[row], start[row + 1]):
            k = column[e]
            for i in range(dimensions):
                weighted = extra[e] * fixed[k, i]
                vector[i] += weighted + fixed[k, i]
                for j in range(i + 1):
                    matrix[i, j] += weighted * fixed[k, j]
        for i in range(dimensions):
            for j in range(i + 1):
                total = matrix[i, j]
                for k in range(j):
                    total -= matrix[i, k] * matrix[j, k]
                matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]
        for i in range(dimensions):
            for k in range(i):
                vector[i] -= matrix[i, k] * vector[k]
            vector[i] /= matrix[i, i]
        for i in range(dimensions - 1, -1, -1):
            for k in range(i + 1, dimensions):
                vector[i] -= matrix[k, i] * vector[k]
            vector[i] /= matrix[i, i]
        for i in range(dimensions):
            out[row, i] = vector[i]
