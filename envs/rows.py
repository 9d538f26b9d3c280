"""How kernels write observations: one float32 row an agent, field by field, then one pass over its bounds."""

from __future__ import annotations

from envs.kernel import kernel


@kernel
def put(row, at, values):  # type: ignore[no-untyped-def]
    """Writes values [n] into row[at : at + n]."""
    for j in range(values.shape[0]):
        row[at + j] = values[j]


@kernel
def put_seen(row, at, cells, seen):  # type: ignore[no-untyped-def]
    """Writes cells [S, P], each times seen [P]."""
    segments, placements = cells.shape
    for s in range(segments):
        for p in range(placements):
            row[at + s * placements + p] = cells[s, p] * seen[p]


@kernel
def put_by_segment(row, at, cells, seen):  # type: ignore[no-untyped-def]
    """Writes the sum over placements of cells [S, P], each times seen [P]."""
    for s in range(cells.shape[0]):
        total = 0.0
        for p in range(cells.shape[1]):
            total += cells[s, p] * seen[p]
        row[at + s] = total


@kernel
def put_by_placement(row, at, cells, seen):  # type: ignore[no-untyped-def]
    """Writes the sum over segments of cells [S, P], each times seen [P]."""
    for p in range(cells.shape[1]):
        total = 0.0
        for s in range(cells.shape[0]):
            total += cells[s, p]
        row[at + p] = total * seen[p]


@kernel
def bound(row, low, high):  # type: ignore[no-untyped-def]
    """Clips a row to its bounds; gives how many of its numbers are none (NaN stays, infinities do not)."""
    missing = 0
    for j in range(row.shape[0]):
        value = row[j]
        value = low[j] if value < low[j] else value
        value = high[j] if value > high[j] else value
        missing += 1 if value != value else 0
        row[j] = value
    return missing
