"""Draws the hidden truth of markets: one seed, one market, whatever batch it is drawn in."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import (
    ARMS,
    INCIDENT_KINDS,
    INCIDENTS_ON_CREATIVES,
    VERTICALS,
    D,
    F,
    K,
    M,
    P,
    S,
    V,
)
from envs.inventory import draw_inventory
from envs.kernel import allocating_kernel, kernel
from envs.philox import normals, uniforms
from envs.response import SLOW_MEMORY_HOURS, kept
from envs.scenario import Scenario
from envs.seeds import Split
from envs.state import INCIDENT_SLOTS, Brief, Float, Int, MarketParameters

SHORTEST, SHORTEST_OF_CREATIVE, LENGTHS_DRAWN = 4, 12, 5
"""Intervals that an incident lasts at least, one on a creative, and how many lengths there are. Faults of
traffic and of agents end of themselves; a spot stays broken until somebody reads yesterday's report."""
_ON_CREATIVES = [INCIDENT_KINDS.index(name) for name in INCIDENTS_ON_CREATIVES]


class _Stream(IntEnum):
    """Addresses of the generator's draws; those of an interval use streams below 100."""

    VERTICAL = 100
    AFFINITY = auto()
    HINT = auto()
    FORMAT = auto()
    SCRIPT = auto()
    INTERACTION = auto()
    MOOD = auto()
    SCALARS = auto()
    CHURN = auto()
    TASTE = auto()
    CAMPAIGN_TASTE = auto()
    POPULATION = auto()
    IRRITABLE = auto()
    ACTIVITY = auto()
    RIVAL_VERTICAL = auto()
    INCIDENT = auto()
    BUDGET = auto()
    RIVAL_LEVEL = auto()
    RIVAL_PHASE = auto()
    RIVAL_WALK = auto()
    RIVAL_BUDGET = auto()


class VerticalTable(NamedTuple):
    """Averages of every vertical: what a brief tells. First axis = VERTICALS."""

    log_affinity: Float  # [n, S]
    log_format: Float  # [n, S, F]
    log_script: Float  # [n, S, V]
    wear_out: Float  # [n] factor
    wear_in: Float  # [n] factor
    memory_hours: Float  # [n] factor on the slow store's time constant
    conversion: Float  # [n]
    recall: Float  # [n]
    phase: Float  # [n, S] hours by which a segment's day is shifted
    competition: Float  # [n, S] log price pressure
    structure: Float  # [n, K] interactions all campaigns of a vertical share, unknown to any brief


def _vertical_table() -> VerticalTable:
    rows = []
    for vertical in range(len(VERTICALS)):
        rng = np.random.Generator(np.random.Philox(1000 + vertical))
        rows.append(
            (
                rng.uniform(-0.5, 0.5, S),
                rng.normal(0.0, 0.30, (S, F)) + np.array([0.0, 0.30, 0.0]),
                rng.normal(0.0, 0.15, (S, V)),
                rng.uniform(0.7, 1.4),
                rng.uniform(0.0, 2.0),
                rng.uniform(0.6, 1.6),
                rng.uniform(0.6, 1.5),
                rng.uniform(0.6, 1.5),
                rng.uniform(-2.0, 2.0, S),
                rng.normal(0.0, 0.1, S),
                rng.normal(0.0, 1.0, K),
            )
        )
    return VerticalTable(*(np.array(column) for column in zip(*rows, strict=True)))


VERTICAL_TABLE = _vertical_table()


@kernel
def _segment_of_listener(shares, out):  # type: ignore[no-untyped-def]
    """Fills out [B, L] with contiguous blocks of listeners, sizes by shares [B, S]."""
    for b in range(out.shape[0]):
        total = 0.0
        for s in range(shares.shape[1]):
            total += shares[b, s]
        edge = 0.0
        start = 0
        for s in range(shares.shape[1]):
            edge += shares[b, s] / total
            stop = out.shape[1] if s == shares.shape[1] - 1 else int(edge * out.shape[1])
            for listener in range(start, max(start + 1, stop)):
                out[b, min(listener, out.shape[1] - 1)] = s
            start = max(start + 1, stop)


