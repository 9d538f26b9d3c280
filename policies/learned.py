"""Learned policies: trained actors on a campaign desk, driving roles like any scripted policy.

Not imported by `policies` itself: torch is loaded only where a learned policy is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from envs.catalogue import ARM_FORMAT, ARMS, VIDEO, K, S
from envs.observation import SCHEMAS, Observation
from envs.philox import normals, uniforms
from envs.state import Bool, Float, Int
from policies.arm_prior import ArmPrior
from policies.critic_orchestrator import OWN_CRITIC, CriticOrchestrator, critic_of_network
from policies.desk import BIDDING_ACTION, CampaignDesk, DeskPolicy
from policies.encoder import Encoder, Extra
from policies.folders import DamagedFileError, read_manifest
from policies.networks import BiddingActor, CreativeActor
from policies.orchestrator_actor import OrchestratorActor
from policies.policy import Flight, Policy
from policies.registry import DESK_TEAM, learning_desk, make_team
from policies.residual_orchestrator import ResidualOrchestrator
from policies.tally import Tally
from policies.tensors import DIRECTED
from policies.weights import Actor, actors_of, load_networks

CREATIVE_STREAM, BIDDING_STREAM, ORCHESTRATOR_STREAM = 0x6000_0000, 0x7000_0000, 0x8000_0000
"""Streams of exploration noise: a market's own, so that a sampled flight depends on its seed alone."""
BLOCK = 64
"""Rows, of one campaign each, that a network is given at once."""
_SAMPLE_SEEDS, _MAX_INTERVALS = 1 << 14, 1 << 13


class Decision(NamedTuple):
    """What a learned policy saw and chose in one interval: what training needs of it."""

    plain: Tensor  # [B, C, ·] encoded features
    grouped: Tensor  # [B, C, S, ·]
    choice: Tensor  # arm [B, C, S], bidding's action [B, C, 1 + P + S] or the orchestrator's [B, C, DIRECTED]
    log_probability: Tensor  # creative: [B, C, S]; others: [B, C]


class _Learned(DeskPolicy):
    """What both learned roles share: a desk, and how they explore."""

    def __init__(
        self, desk: CampaignDesk, name: str, sample: bool, sample_seed: int, model_aware: bool
    ) -> None:
        super().__init__(desk, name)
        self.sample, self.sample_seed = sample, sample_seed
        self.model_aware = model_aware
        self.tally = Tally()
        self.decision: Decision | None = None

    @property
    def log_propensity(self) -> Any:
        """Log-probabilities of the last action; the likeliest action is no draw."""
        return self.decision.log_probability.numpy() if self.sample and self.decision else 0.0

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self._seeds, self._interval = flight.seeds, 0
        self._level_usd = flight.scenario.auction.price_level_usd
        self._memory: Tensor | None = None
        self.tally.start()

    def _stream(self, base: int) -> int:
        """Number of the noise stream of this interval."""
        return base + (self.sample_seed % _SAMPLE_SEEDS) * _MAX_INTERVALS + self._interval

    def _remembered(
        self, actor: CreativeActor | BiddingActor, plain: Tensor, grouped: Tensor, shape: tuple[int, ...]
    ) -> tuple[Tensor, ...]:
        """A recurrent actor's memory after this interval, empty at a flight's start; nothing for others."""
        memory = actor.memory
        if memory is None:
            return ()
        if self._memory is None:
            self._memory = plain.new_zeros(*shape, memory.units)
        self._memory = by_block(lambda p, g, m: memory(actor.seen(p, g), m), plain, grouped, self._memory)
        return (self._memory,)

    def _advanced(self, observation: Observation, encoder: Encoder) -> Extra | None:
        """The tally or the desk's beliefs after this observation; a policy on no desk leaves that alone."""
        if encoder.tallies:
            tally = self.tally.advance(observation)
            return torch.from_numpy(tally[0]), torch.from_numpy(tally[1])
        if not self.model_aware:
            return None
        self.desk.advance(observation)
        segment, campaign = self.desk.belief_features()
        return torch.from_numpy(campaign), torch.from_numpy(segment)


