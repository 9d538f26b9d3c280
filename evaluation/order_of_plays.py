"""What the order of plays tells of taste and of moods, beyond how often each item was played."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.catalogue import M
from envs.recent_plays import MOOD_FIT, SKIP_LEVEL
from envs.scenario import Scenario
from envs.state import Bool, Float, Int
from evaluation.reference import markdown_table
from policies.audience.listener_model import session_features, session_states, shipped_session_model
from policies.audience.readout import Year, draw_year, least_squares
from policies.audience.taste_embedding import FACTORS, TasteModel, embed

MARKETS: Final = 48
RANGES: Final = ((1, 4), (5, 19), (20, 49), (50, 199), (200, None))
_SEED: Final = 0x5E55F
"""A sequence of training markets of its own to learn from; the next is judged on."""
_UNIT: Final = 8.0
"""Votes of a full history are then of the size of the other features."""
KNOWN: Final = (
    *("plays", "plays and the network's state", "plays and votes", "all three"),
    "plays and votes, true moods told",
)


def taste_explained(learned: Year, judged: Year) -> dict[str, Float]:
    """[len(RANGES)] share of the variance of true taste explained, by what is known and by plays."""
    found = {}
    total = judged.plays.sum(1, dtype=np.int64)
    for known in KNOWN:
        features, fresh = _features(learned, known), _features(judged, known)
        some = learned.plays.sum(1) > 0
        offset, mean = features[some].mean(0), learned.taste[some].mean(0)
        weights = least_squares(features[some] - offset, learned.taste[some])
        error = judged.taste - mean - (fresh - offset) @ weights
        found[known] = np.array(
            [1.0 - np.mean(error[rows] ** 2) / np.mean(judged.taste[rows] ** 2) for rows in _by_plays(total)]
        )
    return found


def mood_told(learned: Year, judged: Year) -> float:
    """How often a linear probe of the state tells the mood of the last session; 1 / M by chance."""
    features, rows = _probe(learned)
    weights = least_squares(features - features.mean(0), np.eye(M)[learned.mood[rows, -1]])
    fresh, apart = _probe(judged)
    told = ((fresh - features.mean(0)) @ weights).argmax(1)
    return float(np.mean(told == judged.mood[apart, -1]))


def _probe(year: Year) -> tuple[Float, Bool]:
    session = shipped_session_model().session
    assert session is not None
    rows: Bool = year.token[:, 0] >= 0
    return session_states(session, year.token[rows])[:, :-FACTORS], rows


def _features(year: Year, known: str) -> Float:
    model = shipped_session_model()
    assert model.session is not None
    state = session_states(model.session, year.token)
    part = {
        KNOWN[0]: state[:, :0],
        KNOWN[1]: state[:, :-FACTORS],
        KNOWN[2]: state[:, -FACTORS:],
        KNOWN[3]: state,
        KNOWN[4]: _votes_told_moods(year, model.taste),
    }[known]
    return session_features(embed(model.taste, year.plays), part, year.plays.sum(1, dtype=np.int64))


def _votes_told_moods(year: Year, taste: TasteModel) -> Float:
    """[n, FACTORS] what was heard less what was to be expected of item and true mood: an oracle's votes."""
    votes = np.zeros((len(year.token), FACTORS))
    factor = taste.item_factor @ taste.whitening
    factor /= _UNIT * factor.std()
    for token, mood in zip(year.token.T.astype(np.int64), year.mood.T, strict=True):
        real = token >= 0
        item, heard = token[real] // 4, 1 - token[real] // 2 % 2
        usual = 1.0 / (1.0 + np.exp(SKIP_LEVEL - MOOD_FIT[mood[real], item]))
        votes[real] += (heard - usual)[:, None] * factor[item]
    return votes


def _by_plays(total: Int) -> list[Bool]:
    return [(total >= low) & (total <= (np.inf if high is None else high)) for low, high in RANGES]


def order_text(scenario: Scenario, markets: int = MARKETS) -> str:
    """A section of `docs/audience.md`."""
    learned, judged = (draw_year(scenario, _SEED + n, markets) for n in (0, 1))
    explained = taste_explained(learned, judged)
    head = ("known of a listener", *(f"from {a}" if b is None else f"{a} to {b}" for a, b in RANGES))
    rows = [(known, *(f"{share:.3f}" for share in shares)) for known, shares in explained.items()]
    return (
        "Share of the variance of listeners' true taste that is explained, by plays known, each by least "
        f"squares on {markets} training markets and judged on {markets} others. Votes are what was heard to "
        "its end less what was skipped, in items' factors; told the true mood of every session, what was "
        "heard less what the mood lets expect:\n\n"
        + markdown_table(head, rows)
        + f"\nThe network's state tells the mood of the last session {mood_told(learned, judged):.0%} of the "
        f"time ({1 / M:.0%} by chance). Moods have no worth here by construction: the market draws the "
        "mood of an ad's listener from hour and segment, whatever was played before the flight; and who is "
        "told the true ones learns no more of taste than votes tell without. So order tells skips, skips "
        "tell taste, most where little was played, and there is no more in it for a network to find.\n"
    )
