"""Listeners of training markets over two years, and what the first tells of the second.

Tastes last, likings and moods do not: so what foretells another year's plays is taste. No hidden truth is
read, but to draw histories from.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.generator import draw_markets
from envs.histories import ITEMS, draw_histories
from envs.recent_plays import RECENT, draw_recent
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Float
from policies.audience.listener_model import Session, session_features, session_states
from policies.audience.taste_embedding import RICH, SPARSE, TasteModel, embed, with_plays
from policies.audience.trust import fit_trust

RIDGE: Final = 10.0


class Year(NamedTuple):
    """What listeners of training markets did, one after the other."""

    taste: Float  # [n, D] hidden: to draw another year from
    plays: NDArray[np.int32]  # [n, ITEMS]
    token: NDArray[np.int16]  # [n, RECENT]
    mood: NDArray[np.int8]  # [n, RECENT] hidden: of the session of each


def draw_year(scenario: Scenario, seed: int, markets: int) -> Year:
    """Histories of the listeners of training markets."""
    seeds = market_seeds("train", seed, 0, markets)
    truth, _ = draw_markets(seeds, scenario, "train")
    plays = draw_histories(seeds, truth.listener_taste, scenario)
    token, mood = draw_recent(seeds, truth.listener_taste, plays)
    taste = truth.listener_taste
    return Year(
        taste=taste.reshape(-1, taste.shape[-1]),
        plays=plays.reshape(-1, ITEMS),
        token=token.reshape(-1, RECENT),
        mood=mood.reshape(-1, RECENT),
    )


def two_years(scenario: Scenario, seed: int, markets: int) -> tuple[Year, NDArray[np.int32]]:
    """A year of listeners, and what the same listeners play another year [n, ITEMS].

    Of half of them little is known in the first year, of the other half much. Reads four seeds.
    """
    first, other, listeners = [], [], scenario.listeners.count
    for n, share in enumerate((SPARSE, RICH)):
        first.append(draw_year(with_plays(scenario, share), seed + 2 * n, markets // 2))
        seeds = market_seeds("train", seed + 2 * n + 1, 0, markets // 2)
        tastes = first[-1].taste.reshape(markets // 2, listeners, -1)
        other.append(draw_histories(seeds, tastes, scenario).reshape(-1, ITEMS))
    return Year(*(np.concatenate(part) for part in zip(*first, strict=True))), np.concatenate(other)


def with_readout(session: Session, taste: TasteModel, year: Year, other: NDArray[np.int32]) -> Session:
    """The session part, its readout and trust fitted to what the same listeners played another year.

    `other` [n, ITEMS] is that year.
    """
    total = year.plays.sum(1, dtype=np.int64)
    known = total > 0
    x = embed(taste, year.plays)
    features = session_features(x, session_states(session, year.token), total)[known]
    offset = features.mean(0)
    centred, target = features - offset, embed(taste, other)[known]
    readout = least_squares(centred, target)
    trust = fit_trust(centred @ readout, total[known], target)
    return session._replace(offset=offset.astype(np.float32), readout=readout.astype(np.float32), trust=trust)


def least_squares(features: Float, target: Float) -> Float:
    """[F, k] that maps centred features [n, F] to centred targets [n, k], with a ridge."""
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += RIDGE
    found: Float = np.linalg.solve(gram, features.T @ (target - target.mean(0)))
    return found