@allocating_kernel
def _alias_tables(segment, activity, start, probability, alias):  # type: ignore[no-untyped-def]
    """Walker's alias tables, one a segment: who listens, in proportion to activity [B, L].

    Turns activity into shares of its segment's listening and fills start [B, S + 1], probability and
    alias [B, L] (Vose, "A linear algorithm for generating random numbers with a given distribution", 1991).
    """
    listeners = segment.shape[1]
    small, large = np.empty(listeners, np.int64), np.empty(listeners, np.int64)
    for b in range(segment.shape[0]):
        s = 0
        start[b, 0] = 0
        for i in range(listeners):
            while segment[b, i] > s:
                s += 1
                start[b, s] = i
        for rest in range(s + 1, start.shape[1]):
            start[b, rest] = listeners
        for s in range(start.shape[1] - 1):
            first, end = start[b, s], start[b, s + 1]
            total = 0.0
            for i in range(first, end):
                total += activity[b, i]
            few, many = 0, 0
            for i in range(first, end):
                probability[b, i] = activity[b, i] / total * (end - first)
                alias[b, i] = i
                if probability[b, i] < 1.0:
                    small[few] = i
                    few += 1
                else:
                    large[many] = i
                    many += 1
            while few > 0 and many > 0:
                few -= 1
                i, j = small[few], large[many - 1]
                alias[b, i] = j
                probability[b, j] -= 1.0 - probability[b, i]
                if probability[b, j] < 1.0:
                    many -= 1
                    small[few] = j
                    few += 1
            for i in range(first, end):
                activity[b, i] /= total
            for rest in range(few):
                probability[b, small[rest]] = 1.0
            for rest in range(many):
                probability[b, large[rest]] = 1.0


@kernel
def _taste_scores(listener_taste, campaign_taste, out):  # type: ignore[no-untyped-def]
    """Fills out [B, C, L] with dot products, summed in one order whatever the batch."""
    for b in range(out.shape[0]):
        for c in range(out.shape[1]):
            for listener in range(out.shape[2]):
                score = 0.0
                for d in range(listener_taste.shape[2]):
                    score += listener_taste[b, listener, d] * campaign_taste[b, c, d]
                out[b, c, listener] = score


@kernel
def _normalise_shares(level, out):  # type: ignore[no-untyped-def]
    """Fills out [B, S, P, R] with cumulative shares proportional to level [B, R, S, P]."""
    for b in range(out.shape[0]):
        for s in range(out.shape[1]):
            for p in range(out.shape[2]):
                total = 0.0
                for r in range(out.shape[3]):
                    total += level[b, r, s, p]
                edge = 0.0
                for r in range(out.shape[3]):
                    edge += level[b, r, s, p] / total
                    out[b, s, p, r] = edge


def _pick(u: Float, count: int) -> Int:
    return np.minimum((u * count).astype(np.int64), count - 1)


def _audience(
    seeds: NDArray[np.uint64], scenario: Scenario, campaigns: int, vertical: Int, taste_pool: Float | None
) -> dict[str, NDArray[np.generic]]:
    """Listeners and how much each cares for each campaign."""
    b, listeners, response = len(seeds), scenario.listeners.count, scenario.response
    segment = np.empty((b, listeners), np.int64)
    _segment_of_listener(np.exp(0.15 * normals(seeds, _Stream.POPULATION, (S,))), segment)
    if taste_pool is None:
        taste = normals(seeds, _Stream.TASTE, (listeners, D))
    else:
        taste = taste_pool[_pick(uniforms(seeds, _Stream.TASTE, (listeners,)), len(taste_pool))][..., :D]
    campaign_taste = normals(seeds, _Stream.CAMPAIGN_TASTE, (campaigns, D)) / np.sqrt(D)
    score = np.empty((b, campaigns, listeners))
    _taste_scores(np.ascontiguousarray(taste), campaign_taste, score)
    log_affinity = VERTICAL_TABLE.log_affinity[vertical] + response.affinity_sd * normals(
        seeds, _Stream.AFFINITY, (campaigns, S)
    )
    hint = np.exp(log_affinity + response.affinity_hint_sd * normals(seeds, _Stream.HINT, (campaigns, S)))
    of_listener = np.broadcast_to(segment[:, None, :], score.shape)
    sd = scenario.listeners.taste_sd
    affinity = np.exp(
        np.take_along_axis(log_affinity, of_listener, 2) + sd * np.clip(score, -3, 3) - sd**2 / 2
    )
    activity = np.exp(scenario.listeners.activity_sd * normals(seeds, _Stream.ACTIVITY, (listeners,)))
    start = np.empty((b, S + 1), np.int64)
    alias_probability, alias = np.empty((b, listeners)), np.empty((b, listeners), np.int64)
    _alias_tables(segment, activity, start, alias_probability, alias)
    irritable = uniforms(seeds, _Stream.IRRITABLE, (listeners,)) < scenario.listeners.irritable_fraction
    return {
        "listener_segment": segment,
        "segment_start": start,
        "listening_share": activity,
        "alias_probability": alias_probability,
        "alias": alias,
        "listener_taste": taste,
        "campaign_taste": campaign_taste,
        "irritable": irritable,
        "affinity": affinity,
        "affinity_hint": hint,
    }


