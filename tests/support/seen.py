"""What networks are fed in their tests: random observations within their bounds, random beliefs."""

from __future__ import annotations

import numpy as np
import torch

from envs.catalogue import S
from envs.observation import SCHEMAS
from policies.desk import CAMPAIGN_BELIEF, SEGMENT_BELIEF

B, C = 3, 2


def seen(seed: int = 0, campaigns: int = C) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Observation [B, C, size], campaign belief and segment belief."""
    rng = np.random.default_rng(seed)
    schema = SCHEMAS["bidding"]
    high = np.minimum(schema.high, 1e5)
    observation = rng.uniform(schema.low, high, (B, campaigns, schema.size)).astype(np.float32)
    beliefs = (
        rng.normal(size=(B, campaigns, CAMPAIGN_BELIEF)),
        rng.normal(size=(B, campaigns, S, SEGMENT_BELIEF)),
    )
    return torch.from_numpy(observation), *(torch.from_numpy(b.astype(np.float32)) for b in beliefs)