class LearnedCreative(_Learned):
    """Chooses each segment's arm by a trained network."""

    def __init__(
        self,
        actor: CreativeActor,
        desk: CampaignDesk,
        *,
        name: str = "learned",
        sample: bool = False,
        sample_seed: int = 0,
    ) -> None:
        """Shares the desk with the bidding agent; takes the likeliest arm unless `sample`."""
        super().__init__(desk, name, sample, sample_seed, actor.model_aware)
        self.actor = actor
        self.premium_value_usd: Float | None = None

    @torch.inference_mode()
    def act(self, observation: Observation) -> Int:
        """Creatives [B, C, S, 4] for observations [B, C, ·]; `premium_value_usd` holds the desk's claims."""
        beside = self._advanced(observation, self.actor.encoder)
        plain, grouped = self.actor.encoder(torch.from_numpy(observation), beside)
        self.premium_value_usd = self.desk.premium_value_usd if self.model_aware else None
        self.arm_mask = allowed_arms(observation)
        shape = self.arm_mask.shape
        self.arm_log_score = self.desk.arm_log_score if self.model_aware else np.zeros(shape, np.float32)
        score, mask = torch.from_numpy(self.arm_log_score), torch.from_numpy(self.arm_mask)
        memory = self._remembered(self.actor, plain, grouped, shape[:3])
        logits = by_block(self.actor.logits, plain, grouped, score, mask, *memory)
        ranked = logits + self._gumbel(observation.shape[1]) if self.sample else logits
        arm = ranked.argmax(-1)
        log_probability = logits.log_softmax(-1).gather(-1, arm[..., None])[..., 0]
        self.decision = Decision(plain, grouped, arm, log_probability)
        self._interval += 1
        creative: Int = ARMS[arm.numpy()]
        return creative

    def _gumbel(self, campaigns: int) -> Tensor:
        """[B, C, S, K] Gumbel noise: the largest of logits + noise is a draw from their softmax."""
        draws = uniforms(self._seeds, self._stream(CREATIVE_STREAM), (campaigns, S, K))
        return torch.from_numpy(-np.log(-np.log(draws))).float()


class LearnedBidding(_Learned):
    """Bids by a trained network."""

    def __init__(
        self,
        actor: BiddingActor,
        desk: CampaignDesk,
        *,
        name: str = "learned",
        sample: bool = False,
        sample_seed: int = 0,
    ) -> None:
        """Shares the desk with the creative agent; bids the mean unless `sample`."""
        super().__init__(desk, name, sample, sample_seed, actor.model_aware)
        self.actor = actor

    @torch.inference_mode()
    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S] for observations [B, C, ·]."""
        beside = self._advanced(observation, self.actor.encoder)
        plain, grouped = self.actor.encoder(torch.from_numpy(observation), beside)
        memory = self._remembered(self.actor, plain, grouped, observation.shape[:2])
        mean = by_block(self.actor.mean, plain, grouped, *memory)
        action = mean + self.actor.log_std.exp() * self._normal(observation.shape[1]) if self.sample else mean
        log_probability = gaussian_log_probability(action, mean, self.actor.log_std)
        self.decision = Decision(plain, grouped, action, log_probability)
        self._interval += 1
        if self.actor.steps:
            base = self.tally.own_level(observation, self._level_usd)
        else:
            base = self.desk.base_log_multiplier if self.model_aware else np.zeros(action.shape, np.float32)
        self.base_log_multiplier = base
        log = self.actor.log_multiplier(action, torch.from_numpy(base))
        bid: Float = log.numpy().astype(np.float64)
        return bid

    def _normal(self, campaigns: int) -> Tensor:
        """[B, C, 1 + P + S] standard normal noise."""
        draws = normals(self._seeds, self._stream(BIDDING_STREAM), (campaigns, BIDDING_ACTION))
        return torch.from_numpy(draws).float()


class LearnedOrchestrator(_Learned, ResidualOrchestrator):
    """Departs from the rule book by a trained network."""

    def __init__(
        self,
        actor: OrchestratorActor,
        desk: CampaignDesk,
        *,
        name: str = "learned",
        sample: bool = False,
        sample_seed: int = 0,
    ) -> None:
        """Takes the mean unless `sample`."""
        ResidualOrchestrator.__init__(self, desk, name)
        _Learned.__init__(self, desk, name, sample, sample_seed, True)
        self.actor = actor

    @torch.inference_mode()
    def numbers(self, orchestrator: Observation) -> Float:
        """The network's mean, or a draw around it."""
        segment, campaign = self.desk.belief_features()
        beliefs = (torch.from_numpy(campaign), torch.from_numpy(segment))
        seen = self.actor.campaign_encoder(torch.from_numpy(self.bidding), beliefs)
        own, market = self.actor.features(seen, torch.from_numpy(orchestrator))
        mean = by_block(self.actor.mean, own[:, None], market[:, None])[:, 0]
        action = mean + self.actor.log_std.exp() * self._noise(mean.shape[1]) if self.sample else mean
        log_probability = gaussian_log_probability(action, mean, self.actor.log_std)
        self.decision = Decision(seen[0], seen[1], action, log_probability)
        self._interval += 1
        found: Float = action.numpy().astype(np.float64)
        return found

    def _noise(self, campaigns: int) -> Tensor:
        """[B, C, DIRECTED] standard normal noise."""
        draws = normals(self._seeds, self._stream(ORCHESTRATOR_STREAM), (campaigns, DIRECTED))
        return torch.from_numpy(draws).float()


