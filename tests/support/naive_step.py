"""What surrounds the auction a second time, in NumPy: controls, accounts, the board, worth and rewards."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs import catalogue as cat
from envs.accounts import SMOOTHING, Feed
from envs.catalogue import ARMS, VIDEO, P, arm_index
from envs.protocol import Actions, CreativePlan, Directive, SpendPlan
from envs.response import completion_probability
from envs.state import Brief, Float, Int, Outcome


def budgets(left_usd: Float, weight: Float) -> Float:
    """What is left [B, C], re-split by weights [B, C]."""
    wish = left_usd * weight
    target = wish * (left_usd.sum(1) / np.maximum(1e-9, wish.sum(1)))[:, None]
    return np.where((weight != weight[:, :1]).any(1)[:, None], target, left_usd)


def multipliers(log: Float) -> Float:
    """[B, C, 1 + P + S] logs as [B, C, S, P] factors."""
    return np.exp(log[..., :1, None] + log[..., None, 1 : 1 + P] + log[..., 1 + P :, None])


def next_arms(creative: Int, directive: Directive) -> Int:
    """[B, C, S] what airs next."""
    chosen = creative.copy()
    granted = directive.premium_grant[:, None] == 1 + np.arange(creative.shape[1])[:, None]
    chosen[..., 0] = np.where((chosen[..., 0] == VIDEO) & ~granted, 0, chosen[..., 0])
    return arm_index(chosen)


def accounts(feed: Feed, out: Outcome) -> Feed:
    """The feed after an interval."""
    offered = np.broadcast_to(out.opportunities[:, None], out.wins.shape)

    def mean(old: Float, amount: Float, count: Float) -> Float:
        weight = np.where(count > 0, SMOOTHING, 0.0)
        return (1.0 - weight) * old + weight * amount / np.maximum(1.0, count)

    return Feed(
        budget_usd=feed.budget_usd,
        spend_usd=feed.spend_usd + out.spend_usd.sum((-1, -2)),
        price_usd=mean(feed.price_usd, out.price_usd, out.priced),
        win_rate=mean(feed.win_rate, out.wins, offered),
    )


def plans(actions: Actions, out: Outcome, brief: Brief, wear: Float, arm: Int, level_usd: float) -> Any:
    """Creative plan and spend plan (without pacing error and bids) on the board."""
    arms, take = ARMS[arm], np.take_along_axis
    fmt, script = arms[..., 0][..., None], arms[..., 1][..., None]
    effect = (take(brief.log_format, fmt, -1) + take(brief.log_script, script, -1))[..., 0]
    worn = take(wear.reshape(*arm.shape, -1), fmt * cat.V + script, -1)[..., 0]
    affinity = actions.audience.affinity[:, : arm.shape[1]]
    z = affinity * np.exp(effect - brief.wear_out[..., None] * worn - out.fatigue)
    claims = np.zeros(arm.shape) if actions.premium_value_usd is None else actions.premium_value_usd
    creative = CreativePlan(arms[..., 0], completion_probability(z, cat.ARM_HAZARD[arm]), worn, claims)
    offered = np.maximum(1.0, out.opportunities.sum((1, 2)))[:, None]
    factor = multipliers(actions.bidding).mean((-1, -2))
    return creative, SpendPlan(np.empty(0), out.wins.sum((-1, -2)) / offered, factor * level_usd, np.empty(0))
