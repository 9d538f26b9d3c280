"""What the agents' actions amount to: budgets, bids and the creatives that air next (numba kernels)."""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs.accounts import Feed
from envs.kernel import allocating_kernel, inner_kernel, kernel
from envs.protocol import Actions, Board, CreativePause
from envs.state import Controls, Float, Int, MarketState

_CHOICES = np.array(cat.CREATIVE_CHOICES)
_VIDEO, _AUDIO = cat.VIDEO, cat.FORMATS.index("audio")


def new_controls(num_markets: int, campaigns: int, listeners: int) -> Controls:
    """Room for the controls of a batch; every interval overwrites them."""
    return Controls(
        multiplier=np.ones((num_markets, campaigns, cat.S, cat.P)),
        throttle=np.ones((num_markets, campaigns, cat.P)),
        aggression_cap=np.ones((num_markets, campaigns)),
        predicted_affinity=np.ones((num_markets, campaigns, listeners)),
    )


@inner_kernel
def _split_budgets(weight, left_usd, budget_usd, first, end):  # type: ignore[no-untyped-def]
    """Re-splits what is left in proportion to left × weight; the total never changes."""
    campaigns = left_usd.shape[1]
    for b in range(first, end):
        left, wish, equal = 0.0, 0.0, True
        for c in range(campaigns):
            left += left_usd[b, c]
            wish += left_usd[b, c] * weight[b, c]
            equal = equal and weight[b, c] == weight[b, 0]
        if equal:
            continue
        scale = left / max(1e-9, wish)
        for c in range(campaigns):
            target = left_usd[b, c] * weight[b, c] * scale
            budget_usd[b, c] += target - left_usd[b, c]
            left_usd[b, c] = target


@allocating_kernel
def _enact(  # type: ignore[no-untyped-def]
    directive, off_air, creative, log_multiplier, left_usd, budget_usd, controls, next_on_air, first, end
):
    _, campaigns, segments, placements = controls.multiplier.shape
    multiplier, throttle, cap = controls.multiplier, controls.throttle, controls.aggression_cap
    granted_to, ordered_cap = directive.premium_grant, directive.aggression_cap
    ordered_throttle, pause = directive.throttle, directive.pause
    _split_budgets(directive.budget_share, left_usd, budget_usd, first, end)
    by_placement = np.empty(placements)
    for b in range(first, end):
        for c in range(campaigns):
            everywhere = math.exp(log_multiplier[b, c, 0])
            cap[b, c] = ordered_cap[b, c]
            airing = 0
            for script in range(off_air.shape[2]):
                airing += 1 - off_air[b, c, script]
            for p in range(placements):
                by_placement[p] = everywhere * math.exp(log_multiplier[b, c, 1 + p])
                throttle[b, c, p] = ordered_throttle[b, c, p] * (1 - pause[b, c]) * min(1, airing)
            for s in range(segments):
                by_segment = math.exp(log_multiplier[b, c, 1 + placements + s])
                for p in range(placements):
                    multiplier[b, c, s, p] = by_placement[p] * by_segment
                granted = granted_to[b, s] == c + 1
                arm = 0  # as `catalogue.arm_index` counts
                for part in range(_CHOICES.shape[0]):
                    choice = creative[b, c, s, part]
                    if part == 0 and choice == _VIDEO and not granted:
                        choice = _AUDIO
                    arm = arm * _CHOICES[part] + choice
                next_on_air[b, c, s] = arm


@kernel
def _take_off_air(off_air, on_air, first, end):  # type: ignore[no-untyped-def]
    _, campaigns, segments = on_air.shape
    scripts, versions = _CHOICES[1], _CHOICES[2] * _CHOICES[3]
    for b in range(first, end):
        for c in range(campaigns):
            for s in range(segments):
                arm = on_air[b, c, s]
                script = arm // versions % scripts
                for step in range(scripts):
                    other = (script + step) % scripts
                    if off_air[b, c, other] == 0:
                        on_air[b, c, s] = arm + (other - script) * versions
                        break


def take_off_air(pause: CreativePause, on_air: Int) -> None:
    """Puts the next creative that may air, in the same format and cut, in the place of every paused one.

    Args:
        pause: as it is delivered.
        on_air: [B, C, S] arms, changed.

    Where all of a campaign's are paused they stay, and `enact` lets it make no bids.
    """
    _take_off_air(pause.script, on_air, 0, len(on_air))


def enact(
    board: Board, actions: Actions, state: MarketState, feed: Feed, controls: Controls, on_air: Int
) -> None:
    """Turns a directive in force and new actions into controls.

    Args:
        board: as delivered; its directive's budget weights move what is left, in `state` and in `feed`.
        actions: multipliers and creatives of this interval.
        state: budgets left change in place.
        feed: budgets change in place.
        controls: multiplier, throttle and cap are overwritten.
        on_air: [B, C, S], overwritten with the arms that air next; video without a grant becomes audio.
    """
    _enact(
        *(board.directive, board.creative_pause.script, actions.creative, actions.bidding),
        *(state.budget_left_usd, feed.budget_usd, controls, on_air, 0, len(on_air)),
    )


@kernel
def _spread(by_segment, segment_start, by_listener, first, end):  # type: ignore[no-untyped-def]
    for b in range(first, end):
        for c in range(by_listener.shape[1]):
            for s in range(segment_start.shape[1] - 1):
                by_listener[b, c, segment_start[b, s] : segment_start[b, s + 1]] = by_segment[b, c, s]


def spread(by_segment: Float, segment_start: Int, by_listener: Float) -> None:
    """Gives every listener the value of its segment.

    Args:
        by_segment: [B, ≥ C, S].
        segment_start: [B, S + 1] first listener of every segment, and the end.
        by_listener: [B, C, L], overwritten.
    """
    _spread(by_segment, segment_start, by_listener, 0, len(by_listener))
