"""Knobs of a campaign's own vertical: each campaign is driven by the policies tuned for its kind.

A brief tells the averages of its vertical, which are public: so a campaign's observation tells which
vertical it is of. Verticals without knobs of their own, held-out ones among them, fall back to the global.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from envs.catalogue import VERTICALS, S
from envs.generator import VERTICAL_TABLE
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import CellCredit, CreativeAlert
from envs.state import Int
from policies.policy import CreditReader, Flight, Policy, StateReader, policy_seeds

GLOBAL = ""
"""The name of what drives campaigns of all other verticals."""


def verticals_of(observation: Observation) -> Int:
    """Index into VERTICALS of campaigns [B, C, ·] by their briefs' affinity: [B, C]."""
    told = SCHEMAS["bidding"].view(observation, "brief_log_affinity").astype(np.float64)
    found: Int = np.abs(told[..., None, :] - VERTICAL_TABLE.log_affinity).sum(-1).argmin(-1)
    return found


class VerticalSplit:
    """Which campaigns each vertical's policies drive; roles of a team share it, and so their desks."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """`names` have policies of their own."""
        self.names = names

    def start(self, flight: Flight) -> None:
        """A new flight; the same flight twice is one start."""
        if getattr(self, "_flight", None) is flight:
            return
        self._flight, self.campaigns = flight, flight.num_campaigns
        self.rows: dict[str, Int] = {}
        self.flights: dict[str, Flight] = {}

    def assign(self, observation: Observation) -> None:
        """Sorts campaigns by vertical at the flight's first observation: each becomes a market of its own."""
        if self.rows:
            return
        names = np.array([v if v in self.names else GLOBAL for v in VERTICALS])
        kind = names[verticals_of(observation)].reshape(-1)
        campaign = np.arange(self._flight.num_campaigns, dtype=np.uint64)
        seeds = policy_seeds(np.add.outer(self._flight.seeds, campaign).astype(np.uint64).reshape(-1))
        for name in (*self.names, GLOBAL):
            rows = np.flatnonzero(kind == name)
            if len(rows):
                self.rows[name] = rows
                self.flights[name] = replace(
                    self._flight, num_markets=len(rows), num_campaigns=1, seeds=seeds[rows]
                )


class ByVertical:
    """Each campaign by the policy of its vertical; for creative and bidding agents."""

    privileged = False

    def __init__(self, policies: Mapping[str, Policy], split: VerticalSplit) -> None:
        """One policy a vertical, and one under `GLOBAL` for all others."""
        self.policies, self.split = dict(policies), split
        self.name = f"{self.policies[GLOBAL].name}@vertical"

    def start(self, flight: Flight) -> None:
        """A new flight; policies start at its first observation, which tells the verticals."""
        self.split.start(flight)
        self._started = False

    def read_credit(self, credit: CellCredit) -> None:
        """Tells every vertical's policy of its own campaigns."""
        for name, rows in self.split.rows.items():
            policy = self.policies[name]
            if isinstance(policy, CreditReader):
                market, campaign = np.divmod(rows, self.split.campaigns)
                policy.read_credit(CellCredit(*(field[market, campaign][:, None] for field in credit)))

    def read_observations(self, observations: Observations) -> None:
        """Tells every vertical's policy what was said of its own campaigns' creatives."""
        board = observations.board
        if board is None:
            return
        for name, rows in self.split.rows.items():
            policy = self.policies[name]
            if isinstance(policy, StateReader):
                market, campaign = np.divmod(rows, self.split.campaigns)
                own = CreativeAlert(*(field[market, campaign][:, None] for field in board.creative_alert))
                policy.read_observations(observations._replace(board=board._replace(creative_alert=own)))

    def act(self, observation: Observation) -> Any:
        """The actions of every vertical's policy, in the campaigns' order: [B, C, ...].

        Claims on video are the verticals' own; who makes none claims 0.
        """
        self.split.assign(observation)
        campaigns = observation.reshape(-1, 1, observation.shape[-1])
        answers: dict[str, Any] = {}
        for name, rows in self.split.rows.items():
            if not self._started:
                self.policies[name].start(self.split.flights[name])
            answers[name] = self.policies[name].act(campaigns[rows])
        self._started = True
        first = next(iter(answers.values()))
        action = np.empty((len(campaigns), *first.shape[2:]), first.dtype)
        propensity = np.zeros((len(campaigns), *first.shape[2:-1]))
        claims = np.zeros((len(campaigns), S))
        for name, rows in self.split.rows.items():
            action[rows] = answers[name][:, 0]
            told = getattr(self.policies[name], "log_propensity", 0.0)
            propensity[rows] = np.broadcast_to(told, (len(rows), 1, *first.shape[2:-1]))[:, 0]
            claimed = getattr(self.policies[name], "premium_value_usd", None)
            claims[rows] = 0.0 if claimed is None else claimed[:, 0]
        self.log_propensity = propensity.reshape(*observation.shape[:2], *propensity.shape[1:])
        self.premium_value_usd = claims.reshape(*observation.shape[:2], S)
        return action.reshape(*observation.shape[:2], *action.shape[1:])
