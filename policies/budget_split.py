"""How an orchestrator moves money: weights on what campaigns have left, within what it may do to each."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.protocol import BOUNDS
from envs.state import Float

LOWEST: Final = BOUNDS["orchestrator"]["budget_share"].low
HIGHEST: Final = BOUNDS["orchestrator"]["budget_share"].high


def weights_on_left(wish: Float, left_usd: Float, budget_usd: Float, first_usd: Float) -> Float:
    """[B, C] weights that share what is left in proportion to left × wish, as far as bounds allow.

    A campaign's whole budget stays within about [LOWEST, HIGHEST] of its first.

    Args:
        wish: [B, C] weights wished for, positive.
        left_usd: [B, C].
        budget_usd: [B, C] whole budgets as they are now.
        first_usd: [B, C] with which the flight started.
    """
    wished = left_usd * wish
    target = wished * left_usd.sum(1, keepdims=True) / np.maximum(1e-9, wished.sum(1, keepdims=True))
    spent = budget_usd - left_usd
    target = np.clip(target, np.maximum(0.0, LOWEST * first_usd - spent), HIGHEST * first_usd - spent)
    weight: Float = np.where(left_usd > 0.0, target / np.maximum(1e-9, left_usd), 1.0)
    return np.clip(weight, LOWEST, HIGHEST)
