from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.listening import two_tastes

from envs.errors import InterludeError
from policies.audience.artefact import Artefact, DataDescription, save_artefact
from policies.audience.collaborative import (
    AlsSettings,
    BprSettings,
    CollaborativeModel,
    CollaborativeSettings,
    fit_collaborative,
    load_collaborative,
)
from policies.folders import DamagedFileError

DATA = DataDescription(file="x.dat", sha256="ab", listeners=60, items=40, events=4, note="drawn")
SETTINGS: tuple[CollaborativeSettings, ...] = (
    AlsSettings(dimensions=4),
    BprSettings(dimensions=4, epochs=100, learning_rate=0.02),
)


@pytest.fixture(params=SETTINGS, ids=lambda settings: settings.model)
def model(request: pytest.FixtureRequest) -> CollaborativeModel:
    return fit_collaborative(two_tastes(), request.param)


def test_a_newcomer_is_told_what_its_like_play(model: CollaborativeModel) -> None:
    for half in (0, 1):
        factor = model.newcomer(np.arange(half, 10, 2, dtype=np.int32), np.full(5, 30))
        score = model.factors.item_factor @ factor
        mine = np.arange(40) % 2 == half
        like, unlike = score[10:][mine[10:]], score[10:][~mine[10:]]
        assert np.mean(like[:, None] > unlike) > 0.9


@pytest.mark.parametrize(
    ("item", "plays", "message"),
    [
        ([], [], "at least one"),
        ([1, 1], [2, 2], "distinct"),
        ([1], [2, 2], "each with its plays"),
        ([40], [1], r"\[0, 39\]"),
        ([0], [0], "at least 1"),
    ],
)
def test_a_newcomer_who_cannot_be_is_refused(
    model: CollaborativeModel, item: list[int], plays: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.newcomer(np.array(item, np.int32), np.array(plays, np.int64))


def test_what_is_saved_scores_the_same(model: CollaborativeModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model", DATA)
    again = load_collaborative(tmp_path / "model")
    assert again.settings == model.settings
    everybody = np.arange(60)
    np.testing.assert_array_equal(again.scores(everybody), model.scores(everybody))
    np.testing.assert_array_equal(again.item_id, model.item_id)
    few = np.array([1, 3], np.int32), np.array([2, 9])
    np.testing.assert_array_equal(again.newcomer(*few), model.newcomer(*few))


def test_regularisation_follows_the_history() -> None:
    history = two_tastes()
    settings = AlsSettings(confidence_slope=2.0, regularisation_share=0.1)
    mean = 2.0 * np.log1p(history.plays).sum() / 60
    assert settings.resolved(history).regularisation == pytest.approx(0.1 * mean)
    twice = history._replace(plays=(1 + history.plays) ** 2 - 1)  # log(1 + plays) doubles
    assert settings.resolved(twice).regularisation == pytest.approx(0.2 * mean)
    given = AlsSettings(regularisation=3.0)
    assert given.resolved(history) is given
    assert fit_collaborative(history, settings).settings == settings.resolved(history)


def test_what_does_not_fit_is_refused(model: CollaborativeModel, tmp_path: Path) -> None:
    tensors = {**model.factors._asdict(), "listener_id": model.listener_id, "item_id": model.item_id[:-1]}
    name, configuration = model.settings.model, model.settings.model_dump()
    save_artefact(tmp_path / "short", Artefact(name, configuration, DATA, tensors))
    with pytest.raises(DamagedFileError, match=r"'item_factor' must have shape \(39, \d\)"):
        load_collaborative(tmp_path / "short")
    save_artefact(tmp_path / "odd", Artefact(name, {**configuration, "odd": 1}, DATA, tensors))
    with pytest.raises(DamagedFileError, match="configuration is damaged"):
        load_collaborative(tmp_path / "odd")
    save_artefact(tmp_path / "gru", Artefact("gru", {}, DATA, {}))
    with pytest.raises(InterludeError, match="holds the model gru, not one of als, bpr"):
        load_collaborative(tmp_path / "gru")
    manifest = json.loads((tmp_path / "gru" / "manifest.json").read_text())
    assert manifest["data"]["note"] == "drawn"
