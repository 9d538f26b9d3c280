"""A sequence network as one model: fit with early stopping, score, save, load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from envs.errors import InterludeError
from policies.audience.artefact import Artefact, DataDescription, load_artefact, save_artefact, take_tensor
from policies.audience.collaborative import ORDERLESS_ALS
from policies.audience.holdout import last_items
from policies.audience.ranking import expected_sampled_hit_rate, full_ranks, one_each
from policies.audience.sequence_networks import SequenceNetwork, SequenceSettings, build_network
from policies.audience.sequence_training import Epoch, TrainingSettings, padded, train_network
from policies.audience.sequences import ListeningSequences, plays_of
from policies.folders import DamagedFileError

SCORED_AT_ONCE = 256
VALIDATION_K = 10
VALIDATION_NEGATIVES = 99


def default_settings(model: str, items: int, seed: int = 0) -> tuple[SequenceSettings, TrainingSettings]:
    """What validation preferred for `sasrec` or `gru`: shape and training."""
    blocks = 2 if model == "sasrec" else 1
    network = SequenceSettings.model_validate({"kind": model, "items": items, "blocks": blocks})
    return network, TrainingSettings(seed=seed)


@dataclass(frozen=True)
class SequenceModel:
    """A trained network and whose items it knows."""

    network: SequenceNetwork
    training: TrainingSettings
    item_id: NDArray[np.int64]
    """[I] ascending"""

    @property
    def settings(self) -> SequenceSettings:
        """The network's shape."""
        return self.network.settings

    def scores(self, histories: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Scores [N, I] of what comes after each history (indices of items, oldest first)."""
        return network_scores(self.network, histories)

    def save(self, folder: Path, data: DataDescription) -> None:
        """Writes an artefact."""
        tensors = {f"network.{name}": t.numpy() for name, t in self.network.state_dict().items()}
        configuration = {"network": self.settings.model_dump(), "training": self.training.model_dump()}
        model = self.settings.kind
        save_artefact(folder, Artefact(model, configuration, data, {**tensors, "item_id": self.item_id}))


def network_scores(network: SequenceNetwork, histories: list[NDArray[np.int32]]) -> NDArray[np.float32]:
    """Scores [N, I] of what comes after each history, the network in evaluation mode."""
    rows = torch.from_numpy(padded(histories, network.settings.max_length))
    with torch.no_grad():
        scored = [network(part).numpy() for part in rows.split(SCORED_AT_ONCE)]  # type: ignore[no-untyped-call]
    return np.concatenate(scored)


def fit_sequence_model(
    sequences: ListeningSequences,
    settings: SequenceSettings,
    training: TrainingSettings,
    told: Callable[[Epoch], None] | None = None,
) -> tuple[SequenceModel, list[Epoch]]:
    """Learns from all but the last item of every sequence, and keeps the epoch that best foretells those.

    What counts is the expected HR@10 among 99 negatives, so that no draw of negatives decides.

    Raises:
        ConfigurationError: no sequence has 3 items.
    """
    apart = last_items(sequences, 1)
    items = len(sequences.item_id)
    learned = sequences.without_last(1)
    known_start = np.concatenate([[0], np.cumsum([len(before) for before in apart.before])])
    known = np.concatenate(apart.before)
    left = np.array(
        [items - len(np.setdiff1d(b, [t])) for b, t in zip(apart.before, apart.target, strict=True)]
    )
    targets = (one_each(len(apart.target)), apart.target)

    def validate(network: SequenceNetwork) -> float:
        ranks = full_ranks(network_scores(network, apart.before), targets, (known_start, known))
        return expected_sampled_hit_rate(VALIDATION_K, ranks, left, VALIDATION_NEGATIVES)

    start = _als_start(learned, settings.dimensions, training) if training.als_start else None
    network, epochs = train_network(learned, settings, training, validate, item_start=start, told=told)
    return SequenceModel(network, training, sequences.item_id), epochs


def _als_start(
    sequences: ListeningSequences, dimensions: int, training: TrainingSettings
) -> NDArray[np.float32]:
    """The items' factors without regard to order, scaled to the spread that training starts from."""
    chosen = ORDERLESS_ALS.model_copy(update={"dimensions": dimensions, "seed": training.seed})
    factor = chosen.fit(plays_of(sequences)).item_factor
    return np.asarray(factor * (training.als_start / max(1e-12, float(factor.std()))), np.float32)


def load_sequence_model(folder: Path) -> SequenceModel:
    """The model of an artefact.

    Raises:
        DamagedFileError: a file is missing, damaged or does not fit; it is named.
        InterludeError: the folder holds another kind of model.
    """
    artefact = load_artefact(folder)
    if artefact.model not in ("sasrec", "gru"):
        raise InterludeError(f"{folder} holds the model {artefact.model}, not one of sasrec, gru")
    try:
        settings = SequenceSettings.model_validate(artefact.configuration.get("network"))
        training = TrainingSettings.model_validate(artefact.configuration.get("training"))
    except ValidationError as error:
        raise DamagedFileError(f"{folder}: the manifest's configuration is damaged: {error}") from error
    network = build_network(settings)
    prefix = "network."
    state = {
        name.removeprefix(prefix): torch.from_numpy(tensor)
        for name, tensor in artefact.tensors.items()
        if name.startswith(prefix)
    }
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DamagedFileError(f"{folder}: the tensors do not fit the network: {error}") from error
    item_id = take_tensor(artefact, "item_id", (settings.items,))
    return SequenceModel(network.eval().requires_grad_(False), training, item_id)
