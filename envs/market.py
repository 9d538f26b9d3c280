"""The batch core: B markets of one scenario stepped together. This *is* the environment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.accounts import Feed, keep_accounts
from envs.bids import Bids
from envs.catalogue import MAX_CAMPAIGNS, P, S
from envs.constants import constants_of
from envs.controls import enact, new_controls, spread, take_off_air
from envs.crew import Crew
from envs.delivery import deliver
from envs.dynamics import new_state, play_interval
from envs.errors import InterludeError, UnknownNameError
from envs.expectation import Expectation, expected_response
from envs.generator import draw_markets
from envs.histories import Listening, draw_histories
from envs.impressions import ImpressionLog, ImpressionRoom, impression_log, new_room, note_interval
from envs.journeys.world import JourneyWorld, with_journeys
from envs.observation import SCHEMAS, Observation
from envs.opportunities import BLOCK
from envs.privileged import privileged_blocks
from envs.protocol import (
    ATTRIBUTION,
    BOUNDS,
    Actions,
    Board,
    Directive,
    InvalidActionError,
    copied,
    held_out_share,
    quiet_board,
)
from envs.recent_plays import draw_recent
from envs.reception import received
from envs.response import HEALTH_MAX
from envs.rewards import Rewards, Worth, rewards_of, worth_of
from envs.scenario import Scenario
from envs.scratch import new_scratch
from envs.seeds import SPLITS, Split
from envs.sight import look, new_sight, survey_noise
from envs.state import Brief, Float, Int, MarketParameters, MarketState, Outcome, empty_outcome

INITIAL_ARM = 0
_OF_LISTENERS = (
    *("memory_fast", "memory_slow", "annoyance", "recent_exposure", "exposures", "exposures_today"),
    *("ads_heard", "hours_listened", "health", "wear", "recall", "segment_health"),
)
"""Fields of the state that tell how listeners are."""
MAX_AFFINITY = 50.0
"""Where an audience's belief about a single listener is clipped."""


class Observations(NamedTuple):
    """What every role sees; row n is agent n of the role."""

    audience: Observation  # [B, 1, ·]
    creative: Observation  # [B, C, ·]
    bidding: Observation  # [B, C, ·]
    monitor: Observation  # [B, 1, ·]
    orchestrator: Observation  # [B, 1, ·]
    board: Board | None = None  # what was said: some of it in no observation, such as alerts of creatives


