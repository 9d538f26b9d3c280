"""How well the models foretell what was kept apart, beside what they must beat; every figure by seed.

Counts: a fifth of every listener's items is held out, Recall@20 and nDCG@20 among all items the training part
lacks. Sequences: the last item is held out, HR@10 among 99 sampled negatives, HR@10 and nDCG@10 among all
items not played before. Nothing of what is held out is used to choose anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.audience.artefact import ModelName
from policies.audience.baselines import DecayedMarkov, popularity
from policies.audience.collaborative import (
    ORDERLESS_ALS,
    AlsSettings,
    BprSettings,
    CollaborativeSettings,
    fit_collaborative,
)
from policies.audience.history import ListeningHistory
from policies.audience.holdout import SAMPLED_NEGATIVES, LastItems, draw_negatives, last_items, split_history
from policies.audience.interactions import by_listener
from policies.audience.ranking import full_ranks, hit_rate_at, ndcg_at, one_each, recall_at, sampled_ranks
from policies.audience.sequences import ListeningSequences, plays_of

COUNT_K: Final = 20
SEQUENCE_K: Final = 10
SCORED_AT_ONCE: Final = 256

Scorer = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Scores [n, I] of rows [n]."""
SequenceScorer = Callable[[list[NDArray[np.int32]]], NDArray[np.float32]]
"""Scores [n, I] of what comes after n histories."""


class Figure(NamedTuple):
    """One model's figures, metric by metric, a value a seed."""

    model: str
    metrics: dict[str, list[float]]
    fit_seconds: list[float]

    def add(self, seed: int, values: tuple[float, ...]) -> str:
        """One more seed's values, in the order of the metrics; a line that tells them."""
        for collected, value in zip(self.metrics.values(), values, strict=True):
            collected.append(value)
        told = "  ".join(f"{metric} {value:.4f}" for metric, value in zip(self.metrics, values, strict=True))
        return f"seed {seed}  {self.model:<10}  {told}"

    def mean(self, metric: str) -> float:
        """Mean over seeds."""
        return float(np.mean(self.metrics[metric]))

    def deviation(self, metric: str) -> float:
        """Standard deviation over seeds (n - 1); 0 for one seed."""
        values = self.metrics[metric]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def evaluate_counts(
    history: ListeningHistory,
    models: Iterable[ModelName],
    seeds: Iterable[int],
    told: Callable[[str], None] = lambda _: None,
) -> list[Figure]:
    """Popularity and the collaborative models among `models`, a split a seed; the seed is the fit's too.

    Raises:
        ConfigurationError: nothing can be held out.
    """
    settings: dict[str, type[AlsSettings] | type[BprSettings]] = {"als": AlsSettings, "bpr": BprSettings}
    names = ["popularity", *(name for name in models if name in settings)]
    metrics = (f"recall_at_{COUNT_K}", f"ndcg_at_{COUNT_K}")
    figures = {name: Figure(name, {metric: [] for metric in metrics}, []) for name in names}
    for seed in seeds:
        training, held_out = split_history(history, seed)
        for name in names:
            begun = time.perf_counter()
            if name == "popularity":
                score: Scorer = _same_for_all(popularity(training.item, len(training.item_id)))
            else:
                chosen: CollaborativeSettings = settings[name](seed=seed)
                score = fit_collaborative(training, chosen).scores
            figures[name].fit_seconds.append(time.perf_counter() - begun)
            start, ranks = held_out_ranks(score, training, held_out)
            found = (recall_at(COUNT_K, start, ranks), ndcg_at(COUNT_K, start, ranks))
            told(figures[name].add(seed, found))
    return list(figures.values())


def held_out_ranks(
    score: Scorer, training: ListeningHistory, held_out: ListeningHistory
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each listener's ranks begin [L + 1], and the ranks [H] of what was held out, block by block."""
    nothing = np.empty(0)
    known, apart = by_listener(training, nothing), by_listener(held_out, nothing)
    listeners = len(training.listener_id)
    ranks = []
    for first in range(0, listeners, SCORED_AT_ONCE):
        rows = np.arange(first, min(first + SCORED_AT_ONCE, listeners))
        parts = []
        for start, item, _ in (apart, known):
            bounds = start[first : rows[-1] + 2]
            parts.append((bounds - bounds[0], item[bounds[0] : bounds[-1]]))
        ranks.append(full_ranks(score(rows), *parts))
    return apart.start, np.concatenate(ranks)


def evaluate_sequences(
    sequences: ListeningSequences,
    models: Iterable[ModelName],
    seeds: Iterable[int],
    told: Callable[[str], None] = lambda _: None,
) -> list[Figure]:
    """Popularity, decayed Markov, ALS without order, and the sequence models among `models`.

    A seed draws the negatives and a model's start. Models learn from all but the last item; the sequence
    models stop by the item before it.

    Raises:
        ConfigurationError: no sequence is long enough, or a listener has played almost everything.
    """
    apart, learned = last_items(sequences, 1), sequences.without_last(1)
    names = ["popularity", "markov", "als", *(name for name in models if name in ("sasrec", "gru"))]
    metrics = (f"sampled_hr_at_{SEQUENCE_K}", f"hr_at_{SEQUENCE_K}", f"ndcg_at_{SEQUENCE_K}")
    figures = {name: Figure(name, {metric: [] for metric in metrics}, []) for name in names}
    for seed in seeds:
        negative = draw_negatives(sequences, apart.listener, seed)
        for name in names:
            begun = time.perf_counter()
            scorer = _sequence_scorer(name, learned, apart, seed)
            figures[name].fit_seconds.append(time.perf_counter() - begun)
            told(figures[name].add(seed, _foretold(scorer, apart, negative)))
    return list(figures.values())


def _sequence_scorer(name: str, learned: ListeningSequences, apart: LastItems, seed: int) -> SequenceScorer:
    items = len(learned.item_id)
    if name == "popularity":
        row = popularity(learned.item, items)
        return lambda histories: np.broadcast_to(row, (len(histories), items))
    if name == "markov":
        return DecayedMarkov(learned).scores
    if name == "als":
        chosen = ORDERLESS_ALS.model_copy(update={"seed": seed})
        model = fit_collaborative(plays_of(learned), chosen)
        return lambda _: model.scores(apart.listener)
    from policies.audience.sequence_model import default_settings, fit_sequence_model

    network, training = default_settings(name, items, seed)
    return fit_sequence_model(learned, network, training)[0].scores


def _foretold(scorer: SequenceScorer, apart: LastItems, negative: NDArray[np.int32]) -> tuple[float, ...]:
    """HR@10 among the negatives drawn; HR@10 and nDCG@10 among all items not played before."""
    score = scorer(apart.before)
    rows = np.arange(len(score))
    start = one_each(len(score))
    sampled = sampled_ranks(score[rows, apart.target], np.take_along_axis(score, negative, 1))
    before = np.concatenate([[0], np.cumsum([len(played) for played in apart.before])])
    full = full_ranks(score, (start, apart.target), (before, np.concatenate(apart.before)))
    return (
        hit_rate_at(SEQUENCE_K, start, sampled),
        hit_rate_at(SEQUENCE_K, start, full),
        ndcg_at(SEQUENCE_K, start, full),
    )


def _same_for_all(row: NDArray[np.float32]) -> Scorer:
    return lambda rows: np.broadcast_to(row, (len(rows), len(row)))


__all__ = [
    "COUNT_K",
    "SAMPLED_NEGATIVES",
    "SEQUENCE_K",
    "Figure",
    "evaluate_counts",
    "evaluate_sequences",
    "held_out_ranks",
]
