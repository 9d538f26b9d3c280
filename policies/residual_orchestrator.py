"""An orchestrator that departs from equal margins by some numbers a campaign, whoever comes up with them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import CellCredit, CreativePause, Directive
from envs.state import Float
from policies.budget_split import weights_on_left
from policies.desk import CampaignDesk, DeskPolicy
from policies.exported import ExportedModel
from policies.marginal_orchestrator import EqualMargins
from policies.policy import Flight
from policies.tensors import desk_tensors

MONEY_SCALE, CLAIM_SCALE = 0.15, 0.5
"""What a number of 1 adds to the log weight of what is left, every interval, and to the log of a claim."""
NUMBER_CLIP: Final = 3.0
_OWN, _ALL = SCHEMAS["bidding"], SCHEMAS["orchestrator"]
_CLAIMS = _ALL.slices["premium_value_usd"]


class ResidualOrchestrator(DeskPolicy):
    """Equal margins, whose grants weigh claims anew and whose budgets move a little more every interval.

    A campaign's whole budget stays within about [0.5, 2] of its first. Subclasses say `numbers`.
    """

    model_aware = True

    def __init__(self, desk: CampaignDesk, name: str) -> None:
        """A desk that comes to the beliefs which the numbers are made of; the team's own or another."""
        super().__init__(desk, name)
        self.rules = EqualMargins()

    def numbers(self, orchestrator: Observation) -> Float:
        """[B, C, DIRECTED] of the orchestrator's observation [B, ·], the desk and `self.bidding`."""
        raise NotImplementedError

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self.rules.start(flight)
        self._campaigns = flight.num_campaigns
        self._first_usd: Float | None = None

    def read_observations(self, observations: Observations) -> None:
        """What campaigns see is the desk's; the rule book hears what is said of creatives."""
        super().read_observations(observations)
        self.rules.read_observations(observations)
        self.desk.advance(observations.bidding)
        self.bidding = observations.bidding

    def read_credit(self, credit: CellCredit) -> None:
        """Hands the attribution agent's message to desk and rule book."""
        super().read_credit(credit)
        self.rules.read_credit(credit)

    @property
    def creative_pause(self) -> CreativePause | None:
        """Creatives that the rule book pauses."""
        return self.rules.creative_pause

    def act(self, observation: Observation) -> Directive:
        """The directive for the next interval."""
        numbers = np.clip(self.numbers(observation[:, 0]), -NUMBER_CLIP, NUMBER_CLIP)
        claimed = observation.copy()
        by_campaign = _ALL.view(claimed, "premium_value_usd")[:, 0].copy()
        by_campaign[:, : self._campaigns] *= np.exp(CLAIM_SCALE * numbers[..., 1:])
        claimed[:, 0, _CLAIMS] = by_campaign.reshape(len(observation), -1)
        directive = self.rules.act(claimed)
        share = directive.budget_share.copy()
        share[:, : self._campaigns] = self._shares(share[:, : self._campaigns], numbers[..., 0])
        return directive._replace(budget_share=share)

    def _shares(self, share: Float, number: Float) -> Float:
        """[B, C] weights on what is left, of the rules' and the numbers."""
        budget = _OWN.view(self.bidding, "budget_usd").astype(np.float64)
        left = budget * _OWN.view(self.bidding, "budget_left_fraction")
        if self._first_usd is None:
            self._first_usd = budget
        return weights_on_left(share * np.exp(MONEY_SCALE * number), left, budget, self._first_usd)

    def reasons(self, market: int = 0) -> list[str]:
        """Why the rules say what they say; the numbers are a network's and have no reasons."""
        return self.rules.reasons(market)


class ExportedOrchestrator(ResidualOrchestrator):
    """Its numbers by a bundle's network."""

    def __init__(self, model: ExportedModel, desk: CampaignDesk, name: str) -> None:
        """Of the network `orchestrator`."""
        super().__init__(desk, name)
        self.model = model

    def numbers(self, orchestrator: Observation) -> Float:
        """As the network says."""
        fed: dict[str, Any] = {**desk_tensors(self.desk, self.bidding), "orchestrator": orchestrator}
        found: Float = self.model(fed)["direction"].astype(np.float64)
        return found
