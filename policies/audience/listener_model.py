"""What turns a listener's history into an embedding: plays by collaborative filtering, and what came last.

With a session part, the last plays are read in order, skips and sessions among them: a gated recurrent
network (Cho et al. 2014) keeps a state, and what was heard to its end speaks for an item's factors, what was
skipped against them. Both, which every play moves, and the embedding of all plays together foretell what the
same listener plays another year. Trained with PyTorch (`session_training`), it runs here without.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.errors import InterludeError
from envs.histories import ITEMS, Listening
from envs.kernel import allocating_kernel, inlined
from envs.paths import configs_directory
from envs.recent_plays import TOKENS
from envs.scenario import Scenario
from envs.state import Float
from policies.audience.artefact import (
    Artefact,
    DataDescription,
    ListenerModelName,
    load_artefact,
    take_tensor,
)
from policies.audience.taste_embedding import FACTORS, TRAINING_MARKETS, TasteModel, embed
from policies.audience.trust import KNOTS, doubt_of, trusted

PLAYS_UNIT: Final = 6.0
"""Log plays of a listener who has heard some four hundred."""
ORDERS: Final = 3
"""Features count by 1, log plays and its square: how far each is to be believed depends on them."""


Single = NDArray[np.float32]


class Session(NamedTuple):
    """A recurrent network over tokens of `envs.recent_plays`, H wide, and how its state is read out."""

    gates: Single  # [TOKENS + 1, 3 H] reset, update, candidate: what a token brings; row 0 before the first
    recurrent: Single  # [H, 3 H]
    recurrent_bias: Single  # [3 H]
    votes: Single  # [TOKENS + 1, FACTORS] what a token says for its item's factors, or against them
    offset: Single  # [F] mean of features over training listeners, F = ORDERS (2 FACTORS + H)
    readout: Single  # [F, FACTORS] what another year's embedding is expected to be
    trust: Float  # [KNOTS, 2] in what is read out, by plays: see `policies.audience.trust`


class Embedding(NamedTuple):
    """What is believed of listeners' tastes, each dimension of which has variance 1 over all listeners."""

    taste: Float  # [B, L, FACTORS] expected; 0 for who played nothing
    doubt: Float  # [B, L] variance of each dimension around it; 1 for who played nothing


class ListenerModel(NamedTuple):
    """The model of an audience: `taste` if it reads counts alone, `session` if it reads order too."""

    taste: TasteModel
    session: Session | None = None

    @property
    def name(self) -> ListenerModelName:
        """As artefacts call it."""
        return "taste" if self.session is None else "session"


_A: Final = tuple(np.float32(x) for x in (135135.0, 17325.0, 378.0, 62370.0, 3150.0, 28.0))
_END, _HALF, _ZERO = np.float32(4.97), np.float32(0.5), np.float32(0.0)


@inlined
def _tanh(x):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent by its continued fraction, to 1e-4: a call of the library's would not vectorise."""
    x = min(_END, max(-_END, x))
    y = x * x
    above = x * (_A[0] + y * (_A[1] + y * (_A[2] + y)))
    return above / (_A[0] + y * (_A[3] + y * (_A[4] + y * _A[5])))


@allocating_kernel
def _last_states(token, gates, recurrent, bias, votes, state):  # type: ignore[no-untyped-def]
    """Fills state [n, H + FACTORS] after the tokens [n, N]: the network's, then the votes; all in float32."""
    width = recurrent.shape[0]
    whole = width // 4 * 4
    heard, was = np.empty(3 * width, np.float32), np.empty(width, np.float32)
    opened, kept = np.empty(2 * width, np.float32), np.empty(width, np.float32)
    for i in range(token.shape[0]):
        was[:] = _ZERO
        cast = state[i, width:]
        cast[:] = _ZERO
        for n in range(token.shape[1]):
            brought, vote = gates[token[i, n] + 1], votes[token[i, n] + 1]
            for d in range(cast.shape[0]):
                cast[d] += vote[d]
            for j in range(3 * width):
                heard[j] = bias[j]
            for h in range(0, whole, 4):  # four rows at once: sums are loaded and stored a quarter as often
                x0, x1, x2, x3 = was[h], was[h + 1], was[h + 2], was[h + 3]
                r0, r1, r2, r3 = recurrent[h], recurrent[h + 1], recurrent[h + 2], recurrent[h + 3]
                for j in range(3 * width):
                    heard[j] += (x0 * r0[j] + x1 * r1[j]) + (x2 * r2[j] + x3 * r3[j])
            for h in range(whole, width):
                x, row = was[h], recurrent[h]
                for j in range(3 * width):
                    heard[j] += x * row[j]
            for j in range(2 * width):  # sigmoids
                opened[j] = _HALF + _HALF * _tanh(_HALF * (brought[j] + heard[j]))
            for h in range(width):
                kept[h] = opened[width + h]
            for h in range(width):
                candidate = _tanh(brought[2 * width + h] + opened[h] * heard[2 * width + h])
                was[h] = candidate + kept[h] * (was[h] - candidate)
        for h in range(width):
            state[i, h] = was[h]


