"""Evidence of campaigns without a market, for closed-form tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs import catalogue as cat
from envs.observation import SCHEMAS
from policies.evidence import Evidence


def evidence(rows: int = 2, **changes: Any) -> Evidence:
    """An average campaign early in its flight; fields may be given as numbers or arrays."""
    schema = SCHEMAS["bidding"]
    ones = {"attention", "affinity_hint", "segment_affinity", "brief_conversion", "brief_recall", "throttle"}
    values: dict[str, Any] = {
        name: np.full((rows, *schema.by_name[name].shape), float(name in ones))
        for name in Evidence._fields
        if name != "arm"
    }
    values["arm"] = np.zeros((rows, cat.S), np.int64)
    values["budget_usd"][:] = 1000.0
    values["budget_left_fraction"][:] = 1.0
    values["brief_recall_decay"][:] = 0.99
    values["price_usd"][:] = 1.5
    values["opportunities"][:] = 10.0
    for name, value in changes.items():
        values[name] = np.broadcast_to(np.asarray(value, values[name].dtype), values[name].shape).copy()
    return Evidence(**values)
