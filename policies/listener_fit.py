"""How much listeners differ, from a real listening history: in how much they listen, and in what to."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtri

from envs.calibration.fit import ListenerSpread
from envs.catalogue import D
from envs.errors import ConfigurationError
from envs.philox import uniforms
from policies.audience.als import factorise
from policies.audience.history import ListeningHistory

HELD_OUT_SHARE: Final = 0.2
KNOWN_ITEM_LISTENERS: Final = 30
TOP_SHARE: Final = 0.1
_HOLD_OUT_STREAM: Final = 0x7A02


def fit_listeners(history: ListeningHistory, seed: int = 0) -> ListenerSpread:
    """Spreads for `Listeners.activity_sd` and `taste_sd`.

    Taste: a fifth of the (listener, item) pairs is kept apart, the rest factorised; over the items that many
    know, how much oftener than average do the tenth of the listeners whom the factors rank first hold a pair
    kept apart? Log-normal affinity of standard deviation σ would make that lift Φ(σ − z) / .1, z the normal
    quantile of the top tenth; σ follows. It is what factors can tell of music: a sparse history shrinks it,
    and whether brands divide listeners as music does is not in the data.

    Raises:
        ConfigurationError: too few listeners or items to tell.
    """
    plays = np.bincount(history.listener, history.plays, len(history.listener_id))
    apart = uniforms(np.array([seed], np.uint64), _HOLD_OUT_STREAM, (len(history.plays),))[0] < HELD_OUT_SHARE
    kept = history.part(~apart)
    known = np.flatnonzero(np.bincount(kept.item, minlength=len(history.item_id)) >= KNOWN_ITEM_LISTENERS)
    listeners = len(history.listener_id)
    if not known.size or listeners * TOP_SHARE < 1.0:
        raise ConfigurationError(
            f"the listening history has {listeners} listeners and {known.size} items that "
            f"{KNOWN_ITEM_LISTENERS} of them know: too few to tell how much tastes differ"
        )
    factors = factorise(kept, D, seed)
    place = np.full(len(history.item_id), -1)
    place[known] = np.arange(known.size)
    score = factors.listener_factor @ factors.item_factor[known].T
    heard, held = np.zeros(score.shape, bool), np.zeros(score.shape, bool)
    for table, pairs in ((heard, ~apart), (held, apart)):
        item = place[history.item[pairs]]
        table[history.listener[pairs][item >= 0], item[item >= 0]] = True
    score[heard] = -np.inf
    open_pairs = (~heard).sum(0)
    rank = np.argsort(np.argsort(-score, axis=0), axis=0)
    top = (rank < TOP_SHARE * open_pairs) & ~heard
    lift = (held & top).sum() / max(1, top.sum()) / max(1e-12, held.sum() / max(1, open_pairs.sum()))
    spread = ndtri(min(0.999, max(TOP_SHARE, lift * TOP_SHARE))) - ndtri(TOP_SHARE)
    return ListenerSpread(float(np.log(plays).std()), float(spread))
