"""Trains the session part of a listener model on the histories of training markets.

`python -m policies.audience.session_training FOLDER` writes the artefact. The network learns to foretell the
next token: the item, whether it is skipped, whether a session begins; then `readout` says what its state
tells of taste.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from envs.errors import InterludeError
from envs.recent_plays import TOKENS
from envs.scenario import Scenario, load_scenario
from policies.audience.artefact import save_artefact
from policies.audience.listener_model import (
    ORDERS,
    ListenerModel,
    Session,
    artefact_of,
    data_of,
)
from policies.audience.readout import draw_year, two_years, with_readout
from policies.audience.sequence_networks import Gru, SequenceNetwork, SequenceSettings
from policies.audience.sequence_training import Epoch, TrainingSettings, padded, train_network
from policies.audience.sequences import ListeningSequences
from policies.audience.taste_embedding import FACTORS, TRAINING_MARKETS, TasteModel, taste_model
from policies.audience.trust import NO_DOUBT

WIDTH: Final = 2 * FACTORS
VALIDATION_MARKETS: Final = 4
READOUT_MARKETS: Final = 64
START_SD: Final = 0.15
VOTES_UNIT: Final = 8.0
"""Votes of a full history are then of the size of the other features."""
_SEED: Final = 0x5E551
"""A sequence of training markets of its own; the four after it are for the readout (`two_years`)."""


def token_sequences(token: NDArray[np.int16]) -> ListeningSequences:
    """The tokens [n, N] of listeners as sequences."""
    real = token >= 0
    start = np.concatenate([[0], np.cumsum(real.sum(1))])
    return ListeningSequences(
        start, token[real].astype(np.int32), np.arange(len(token)), np.arange(TOKENS, dtype=np.int64)
    )


def token_start(taste: TasteModel) -> NDArray[np.float32]:
    """Embeddings [TOKENS, WIDTH] to start from: an item's factors, and the same against it where skipped."""
    factor = taste.item_factor[np.arange(TOKENS) // 4]
    liked = np.where(np.arange(TOKENS) // 2 % 2 == 1, -1.0, 1.0)[:, None]
    return np.asarray(START_SD / factor.std() * np.concatenate([factor, liked * factor], 1), np.float32)


def fit_network(
    token: NDArray[np.int16],
    apart: NDArray[np.int16],
    taste: TasteModel,
    told: Callable[[Epoch], None] | None = None,
) -> SequenceNetwork:
    """A network that foretells tokens [n, N]; the epoch that foretells those kept apart best is kept."""
    shape = SequenceSettings(
        kind="gru", items=TOKENS, dimensions=WIDTH, max_length=token.shape[1], blocks=1, dropout=0.1
    )
    training = TrainingSettings(
        loss="softmax", learning_rate=5e-3, batch=256, max_epochs=20, patience=3, als_start=0.0
    )
    sequences = token_sequences(apart)
    rows = torch.from_numpy(padded([sequences.of(n) for n in range(len(apart))], token.shape[1]))

    def validate(network: SequenceNetwork) -> float:
        return -float(next_token_loss(network, rows))

    start = token_start(taste)
    return train_network(token_sequences(token), shape, training, validate, item_start=start, told=told)[0]


def next_token_loss(network: SequenceNetwork, rows: torch.Tensor) -> torch.Tensor:
    """Mean negative log likelihood of every token but the first of rows [n, N] (0 = padding)."""
    target = rows[:, 1:]
    real = (rows[:, :-1] > 0) & (target > 0)
    scores = network.scores(network.states(rows[:, :-1])[real])
    return nn.functional.cross_entropy(scores, target[real] - 1)


def session_of(network: SequenceNetwork, taste: TasteModel) -> Session:
    """The network's recurrence and the votes of tokens, without a readout."""
    if not isinstance(network, Gru) or network.settings.blocks != 1:
        raise ValueError("only a GRU of one layer runs without PyTorch")
    cell = {name: tensor.detach().numpy() for name, tensor in network.recurrent.named_parameters()}
    token = network.embedding.weight.detach().numpy() * network.settings.dimensions**0.5
    features = ORDERS * (2 * FACTORS + network.settings.dimensions)
    factor = taste.item_factor @ taste.whitening
    heard = 0.5 - np.arange(TOKENS) // 2 % 2
    votes = np.zeros((TOKENS + 1, FACTORS))
    votes[1:] = heard[:, None] * factor[np.arange(TOKENS) // 4] / (VOTES_UNIT * factor.std())
    return Session(
        gates=token @ cell["weight_ih_l0"].T + cell["bias_ih_l0"],
        recurrent=np.ascontiguousarray(cell["weight_hh_l0"].T),
        recurrent_bias=cell["bias_hh_l0"],
        votes=votes.astype(np.float32),
        offset=np.zeros(features, np.float32),
        readout=np.zeros((features, FACTORS), np.float32),
        trust=NO_DOUBT,
    )


def fit_listener_model(scenario: Scenario, told: Callable[[Epoch], None] | None = None) -> ListenerModel:
    """The listener model of a scenario, learned from its training markets; `told` hears of every epoch."""
    taste = taste_model(scenario)
    listeners = scenario.listeners.count
    token = draw_year(scenario, _SEED, TRAINING_MARKETS).token
    apart = VALIDATION_MARKETS * listeners
    session = session_of(fit_network(token[apart:], token[:apart], taste, told), taste)
    return ListenerModel(
        taste, with_readout(session, taste, *two_years(scenario, _SEED + 1, READOUT_MARKETS))
    )


def main(arguments: list[str]) -> int:
    """Fits the model to the training markets of scenario `default` and writes it into the folder named."""
    if len(arguments) != 1:
        print("usage: python -m policies.audience.session_training FOLDER", file=sys.stderr)
        return 2
    scenario = load_scenario("default")
    try:
        model = fit_listener_model(scenario, lambda epoch: print(epoch, file=sys.stderr))
        save_artefact(Path(arguments[0]), artefact_of(model, data_of(scenario, ", their order and skips")))
    except InterludeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
