"""From rollouts to what each network learns from: values, advantages, targets, one row a market-interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.configuration import TEAM, PpoSettings
from training.critic import BIDDING_HEAD, CREATIVE_HEAD, SEGMENT_HEADS, Critic
from training.losses import explained_variance, generalised_advantages, normalise
from training.rollout import Columns
from training.teacher import ARM_SCORE, LOG_MULTIPLIER, LOG_RESPONSE

CRITIC: Final = "orchestrator_critic"
CREATIVE: Final = ("plain", "grouped", "arm", "arm_log_probability", "arm_log_score", "arm_mask")
BIDDING: Final = ("plain", "grouped", "action", "action_log_probability", "base_log_multiplier")
CREATIVE_LABELS, BIDDING_LABELS = (ARM_SCORE, LOG_RESPONSE), (LOG_MULTIPLIER,)
HEAD_PARTS: Final = {"creative": CREATIVE_HEAD, "bidding": BIDDING_HEAD, "segments": SEGMENT_HEADS}
"""Heads of the critic whose fit is told apart."""
Batch = dict[str, dict[str, Tensor]]
"""Columns [rows, C, ...] or [rows, T, C, ...] by module: a row is the same market in every one."""


@torch.no_grad()
def learning_batch(
    columns: Columns,
    critic: Critic,
    ppo: PpoSettings,
    device: torch.device | str = "cpu",
    *,
    whole_flights: bool = False,
    together: bool = False,
) -> tuple[Batch, dict[str, float]]:
    """Rows of every module from rollout columns [T, B, ...], and how well the critic explains.

    A row is a market-interval, or with `whole_flights`, for recurrent actors, a market [T, ...]. A module has
    the columns of its role, or with `together`, for a monolithic policy, one module has those of both.
    """
    data = {
        name: torch.from_numpy(np.require(array, requirements="W")).to(device)
        for name, array in columns.items()
    }
    campaign = (data["plain"], data["grouped"])
    own, market = critic.features(
        campaign, data["orchestrator"], data["market_truth"], data["campaign_truth"]
    )
    values, observable = critic(own, market)
    rewards = data["reward"] / critic.observable.return_scale
    advantages = generalised_advantages(rewards, values, ppo.gamma, ppo.lambda_)
    targets = advantages + values
    batch: Batch = {CRITIC: {"own": own, "market": market, "target": targets}}
    if "arm" in data:
        whole, segment = advantages[..., CREATIVE_HEAD, None], advantages[..., SEGMENT_HEADS]
        credit = (1.0 - ppo.segment_credit) * normalise(whole) + ppo.segment_credit * normalise(segment)
        names = (*CREATIVE, *(name for name in CREATIVE_LABELS if name in data))
        batch["creative"] = {name: data[name] for name in names} | {"arm_advantage": normalise(credit)}
    if "action" in data:
        advantage = normalise(advantages[..., BIDDING_HEAD])
        names = (*BIDDING, *(name for name in BIDDING_LABELS if name in data))
        batch["bidding"] = {name: data[name] for name in names} | {"action_advantage": advantage}
    if "direction" in data:
        # Its numbers move all campaigns' money, so that each is credited with the team's advantage.
        team = normalise(advantages[..., BIDDING_HEAD].mean(-1, keepdim=True))
        size = critic.observable.own_size, critic.observable.market_size
        batch["orchestrator"] = {
            "own": own[..., : size[0]],
            "market": market[..., : size[1]],
            "direction": data["direction"],
            "direction_log_probability": data["direction_log_probability"],
            "direction_advantage": team.expand_as(data["direction_log_probability"]),
        }
    if together:
        batch[TEAM] = batch.pop("creative") | batch.pop("bidding")

    def in_rows(columns: Tensor) -> Tensor:
        return columns.transpose(0, 1).contiguous() if whole_flights else columns.flatten(0, 1)

    rows = {id: {name: in_rows(column) for name, column in part.items()} for id, part in batch.items()}
    explained = {
        "explained_variance": float(explained_variance(values, targets)),
        **{
            f"explained_variance_{name}": float(explained_variance(values[..., part], targets[..., part]))
            for name, part in HEAD_PARTS.items()
        },
        "observable_explained_variance": float(explained_variance(observable, targets)),
        "value_mean": float((values * critic.observable.return_scale)[..., CREATIVE_HEAD].mean()),
    }
    return rows, explained


def row_count(batch: Batch) -> int:
    """Market-intervals of a batch, or its flights."""
    return len(batch[CRITIC]["target"])


def minibatches(batch: Batch, epochs: int, parts: int, generator: torch.Generator) -> Iterator[Batch]:
    """Every epoch's rows in a new order, cut into equal parts, alike for all modules; a rest is left out."""
    rows = row_count(batch)
    size = rows // parts
    for _ in range(epochs):
        order = torch.randperm(rows, generator=generator)
        for start in range(0, size * parts, size):
            chosen = order[start : start + size]
            yield {
                id: {name: part[chosen] for name, part in columns.items()} for id, columns in batch.items()
            }


def permutation_generator(seed: int, iteration: int) -> torch.Generator:
    """The generator of an iteration's minibatches: it depends on seed and iteration alone, not on history."""
    return torch.Generator().manual_seed((seed << 32) ^ iteration)
