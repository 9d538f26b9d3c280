import numpy as np
import pytest
import torch
from support.markets import tiny

from envs.recent_plays import RECENT, TOKENS
from policies.audience import session_training as training
from policies.audience.listener_model import session_states
from policies.audience.readout import draw_year
from policies.audience.sequence_networks import Gru, SasRec, SequenceSettings
from policies.audience.sequence_training import padded
from policies.audience.taste_embedding import FACTORS, taste_model

SCENARIO = tiny(listeners={"count": 64, "plays_median": 100.0})


def test_tokens_become_sequences_and_come_back() -> None:
    token = draw_year(SCENARIO, 1, 1).token
    sequences = training.token_sequences(token)
    assert len(sequences.item_id) == TOKENS
    rows = padded([sequences.of(n) for n in range(len(token))], RECENT)
    np.testing.assert_array_equal(rows, token + 1)


def test_skipped_items_start_apart_from_heard_ones() -> None:
    start = training.token_start(taste_model(SCENARIO))
    heard, skipped = start[0], start[2]
    assert start.shape == (TOKENS, training.WIDTH)
    np.testing.assert_allclose(heard[:FACTORS], skipped[:FACTORS])
    np.testing.assert_allclose(heard[FACTORS:], -skipped[FACTORS:])


def test_a_network_learns_what_comes_next() -> None:
    taste, year = taste_model(SCENARIO), draw_year(SCENARIO, 1, 12)
    untrained = Gru(
        SequenceSettings(kind="gru", items=TOKENS, dimensions=training.WIDTH, max_length=RECENT, blocks=1)
    ).eval()
    network = training.fit_network(year.token[128:], year.token[:128], taste)
    rows = torch.from_numpy(year.token[:128].astype(np.int64) + 1)
    with torch.no_grad():
        learned, before = (float(training.next_token_loss(one, rows)) for one in (network, untrained))
    assert learned < before - 0.3
    session = training.session_of(network, taste)
    states = session_states(session, year.token)
    assert states.std(0).min() > 0.01


def test_only_a_gru_of_one_layer_runs_without_pytorch() -> None:
    shape = SequenceSettings(kind="sasrec", items=TOKENS, dimensions=8)
    with pytest.raises(ValueError, match="GRU of one layer"):
        training.session_of(SasRec(shape), taste_model(SCENARIO))


def test_usage_and_nothing_else_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main([]) == 2
    assert "usage" in capsys.readouterr().err
