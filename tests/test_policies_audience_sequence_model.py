from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.listening import rounds

from envs.errors import ConfigurationError, InterludeError
from policies.audience.artefact import Artefact, DataDescription, load_artefact, save_artefact
from policies.audience.sequence_model import (
    SequenceModel,
    default_settings,
    fit_sequence_model,
    load_sequence_model,
)
from policies.audience.sequence_networks import SequenceSettings
from policies.audience.sequence_training import TrainingSettings
from policies.folders import DamagedFileError

DATA = DataDescription(file="sequences.txt", sha256="ab", listeners=1, items=24, events=4, note="drawn")


def a_model(kind: str, **change: object) -> SequenceModel:
    shape = {"kind": kind, "items": 130, "dimensions": 16, "max_length": 8, "blocks": 1, "dropout": 0.0}
    training = {"learning_rate": 0.01, "max_epochs": 10, "batch": 16, "als_start": 0.0, **change}
    sequences = rounds(120, 130, 12)
    model, _ = fit_sequence_model(
        sequences, SequenceSettings.model_validate(shape), TrainingSettings.model_validate(training)
    )
    return model


@pytest.mark.parametrize("kind", ["sasrec", "gru"])
def test_a_model_is_fitted_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    model = a_model(kind)
    unseen = rounds(40, 130, 9, seed=7)
    before = [unseen.of(row)[:-1] for row in range(40)]
    last = np.array([unseen.of(row)[-1] for row in range(40)])
    score = model.scores(before)
    assert score.shape == (40, 130)
    better = (score > score[np.arange(40), last][:, None]).sum(1)
    assert np.mean(better < 30) > 0.5  # by chance 30 / 130
    model.save(tmp_path / "model", DATA)
    again = load_sequence_model(tmp_path / "model")
    assert (again.settings, again.training) == (model.settings, model.training)
    np.testing.assert_array_equal(again.scores(before), score)
    np.testing.assert_array_equal(again.item_id, model.item_id)


def test_items_can_start_at_factors_without_order() -> None:
    drawn, started = (
        a_model("gru", als_start=start, max_epochs=1, learning_rate=1e-12) for start in (0.0, 0.3)
    )
    assert float(started.network.embedding.weight[1:].std()) == pytest.approx(0.3, rel=0.05)
    assert float(drawn.network.embedding.weight[1:].std()) == pytest.approx(0.02, rel=0.2)


def test_defaults_name_their_network() -> None:
    for name in ("sasrec", "gru"):
        network, training = default_settings(name, 7, seed=3)
        assert (network.kind, network.items, training.seed) == (name, 7, 3)


def test_sequences_too_short_are_refused() -> None:
    settings = SequenceSettings(kind="gru", items=24, dimensions=4)
    with pytest.raises(ConfigurationError, match="no listener has 3 items"):
        fit_sequence_model(rounds(5, 24, 2), settings, TrainingSettings())


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    a_model("gru", max_epochs=1).save(tmp_path / "good", DATA)
    good = load_artefact(tmp_path / "good")
    tensors = {name: tensor for name, tensor in good.tensors.items() if name != "network.bias"}
    save_artefact(tmp_path / "short", good._replace(tensors=tensors))
    with pytest.raises(DamagedFileError, match="bias"):
        load_sequence_model(tmp_path / "short")
    save_artefact(tmp_path / "odd", good._replace(configuration={"network": {}}))
    with pytest.raises(DamagedFileError, match="configuration is damaged"):
        load_sequence_model(tmp_path / "odd")
    save_artefact(tmp_path / "als", Artefact("als", {}, DATA, {}))
    with pytest.raises(InterludeError, match="holds the model als, not one of sasrec, gru"):
        load_sequence_model(tmp_path / "als")
