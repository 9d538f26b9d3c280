"""How kernels write observations: float32 rows, their fields' starts, one pass over their bounds.

Inside the loops of the kernels that fill rows stand plain elements of local arrays only: a view, or a field
of a tuple, taken there is counted in and out every time, which costs more than the copying itself.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from envs.kernel import kernel
from envs.observation import Schema


def starts(schema: Schema) -> Any:
    """Where each field starts, as kernels read it: a tuple of whole numbers named like the fields."""
    found = {name: block.start for name, block in schema.slices.items()}
    return namedtuple(f"{schema.role}_starts", found)(**found)


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
