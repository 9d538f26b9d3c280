"""The mathematics of learning as pure functions of tensors, for RLlib's learner and the plain loop.

Time is the first axis. A flight ends as `terminated`: its horizon is part of the task, so that nothing is
bootstrapped behind the last interval.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from policies.learned import gaussian_log_probability
from policies.networks import BiddingActor, CreativeActor
from policies.orchestrator_actor import OrchestratorActor
from training.configuration import PpoSettings, TeacherSettings
from training.teacher import ARM_SCORE, LOG_MULTIPLIER, LOG_RESPONSE

Columns = dict[str, Tensor]

DECISIONS: Final = {"creative": "arm", "bidding": "action", "orchestrator": "direction"}
"""Column of every role's decision; `…_log_probability` and `…_advantage` stand beside it."""
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


def taken(log_probabilities: Tensor, arm: Tensor) -> Tensor:
    """Log probability [...] of arms [...] among [..., K]."""
    return log_probabilities.gather(-1, arm.unsqueeze(-1)).squeeze(-1)


def creative_outputs(actor: CreativeActor, columns: Columns) -> Columns:
    """What the creative actor makes of rows [..., C, ...], or of whole flights [N, T, C, ...]."""
    plain, grouped = columns["plain"], columns["grouped"]
    memory = None if actor.memory is None else actor.memory.unroll(actor.seen(plain, grouped))
    logits, told = actor.learn(plain, grouped, columns["arm_log_score"], columns["arm_mask"], memory)
    return {"logits": logits} | ({} if told is None else {"foretold": told})


def bidding_outputs(actor: BiddingActor, columns: Columns) -> Columns:
    """The same of the bidding actor; `log_multiplier` is what its mean would bid."""
    plain, grouped = columns["plain"], columns["grouped"]
    memory = None if actor.memory is None else actor.memory.unroll(actor.seen(plain, grouped))
    mean = actor.mean(plain, grouped, memory)
    outputs = {"mean": mean, "log_std": actor.log_std}
    if LOG_MULTIPLIER in columns:
        outputs["log_multiplier"] = actor.log_multiplier(mean, columns["base_log_multiplier"])
    return outputs


def orchestrator_outputs(actor: OrchestratorActor, columns: Columns) -> Columns:
    """The same of the orchestrator's, of features as the observable critic has them."""
    return {"mean": actor.mean(columns["own"], columns["market"]), "log_std": actor.log_std}


def actor_loss(
    role: str,
    outputs: Columns,
    columns: Columns,
    ppo: PpoSettings,
    teacher: TeacherSettings,
    progress: float,
) -> tuple[Tensor, Diagnostics]:
    """Loss of a learned role: PPO's, and that against the teacher's labels where there are any.

    Args:
        role: that learns; outputs and columns may hold the other role's too.
        outputs: what `creative_outputs` and the like gave.
        columns: rows as `learning_batch` has them.
        ppo: of the run.
        teacher: of the run.
        progress: share of the run that is over.
    """
    what = DECISIONS[role]
    chosen = (columns[what], columns[f"{what}_log_probability"], columns[f"{what}_advantage"])
    if role == "creative":
        loss, diagnostics = creative_loss(outputs["logits"], *chosen, ppo)
    else:
        loss, diagnostics = bidding_loss(outputs["mean"], outputs["log_std"], *chosen, ppo)
    taught, how_well = taught_loss(role, outputs, columns, teacher, progress)
    return loss + taught, diagnostics | how_well


def taught_loss(
    role: str, outputs: Columns, columns: Columns, teacher: TeacherSettings, progress: float
) -> tuple[Tensor | float, Diagnostics]:
    """Loss of a role against the teacher's labels, 0 without them, and how far it is from them."""
    if role == "orchestrator":
        return 0.0, {}
    taught = _taught_creative if role == "creative" else _taught_bidding
    return taught(outputs, columns, teacher, progress)


def _taught_creative(
    outputs: Columns, columns: Columns, teacher: TeacherSettings, progress: float
) -> tuple[Tensor | float, Diagnostics]:
    """Imitation of the teacher's arms, and foretelling."""
    loss: Tensor | float = 0.0
    diagnostics: Diagnostics = {}
    if ARM_SCORE in columns:
        allowed = columns["arm_mask"]
        wish = (teacher.sharpness * columns[ARM_SCORE]).masked_fill(~allowed, -math.inf).softmax(-1)
        log = outputs["logits"].log_softmax(-1)
        gap = torch.where(wish > 0.0, wish * (wish.clamp(min=1e-9).log() - log), 0.0).sum(-1)
        loss = loss + teacher.imitation_weight(progress) * gap.sum(-1).mean()
        diagnostics["teacher_gap"] = gap.mean().detach()
    if "foretold" in outputs:
        error = (outputs["foretold"] - columns[LOG_RESPONSE]).square()
        loss = loss + teacher.foretelling * error.mean(-1).sum(-1).mean()
        diagnostics["belief_error"] = error.mean().sqrt().detach()
    return loss, diagnostics


def _taught_bidding(
    outputs: Columns, columns: Columns, teacher: TeacherSettings, progress: float
) -> tuple[Tensor | float, Diagnostics]:
    """Imitation of the teacher's bids."""
    if LOG_MULTIPLIER not in columns:
        return 0.0, {}
    error = (outputs["log_multiplier"] - columns[LOG_MULTIPLIER]).square().sum(-1)
    gap = error.mean()
    return teacher.imitation_weight(progress) * gap, {"teacher_gap": gap.sqrt().detach()}


def creative_loss(
    logits: Tensor, arm: Tensor, old_log_probability: Tensor, advantage: Tensor, ppo: PpoSettings
) -> tuple[Tensor, Diagnostics]:
    """Loss of logits [..., S, K] for arms, log probabilities and advantages [..., S].

    Each segment's arm is a decision of its own with its own ratio; the campaign's segments are summed.
    """
    log_probabilities = logits.log_softmax(-1)
    log_probability = taken(log_probabilities, arm)
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
    """Loss of means and actions [..., n], of bidding agents or an orchestrator, for advantages [...]."""
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
