"""The batch core: B markets of one scenario stepped together. This *is* the environment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.catalogue import ARMS, MAX_CAMPAIGNS, P, S
from envs.constants import constants_of
from envs.dynamics import new_scratch, new_state, step_markets
from envs.errors import InterludeError, UnknownNameError
from envs.expectation import Expectation, expected_response
from envs.generator import draw_markets
from envs.observation import SCHEMAS, Observation
from envs.protocol import (
    Actions,
    Board,
    CreativePlan,
    Directive,
    SpendPlan,
    check_actions,
    owned,
    quiet_board,
)
from envs.rewards import Rewards, Worth, rewards_of, worth_of
from envs.scenario import Scenario
from envs.seeds import SPLITS, Split
from envs.sight import observe_all, privileged_blocks
from envs.state import Brief, Controls, Float, MarketParameters, MarketState, Outcome, empty_outcome

INITIAL_ARM = 0
SMOOTHING = 0.3
"""Weight of the newest interval in running means of prices and win rates."""


class Observations(NamedTuple):
    """What every role sees; row n is agent n of the role."""

    audience: Observation  # [B, 1, ·]
    creative: Observation  # [B, C, ·]
    bidding: Observation  # [B, C, ·]
    monitor: Observation  # [B, 1, ·]
    orchestrator: Observation  # [B, 1, ·]


class Step(NamedTuple):
    """What a step gives back."""

    observations: Observations
    rewards: Rewards
    terminated: bool  # all markets of a batch end together: the horizon is part of the task
    outcome: Outcome
    worth: Worth


class Feed(NamedTuple):
    """What the platform keeps for reports beside the market's own state."""

    budget_usd: Float  # [B, C] as re-split by directives
    spend_usd: Float  # [B, C] so far
    price_usd: Float  # [B, C, S, P] running mean of the price to beat
    win_rate: Float  # [B, C, S, P] running mean


