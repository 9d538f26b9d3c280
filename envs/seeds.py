"""Which market seeds belong to which split: disjoint by construction, not by luck."""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from envs.errors import UnknownNameError

Split = Literal["train", "development", "held_out"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
_INDEX_BITS = 30
_SEED_BITS = 31


def market_seeds(split: Split, seed: int, start: int, count: int) -> NDArray[np.uint64]:
    """Seeds of markets `start … start + count − 1` of a split's sequence `seed`: [count] uint64.

    The split fills the top bits, the sequence's seed the middle, the index the rest: two splits can
    never share a market.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    if not 0 <= seed < 1 << _SEED_BITS:
        raise ValueError(f"seed must be in [0, 2**{_SEED_BITS}), got {seed}")
    if start < 0 or start + count > 1 << _INDEX_BITS:
        raise ValueError(f"market indices must stay in [0, 2**{_INDEX_BITS}), got {start} + {count}")
    base = (SPLITS.index(split) + 1) << (_INDEX_BITS + _SEED_BITS) | seed << _INDEX_BITS
    return np.arange(base + start, base + start + count, dtype=np.uint64)
