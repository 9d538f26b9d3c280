"""An orchestrator that asks the shared critic where another dollar brings most, and moves budgets there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from envs.errors import InterludeError
from envs.impressions import ImpressionLog
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import CellCredit
from envs.state import Float
from policies.desk import CampaignDesk
from policies.marginal_orchestrator import EqualMargins
from policies.policy import Flight
from policies.tensors import Arrays, desk_tensors

Critic = Callable[[Arrays], Float]
"""Values in USD [N, C, 2 + S] of `observation` [N, C, ·], beliefs and `orchestrator` [N, ·]."""
STEP: Final = 0.1
"""Share of the money left by which a budget is varied to see what the critic makes of it."""
OWN_CRITIC: Final = "critic"
"""How configurations and manifests call an orchestrator that asks the run's own critic."""
LEAST: Final = 0.1
"""A campaign's worth counts as this share of the mean at least: a critic may well say less than nothing."""
_OWN, _ALL = SCHEMAS["bidding"], SCHEMAS["orchestrator"]


class CriticOrchestrator(EqualMargins):
    """Splits what is left by the campaigns' margins, as `EqualMargins`, and by what the critic sees in money.

    In the critic's eyes a dollar more to campaign c is worth (V(left + 10 %) − V(left − 10 %)) / (20 % of
    left), V being what its heads of segments expect of the flight's rest over all campaigns, with nothing
    changed but the money in its own inputs. The logs of both, over the campaigns' means, are added: margins
    tell of the next interval, the critic of all that are left.
    """

    privileged = False

    def __init__(
        self,
        critic: Critic,
        desk: CampaignDesk,
        *,
        every: int = 2,
        gain: float = 0.25,
        smoothing: float = 0.5,
        name: str = "critic",
        model_aware: bool = True,
    ) -> None:
        """Of a critic and a desk that comes to the beliefs which the critic reads.

        Args:
            critic: see `Critic`.
            desk: as the critic's run had it: the team's, or one of its own.
            every: intervals between two splits.
            gain: 0 leaves budgets as they are.
            smoothing: weight of the past in the log of a campaign's worth.
            name: how tables call it.
            model_aware: whether the critic reads the desk's beliefs.
        """
        super().__init__(every=every, gain=gain, smoothing=smoothing, name=name)
        self.critic, self.desk, self.model_aware = critic, desk, model_aware

    @property
    def reads_listeners(self) -> bool:
        """Whether its desk wants every interval's impressions."""
        return self.desk.reads_listeners

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self.desk.start(flight)

    def read_impressions(self, impressions: ImpressionLog) -> None:
        """Hands them to the desk."""
        self.desk.read_impressions(impressions)

    def read_credit(self, credit: CellCredit) -> None:
        """Hears the attribution agent, and hands its message to the desk."""
        super().read_credit(credit)
        self.desk.credited.read(credit)

    def read_observations(self, observations: Observations) -> None:
        """What campaigns see is the desk's; the rule book hears what is said of creatives."""
        super().read_observations(observations)
        self.desk.hear(observations.board)
        self.desk.advance(observations.bidding)
        self._bidding = observations.bidding

    def log_worth(self, observation: Observation) -> Float:
        """[B, C] of margins, plus log (worth / mean worth) by the critic where it sees use for money."""
        worth = self.worth(observation[:, 0])
        mean = worth.mean(1, keepdims=True)
        known = (mean > 0.0) & np.isfinite(worth).all(1, keepdims=True)
        ratio = np.where(known, np.maximum(LEAST, worth / np.where(known, mean, 1.0)), 1.0)
        found: Float = super().log_worth(observation) + np.log(ratio)
        return found

    def worth(self, orchestrator: Observation) -> Float:
        """[B, C] USD that another dollar brings, of the orchestrator's observation [B, ·] and the desk's."""
        fed = {**desk_tensors(self.desk, self._bidding), "orchestrator": orchestrator}
        share = _OWN.view(self._bidding, "budget_left_fraction").astype(np.float64)
        left = share * _OWN.view(self._bidding, "budget_usd")
        found = np.zeros(left.shape)
        for c in range(self._campaigns):
            more, less = (
                self.critic({**fed, **_with_money(fed, c, factor)})[..., 2:].sum((1, 2), dtype=np.float64)
                for factor in (1.0 + STEP, 1.0 - STEP)
            )
            found[:, c] = (more - less) / np.maximum(1e-6, 2.0 * STEP * left[:, c])
        return found


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


def critic_of_network(network: Any) -> Critic:
    """An observable critic in PyTorch as the orchestrator asks it."""
    import torch

    names = ("observation", "campaign_belief", "segment_belief", "orchestrator")

    def critic(fed: Arrays) -> Float:
        with torch.inference_mode():
            value: Float = network(*(torch.from_numpy(fed[name]) for name in names)).numpy()
        return value

    return critic


def critic_of_model(model: Callable[[Arrays], Arrays]) -> Critic:
    """An exported critic as the orchestrator asks it."""
    return lambda fed: model(fed)["value_usd"]


def load_critic_orchestrator(directory: Path) -> CriticOrchestrator:
    """The orchestrator by the critic of a run directory or a bundle.

    Raises:
        InterludeError: neither is there, it is damaged, or it has no critic.
    """
    name = f"critic:{directory.resolve().name}"
    if (directory / "policies").is_dir():
        critic, desk, aware = _of_run(directory)
        return CriticOrchestrator(critic, desk, name=name, model_aware=aware)
    from policies.bundle import open_bundle

    bundle = open_bundle(directory)
    if "critic" not in bundle.models:
        raise InterludeError(f"{directory} holds no critic")
    model = bundle.models["critic"]
    aware = bundle.manifest.model_aware
    return CriticOrchestrator(critic_of_model(model), bundle.desk(), name=name, model_aware=aware)


def _of_run(directory: Path) -> tuple[Critic, CampaignDesk, bool]:
    from policies.learned import desk_of_run
    from policies.weights import load_networks

    network = load_networks(directory / "policies").get("critic")
    if network is None:
        raise InterludeError(f"{directory / 'policies'} holds no critic")
    return critic_of_network(network), desk_of_run(directory), bool(network.model_aware)