@allocating_kernel
def _read_out(taste, state, plays, offset, readout, trust, out):  # type: ignore[no-untyped-def]
    """Fills out [n, FACTORS]: features less offset, times readout, in one order; 0 for who played nothing."""
    factors, width = taste.shape[1], state.shape[1]
    size = factors + width
    for i in range(out.shape[0]):
        out[i] = 0.0
        if plays[i] == 0:
            continue
        log = math.log1p(plays[i])
        scale, power = log / PLAYS_UNIT, 1.0
        for order in range(ORDERS):
            for f in range(size):
                feature = power * (taste[i, f] if f < factors else state[i, f - factors])
                for d in range(factors):
                    out[i, d] += (feature - offset[order * size + f]) * readout[order * size + f, d]
            power *= scale
        believed = trusted(trust, log)
        for d in range(factors):
            out[i, d] *= believed


def session_states(session: Session, token: NDArray[np.int16]) -> Float:
    """States [..., H + FACTORS] after the tokens [..., N]: mood, intent, liking, as the last plays tell."""
    width = len(session.recurrent)
    state = np.empty((token.size // token.shape[-1], width + FACTORS), np.float32)
    rows = np.ascontiguousarray(token.reshape(len(state), -1))
    _last_states(rows, session.gates, session.recurrent, session.recurrent_bias, session.votes, state)
    return state.astype(np.float64).reshape(*token.shape[:-1], width + FACTORS)


def session_features(taste: Float, state: Float, plays: NDArray[np.int64]) -> Float:
    """[n, F] of what is known of n listeners: both parts, by powers of the log of their plays."""
    both, scale = np.concatenate([taste, state], 1), np.log1p(plays)[:, None] / PLAYS_UNIT
    return np.concatenate([scale**order * both for order in range(ORDERS)], 1)


def embed_listeners(model: ListenerModel, listening: Listening) -> Embedding:
    """What listeners' histories tell of their tastes.

    Raises:
        InterludeError: the model reads order and the flight tells none.
    """
    taste, plays = embed(model.taste, listening.plays), listening.plays.sum(-1, dtype=np.int64)
    session = model.session
    if session is None:
        return Embedding(taste, doubt_of(model.taste.trust, plays))
    if listening.recent is None:
        raise InterludeError(
            "this audience model reads the last plays in order: start it with flight_of(market, "
            "listening=True, order=True)"
        )
    state = session_states(session, listening.recent)
    out = np.empty_like(taste)
    rows = (taste.reshape(-1, FACTORS), state.reshape(-1, state.shape[-1]), plays.ravel())
    _read_out(*rows, session.offset, session.readout, session.trust, out.reshape(-1, FACTORS))
    return Embedding(out, doubt_of(session.trust, plays))


def data_of(scenario: Scenario, reads: str) -> DataDescription:
    """What a listener model of a scenario was fitted to; `reads` says what it reads of a history."""
    return DataDescription(
        file=f"simulated: {TRAINING_MARKETS} training markets of scenario {scenario.name}",
        sha256=hashlib.sha256(scenario.listeners.model_dump_json().encode()).hexdigest(),
        listeners=scenario.listeners.count * TRAINING_MARKETS,
        items=ITEMS,
        events=0,
        note=f"reads plays{reads}; the sum is that of the scenario's listeners, no event is stored",
    )


def artefact_of(model: ListenerModel, data: DataDescription) -> Artefact:
    """A model as an artefact."""
    tensors = dict(model.taste._asdict())
    if model.session is not None:
        tensors |= {f"session.{name}": tensor for name, tensor in model.session._asdict().items()}
    return Artefact(model.name, {"factors": FACTORS, "items": ITEMS}, data, tensors)


def load_listener_model(folder: Path) -> ListenerModel:
    """The model of an artefact.

    Raises:
        DamagedFileError: a file is missing, damaged or does not fit; it is named.
        InterludeError: the folder holds another kind of model.
    """
    artefact = load_artefact(folder)
    if artefact.model not in ("taste", "session"):
        raise InterludeError(f"{folder} holds the model {artefact.model}, not one of taste, session")
    if "trust" not in artefact.tensors:
        raise InterludeError(
            f"{folder} says nothing of how far embeddings are to be trusted: an earlier version wrote it. "
            "Train or export the run again"
        )

    def taken(name: str, *shape: int | None) -> NDArray[Any]:
        single = name.startswith("session.") and name != "session.trust"
        kind = np.float32 if single else np.float64
        return take_tensor(artefact, name, shape).astype(kind)

    taste = TasteModel(
        item_share=taken("item_share", ITEMS),
        item_offset=taken("item_offset", ITEMS),
        item_factor=taken("item_factor", ITEMS, FACTORS),
        whitening=taken("whitening", FACTORS, FACTORS),
        trust=taken("trust", KNOTS, 2),
    )
    if artefact.model == "taste":
        return ListenerModel(taste)
    gates = taken("session.gates", TOKENS + 1, None)
    width = gates.shape[1] // 3
    features = ORDERS * (2 * FACTORS + width)
    session = Session(
        gates,
        taken("session.recurrent", width, 3 * width),
        taken("session.recurrent_bias", 3 * width),
        taken("session.votes", TOKENS + 1, FACTORS),
        taken("session.offset", features),
        taken("session.readout", features, FACTORS),
        taken("session.trust", KNOTS, 2),
    )
    return ListenerModel(taste, session)


@lru_cache(maxsize=1)
def shipped_session_model() -> ListenerModel:
    """The model of scenario `default` that comes with Interlude, by `policies.audience.session_training`."""
    return load_listener_model(configs_directory() / "audience" / "sequence")
