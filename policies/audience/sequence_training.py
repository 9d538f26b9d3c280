"""Trains a sequence network to foretell the next item, and stops when validation stops to improve."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from policies.audience.sequence_networks import PADDING, SequenceNetwork, SequenceSettings, build_network
from policies.audience.sequences import ListeningSequences


class TrainingSettings(BaseModel):
    """How a network is trained, as validation preferred; part of an artefact's manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss: Literal["softmax", "sampled_softmax", "bce"] = "sampled_softmax"
    negatives: int = Field(default=512, ge=1, description="shared by a batch; sampled_softmax alone")
    learning_rate: float = Field(default=1e-3, gt=0.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    item_dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="share of steps hidden")
    batch: int = Field(default=128, ge=1)
    max_epochs: int = Field(default=60, ge=1)
    patience: int = Field(default=12, ge=1, description="epochs without improvement before it stops")
    als_start: float = Field(
        default=0.1, ge=0.0, description="spread of the ALS factors items start at; 0: drawn"
    )
    seed: int = Field(default=0, ge=0)


class Epoch(NamedTuple):
    """What an epoch of training brought."""

    epoch: int
    loss: float
    validation: float


class _Windows:
    """Every sequence cut, from its end, into rows of max_length steps and their targets."""

    def __init__(self, sequences: ListeningSequences, max_length: int) -> None:
        self.sequences, self.max_length = sequences, max_length

    def rows(self, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Input and target [windows, max_length] (0 = padding), cut anew at each call."""
        width, inputs, targets = self.max_length, [], []
        for listener in range(len(self.sequences.listener_id)):
            played = self.sequences.of(listener)
            stop = len(played)
            if stop > width + 1:  # each epoch cuts elsewhere, so that no pair of neighbours is always apart
                stop -= int(generator.integers(0, min(width, stop - width)))
            while stop > 1:
                first = max(0, stop - width - 1)
                row = np.zeros((2, width), np.int64)
                row[0, width - (stop - first - 1) :] = played[first : stop - 1] + 1
                row[1, width - (stop - first - 1) :] = played[first + 1 : stop] + 1
                inputs.append(row[0])
                targets.append(row[1])
                stop = first + 1 if first else 0
        return np.array(inputs), np.array(targets)


def padded(histories: list[NDArray[np.int32]], max_length: int) -> NDArray[np.int64]:
    """Rows [N, max_length] of the last items of each history, padded on the left."""
    rows = np.full((len(histories), max_length), PADDING, np.int64)
    for row, played in zip(rows, histories, strict=True):
        last = played[-max_length:]
        if len(last):
            row[max_length - len(last) :] = last + 1
    return rows


def train_network(
    sequences: ListeningSequences,
    settings: SequenceSettings,
    training: TrainingSettings,
    validate: Callable[[SequenceNetwork], float],
    *,
    item_start: NDArray[np.float32] | None = None,
    told: Callable[[Epoch], None] | None = None,
) -> tuple[SequenceNetwork, list[Epoch]]:
    """The network as it was in the epoch that validated best, and the epochs.

    Args:
        sequences: what to learn from.
        settings: the network's shape.
        training: how.
        validate: the higher the better; called after every epoch, the network in evaluation mode.
        item_start: [I, D] where the embeddings start; drawn if None.
        told: called after every epoch.
    """
    torch.set_num_threads(1)  # sums in one order, and a network this small gains nothing from more
    torch.manual_seed(training.seed)
    generator = np.random.Generator(np.random.Philox(training.seed))
    network = build_network(settings)
    if item_start is not None:
        with torch.no_grad():
            network.embedding.weight[1:] = torch.from_numpy(item_start)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    windows = _Windows(sequences, settings.max_length)
    best, best_state, epochs = -np.inf, copy.deepcopy(network.state_dict()), list[Epoch]()
    since = 0
    for epoch in range(1, training.max_epochs + 1):
        network.train()
        inputs, targets = windows.rows(generator)
        order = generator.permutation(len(inputs))
        total, count = 0.0, 0
        for at in range(0, len(order), training.batch):
            chosen = order[at : at + training.batch]
            shown = inputs[chosen]
            if training.item_dropout:
                shown = np.where(generator.random(shown.shape) < training.item_dropout, PADDING, shown)
            rows, target = torch.from_numpy(shown), torch.from_numpy(targets[chosen])
            loss, steps = _loss(network, rows, target, training, generator)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            with torch.no_grad():
                network.embedding.weight[PADDING] = 0.0
            total, count = total + float(loss.detach()) * steps, count + steps
        network.eval()
        with torch.no_grad():
            value = validate(network)
        epochs.append(Epoch(epoch, total / max(1, count), value))
        if told is not None:
            told(epochs[-1])
        if value > best:
            best, best_state, since = value, copy.deepcopy(network.state_dict()), 0
        else:
            since += 1
            if since >= training.patience:
                break
    network.load_state_dict(best_state)
    return network.eval().requires_grad_(False), epochs


def _loss(
    network: SequenceNetwork,
    rows: Tensor,
    target: Tensor,
    training: TrainingSettings,
    generator: np.random.Generator,
) -> tuple[Tensor, int]:
    real = target != PADDING
    state, wanted = network.states(rows)[real], target[real] - 1
    if training.loss == "softmax":
        return nn.functional.cross_entropy(network.scores(state), wanted), len(wanted)
    embedding, bias = network.embedding.weight[1:], network.bias
    positive = (state * embedding[wanted]).sum(-1) + bias[wanted]
    items = network.settings.items
    if training.loss == "bce":
        drawn = torch.from_numpy(generator.integers(0, items, len(wanted)))
        negative = (state * embedding[drawn]).sum(-1) + bias[drawn]
        return (nn.functional.softplus(-positive) + nn.functional.softplus(negative)).mean(), len(wanted)
    drawn = torch.from_numpy(generator.integers(0, items, training.negatives))
    negative = state @ embedding[drawn].T + bias[drawn]
    negative = negative.masked_fill(drawn[None] == wanted[:, None], -torch.inf)
    scores = torch.cat([positive[:, None], negative], 1)
    return nn.functional.cross_entropy(scores, torch.zeros(len(wanted), dtype=torch.long)), len(wanted)
