from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.listening import rounds, two_tastes

from policies.audience.evaluate import Figure, evaluate_counts, evaluate_sequences, held_out_ranks
from policies.audience.history import read_listening_history
from policies.audience.holdout import split_history
from policies.audience.ranking import recall_at
from policies.audience.sequences import read_listening_sequences


def test_ranks_are_the_same_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    training, held_out = split_history(two_tastes(), 0)
    score = np.random.default_rng(0).random((60, 40))
    whole = held_out_ranks(lambda rows: score[rows], training, held_out)
    monkeypatch.setattr("policies.audience.evaluate.SCORED_AT_ONCE", 7)
    parts = held_out_ranks(lambda rows: score[rows], training, held_out)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_knowing_what_was_held_out_scores_one() -> None:
    training, held_out = split_history(two_tastes(), 0)
    score = np.zeros((60, 40))
    score[held_out.listener, held_out.item] = 1.0
    start, ranks = held_out_ranks(lambda rows: score[rows], training, held_out)
    assert recall_at(20, start, ranks) == 1.0


def test_collaborative_models_beat_popularity_where_there_are_two_tastes() -> None:
    figures = {figure.model: figure for figure in evaluate_counts(two_tastes(), ("als", "bpr"), (0, 1))}
    assert list(figures) == ["popularity", "als", "bpr"]
    assert len(figures["als"].metrics["recall_at_20"]) == len(figures["als"].fit_seconds) == 2
    for name in ("als", "bpr"):
        assert figures[name].mean("ndcg_at_20") > figures["popularity"].mean("ndcg_at_20") + 0.05
    again = evaluate_counts(two_tastes(), ("als",), (0, 1))
    assert again[1].metrics == figures["als"].metrics


def test_order_is_told_from_no_order() -> None:
    sequences = rounds(120, 130, 12)
    figures = {f.model: f for f in evaluate_sequences(sequences, (), (0, 1))}
    assert list(figures) == ["popularity", "markov", "als"]
    markov = figures["markov"]
    assert markov.mean("ndcg_at_10") > figures["popularity"].mean("ndcg_at_10") + 0.2
    assert markov.deviation("ndcg_at_10") == 0.0  # no draw in it; the negatives touch the sampled one alone
    for figure in figures.values():
        assert figure.mean("sampled_hr_at_10") >= figure.mean("hr_at_10")


def test_a_figure_sums_up_its_seeds() -> None:
    figure = Figure("als", {"a": [], "b": []}, [])
    assert figure.add(3, (1.0, 2.0)) == "seed 3  als         a 1.0000  b 2.0000"
    assert figure.deviation("a") == 0.0
    figure.add(4, (2.0, 2.0))
    assert figure.mean("a") == 1.5 and figure.deviation("a") == pytest.approx(0.5**0.5)


@pytest.mark.slow
def test_als_on_the_real_counts_reaches_its_bar(data_dir: Path) -> None:
    folder = data_dir / "lastfm-hetrec2011"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    popular, als, bpr = evaluate_counts(read_listening_history(folder), ("als", "bpr"), range(5))
    assert popular.mean("recall_at_20") == pytest.approx(0.100, abs=0.005)
    assert popular.mean("ndcg_at_20") == pytest.approx(0.095, abs=0.005)
    assert als.mean("recall_at_20") >= 0.255 and als.mean("ndcg_at_20") >= 0.242
    assert bpr.mean("recall_at_20") >= 0.185 and bpr.mean("ndcg_at_20") >= 0.184


@pytest.mark.slow
def test_a_sequence_model_on_the_real_sequences_reaches_its_bar(data_dir: Path) -> None:
    """The order there is that of tagging, not of listening."""
    folder = data_dir / "lastfm-sequences"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    figures = {f.model: f for f in evaluate_sequences(read_listening_sequences(folder), ("sasrec",), (0,))}
    assert figures["popularity"].mean("sampled_hr_at_10") == pytest.approx(0.288, abs=0.02)
    assert figures["sasrec"].mean("sampled_hr_at_10") >= 0.459
