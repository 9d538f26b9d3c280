"""Ratios that are measured from where an update starts."""

import pytest
import torch

from training.configuration import PpoSettings
from training.losses import Columns, bidding_loss, creative_loss
from training.proximal import MOST_WEIGHT, from_here, log_probability

PLAIN = PpoSettings(creative_entropy=0.0, bidding_entropy=0.0)


def played(role: str, off: float) -> tuple[Columns, Columns]:
    """Outputs of an actor now, and what one of other weights, `off` away, chose."""
    torch.manual_seed(0)
    advantage = torch.randn(6, 3)
    if role == "creative":
        now, then = torch.randn(6, 3, 5), off * torch.randn(6, 3, 5)
        arm, outputs = torch.randint(5, (6, 3)), {"logits": now.requires_grad_()}
        old = (now.detach() + then).log_softmax(-1).gather(-1, arm[..., None])[..., 0]
        return outputs, {"arm": arm, "arm_log_probability": old, "arm_advantage": advantage}
    mean, log_std = torch.randn(6, 3, 2), torch.zeros(2)
    action = mean + torch.randn(6, 3, 2)
    there = torch.distributions.Normal(mean + off * torch.randn(6, 3, 2), log_std.exp())
    columns = {"action": action, "action_advantage": advantage}
    columns["action_log_probability"] = there.log_prob(action).sum(-1)
    return {"mean": mean.requires_grad_(), "log_std": log_std}, columns


@pytest.mark.parametrize("role", ["creative", "bidding"])
def test_who_plays_with_the_weights_of_the_update_is_not_weighted(role: str) -> None:
    outputs, columns = played(role, 0.0)
    for name, column in from_here(role, outputs, columns).items():
        torch.testing.assert_close(column, columns[name])


@pytest.mark.parametrize("role", ["creative", "bidding"])
def test_the_first_step_is_the_importance_weighted_gradient_and_clips_nothing(role: str) -> None:
    outputs, columns = played(role, 0.3)
    here = from_here(role, outputs, columns)
    if role == "creative":
        chosen = (here["arm"], here["arm_log_probability"], here["arm_advantage"])
        loss, told = creative_loss(outputs["logits"], *chosen, PLAIN)
        parameter, scale = outputs["logits"], -0.5 / 6.0  # segments are summed, rows averaged
    else:
        chosen = (here["action"], here["action_log_probability"], here["action_advantage"])
        loss, told = bidding_loss(outputs["mean"], outputs["log_std"], *chosen, PLAIN)
        parameter, scale = outputs["mean"], -1.0 / 18.0
    assert told["clipped_fraction"] == 0.0 and told["kl"] == pytest.approx(0.0, abs=1e-6)
    (found,) = torch.autograd.grad(loss, parameter, retain_graph=True)
    decision = "arm" if role == "creative" else "action"
    log = log_probability(role, outputs, columns)
    weight = (log.detach() - columns[f"{decision}_log_probability"]).exp().clamp(max=MOST_WEIGHT)
    assert weight.std() > 0.05
    expected = scale * (weight * columns[f"{decision}_advantage"] * log).sum()
    torch.testing.assert_close(found, torch.autograd.grad(expected, parameter)[0])


def test_no_decision_counts_more_than_the_bound() -> None:
    outputs, columns = played("bidding", 3.0)
    here = from_here("bidding", outputs, columns)
    counted = here["action_advantage"] / columns["action_advantage"]
    assert counted.min() >= 0.0 and counted.max() == pytest.approx(MOST_WEIGHT, abs=1e-4)
