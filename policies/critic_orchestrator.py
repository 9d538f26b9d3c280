"""An orchestrator that asks the shared critic where another dollar brings most, and moves budgets there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from envs.catalogue import MAX_CAMPAIGNS
from envs.errors import InterludeError
from envs.impressions import ImpressionLog
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import CreativePause, Directive
from envs.state import Float
from policies.budget_split import weights_on_left
from policies.desk import CampaignDesk
from policies.policy import Flight
from policies.scripted_orchestrator import RuleBook
from policies.tensors import Arrays, desk_tensors

Critic = Callable[[Arrays], Float]
"""Values in USD [N, C, 2 + S] of `observation` [N, C, ·], beliefs and `orchestrator` [N, ·]."""
STEP: Final = 0.1
"""Share of the money left by which a budget is varied to see what the critic makes of it."""
LEAST: Final = 0.1
"""A campaign's worth counts as this share of the mean at least: a critic may well say less than nothing."""
_OWN, _ALL = SCHEMAS["bidding"], SCHEMAS["orchestrator"]


class CriticOrchestrator:
    """The rule book, and every few intervals a new split of the money that is left.

    A dollar more to campaign c is worth (V(left + 10 %) − V(left − 10 %)) / (20 % of left), V being what the
    critic's heads of segments expect of the flight's rest over all campaigns, with nothing changed but the
    money in its own inputs. What is left is weighed by (worth / mean worth)^gain, smoothed. Neither the
    weights nor what a campaign may come to in all, against its first budget, leave [0.5, 2].
    """

    privileged, model_aware = False, True

    def __init__(
        self,
        critic: Critic,
        desk: CampaignDesk,
        *,
        every: int = 4,
        gain: float = 0.25,
        smoothing: float = 0.5,
        name: str = "critic",
    ) -> None:
        """Of a critic and a desk that comes to the beliefs which the critic reads.

        Args:
            critic: see `Critic`.
            desk: as the critic's run had it; its own, not the team's.
            every: intervals between two splits.
            gain: 0 leaves budgets as they are.
            smoothing: weight of the past in the log of a campaign's worth.
            name: how tables call it.
        """
        self.critic, self.desk, self.rules = critic, desk, RuleBook()
        self.every, self.gain, self.smoothing, self.name = every, gain, smoothing, name

    @property
    def reads_listeners(self) -> bool:
        """Whether its desk wants every interval's impressions."""
        return self.desk.reads_listeners

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.desk.start(flight)
        self.rules.start(flight)
        self._interval, self._campaigns = 0, flight.num_campaigns
        self._log_worth = np.zeros((flight.num_markets, flight.num_campaigns))
        self._why: Float | None = None

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Hands them to the desk."""
        self.desk.read_impressions(impressions)

    def read_observations(self, observations: Observations) -> None:
        """What campaigns see is the desk's; the rule book hears what is said of creatives."""
        self.rules.read_observations(observations)
        self.desk.hear(observations.board)
        self.desk.advance(observations.bidding)
        self._bidding = observations.bidding

    @property
    def creative_pause(self) -> CreativePause | None:
        """Creatives that the rule book pauses."""
        return self.rules.creative_pause

    def act(self, observation: Observation) -> Directive:
        """The rule book's directive with the critic's weights."""
        share = np.ones((len(observation), MAX_CAMPAIGNS))
        self._why = None
        if self._interval == 0:
            self._first_usd = _OWN.view(self._bidding, "budget_usd").astype(np.float64)
        if self._interval % self.every == self.every - 1:
            share[:, : self._campaigns] = self._shares(observation[:, 0])
        self._interval += 1
        self._share = share
        return self.rules.act(observation)._replace(budget_share=share)

    def reasons(self, market: int = 0) -> list[str]:
        """Why the last directive says what it says to one market: a line a decision."""
        lines = self.rules.reasons(market)
        if self._why is not None:
            lines += [
                f"weight {self._share[market, c]:.2f} for what campaign {c} has left: another dollar brings "
                f"{self._why[market, c]:.2f} USD there, {self._why[market].mean():.2f} on average"
                for c in range(self._campaigns)
            ]
        return lines

    def worth(self, orchestrator: Observation) -> Float:
        """[B, C] USD that another dollar brings, of the orchestrator's observation [B, ·] and the desk's."""
        fed = {**desk_tensors(self.desk, self._bidding), "orchestrator": orchestrator}
        left = self._left()
        found = np.zeros(left.shape)
        for c in range(self._campaigns):
            more, less = (
                self.critic({**fed, **_with_money(fed, c, factor)})[..., 2:].sum((1, 2), dtype=np.float64)
                for factor in (1.0 + STEP, 1.0 - STEP)
            )
            found[:, c] = (more - less) / np.maximum(1e-6, 2.0 * STEP * left[:, c])
        return found

    def _left(self) -> Float:
        """[B, C] USD."""
        share = _OWN.view(self._bidding, "budget_left_fraction").astype(np.float64)
        left: Float = share * _OWN.view(self._bidding, "budget_usd")
        return left

    def _shares(self, orchestrator: Observation) -> Float:
        """[B, C] weights on what is left; 1 where the critic sees no use for money."""
        worth = self._why = self.worth(orchestrator)
        mean = worth.mean(1, keepdims=True)
        known = (mean > 0.0) & np.isfinite(worth).all(1, keepdims=True)
        ratio = np.where(known, np.maximum(LEAST, worth / np.where(known, mean, 1.0)), 1.0)
        self._log_worth = self.smoothing * self._log_worth + (1.0 - self.smoothing) * np.log(ratio)
        left, budget = self._left(), _OWN.view(self._bidding, "budget_usd").astype(np.float64)
        return weights_on_left(np.exp(self.gain * self._log_worth), left, budget, self._first_usd)