def _slow_kept(scenario: Scenario, vertical: Int) -> Float:
    """[B, C] share of slow memory that an interval leaves."""
    constant = SLOW_MEMORY_HOURS * VERTICAL_TABLE.memory_hours[vertical]
    return np.asarray(kept(scenario.hours_per_interval * scenario.time_acceleration, constant), np.float64)


def _creative(
    seeds: NDArray[np.uint64], scenario: Scenario, campaigns: int, vertical: Int
) -> dict[str, NDArray[np.generic]]:
    """What creatives truly do: the brief's averages, plus what no brief and no additive model knows."""
    table, response = VERTICAL_TABLE, scenario.response
    log_format = table.log_format[vertical] + response.format_sd * normals(
        seeds, _Stream.FORMAT, (campaigns, S, F)
    )
    log_script = table.log_script[vertical] + response.script_sd * normals(
        seeds, _Stream.SCRIPT, (campaigns, S, V)
    )
    own = normals(seeds, _Stream.INTERACTION, (campaigns, S, K))
    interaction = response.interaction_sd * (0.6 * table.structure[vertical][:, :, None, :] + 0.8 * own)
    scalars = normals(seeds, _Stream.SCALARS, (4, campaigns))
    return {
        "log_arm": log_format[..., ARMS[:, 0]] + log_script[..., ARMS[:, 1]] + interaction,
        "log_mood": response.mood_sd * normals(seeds, _Stream.MOOD, (campaigns, M, F, V)),
        "wear_out": response.wear_out * table.wear_out[vertical] * np.exp(0.15 * scalars[:, 0]),
        "wear_in": response.wear_in * table.wear_in[vertical],
        "recall_decay": _slow_kept(scenario, vertical),
        "conversion": table.conversion[vertical] * np.exp(0.15 * scalars[:, 1]),
        "recall": table.recall[vertical] * np.exp(0.15 * scalars[:, 2]),
        "churn": scenario.listeners.churn_sensitivity * np.exp(0.5 * normals(seeds, _Stream.CHURN, (S,))),
    }


