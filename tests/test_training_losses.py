import math

import pytest
import torch

from training.configuration import PpoSettings
from training.losses import (
    bidding_loss,
    clipped_surrogate,
    creative_loss,
    explained_variance,
    generalised_advantages,
    normalise,
    returns_to_go,
)


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([1.0, 2.0, 3.0])
    values = torch.tensor([0.5, 1.0, 1.5])
    gamma, lambda_ = 0.9, 0.8
    errors = [1.0 + gamma * 1.0 - 0.5, 2.0 + gamma * 1.5 - 1.0, 3.0 - 1.5]
    last = errors[2]
    middle = errors[1] + gamma * lambda_ * last
    first = errors[0] + gamma * lambda_ * middle
    found = generalised_advantages(rewards, values, gamma, lambda_)
    torch.testing.assert_close(found, torch.tensor([first, middle, last]))


def test_a_flight_that_terminates_is_not_bootstrapped() -> None:
    rewards, values = torch.zeros(4, 2), torch.full((4, 2), 7.0)
    found = generalised_advantages(rewards, values, 1.0, 1.0)
    torch.testing.assert_close(found, torch.full((4, 2), -7.0))


def test_with_lambda_one_advantage_and_value_make_the_return() -> None:
    torch.manual_seed(0)
    rewards, values = torch.randn(6, 3, 2), torch.randn(6, 3, 2)
    found = generalised_advantages(rewards, values, 0.97, 1.0) + values
    torch.testing.assert_close(found, returns_to_go(rewards, 0.97))
    torch.testing.assert_close(found[-1], rewards[-1])


def test_normalise() -> None:
    found = normalise(torch.tensor([[1.0, 5.0], [3.0, 11.0]]))
    assert found.mean().abs() < 1e-6
    assert found.std() == pytest.approx(1.0, abs=1e-5)


def test_explained_variance() -> None:
    targets = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(targets + 5.0, targets) == pytest.approx(1.0)
    assert explained_variance(torch.zeros(3), targets) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [(1.5, 1.0, 1.2), (1.5, -1.0, -1.5), (0.5, 1.0, 0.5), (0.5, -1.0, -0.8), (1.1, 2.0, 2.2)],
)
def test_the_surrogate_is_pessimistic(ratio: float, advantage: float, expected: float) -> None:
    found = clipped_surrogate(torch.tensor(math.log(ratio)), torch.tensor(advantage), 0.2)
    assert found == pytest.approx(expected)


def test_creative_loss_raises_the_probability_of_what_went_well() -> None:
    logits = torch.zeros(5, 4, 36, requires_grad=True)
    arm = torch.zeros(5, 4, dtype=torch.int64)
    old = torch.full((5, 4), -math.log(36))
    loss, diagnostics = creative_loss(logits, arm, old, torch.ones(5, 4), PpoSettings())
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[..., 0] < 0).all()
    assert (logits.grad[..., 1:] > 0).all()
    assert diagnostics["entropy"] == pytest.approx(math.log(36), abs=1e-5)
    assert diagnostics["kl"] == pytest.approx(0.0, abs=1e-6)


def test_bidding_loss_moves_the_mean_towards_what_went_well() -> None:
    mean = torch.zeros(5, 8, requires_grad=True)
    log_std = torch.full((8,), -0.9)
    action = torch.full((5, 8), 0.3)
    density = torch.distributions.Normal(0.0, math.exp(-0.9)).log_prob(action).sum(-1)
    loss, diagnostics = bidding_loss(mean, log_std, action, density, torch.ones(5), PpoSettings())
    loss.backward()
    assert mean.grad is not None
    assert (mean.grad < 0).all()
    entropy = 8 * torch.distributions.Normal(0.0, math.exp(-0.9)).entropy()
    assert diagnostics["entropy"] == pytest.approx(float(entropy), abs=1e-4)
    assert diagnostics["clipped_fraction"] == 0.0