class Step(NamedTuple):
    """What a step gives back."""

    observations: Observations
    rewards: Rewards
    terminated: bool  # all markets of a batch end together: the horizon is part of the task
    outcome: Outcome
    worth: Worth


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
        threads: int = 1,
        log: bool = False,
        impressions: bool = False,
    ) -> None:
        """Makes an empty batch.

        Args:
            scenario: what kind of market.
            num_markets: B.
            split: whose markets `reset` will be given.
            taste_pool: [pool, ≥ D] standardised tastes of real listeners; synthetic ones if None.
            threads: that share the markets of a step; they change its speed and nothing else.
            log: keep every bid of the last interval in `bids`, for the event log.
            impressions: keep who was shown what, and how they answered, in `impressions`, for an audience
                agent that learns from it.
        """
        if num_markets < 1:
            raise ValueError(f"num_markets must be at least 1, got {num_markets}")
        if split not in SPLITS:
            raise UnknownNameError("split", split, SPLITS)
        if taste_pool is not None and (
            taste_pool.ndim != 2 or taste_pool.shape[1] < cat.D or not np.isfinite(taste_pool).all()
        ):
            raise ValueError(
                f"taste_pool must be [pool, at least {cat.D}] finite numbers, got shape {taste_pool.shape}"
            )
        self.scenario, self.num_markets, self.split = scenario, num_markets, split
        self.num_campaigns = scenario.campaigns
        self.taste_pool = taste_pool
        self.constants = constants_of(scenario, split == "held_out", log)
        self._crew = Crew(num_markets, threads)
        self._make_scratch(BLOCK)
        self._next_on_air = np.zeros((num_markets, scenario.campaigns, S), np.int64)
        self._sight = new_sight(num_markets, scenario.campaigns)
        self.interval = -1
        self.parameters: MarketParameters
        self.brief: Brief
        self.market_state: MarketState
        self.board: Board
        self.feed: Feed
        self.aired: Int
        self.outcome: Outcome | None
        self._tells, self._notes = impressions, impressions or scenario.journeys is not None
        self._whole_intervals = log or self._notes
        self._room: ImpressionRoom
        self.impressions: ImpressionLog | None = None  # of the last interval; None before one, or unasked
        self.journeys: JourneyWorld | None = None  # where the scenario has any
        self.bids: list[Bids]  # [B] with `log`: of the last interval, in order of arrival
        self.last_outcome: Outcome  # what observations tell of: at the flight's start, of nothing

    @property
    def seeds(self) -> NDArray[np.uint64]:
        """[B] the seeds of the markets being played."""
        return self.parameters.seed

    def reset(self, seeds: NDArray[np.uint64]) -> Observations:
        """Starts a flight of the markets with these seeds: [B] uint64."""
        given = np.asarray(seeds)
        if given.dtype.kind not in "iu" or (given.dtype.kind == "i" and (given < 0).any()):
            raise ValueError(f"seeds must be whole numbers from 0, got {given.dtype} {given.tolist()[:4]}")
        seeds = given.astype(np.uint64)
        if seeds.shape != (self.num_markets,):
            raise ValueError(f"expected {self.num_markets} seeds, got an array of shape {seeds.shape}")
        b, c = self.num_markets, self.num_campaigns
        self.parameters, self.brief = draw_markets(seeds, self.scenario, self.split, self.taste_pool)
        self.aired = np.full((b, c, S), INITIAL_ARM, np.int64)
        self.market_state = new_state(self.parameters, self.aired)
        self.board = quiet_board(b, c)
        self._controls = new_controls(b, c, self.scenario.listeners.count)
        hint = np.clip(self.parameters.affinity_hint, 0.0, BOUNDS["audience"]["affinity"].high)
        spread(hint, self.parameters.segment_start, self._controls.predicted_affinity)
        level = self.scenario.auction.price_level_usd
        start_price = level * np.array(self.scenario.auction.placement_price)
        self.feed = Feed(
            budget_usd=self.parameters.budget_usd.copy(),
            spend_usd=np.zeros((b, c)),
            price_usd=np.broadcast_to(start_price, (b, c, S, P)).copy(),
            win_rate=np.zeros((b, c, S, P)),
        )
        self.interval, self.outcome, self._has_table = 0, None, False
        if self._whole_intervals:  # a block holds one, so that its rows are there at the end
            most = self.parameters.traffic.sum((2, 3)).max() * self.constants.load_factor * HEALTH_MAX
            self._make_scratch(int(most) + 2)
            self._room = new_room(b if self._notes else 0, (int(most) + 2) * c)
        self.bids, self.impressions = [], None
        with_people = self.scenario.journeys is not None
        self.journeys = JourneyWorld(self.scenario, self.parameters) if with_people else None
        self.last_outcome = empty_outcome(b, c, S, P)
        self.last_outcome.health[:] = 1.0
        return self._observations()

    def step(self, actions: Actions) -> Step:
        """Plays one interval with the agents' actions.

        Directives and affinities were posted one interval ago: those on the board are enforced now, and
        what `actions` say is delivered with the next observation. Multipliers act at once, creatives are
        trafficked to air from the next interval on.

        Raises:
            InterludeError: before reset or after the flight's end.
            InvalidActionError: an action that is not finite or outside its space.
        """
        taken = self._begin(actions)
        return self._finish(taken, self._play())

    def _begin(self, actions: Actions) -> Actions:
        """Puts what was posted and decided into force; gives the actions as they were taken in."""
        self._check_started("step")
        scenario, state, controls = self.scenario, self.market_state, self._controls
        if self.interval >= scenario.intervals:
            raise InterludeError(f"the flight ended after {scenario.intervals} intervals: call reset(seeds)")
        listeners = scenario.listeners.count
        actions = received(actions, self.num_campaigns, listeners, self.interval, self.seeds)
        if actions.credit is not None and scenario.journeys is None:
            raise InvalidActionError(
                f"{ATTRIBUTION}_0: scenario {scenario.name!r} has no journeys to give credit for"
            )
        self._hear_audience(actions.listener_affinity)
        enact(self.board, actions, state, self.feed, controls, self._next_on_air)
        self.aired = state.on_air.copy()
        return actions

    def _finish(self, actions: Actions, outcome: Outcome) -> Step:
        """Books an interval's outcome and delivers what was said in it."""
        scenario, state, controls = self.scenario, self.market_state, self._controls
        self.interval += 1
        self.outcome = self.last_outcome = outcome
        pacing_error = keep_accounts(self.feed, outcome, self.interval / scenario.intervals)
        worth = worth_of(outcome, self.parameters, scenario)
        rewards = rewards_of(outcome, worth, pacing_error, scenario)
        self._check_finite(rewards)
        level_usd = scenario.auction.price_level_usd
        if actions.creative_pause is not None:
            take_off_air(actions.creative_pause, state.on_air)
        self.board = deliver(actions, outcome, self.brief, state, controls, pacing_error, level_usd)
        return Step(self._observations(), rewards, self.interval == scenario.intervals, outcome, worth)

    def _make_scratch(self, block: int) -> None:
        campaigns, listeners = self.num_campaigns, self.scenario.listeners.count
        longest_pod = max(self.scenario.auction.slots)
        self._scratch = [new_scratch(campaigns, listeners, longest_pod, block) for _ in self._crew.ranges]

    def _play(self) -> Outcome:
        outcome = empty_outcome(self.num_markets, self.num_campaigns, S, P)
        moment = (self.parameters, self.market_state, self.constants, self._controls, outcome)

        def play(part: int, first: int, end: int) -> list[Bids]:
            scratch, on_air, t = self._scratch[part], self._next_on_air, self.interval
            bids: list[Bids] = []

            def play_some(start: int, stop: int) -> None:
                if self._notes:
                    note_interval(*moment, scratch, on_air, start, stop, t, self.aired, self._room)
                else:
                    play_interval(*moment, scratch, on_air, start, stop, t)

            if not self.constants.log:
                play_some(first, end)
                return []
            for b in range(first, end):
                play_some(b, b + 1)
                rows = int(outcome.bids[b].sum())
                bids.append(
                    Bids(**{name: column[:rows].copy() for name, column in scratch.made._asdict().items()})
                )
            return bids

        self.bids = [bids for part in self._crew.run(play) for bids in part]
        if self._notes:
            noted = impression_log(self._room)
            self.impressions = noted if self._tells else None
            if self.journeys is not None:
                held_out = held_out_share(self.board, self.num_markets, self.num_campaigns)
                found = self.journeys.play(noted, self.interval, held_out)
                outcome = with_journeys(outcome, found, held_out)
        if self.scenario.listeners.steady:
            self._rest_listeners()
        return outcome

    def _rest_listeners(self) -> None:
        """Everything that an interval did to listeners is undone, the wear of creatives included."""
        first = new_state(self.parameters, self.market_state.on_air)
        for field in _OF_LISTENERS:
            getattr(self.market_state, field)[:] = getattr(first, field)

    def _check_started(self, what: str) -> None:
        if self.interval < 0:
            raise InterludeError(f"{what}() before reset(): call reset(seeds) first")

    def _hear_audience(self, table: Float | None) -> None:
        """Bids use the last table of single listeners; before any, the segment values on the board."""
        believed = self._controls.predicted_affinity
        if table is not None:
            np.clip(table, 0.0, MAX_AFFINITY, out=believed)
            self._has_table = True
        elif self.interval > 0 and not self._has_table:
            spread(self.board.segment_value.affinity, self.parameters.segment_start, believed)

    def premium_granted(self, directive: Directive) -> NDArray[np.bool_]:
        """[B, C, S] where a campaign may traffic video."""
        campaign = 1 + np.arange(self.num_campaigns)
        granted: NDArray[np.bool_] = directive.premium_grant[:, None, :] == campaign[:, None]
        return granted

    def pacing_error(self) -> Float:
        """[B, C] share spent − share of the flight gone; of a budget of 0, nothing is spent."""
        return self.board.spend_plan.pacing_error

    def _check_finite(self, rewards: Rewards) -> None:
        if not np.isfinite(rewards.team).all():
            b, c, s = (int(i) for i in np.argwhere(~np.isfinite(rewards.segment))[0])
            raise InterludeError(
                f"reward of campaign {c}, segment {cat.SEGMENTS[s]} is {rewards.segment[b, c, s]} "
                f"in interval {self.interval - 1} of market seed {int(self.seeds[b])}"
            )

    def survey_noise(self, shape: tuple[int, int]) -> Float:
        """[B, C, S] by which the survey of recall errs that is shown now."""
        return survey_noise(self.seeds, self.interval, shape)

    def _observations(self) -> Observations:
        """What every role sees now, as arrays that belong to whoever asks."""
        sight = self._sight
        whole = look(self, sight, self._crew)
        seen = Observations(
            audience=sight.audience.copy(),
            creative=sight.campaign.copy(),
            bidding=sight.campaign.copy(),
            monitor=sight.monitor.copy(),
            orchestrator=sight.orchestrator.copy(),
            board=copied(self.board),
        )
        if not whole:
            raise InterludeError(self._missing(seen))
        return seen

    def _missing(self, seen: Observations) -> str:
        views = {role: getattr(seen, role) for role in SCHEMAS}
        role, view = next((role, view) for role, view in views.items() if np.isnan(view).any())
        b, n, i = (int(i) for i in np.argwhere(np.isnan(view))[0])
        field = next(name for name, block in SCHEMAS[role].slices.items() if i < block.stop)
        return (
            f"{role}_{n}: observation field {field!r} is {view[b, n, i]} in interval {self.interval} "
            f"of market seed {int(self.seeds[b])}"
        )

    def state(self) -> Observation:
        """Observable global state [B, ·] for the shared critic: orchestrator's view, then every campaign's.

        Layout: orchestrator observation, then MAX_CAMPAIGNS campaign observations (zeros where there is
        no campaign).
        """
        self._check_started("state")
        return _side_by_side(self._sight.orchestrator[:, 0], self._sight.campaign)

    def listening(self, *, order: bool = False) -> Listening:
        """What was known of the listeners before the flight, for an audience agent that asks.

        Drawn anew at every call, the same for the same market, and costly: ask once a flight, and for the
        order of the last plays only where it is read.
        """
        self._check_started("listening")
        truth = self.parameters
        plays = draw_histories(truth.seed, truth.listener_taste, self.scenario)
        recent = draw_recent(truth.seed, truth.listener_taste, plays).token if order else None
        return Listening(plays, truth.listener_segment.copy(), recent)

    def privileged_state(self) -> Observation:
        """Hidden truth for training and evaluation only [B, ·]: a market block, then MAX_CAMPAIGNS blocks."""
        self._check_started("privileged_state")
        return _side_by_side(*privileged_blocks(self))

    def expectation(self) -> Expectation:
        """The simulator's own expected response in the coming interval (oracle and evaluation only)."""
        t = min(self.interval, self.scenario.intervals - 1)
        return expected_response(self.parameters, self.market_state, t)


def _side_by_side(market: Observation, campaign: Observation) -> Observation:
    """[B, ·] and [B, C, ·] → [B, ·]: the market, then MAX_CAMPAIGNS campaigns."""
    batch, campaigns, size = campaign.shape
    absent = np.zeros((batch, (MAX_CAMPAIGNS - campaigns) * size), np.float32)
    return np.concatenate([market, campaign.reshape(batch, -1), absent], 1)