def _incidents(
    seeds: NDArray[np.uint64], scenario: Scenario, campaigns: int, held_out: bool
) -> dict[str, NDArray[np.generic]]:
    names = scenario.held_out.incident_kinds if held_out else scenario.incidents.kinds
    kinds = np.array([INCIDENT_KINDS.index(name) for name in names] or [0])
    draw = uniforms(seeds, _Stream.INCIDENT, (7, INCIDENT_SLOTS))
    happens = draw[:, 0] < scenario.incidents.incident_probability
    # Each slot has a part of the flight to itself, so that no two incidents overlap.
    first = min(6, scenario.intervals - 1)
    part = max(1, (scenario.intervals - 2 - first) // INCIDENT_SLOTS)
    kind = np.where(happens, kinds[_pick(draw[:, 1], len(kinds))], 0)
    shortest = np.where(np.isin(kind, _ON_CREATIVES), SHORTEST_OF_CREATIVE, SHORTEST)
    length = np.minimum(shortest + _pick(draw[:, 3], LENGTHS_DRAWN), part)
    start = first + part * np.arange(INCIDENT_SLOTS) + (draw[:, 2] * (part - length + 1)).astype(np.int64)
    return {
        "incident_kind": kind,
        "incident_start": start,
        "incident_length": length,
        "incident_placement": _pick(draw[:, 4], P),
        "incident_campaign": _pick(draw[:, 5], campaigns),
        "incident_segment": _pick(draw[:, 6], S),
    }


def _rivals(
    seeds: NDArray[np.uint64], scenario: Scenario, vertical: Int, held_out: bool
) -> dict[str, NDArray[np.generic]]:
    rivals, intervals, day = scenario.rivals.count, scenario.intervals, scenario.intervals_per_day
    level = normals(seeds, _Stream.RIVAL_LEVEL, (rivals, 1 + S + P))
    log_level = (
        0.12 * level[:, :, 0][:, :, None, None]
        + 0.12 * level[:, :, 1 : 1 + S][..., None]
        + 0.06 * level[:, :, 1 + S :][:, :, None, :]
        + VERTICAL_TABLE.competition[vertical[:, 0]][:, None, :, None]
        - 0.02
        + (scenario.held_out.price_shift if held_out else 0.0)
    )
    rival_level = np.exp(log_level) * np.array(scenario.auction.placement_price)
    phase = uniforms(seeds, _Stream.RIVAL_PHASE, (2, rivals))
    hour = 2 * np.pi * (np.arange(intervals) % day) / day
    walk = np.cumsum(0.01 * normals(seeds, _Stream.RIVAL_WALK, (rivals, intervals)), -1)
    swing = (0.05 + 0.10 * phase[:, 1])[..., None] * np.cos(hour - 2 * np.pi * phase[:, 0][..., None])
    budget = normals(seeds, _Stream.RIVAL_BUDGET, (2, rivals))
    volume_usd = scenario.opportunities_per_interval * day * scenario.auction.price_level_usd
    share = np.empty((len(seeds), S, P, rivals))
    _normalise_shares(rival_level, share)
    return {
        "rival_level": rival_level,
        "rival_drift": np.exp(swing + walk),
        "rival_budget_usd": scenario.rivals.daily_budget_fraction * volume_usd * np.exp(0.5 * budget[:, 0]),
        "rival_paces": budget[:, 1] > 0,
        "rival_share": share,
        "rival_vertical": _pick(uniforms(seeds, _Stream.RIVAL_VERTICAL, (rivals,)), len(VERTICALS)),
    }


def draw_markets(
    seeds: NDArray[np.uint64], scenario: Scenario, split: Split, taste_pool: Float | None = None
) -> tuple[MarketParameters, Brief]:
    """The hidden truth of B markets and the briefs that agents may read.

    Args:
        seeds: [B] one uint64 a market.
        scenario: what kind of market.
        split: `held_out` markets follow the regime of `scenario.held_out`, the others the scenario's fields.
        taste_pool: [pool, ≥ D] standardised taste vectors of real listeners; synthetic ones if None.
    """
    campaigns, held_out = scenario.campaigns, split == "held_out"
    names = scenario.held_out.verticals if held_out else scenario.verticals
    choices = np.array([VERTICALS.index(name) for name in names])
    vertical = choices[_pick(uniforms(seeds, _Stream.VERTICAL, (campaigns,)), len(choices))]
    incident = _incidents(seeds, scenario, campaigns, held_out)
    volume_usd = scenario.opportunities_per_interval * scenario.intervals * scenario.auction.price_level_usd
    budget = (
        scenario.budget_fraction * volume_usd * np.exp(0.35 * normals(seeds, _Stream.BUDGET, (campaigns,)))
    )
    truth: dict[str, NDArray[np.generic]] = {
        "seed": seeds,
        "vertical": vertical,
        "budget_usd": budget,
        **_audience(seeds, scenario, campaigns, vertical, taste_pool),
        **_creative(seeds, scenario, campaigns, vertical),
        **draw_inventory(seeds, scenario, VERTICAL_TABLE.phase[vertical[:, 0]], incident),
        **_rivals(seeds, scenario, vertical, held_out),
        **incident,
    }
    table = VERTICAL_TABLE
    brief = Brief(
        vertical=vertical,
        log_affinity=table.log_affinity[vertical],
        log_format=table.log_format[vertical],
        log_script=table.log_script[vertical],
        wear_out=scenario.response.wear_out * table.wear_out[vertical],
        recall_decay=_slow_kept(scenario, vertical),
        conversion=table.conversion[vertical],
        recall=table.recall[vertical],
    )
    contiguous = {name: np.ascontiguousarray(value) for name, value in truth.items()}
    return MarketParameters(**contiguous), brief