def _with_money(fed: Arrays, campaign: int, factor: float) -> Arrays:
    """The critic's inputs as they would be with `factor` times the money that a campaign has left."""
    own, every = fed["observation"].copy(), fed["orchestrator"].copy()
    row = own[:, campaign]
    budget, left = _OWN.view(row, "budget_usd"), _OWN.view(row, "budget_left_fraction")
    left_usd = factor * left * budget
    whole_usd = np.maximum(1e-9, budget * (1.0 - left) + left_usd)
    pace = np.clip(1.0 - left_usd / whole_usd - _OWN.view(row, "elapsed_fraction"), -1.0, 1.0)
    for name, value in (
        ("budget_usd", whole_usd),
        ("budget_left_fraction", left_usd / whole_usd),
        ("pacing_error", pace),
    ):
        own[:, campaign, _OWN.slices[name].start] = value
    for name, value in (("budget_usd", whole_usd), ("budget_left_usd", left_usd), ("pacing_error", pace)):
        every[:, _ALL.slices[name].start + campaign] = value
    return {"observation": own, "orchestrator": every}


def load_critic_orchestrator(directory: Path) -> CriticOrchestrator:
    """The orchestrator by the critic of a run directory or a bundle.

    Raises:
        InterludeError: neither is there, it is damaged, or it has no critic.
    """
    name = f"critic:{directory.resolve().name}"
    if (directory / "policies").is_dir():
        return CriticOrchestrator(*_of_run(directory), name=name)
    from policies.bundle import open_bundle

    bundle = open_bundle(directory)
    if "critic" not in bundle.models:
        raise InterludeError(f"{directory} holds no critic")
    model = bundle.models["critic"]
    return CriticOrchestrator(lambda fed: model(fed)["value_usd"], bundle.desk(), name=name)


def _of_run(directory: Path) -> tuple[Critic, CampaignDesk]:
    import torch

    from policies.learned import desk_of_run
    from policies.weights import load_networks

    network = load_networks(directory / "policies").get("critic")
    if network is None:
        raise InterludeError(f"{directory / 'policies'} holds no critic")
    names = ("observation", "campaign_belief", "segment_belief", "orchestrator")

    def critic(fed: Arrays) -> Float:
        with torch.inference_mode():
            value: Float = network(*(torch.from_numpy(fed[name]) for name in names)).numpy()
        return value

    return critic, desk_of_run(directory)
