"""Learning from flights that older weights played: what the clipped ratio is measured against.

PPO's ratio does two things: it corrects for who chose, and it keeps a step near where it began. Where runners
play ahead these are two policies: the one that played, and the one that the update starts from. Measured
against the former, all that the last update left outside the clipped range would be there before the first
step.

Source: Hilton, Cobbe & Schulman, "Batch size-invariance for policy optimization", NeurIPS 2022, where it is
called decoupled PPO.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from policies.learned import gaussian_log_probability
from training.losses import DECISIONS, Columns, taken

MOST_WEIGHT: Final = 2.0
"""A decision that has become likelier counts this often at most."""


def log_probability(role: str, outputs: Columns, columns: Columns) -> Tensor:
    """Log probability of a role's decisions, as a rollout has it, by outputs of its actor."""
    chosen = columns[DECISIONS[role]]
    if role == "creative":
        return taken(outputs["logits"].log_softmax(-1), chosen)
    return gaussian_log_probability(chosen, outputs["mean"], outputs["log_std"])


@torch.no_grad()
def from_here(role: str, outputs: Columns, columns: Columns) -> Columns:
    """Columns of a role that measure ratios from the policy of `outputs`.

    Advantages are weighted by how much likelier the decisions are there than where they were made.
    """
    decision = DECISIONS[role]
    probability, advantage = f"{decision}_log_probability", f"{decision}_advantage"
    here = log_probability(role, outputs, columns)
    weight = (here - columns[probability]).exp().clamp(max=MOST_WEIGHT)
    return {**columns, probability: here, advantage: columns[advantage] * weight}
