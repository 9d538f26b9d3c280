"""The mathematics of learning as pure functions of tensors, for RLlib's learner and the plain loop.

Time is the first axis. A flight ends as `terminated`: its horizon is part of the task, so that nothing is
bootstrapped behind the last interval.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from policies.learned import gaussian_log_probability
from training.configuration import PpoSettings

Diagnostics = dict[str, Tensor]
"""Scalars worth plotting, detached."""


def generalised_advantages(rewards: Tensor, values: Tensor, gamma: float, lambda_: float) -> Tensor:
    """Advantages [T, ...] of rewards and values [T, ...] over a flight that terminates after T intervals.

    Source: Schulman et al., "High-dimensional continuous control using generalized advantage estimation",
    ICLR 2016, equation 16.
    """
    advantages = torch.empty_like(rewards)
    running, next_value = torch.zeros_like(rewards[0]), torch.zeros_like(rewards[0])
    for t in range(len(rewards) - 1, -1, -1):
        error = rewards[t] + gamma * next_value - values[t]
        running = error + gamma * lambda_ * running
        advantages[t], next_value = running, values[t]
    return advantages


def returns_to_go(rewards: Tensor, gamma: float) -> Tensor:
    """Discounted sum [T, ...] of rewards [T, ...] from each interval to the flight's end."""
    return generalised_advantages(rewards, torch.zeros_like(rewards), gamma, 1.0)


def normalise(advantages: Tensor) -> Tensor:
    """Zero mean, unit spread over all entries."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def explained_variance(values: Tensor, targets: Tensor) -> Tensor:
    """1 - Var(target - value) / Var(target): 1 is perfect, 0 no better than the mean."""
    return 1.0 - (targets - values).var() / targets.var().clamp(min=1e-12)


def clipped_surrogate(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's pessimistic objective, elementwise, to be maximised."""
    ratio = log_ratio.exp()
    return torch.min(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)


def creative_loss(
    logits: Tensor, arm: Tensor, old_log_probability: Tensor, advantage: Tensor, ppo: PpoSettings
) -> tuple[Tensor, Diagnostics]:
    """Loss of logits [..., S, K] for arms, log probabilities and advantages [..., S].

    Each segment's arm is a decision of its own with its own ratio; the campaign's segments are summed.
    """
    log_probabilities = logits.log_softmax(-1)
    log_probability = log_probabilities.gather(-1, arm.unsqueeze(-1)).squeeze(-1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(-1)
    log_ratio = log_probability - old_log_probability
    surrogate = clipped_surrogate(log_ratio, advantage, ppo.clip)
    loss = -(0.5 * surrogate + ppo.creative_entropy * entropy).sum(-1).mean()
    return loss, _diagnostics(surrogate, entropy, log_ratio, ppo.clip)


def bidding_loss(
    mean: Tensor,
    log_std: Tensor,
    action: Tensor,
    old_log_probability: Tensor,
    advantage: Tensor,
    ppo: PpoSettings,
) -> tuple[Tensor, Diagnostics]:
    """Loss of means and actions [..., 1 + P + S] for log probabilities and advantages [...]."""
    log_ratio = gaussian_log_probability(action, mean, log_std) - old_log_probability
    surrogate = clipped_surrogate(log_ratio, advantage, ppo.clip)
    entropy = (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()
    loss = -surrogate.mean() - ppo.bidding_entropy * entropy
    return loss, _diagnostics(surrogate, entropy, log_ratio, ppo.clip)


def _diagnostics(surrogate: Tensor, entropy: Tensor, log_ratio: Tensor, clip: float) -> Diagnostics:
    with torch.no_grad():
        return {
            "policy_loss": -surrogate.mean(),
            "entropy": entropy.mean(),
            "kl": (log_ratio.exp() - 1.0 - log_ratio).mean(),
            "clipped_fraction": (log_ratio.abs() > clip).float().mean(),
        }
