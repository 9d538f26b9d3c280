"""The market as a service sees it: agents' observations from what requests, events and reports told.

The same code as in training turns an interval's outcome into observations, messages and controls; what a
simulator would draw comes from the ledger and from the platform's reports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.accounts import Feed
from envs.catalogue import ARMS, P, S
from envs.controls import new_controls, spread
from envs.dynamics import new_state
from envs.market import INITIAL_ARM, Observations, VectorMarket
from envs.protocol import BOUNDS, Actions, quiet_board
from envs.scenario import Scenario
from envs.state import INCIDENT_SLOTS, Controls, Float, MarketParameters, Outcome, empty_outcome
from serving.brief import FlightBrief, Report


class LiveMarket(VectorMarket):
    """One market whose intervals are played by the world: `start`, then `begin` and `close` in turn."""

    def __init__(self, brief: FlightBrief, trained: Scenario) -> None:
        """For a flight; `trained` is the scenario of the bundle."""
        super().__init__(brief.scenario(trained), 1, split="train")
        self._flight = brief
        self.aired = np.full((1, self.num_campaigns, S), INITIAL_ARM, np.int64)

    def start(self) -> Observations:
        """What every role sees before the first interval."""
        flight, scenario, c = self._flight, self.scenario, self.num_campaigns
        self.brief = flight.brief(scenario)
        self.parameters = _public(flight, scenario, flight.affinity_hint(self.brief))
        self.market_state = new_state(self.parameters, self.aired)
        self.board = quiet_board(1, c)
        self._controls = new_controls(1, c, scenario.listeners.count)
        hint = np.clip(self.parameters.affinity_hint, 0.0, BOUNDS["audience"]["affinity"].high)
        spread(hint, self.parameters.segment_start, self._controls.predicted_affinity)
        start_price = scenario.auction.price_level_usd * np.array(scenario.auction.placement_price)
        self.feed = Feed(
            budget_usd=self.parameters.budget_usd.copy(),
            spend_usd=np.zeros((1, c)),
            price_usd=np.broadcast_to(start_price, (1, c, S, P)).copy(),
            win_rate=np.zeros((1, c, S, P)),
        )
        self.interval, self.outcome, self._has_table = 0, None, False
        self.last_outcome = empty_outcome(1, c, S, P)
        self.last_outcome.health[:] = 1.0
        _tell(self.last_outcome, flight.report)
        return self._observations()

    @property
    def controls(self) -> Controls:
        """What the agents' last actions amount to."""
        return self._controls

    @property
    def ended(self) -> bool:
        """Whether the flight's last interval is over."""
        return self.interval >= self.scenario.intervals

    def begin(self, actions: Actions, left_usd: Float) -> Float:
        """Puts actions into force; gives what is left of budgets [C], which a directive may have re-split."""
        self.market_state.budget_left_usd[0] = left_usd
        self._taken = self._begin(actions)
        left: Float = self.market_state.budget_left_usd[0].copy()
        return left

    def close(self, outcome: Outcome, left_usd: Float) -> Observations:
        """Books an interval: its outcome, and what is left of budgets [C]."""
        state = self.market_state
        state.budget_left_usd[0] = left_usd
        people = np.maximum(1, np.diff(self.parameters.segment_start))[:, None]  # [1, 1, S]
        state.wear[:] *= self.constants.wear_kept
        b, c, s = np.ogrid[:1, : self.num_campaigns, :S]
        fmt, script = ARMS[state.on_air, 0], ARMS[state.on_air, 1]
        state.wear[b, c, s, fmt, script] += outcome.wins.sum(3) / people
        state.on_air[:] = self._next_on_air
        observations: Observations = self._finish(self._taken, outcome).observations
        return observations

    def survey_noise(self, shape: tuple[int, int]) -> Float:
        """None: reported surveys err by themselves."""
        return np.zeros((1, *shape))


def outcome_of(cells: dict[str, NDArray[Any]], before: Outcome, report: Report) -> Outcome:
    """An interval's outcome: counts by cell from the ledger, levels from the report or as they were."""
    _, c, _, _ = before.wins.shape
    out = empty_outcome(1, c, S, P)
    for name in ("health", "recall", "fatigue", "frequency", "recent_exposure"):
        getattr(out, name)[:] = getattr(before, name)
    for name, values in cells.items():
        getattr(out, name)[0] = values
    out.tracked[:] = 1.0
    out.recall_before[:], out.health_before[:] = before.recall, before.health
    out.price_usd[:], out.priced[:] = out.spend_usd, out.wins
    _tell(out, report)
    return out


def _tell(out: Outcome, report: Report) -> None:
    named = {"recall_survey": "recall"}
    for name, value in report:
        if value is not None:
            getattr(out, named.get(name, name))[0] = value


def _public(flight: FlightBrief, scenario: Scenario, hint: Float) -> MarketParameters:
    """A market's parameters with what is public filled in, and nothing where the truth would stand."""
    c, intervals, rivals = len(flight.campaigns), scenario.intervals, scenario.rivals.count
    segment = flight.segments()
    listeners = len(segment)
    attention = np.ones((1, intervals, P))
    if flight.attention is not None:
        rows = np.array(flight.attention[:intervals])
        attention[0, : len(rows)] = rows
    budgets = np.array([[campaign.budget_usd for campaign in flight.campaigns]])
    slots = np.zeros((1, INCIDENT_SLOTS), np.int64)
    return MarketParameters(
        seed=np.array([flight.policy_seed], np.uint64),
        listener_segment=segment[None].copy(),
        segment_start=np.searchsorted(segment, np.arange(S + 1))[None].astype(np.int64),
        listening_share=np.zeros((1, listeners)),
        alias_probability=np.ones((1, listeners)),
        alias=np.arange(listeners)[None],
        vertical=flight.brief(scenario).vertical,
        listener_taste=np.zeros((1, listeners, cat.D)),
        campaign_taste=np.zeros((1, c, cat.D)),
        irritable=np.zeros((1, listeners), np.bool_),
        affinity=np.ones((1, c, listeners)),
        affinity_hint=np.ascontiguousarray(hint),
        log_arm=np.zeros((1, c, S, cat.K)),
        log_mood=np.zeros((1, c, cat.M, cat.F, cat.V)),
        mood_probability=np.zeros((1, intervals, S, cat.M)),
        wear_out=np.zeros((1, c)),
        wear_in=np.zeros((1, c)),
        recall_decay=np.ones((1, c)),
        conversion=np.ones((1, c)),
        recall=np.ones((1, c)),
        churn=np.zeros((1, S)),
        traffic=np.zeros((1, intervals, S, P)),
        attention=attention,
        event_interval=np.array([flight.event_interval], np.int64),
        budget_usd=budgets,
        rival_level=np.ones((1, rivals, S, P)),
        rival_drift=np.ones((1, rivals, intervals)),
        rival_budget_usd=np.zeros((1, rivals)),
        rival_paces=np.zeros((1, rivals), np.bool_),
        rival_share=np.ones((1, S, P, rivals)),
        rival_vertical=np.zeros((1, rivals), np.int64),
        incident_kind=slots,
        incident_start=slots.copy(),
        incident_length=slots.copy(),
        incident_placement=slots.copy(),
        incident_campaign=slots.copy(),
        incident_segment=slots.copy(),
    )