def learned_policy(
    actor: Actor, desk: CampaignDesk, *, name: str = "learned", sample: bool = False, sample_seed: int = 0
) -> LearnedCreative | LearnedBidding | LearnedOrchestrator:
    """The policy that an actor drives."""
    how: dict[str, Any] = {"name": name, "sample": sample, "sample_seed": sample_seed}
    if isinstance(actor, CreativeActor):
        return LearnedCreative(actor, desk, **how)
    if isinstance(actor, BiddingActor):
        return LearnedBidding(actor, desk, **how)
    return LearnedOrchestrator(actor, desk, **how)


def by_block(network: Callable[..., Tensor], *features: Tensor) -> Tensor:
    """A network's answer [B, C, ...] to features [B, C, ...], computed in blocks of `BLOCK` rows each.

    A row is a campaign, or of an orchestrator a market (C = 1).

    Matrix products round by their shape. In blocks of one shape, the last one padded, a market's answer is
    the same bit for bit whatever batch it is in; but layers less than 16 wide may differ in their last bit
    (1e-9 of J), for BLAS treats the rows at a block's edge apart there.
    """
    shape = features[0].shape[:2]
    rows = [feature.flatten(0, 1) for feature in features]
    missing = -len(rows[0]) % BLOCK
    padded = [torch.cat([row, row.new_zeros(missing, *row.shape[1:])]) if missing else row for row in rows]
    blocks = zip(*(torch.split(row, BLOCK) for row in padded), strict=True)
    answers = torch.cat([network(*block) for block in blocks])
    return answers[: len(rows[0])].reshape(*shape, *answers.shape[1:])


def allowed_arms(observation: Observation) -> Bool:
    """[..., S, K] arms that a campaign may traffic now: video needs a premium grant."""
    granted = SCHEMAS["creative"].view(observation, "premium_grant") > 0.5
    allowed: Bool = (ARM_FORMAT != VIDEO) | granted[..., None]
    return allowed


def gaussian_log_probability(value: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density [...] of values [..., n] under independent normals."""
    standard = (value - mean) * (-log_std).exp()
    return (-0.5 * (standard**2 + float(np.log(2 * np.pi))) - log_std).sum(-1)


def desk_of_run(run_directory: str | Path) -> CampaignDesk:
    """The desk that a run's policies were trained on."""
    folder = Path(run_directory) / "policies"
    manifest = read_manifest(folder)
    try:
        prior = None if manifest.get("arm_prior") is None else ArmPrior.from_json(manifest["arm_prior"])
    except ValueError as error:
        raise DamagedFileError(f"{folder}: {error}") from error
    base = str(manifest.get("base_team", DESK_TEAM))
    return learning_desk(
        manifest.get("desk_knobs"),
        prior,
        reads_listeners=make_team(base).reads_listeners,
        tells_credit=bool(manifest["networks"].get("credit", False)),
    )


def load_run_policies(
    run_directory: str | Path, *, sample: bool = False, sample_seed: int = 0
) -> dict[str, Policy]:
    """The learned policies of a run, by role, on one desk; a critic may be its orchestrator's.

    Raises:
        InterludeError: no run is there, a file is damaged, or it was trained on other observations.
    """
    run = Path(run_directory)
    networks = load_networks(run / "policies")
    desk = desk_of_run(run)
    how: dict[str, Any] = {"name": run.name, "sample": sample, "sample_seed": sample_seed}
    learned: dict[str, Policy] = {
        role: learned_policy(actor, desk, **how) for role, actor in actors_of(networks).items()
    }
    if read_manifest(run / "policies").get("orchestrator") == OWN_CRITIC:
        critic, aware = networks["critic"], bool(networks["critic"].model_aware)
        learned["orchestrator"] = CriticOrchestrator(
            critic_of_network(critic), desk, name=run.name, model_aware=aware
        )
    return learned
