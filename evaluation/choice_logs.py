"""Logs of random choices for off-policy evaluation: creatives of an event log, the Open Bandit sample."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.errors import ConfigurationError, UnknownNameError
from envs.event_log import column_of, read_table
from evaluation.off_policy import Float, Int, Logged

REWARDS: Final = ("completions", "clicks", "skips", "dislikes")
WORDS: Final = (cat.FORMATS, cat.SCRIPTS, cat.LENGTHS, cat.CALLS_TO_ACTION)
POSITIONS, ITEMS = 3, 80
"""Of the Open Bandit data, campaign "all" (Saito et al. 2021)."""
_KEYS = ("market", "interval", "campaign", "segment")


def uniform_over(words: str) -> Float:
    """[K] probabilities of a policy that picks any arm that matches, such as `display,humorous`.

    Words of one kind (two scripts) are alternatives; kinds that are not named are free.

    Raises:
        UnknownNameError: a word that names no format, script, length or call to action.
    """
    known = [word for kind in WORDS for word in kind]
    named = [word.strip() for word in words.split(",")]
    for word in named:
        if word not in known:
            raise UnknownNameError("creative", word, known)
    match = np.ones(cat.K, np.bool_)
    for column, kind in enumerate(WORDS):
        allowed = [n for n, word in enumerate(kind) if word in named]
        if allowed:
            match &= np.isin(cat.ARMS[:, column], allowed)
    return np.asarray(match / match.sum(), np.float64)


def creative_choices(directory: str | Path, run: str, target: Float, reward: str = "completions") -> Logged:
    """Creatives of a logged run, a row for every choice of a campaign for a segment.

    Its reward is what the segment brought when the creative aired, an interval later. The unit is the market,
    the context campaign and segment. Rows whose outcome a tracking outage hides are left out; so is the last
    interval's choice, which never airs.

    Args:
        directory: an event log (docs/event_log.md).
        run: name of the run.
        target: [K] or [S, K] probabilities of the target policy over arms (order of `catalogue.ARMS`).
        reward: real impressions a choice that were completed, clicked, skipped or disliked.

    Raises:
        UnknownNameError: no such run or reward.
        ConfigurationError: the run cannot say how likely its choices were, or had no other choice.
    """
    if reward not in REWARDS:
        raise UnknownNameError("reward", reward, REWARDS)
    decisions = read_table(directory, "creative_decisions", run)
    cells = read_table(directory, "cells", run, [*_KEYS, "placement", reward])

    def of(table: str, rows: object, name: str) -> NDArray[np.float64]:
        return np.asarray(column_of(rows, table, name), np.float64)

    intervals = int(of("creative_decisions", decisions, "interval").max()) + 1
    campaigns = int(of("creative_decisions", decisions, "campaign").max()) + 1
    first = int(of("creative_decisions", decisions, "market").min())

    def place(table: str, rows: object) -> Int:
        market, interval, campaign, segment = (of(table, rows, key).astype(np.int64) for key in _KEYS)
        return (((market - first) * intervals + interval) * campaigns + campaign) * cat.S + segment

    at = place("creative_decisions", decisions)
    markets = int(at.max()) // (intervals * campaigns * cat.S) + 1
    brought = np.bincount(  # NaN where any placement's outcome is hidden
        place("cells", cells), of("cells", cells, reward), markets * intervals * campaigns * cat.S
    )
    names = ("format", "script", "length", "call_to_action")
    creative = np.stack([of("creative_decisions", decisions, name).astype(np.int64) for name in names], -1)
    propensity = np.exp(of("creative_decisions", decisions, "log_propensity"))
    interval, segment = at // (campaigns * cat.S) % intervals, at % cat.S
    aired = np.flatnonzero(interval < intervals - 1)
    gained = brought[at[aired] + campaigns * cat.S]
    kept = aired[np.isfinite(gained)]
    if np.isnan(propensity[kept]).any():
        raise ConfigurationError(f"run {run!r} chose at random and cannot say how likely its choices were")
    by_segment = np.broadcast_to(np.asarray(target, np.float64), (cat.S, cat.K))
    chosen = by_segment[segment[kept]]
    action = cat.arm_index(creative[kept])
    if (propensity[kept] == 1.0).all() and not (chosen[np.arange(len(kept)), action] == 1.0).all():
        raise ConfigurationError(
            f"run {run!r} could not have chosen otherwise: its log says nothing of other creatives. Log a "
            "team that chooses at random, such as 'random' or BASE+creative=random"
        )
    return Logged(
        action=action,
        reward=np.asarray(gained[np.isfinite(gained)], np.float64),
        propensity=propensity[kept],
        target=np.asarray(chosen),
        context=at[kept] % (campaigns * cat.S),
        unit=at[kept] // (intervals * campaigns * cat.S),
    )


class BanditLog(NamedTuple):
    """Impressions of the Open Bandit data, n rows."""

    item: Int  # [n] of ITEMS
    position: Int  # [n] of POSITIONS
    click: Float  # [n]
    propensity: Float  # [n] of the item at its position


def read_open_bandit(directory: str | Path, policy: Literal["random", "thompson"]) -> BanditLog:
    """The sample's log of one policy, `<policy>_all.csv.gz`.

    Raises:
        ConfigurationError: no such file, or a malformed one; file and line are named.
    """
    path = Path(directory) / f"{policy}_all.csv.gz"
    rows: list[tuple[int, int, float, float]] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), 2):
                try:
                    rows.append(
                        (
                            int(row["item_id"]),
                            int(row["position"]) - 1,
                            float(row["click"]),
                            float(row["propensity_score"]),
                        )
                    )
                except (KeyError, TypeError, ValueError) as error:
                    raise ConfigurationError(f"{path}, line {line}: {error}") from error
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise ConfigurationError(f"{path}: no rows")
    item, position, click, propensity = (np.array(column) for column in zip(*rows, strict=True))
    return BanditLog(item, position, click, propensity)


def thompson_from_random(random: BanditLog, thompson: BanditLog) -> Logged:
    """The random log, to be read for the Thompson policy averaged over time.

    Its probabilities moved as it learned and are logged for what it chose only; how often it showed an item
    at a position is an unbiased estimate of their mean (of its log, not of any click).
    """
    shown = np.zeros((POSITIONS, ITEMS))
    np.add.at(shown, (thompson.position, thompson.item), 1.0)
    probability = shown / shown.sum(1, keepdims=True)
    return Logged(
        action=random.item,
        reward=random.click,
        propensity=random.propensity,
        target=probability[random.position],
        context=random.position,
    )
