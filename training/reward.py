"""What learned agents are rewarded with: their own part, the team's, or what the team owes to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import S
from envs.lift import Recording, replayed_without
from envs.market import VectorMarket
from envs.rewards import Rewards
from envs.state import Float
from training.configuration import PpoSettings


def asks_what_if(ppo: PpoSettings) -> bool:
    """Whether rewards need a flight's recording, to play it again without each of its campaigns."""
    return ppo.own_reward == "difference" and ppo.team_reward_fraction < 1.0


def flight_rewards(
    market: VectorMarket, rewards: Sequence[Rewards], recordings: Sequence[Recording], ppo: PpoSettings
) -> NDArray[np.float32]:
    """Rewards [T, B, C, 2 + S] USD of a flight that has just ended in a market, as `mixed_rewards` has them.

    `recordings` are the flight's where `asks_what_if`; the market is played again then.
    """
    if not asks_what_if(ppo):
        return np.stack([mixed_rewards(interval, ppo) for interval in rewards])
    differences = difference_rewards(market, rewards, recordings)
    pairs = zip(rewards, differences, strict=True)
    return np.stack([mixed_rewards(interval, ppo, difference) for interval, difference in pairs])


def mixed_rewards(rewards: Rewards, ppo: PpoSettings, difference: Float | None = None) -> NDArray[np.float32]:
    """Rewards [B, C, 2 + S] USD of the creative role, the bidding role and each segment in an interval.

    Args:
        rewards: the interval's.
        ppo: how an agent's own and the team's are mixed.
        difference: [B, C, S] by `difference_rewards`, an agent's own in their place.
    """
    if difference is not None:
        segment, alone = difference, (difference.sum(-1),) * 2
    elif ppo.own_reward == "role":
        segment, alone = rewards.segment, (rewards.creative, rewards.bidding)
    else:
        segment, alone = rewards.segment, (rewards.campaign,) * 2
    own = np.concatenate([np.stack(alone, -1), segment], -1)
    team = np.concatenate([np.repeat(rewards.team[:, None], 2, 1), rewards.segment.sum(1)], -1)  # [B, 2 + S]
    share = ppo.team_reward_fraction
    return (share * team[:, None] + (1.0 - share) * own).astype(np.float32)


def difference_rewards(
    market: VectorMarket, rewards: Sequence[Rewards], recordings: Sequence[Recording]
) -> Float:
    """[T, B, C, S] USD: the team's reward on a segment less what it had been without a campaign's bids.

    The flight is played again once for every campaign, on the same random numbers, with all other actions as
    they were. A campaign's rewards add up over segments and intervals to what J owes to it, harm to the
    others included; what the others earn anyway is no noise in it.

    Source: Wolpert and Tumer, "Optimal payoff functions for members of collectives", Advances in Complex
    Systems 4 (2001), where it is called wonderful life utility.
    """
    seeds = market.seeds.copy()
    team = np.stack([interval.segment.sum(1) for interval in rewards])  # [T, B, S]
    found = np.empty((*team.shape[:2], market.num_campaigns, S))
    for campaign in range(market.num_campaigns):
        steps = replayed_without(market, seeds, recordings, campaign)
        found[:, :, campaign] = team - np.stack([step.rewards.segment.sum(1) for step in steps])
    return found
