import math

import pytest
import torch

from envs.catalogue import K, P, S
from policies.networks import BiddingActor, CreativeActor, NetworkSettings
from training.configuration import PpoSettings, TeacherSettings
from training.losses import (
    bidding_loss,
    bidding_outputs,
    clipped_surrogate,
    creative_loss,
    creative_outputs,
    explained_variance,
    generalised_advantages,
    normalise,
    returns_to_go,
    taught_loss,
)
from training.teacher import ARM_SCORE, LOG_MULTIPLIER, LOG_RESPONSE


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


def flights(actor: CreativeActor | BiddingActor) -> dict[str, torch.Tensor]:
    """Random columns [N, T, C, ...] of whole flights."""
    torch.manual_seed(1)
    n, t, c = 3, 4, 2
    return {
        "plain": torch.randn(n, t, c, actor.encoder.plain_size),
        "grouped": torch.randn(n, t, c, S, actor.encoder.grouped_size),
        "arm_log_score": -torch.rand(n, t, c, S, K),
        "arm_mask": torch.rand(n, t, c, S, K) > 0.3,
        "base_log_multiplier": torch.zeros(n, t, c, 1 + P + S),
        LOG_MULTIPLIER: torch.zeros(n, t, c, 1 + P + S),
    }


def test_recurrent_actors_learn_from_whole_flights_what_they_act_by() -> None:
    torch.manual_seed(0)
    settings = NetworkSettings(memory=6, foretells=True)
    creative, bidding = CreativeActor(settings), BiddingActor(settings)
    for actor in (creative, bidding):
        torch.nn.init.normal_(actor.output.weight)
    columns = flights(creative)
    arms, bids = creative_outputs(creative, columns), bidding_outputs(bidding, columns)
    assert arms["foretold"].shape == arms["logits"].shape == columns["arm_mask"].shape
    assert bids["log_multiplier"].shape == columns["base_log_multiplier"].shape
    by_segment, by_campaign = torch.zeros(3, 2, S, 6), torch.zeros(3, 2, 6)
    assert creative.memory is not None
    assert bidding.memory is not None
    for t in range(4):
        now = {name: column[:, t] for name, column in columns.items()}
        seen = (now["plain"], now["grouped"])
        by_segment = creative.memory(creative.seen(*seen), by_segment)
        by_campaign = bidding.memory(bidding.seen(*seen), by_campaign)
        logits = creative.logits(*seen, now["arm_log_score"], now["arm_mask"], by_segment)
        torch.testing.assert_close(arms["logits"][:, t], logits)
        torch.testing.assert_close(bids["mean"][:, t], bidding.mean(*seen, by_campaign))


def test_who_is_not_taught_has_nothing_to_lose() -> None:
    actor = BiddingActor(NetworkSettings())
    columns = flights(actor)
    del columns[LOG_MULTIPLIER]
    outputs = bidding_outputs(actor, columns)
    assert "log_multiplier" not in outputs
    assert taught_loss("bidding", outputs, columns, TeacherSettings(), 0.0) == (0.0, {})


def test_who_chooses_as_the_teacher_does_has_no_gap() -> None:
    score, allowed = -torch.rand(5, S, K), torch.rand(5, S, K) > 0.3
    logits = (8.0 * score).masked_fill(~allowed, -1e9).requires_grad_()
    columns = {ARM_SCORE: score, "arm_mask": allowed}
    teacher = TeacherSettings(imitation=1.0, sharpness=8.0)
    loss, told = taught_loss("creative", {"logits": logits}, columns, teacher, 0.0)
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    assert told["teacher_gap"] == pytest.approx(0.0, abs=1e-5)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-5


def test_the_gap_to_a_sure_teacher_is_minus_the_log_probability_of_its_arm() -> None:
    score = torch.full((5, S, K), -100.0)
    score[..., 3] = 0.0
    allowed = torch.ones(5, S, K, dtype=torch.bool)
    allowed[..., K // 2 :] = False  # of these the teacher wants nothing, the learner has no chance of them
    score[..., K - 1] = 7.0
    logits = torch.zeros(5, S, K).masked_fill(~allowed, -1e9).requires_grad_()
    teacher = TeacherSettings(imitation=2.0, until=0.5)
    columns = {ARM_SCORE: score, "arm_mask": allowed}
    for progress, weight in ((0.0, 2.0), (0.25, 1.0), (0.5, 0.0), (0.9, 0.0)):
        loss, told = taught_loss("creative", {"logits": logits}, columns, teacher, progress)
        assert told["teacher_gap"] == pytest.approx(math.log(K // 2), rel=1e-5)
        assert float(torch.as_tensor(loss).detach()) == pytest.approx(weight * S * math.log(K // 2), rel=1e-5)
    loss, _ = taught_loss("creative", {"logits": logits}, columns, teacher, 0.0)
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[..., 3] < 0).all()
    assert (logits.grad[..., K // 2 :] == 0).all()


def test_bids_and_foretold_responses_are_taught_by_squares() -> None:
    teacher = TeacherSettings(imitation=2.0, foretelling=3.0)
    n = 1 + P + S
    columns = {LOG_MULTIPLIER: torch.zeros(5, 2, n), LOG_RESPONSE: torch.ones(5, 2, S, K)}
    loss, told = taught_loss(
        "bidding", {"log_multiplier": torch.full((5, 2, n), 0.1)}, columns, teacher, 0.25
    )
    assert float(loss) == pytest.approx(1.0 * n * 0.01)  # half of the imitation is left
    assert told["teacher_gap"] == pytest.approx(0.1 * math.sqrt(n))
    columns.pop(LOG_MULTIPLIER)
    loss, told = taught_loss("creative", {"foretold": torch.full((5, 2, S, K), 1.5)}, columns, teacher, 1.0)
    assert float(loss) == pytest.approx(3.0 * S * 0.25)  # foretelling does not fade
    assert told["belief_error"] == pytest.approx(0.5)