class VectorMarket:
    """B markets in lockstep.

    `reset(seeds)` starts a flight; `step(actions)` plays one interval; after `scenario.intervals` steps
    the flight has terminated. Markets never influence each other: the same seed gives the same market
    in any batch, bit for bit.
    """

    def __init__(
        self,
        scenario: Scenario,
        num_markets: int,
        *,
        split: Split = "train",
        taste_pool: Float | None = None,
    ) -> None:
        """Makes an empty batch; `taste_pool` [pool, ≥ D] are standardised tastes of real listeners."""
        if num_markets < 1:
            raise ValueError(f"num_markets must be at least 1, got {num_markets}")
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        self.scenario, self.num_markets, self.split = scenario, num_markets, split
        self.num_campaigns = scenario.campaigns
        self.taste_pool = taste_pool
        self.constants = constants_of(scenario, split == "held_out")
        self._scratch = new_scratch(scenario.campaigns, scenario.listeners.count, max(scenario.auction.slots))
        self.interval = -1
        self.parameters: MarketParameters
        self.brief: Brief
        self.market_state: MarketState
        self.board: Board
        self.feed: Feed
        self.outcome: Outcome | None

    @property
    def seeds(self) -> NDArray[np.uint64]:
        """[B] the seeds of the markets being played."""
        return self.parameters.seed

    def reset(self, seeds: NDArray[np.uint64]) -> Observations:
        """Starts a flight of the markets with these seeds: [B] uint64."""
        seeds = np.asarray(seeds, dtype=np.uint64)
        if seeds.shape != (self.num_markets,):
            raise ValueError(f"expected {self.num_markets} seeds, got an array of shape {seeds.shape}")
        b, c = self.num_markets, self.num_campaigns
        self.parameters, self.brief = draw_markets(seeds, self.scenario, self.split, self.taste_pool)
        self.market_state = new_state(self.parameters, np.full((b, c, S), INITIAL_ARM, np.int64))
        self.board = quiet_board(b, c)
        hint = np.clip(self.parameters.affinity_hint, 0.0, 10.0)
        self._listener_affinity, self._has_table = self._spread(hint), False
        level = self.scenario.auction.price_level_usd
        start_price = np.broadcast_to(level * np.array(self.scenario.auction.placement_price), (b, c, S, P))
        self.feed = Feed(
            budget_usd=self.parameters.budget_usd.copy(),
            spend_usd=np.zeros((b, c)),
            price_usd=start_price.copy(),
            win_rate=np.zeros((b, c, S, P)),
        )
        self.interval, self.outcome = 0, None
        return self._observations()

    def _spread(self, by_segment: Float) -> Float:
        """[B, C, S] → [B, C, L] by each listener's segment."""
        segment = self.parameters.listener_segment[:, None, :]
        shape = (self.num_markets, self.num_campaigns, segment.shape[-1])
        return np.take_along_axis(by_segment, np.broadcast_to(segment, shape), 2)

    def step(self, actions: Actions) -> Step:
        """Plays one interval with the agents' actions.

        Directives and affinities were posted one interval ago: those on the board are enforced now, and
        what `actions` say is delivered with the next observation. Multipliers act at once, creatives are
        trafficked to air from the next interval on.

        Raises:
            InterludeError: before reset or after the flight's end.
            InvalidActionError: an action that is not finite or outside its space.
        """
        self._check_started("step")
        if self.interval >= self.scenario.intervals:
            raise InterludeError(
                f"the flight ended after {self.scenario.intervals} intervals: call reset(seeds)"
            )
        listeners = self.scenario.listeners.count
        check_actions(actions, self.num_campaigns, listeners, self.interval, self.seeds)
        actions = owned(actions)
        directive = self.board.directive
        self._split_budgets(directive)
        self._hear_audience(actions)
        multiplier = self._multiplier(actions.bidding)
        next_on_air = self._traffic(actions.creative, directive)
        aired = self.market_state.on_air.copy()
        c = self.num_campaigns
        controls = Controls(
            multiplier=multiplier,
            throttle=np.ascontiguousarray(directive.throttle[:, :c] * (1 - directive.pause[:, :c, None])),
            aggression_cap=np.ascontiguousarray(directive.aggression_cap[:, :c]),
            predicted_affinity=self._listener_affinity,
        )
        outcome = step_markets(
            self.parameters,
            self.market_state,
            self.constants,
            controls,
            next_on_air,
            self.interval,
            empty_outcome(self.num_markets, c, S, P),
            self._scratch,
        )
        self.interval += 1
        self._keep_accounts(outcome)
        self.outcome, self.aired = outcome, aired
        self.board = self._deliver(actions, outcome, multiplier, next_on_air)
        worth = worth_of(outcome, self.parameters, self.scenario)
        rewards = rewards_of(outcome, worth, self.pacing_error(), self.scenario)
        self._check_finite(rewards)
        return Step(self._observations(), rewards, self.interval == self.scenario.intervals, outcome, worth)

    def _check_started(self, what: str) -> None:
        if self.interval < 0:
            raise InterludeError(f"{what}() before reset(): call reset(seeds) first")

    def _split_budgets(self, directive: Directive) -> None:
        """Re-splits what is left in proportion to left × weight; the total never changes."""
        weight = directive.budget_share[:, : self.num_campaigns]
        left = self.market_state.budget_left_usd
        changed = (weight != weight[:, :1]).any(1)
        if not changed.any():
            return
        wish = left * weight
        target = wish * (left.sum(1) / np.maximum(1e-9, wish.sum(1)))[:, None]
        moved = np.where(changed[:, None], target - left, 0.0)
        left += moved
        self.feed = self.feed._replace(budget_usd=self.feed.budget_usd + moved)

    def _hear_audience(self, actions: Actions) -> None:
        """Bids use the last table of single listeners; before any, the segment values on the board."""
        if actions.listener_affinity is not None:
            self._listener_affinity, self._has_table = np.clip(actions.listener_affinity, 0.0, 50.0), True
        elif self.interval > 0 and not self._has_table:
            affinity = self.board.segment_value.affinity[:, : self.num_campaigns]
            self._listener_affinity = self._spread(np.ascontiguousarray(affinity))

    def _multiplier(self, log_multiplier: Float) -> Float:
        """[B, C, 1 + P + S] logs → [B, C, S, P] factors."""
        log = np.asarray(log_multiplier, np.float64)
        placement, segment = log[..., 1 : 1 + P], log[..., 1 + P :]
        return np.exp(log[..., :1, None] + placement[..., None, :] + segment[..., :, None])

    def _traffic(self, creative: NDArray[np.int64], directive: Directive) -> NDArray[np.int64]:
        """Arms that air next: video without a grant falls back to audio."""
        chosen = np.array(creative, np.int64)
        granted = self.premium_granted(directive)
        chosen[..., 0] = np.where((chosen[..., 0] == cat.VIDEO) & ~granted, 0, chosen[..., 0])
        return cat.arm_index(chosen)

    def premium_granted(self, directive: Directive) -> NDArray[np.bool_]:
        """[B, C, S] where a campaign may traffic video."""
        campaign = 1 + np.arange(self.num_campaigns)
        granted: NDArray[np.bool_] = directive.premium_grant[:, None, :] == campaign[:, None]
        return granted

    def _keep_accounts(self, outcome: Outcome) -> None:
        feed = self.feed
        opportunities = outcome.opportunities[:, None]
        price = outcome.price_usd / np.maximum(1.0, outcome.priced)
        keep = np.where(outcome.priced > 0, 1.0 - SMOOTHING, 1.0)
        rate = outcome.wins / np.maximum(1.0, opportunities)
        rate_keep = np.where(opportunities > 0, 1.0 - SMOOTHING, 1.0)
        self.feed = Feed(
            budget_usd=feed.budget_usd,
            spend_usd=feed.spend_usd + outcome.spend_usd.sum((-1, -2)),
            price_usd=keep * feed.price_usd + (1.0 - keep) * price,
            win_rate=rate_keep * feed.win_rate + (1.0 - rate_keep) * rate,
        )

    def pacing_error(self) -> Float:
        """[B, C] share spent − share of the flight gone; 0 where the budget is 0."""
        spent = self.feed.spend_usd / np.maximum(1e-9, self.feed.budget_usd)
        return np.clip(spent - self.interval / self.scenario.intervals, -1.0, 1.0)

    def _deliver(
        self, actions: Actions, outcome: Outcome, multiplier: Float, next_on_air: NDArray[np.int64]
    ) -> Board:
        """The board everybody reads in the next interval."""
        st, brief = self.market_state, self.brief
        arms = ARMS[next_on_air]
        take = np.take_along_axis
        effect = take(brief.log_format, arms[..., 0][..., None], -1) + take(
            brief.log_script, arms[..., 1][..., None], -1
        )
        worn = take(
            st.wear.reshape(*st.wear.shape[:3], -1), (arms[..., 0] * cat.V + arms[..., 1])[..., None], -1
        )[..., 0]
        affinity = actions.audience.affinity[:, : self.num_campaigns]
        z = affinity * np.exp(effect[..., 0] - brief.wear_out[..., None] * worn - outcome.fatigue)
        loss = cat.ARM_HAZARD[next_on_air] * np.maximum(z, 0.02) ** -0.6
        cells = outcome.opportunities.sum((1, 2))[:, None]
        predicted = np.maximum(1e-9, self.scenario.auction.price_level_usd)
        return Board(
            segment_value=actions.audience,
            creative_plan=CreativePlan(arms[..., 0], np.exp(-loss), worn),
            spend_plan=SpendPlan(
                self.pacing_error(),
                outcome.wins.sum((-1, -2)) / np.maximum(1.0, cells),
                multiplier.mean((-1, -2)) * predicted,
            ),
            alert=actions.monitor,
            directive=actions.orchestrator,
        )

    def _check_finite(self, rewards: Rewards) -> None:
        if not np.isfinite(rewards.segment).all():
            b, c, s = (int(i) for i in np.argwhere(~np.isfinite(rewards.segment))[0])
            raise InterludeError(
                f"reward of campaign {c}, segment {cat.SEGMENTS[s]} is {rewards.segment[b, c, s]} "
                f"in interval {self.interval - 1} of market seed {int(self.seeds[b])}"
            )

    def _observations(self) -> Observations:
        views = observe_all(self)
        for role, view in views.items():
            if not np.isfinite(view).all():
                b, n, i = (int(i) for i in np.argwhere(~np.isfinite(view))[0])
                field = next(name for name, block in SCHEMAS[role].slices.items() if i < block.stop)
                raise InterludeError(
                    f"{role}_{n}: observation field {field!r} is {view[b, n, i]} in interval {self.interval} "
                    f"of market seed {int(self.seeds[b])}"
                )
        return Observations(**views)

    def state(self) -> Observation:
        """Observable global state [B, ·] for the shared critic: orchestrator's view, then every campaign's.

        Layout: orchestrator observation, then MAX_CAMPAIGNS campaign observations (zeros where there is
        no campaign).
        """
        self._check_started("state")
        views = observe_all(self)
        padded = np.zeros((self.num_markets, MAX_CAMPAIGNS, SCHEMAS["bidding"].size), np.float32)
        padded[:, : self.num_campaigns] = views["bidding"]
        return np.concatenate([views["orchestrator"][:, 0], padded.reshape(self.num_markets, -1)], 1)

    def privileged_state(self) -> Observation:
        """Hidden truth for training and evaluation only [B, ·]: a market block, then MAX_CAMPAIGNS blocks."""
        self._check_started("privileged_state")
        market, campaign = privileged_blocks(self)
        padded = np.zeros((self.num_markets, MAX_CAMPAIGNS, campaign.shape[-1]), np.float32)
        padded[:, : self.num_campaigns] = campaign
        return np.concatenate([market, padded.reshape(self.num_markets, -1)], 1)

    def expectation(self) -> Expectation:
        """The simulator's own expected response in the coming interval (oracle and evaluation only)."""
        t = min(self.interval, self.scenario.intervals - 1)
        return expected_response(self.parameters, self.market_state, t)
