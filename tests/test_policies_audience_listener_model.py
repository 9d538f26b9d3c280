from pathlib import Path

import numpy as np
import pytest
import torch
from support.markets import started, tiny

from envs.errors import InterludeError
from envs.recent_plays import RECENT, TOKENS
from policies.audience.artefact import TENSORS, Artefact, DataDescription, save_artefact
from policies.audience.listener_model import (
    ListenerModel,
    artefact_of,
    data_of,
    embed_listeners,
    load_listener_model,
    session_features,
    session_states,
    shipped_session_model,
)
from policies.audience.sequence_networks import Gru, SequenceSettings
from policies.audience.session_training import session_of
from policies.audience.taste_embedding import FACTORS, embed
from policies.audience.trust import KNOTS
from policies.folders import DamagedFileError

SCENARIO = tiny(listeners={"count": 48, "plays_median": 40.0, "cold_share": 0.2})


def test_states_are_those_of_the_network_in_pytorch() -> None:
    torch.manual_seed(3)
    network = Gru(
        SequenceSettings(kind="gru", items=TOKENS, dimensions=6, max_length=RECENT, blocks=1)
    ).eval()
    torch.nn.init.normal_(network.embedding.weight, std=0.5)
    with torch.no_grad():
        network.embedding.weight[0] = 0.0
    token = started(SCENARIO, 1).listening(order=True).recent
    assert token is not None
    rows = torch.from_numpy(token[0].astype(np.int64)) + 1
    with torch.no_grad():
        hidden, _ = network.recurrent(network.embedding(rows) * 6**0.5)
    taste = shipped_session_model().taste
    found = session_states(session_of(network, taste), token)
    assert found.shape == (1, 48, 6 + FACTORS)
    np.testing.assert_allclose(found[0, :, :6], hidden[:, -1].numpy(), atol=1e-5)


def test_what_is_heard_speaks_for_an_item_and_what_is_skipped_against_it() -> None:
    session = shipped_session_model().session
    assert session is not None
    item, nothing = 7, np.full(RECENT, -1, np.int16)
    heard, skipped = (np.append(nothing[1:], np.int16(4 * item + 2 * skip)) for skip in (0, 1))
    before, liked, disliked = session_states(session, np.stack([nothing, heard, skipped]))[:, -FACTORS:]
    assert (before == 0).all() and (liked != 0).all()
    np.testing.assert_allclose(liked, -disliked)


def test_an_embedding_is_its_features_read_out_and_nothing_for_who_played_nothing() -> None:
    listening, model = started(SCENARIO, 2).listening(order=True), shipped_session_model()
    assert model.session is not None and listening.recent is not None
    found, doubt = embed_listeners(model, listening)
    plays = listening.plays.sum(-1)
    state = session_states(model.session, listening.recent)
    for b in range(2):
        features = session_features(embed(model.taste, listening.plays[b]), state[b], plays[b])
        expected = (features - model.session.offset) @ model.session.readout
        expected *= np.interp(np.log2(1 + plays[b]), range(KNOTS), model.session.trust[:, 0])[:, None]
        np.testing.assert_allclose(found[b], np.where(plays[b][:, None] > 0, expected, 0.0), atol=1e-9)
    assert (found[plays == 0] == 0).all() and (doubt[plays == 0] == 1).all() and (plays == 0).any()
    assert doubt[plays > 100].max() < 0.5
    by_counts = embed_listeners(ListenerModel(model.taste), listening)
    np.testing.assert_array_equal(by_counts.taste, embed(model.taste, listening.plays))


def test_a_market_alone_has_the_same_embeddings_bit_for_bit() -> None:
    model = shipped_session_model()
    together = embed_listeners(model, started(SCENARIO, 3).listening(order=True))
    alone = embed_listeners(model, started(SCENARIO, 1).listening(order=True))
    for many, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(many[:1], one)


def test_a_model_that_reads_order_says_that_it_needs_it() -> None:
    with pytest.raises(InterludeError, match="order=True"):
        embed_listeners(shipped_session_model(), started(SCENARIO, 1).listening())


@pytest.mark.parametrize("reads_order", [False, True])
def test_a_stored_model_embeds_alike(reads_order: bool, tmp_path: Path) -> None:
    shipped = shipped_session_model()
    model = shipped if reads_order else ListenerModel(shipped.taste)
    save_artefact(tmp_path / "model", artefact_of(model, data_of(SCENARIO, "")))
    found = load_listener_model(tmp_path / "model")
    assert found.name == model.name == ("session" if reads_order else "taste")
    listening = started(SCENARIO, 1).listening(order=True)
    for again, before in zip(
        embed_listeners(found, listening), embed_listeners(model, listening), strict=True
    ):
        np.testing.assert_array_equal(again, before)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model, data = shipped_session_model(), data_of(SCENARIO, "")
    good = artefact_of(model, data)
    short = {**good.tensors, "session.readout": good.tensors["session.readout"][:-1]}
    save_artefact(tmp_path / "short", good._replace(tensors=short))
    with pytest.raises(DamagedFileError, match=rf"session.readout.*{FACTORS}"):
        load_listener_model(tmp_path / "short")
    other = DataDescription(file="x", sha256="", listeners=1, items=1, events=1, note="")
    save_artefact(tmp_path / "als", Artefact("als", {}, other, {"a": np.zeros(2)}))
    with pytest.raises(InterludeError, match="the model als, not one of taste, session"):
        load_listener_model(tmp_path / "als")
    untrusted = {name: tensor for name, tensor in good.tensors.items() if name != "trust"}
    save_artefact(tmp_path / "old", good._replace(tensors=untrusted))
    with pytest.raises(InterludeError, match="earlier version"):
        load_listener_model(tmp_path / "old")
    save_artefact(tmp_path / "cut", good)
    path = tmp_path / "cut" / TENSORS
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DamagedFileError, match=TENSORS):
        load_listener_model(tmp_path / "cut")
