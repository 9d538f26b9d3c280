from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from support.listening import rounds

from policies.audience.sequence_networks import SequenceNetwork, SequenceSettings, build_network
from policies.audience.sequence_training import (
    Epoch,
    TrainingSettings,
    _loss,
    _Windows,
    padded,
    train_network,
)

SMALL = SequenceSettings(kind="gru", items=24, dimensions=8, max_length=6, blocks=1, dropout=0.0)


def test_histories_are_padded_on_the_left() -> None:
    rows = padded([np.array([4, 2], np.int32), np.arange(7, dtype=np.int32), np.empty(0, np.int32)], 4)
    assert rows.tolist() == [[0, 0, 5, 3], [4, 5, 6, 7], [0, 0, 0, 0]]


@pytest.mark.parametrize("length", [2, 6, 7, 8, 13, 30])
def test_windows_hold_neighbours_and_the_end_of_short_sequences(length: int) -> None:
    windows = _Windows(rounds(5, 24, length), 6)
    seen = set()
    for seed in range(12):
        inputs, targets = windows.rows(np.random.default_rng(seed))
        real = targets > 0
        assert ((inputs > 0) == real).all()
        assert (targets[real] - 1 == inputs[real] % 24).all()  # the next one round
        seen |= {(int(i), int(t)) for i, t in zip(inputs[real], targets[real], strict=True)}
        if length <= 7:
            assert real.sum() == 5 * (length - 1)
    whole = rounds(5, 24, length)
    played = [(whole.of(row) + 1).tolist() for row in range(5)]
    pairs = {pair for row in played for pair in pairwise(row)}
    assert seen == pairs


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce"])
def test_every_loss_falls_where_the_target_scores_higher(loss: str) -> None:
    torch.manual_seed(0)
    network = build_network(SMALL).eval()
    rows, target = torch.tensor([[0, 0, 0, 1, 2, 3]]), torch.tensor([[0, 0, 0, 2, 3, 4]])
    training = TrainingSettings.model_validate({"loss": loss, "negatives": 8})
    before, steps = _loss(network, rows, target, training, np.random.default_rng(0))
    with torch.no_grad():
        network.bias[1:4] += 3.0
    after, _ = _loss(network, rows, target, training, np.random.default_rng(0))
    assert steps == 3
    assert after.item() < before.item()


def test_the_full_softmax_starts_at_its_known_value() -> None:
    torch.manual_seed(0)
    network = build_network(SMALL).eval()
    with torch.no_grad():
        network.embedding.weight.zero_()
    rows, target = torch.tensor([[0, 0, 0, 1, 2, 3]]), torch.tensor([[0, 0, 0, 2, 3, 4]])
    training = TrainingSettings(loss="softmax")
    loss, _ = _loss(network, rows, target, training, np.random.default_rng(0))
    assert loss.item() == pytest.approx(np.log(24))


@pytest.mark.parametrize("kind", ["sasrec", "gru"])
def test_a_rule_of_order_is_learned(kind: str) -> None:
    """The next item is the last plus one: neither popularity nor who plays with whom can know."""
    unseen = rounds(40, 24, 9, seed=7)
    rows = torch.from_numpy(padded([unseen.of(row)[:-1] for row in range(40)], 8))
    last = np.array([unseen.of(row)[-1] for row in range(40)])

    def right(network: SequenceNetwork) -> float:
        return float(np.mean(network(rows).numpy().argmax(1) == last))

    settings = SequenceSettings.model_validate(
        {"kind": kind, "items": 24, "dimensions": 16, "max_length": 8, "blocks": 1, "dropout": 0.0}
    )
    training = TrainingSettings(learning_rate=0.01, batch=16, max_epochs=40, patience=40)
    _, epochs = train_network(rounds(120, 24, 12), settings, training, right)
    assert max(epoch.validation for epoch in epochs) > 0.9


def test_training_is_repeatable_and_keeps_the_best_epoch() -> None:
    values = iter([0.1, 0.5, 0.2, 0.3, 0.4, 0.9])
    kept: list[dict[str, torch.Tensor]] = []

    def validate(network: SequenceNetwork) -> float:
        assert not network.training
        kept.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(values)

    training = TrainingSettings(patience=3, max_epochs=6, batch=16)
    told: list[Epoch] = []
    network, epochs = train_network(rounds(), SMALL, training, validate, told=told.append)
    assert [epoch.validation for epoch in epochs] == [0.1, 0.5, 0.2, 0.3, 0.4]
    assert epochs == told
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, kept[1][name])
        assert not torch.equal(tensor, kept[4][name])
    assert not any(parameter.requires_grad for parameter in network.parameters())
    values = iter([0.1, 0.5, 0.0, 0.0, 0.0])
    again, _ = train_network(rounds(), SMALL, training, lambda _: next(values))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_items_start_where_they_are_told() -> None:
    start = np.full((24, 8), 0.5, np.float32)
    training = TrainingSettings(max_epochs=1, learning_rate=1e-12)
    network, _ = train_network(rounds(), SMALL, training, lambda _: 0.0, item_start=start)
    torch.testing.assert_close(network.embedding.weight[1:], torch.from_numpy(start))
    assert (network.embedding.weight[0] == 0.0).all()
