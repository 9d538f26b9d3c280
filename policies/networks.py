"""The learned actors and value networks: plain PyTorch, the same code in training, evaluation and export.

Everything a network sees goes through an `Encoder` (`policies/encoder.py`).

Axes as in `envs.catalogue`; `...` is any leading shape, in training [T, B, C] or [minibatch, C].
"""

from __future__ import annotations

import math
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from envs.catalogue import ARMS, F, K, P, S, V
from envs.protocol import MAX_MULTIPLIER_LOG
from policies.desk import BIDDING_ACTION
from policies.encoder import CAMPAIGN_COLUMNS, campaign_encoder, segment_columns
from policies.memory import GatedMemory
from policies.tally import ASSET_TALLY, asset_tally

REFUSED: Final = -1e9
"""Logit of an arm that is not allowed."""
RESIDUAL_SCALE: Final = (0.5, *(0.35,) * (P + S))
RESIDUAL_CLIP: Final = (1.25, *(0.625,) * (P + S))
"""A cell's bid leaves the base by at most exp(±2.5): global, placement and segment together."""


class NetworkSettings(BaseModel):
    """How the networks are built; stored beside their weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    creative_hidden: int = Field(64, ge=1, le=4096)
    asset_hidden: int = Field(24, ge=1, le=4096)
    bidding_hidden: int = Field(96, ge=1, le=4096)
    critic_hidden: int = Field(96, ge=1, le=4096)
    orchestrator_hidden: int = Field(64, ge=1, le=4096)
    creative_residual: bool = True
    """Logits = network + kappa * the desk's log score; off: the network alone."""
    bidding_residual: bool = True
    """Log-multiplier = the desk's bid + network; off: the network alone."""
    bidding_steps: bool = False
    """Log-multiplier = the agent's own last level + network; a level is then found step by step."""
    belief: bool = True
    """The desk's beliefs are inputs; off: observations alone."""
    credit: bool = False
    """Among the beliefs is what the attribution agent says; wants a team that has one."""
    kappa: float = Field(8.0, gt=0, allow_inf_nan=False)
    """Initial weight of the desk's log scores; learned."""
    tally: bool = False
    """A tally of what each asset brought so far stands beside observations, where beliefs would."""
    memory: int = Field(0, ge=0, le=1024)
    """Units that a recurrent actor remembers of a segment (creative) or a campaign (bidding); 0 = none."""
    foretells: bool = False
    """The creative actor also foretells the hidden log response of every arm, as the simulator teaches it."""
    monolithic: bool = False
    """One network decides everything for a campaign: both roles stand on the creative's first layers."""
    log_std: float = Field(-0.9, ge=-5.0, le=2.0)
    """Initial log standard deviation of the bidding agent's exploration; learned."""

    @model_validator(mode="after")
    def _check(self) -> NetworkSettings:
        if self.credit and not self.belief:
            raise ValueError(
                "networks.credit is told by the desk among its beliefs: it wants networks.belief"
            )
        if self.tally and self.belief:
            raise ValueError("networks.tally and networks.belief stand in the same place: switch one off")
        if self.tally and (self.memory or self.monolithic):
            raise ValueError("networks.tally wants neither networks.memory nor networks.monolithic")
        if self.tally and (self.creative_residual or self.bidding_residual):
            raise ValueError(
                "networks.tally stands on no desk: switch creative_residual and bidding_residual off"
            )
        if self.bidding_steps and not self.tally:
            raise ValueError("networks.bidding_steps wants networks.tally")
        return self


def linear(inputs: int, outputs: int, gain: float = math.sqrt(2.0), *, bias: bool = True) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.orthogonal_(layer.weight, gain)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class AssetScores(nn.Module):
    """Scores every asset (format × script) of a segment from its own numbers, all by the same network."""

    columns: Tensor  # [F · V, numbers of an asset] among grouped features
    asset: Tensor  # [K] of every arm

    def __init__(self, context: int, hidden: int) -> None:
        """`context`: size of what else is known of the segment."""
        super().__init__()
        assets = [(f, v) for f in range(F) for v in range(V)]
        tallied = len(CAMPAIGN_COLUMNS.grouped[0])  # where the tally begins
        seen = {name: segment_columns(name) for name in ("brief_log_format", "brief_log_script", "wear")}
        columns = [
            [seen["brief_log_format"][f], seen["brief_log_script"][v], seen["wear"][i]]
            + [tallied + asset_tally(what, i) for what in ASSET_TALLY]
            for i, (f, v) in enumerate(assets)
        ]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self.register_buffer("asset", torch.tensor(ARMS[:, 0] * V + ARMS[:, 1]), persistent=False)
        self.own = linear(len(columns[0]), hidden, bias=False)
        self.context = linear(context, hidden, 0.5)
        self.each = nn.Parameter(0.1 * torch.randn(len(assets), hidden))
        self.output = linear(hidden, 1, 0.01)

    def forward(self, context: Tensor, grouped: Tensor) -> Tensor:
        """Scores [..., S, K] in context [..., S, ·] for grouped features [..., S, ·]."""
        own = self.own(grouped[..., self.columns]) + self.context(context).unsqueeze(-2) + self.each
        scores: Tensor = self.output(torch.relu(own)).squeeze(-1)
        return scores[..., self.asset]


class CreativeActor(nn.Module):
    """Chooses an arm (format, script, length, call to action) for each segment; segments share weights."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Builds the network; its output starts near zero, so that it starts as the desk's rule."""
        super().__init__()
        self.encoder = campaign_encoder(belief=settings.belief, credit=settings.credit, tally=settings.tally)
        self.model_aware = settings.belief or settings.creative_residual
        hidden = settings.creative_hidden
        self.campaign = linear(self.encoder.plain_size, hidden, 1.0)
        self.segment = linear(self.encoder.grouped_size, hidden, 1.0, bias=False)
        self.memory = GatedMemory(hidden, settings.memory) if settings.memory else None
        self.recalled = linear(settings.memory, hidden, bias=False) if settings.memory else None
        self.hidden = linear(hidden, hidden)
        self.output = linear(hidden, K, 0.01)
        self.assets = AssetScores(hidden, settings.asset_hidden) if settings.tally else None
        self.foretold = linear(hidden, K, 0.01) if settings.foretells else None
        self.log_kappa = (
            nn.Parameter(torch.tensor(math.log(settings.kappa))) if settings.creative_residual else None
        )

    def seen(self, plain: Tensor, grouped: Tensor) -> Tensor:
        """What is made of an interval's encoded features, before memory: [..., S, hidden]."""
        return torch.relu(self.campaign(plain).unsqueeze(-2) + self.segment(grouped))

    def logits(
        self,
        plain: Tensor,
        grouped: Tensor,
        arm_log_score: Tensor,
        arm_mask: Tensor,
        memory: Tensor | None = None,
    ) -> Tensor:
        """Logits [..., S, K] of encoded features.

        Args:
            plain: [..., ·] of the campaign.
            grouped: [..., S, ·] of its segments.
            arm_log_score: [..., S, K] by the desk.
            arm_mask: [..., S, K] arms that may be trafficked.
            memory: [..., S, units] of a recurrent actor, this interval taken in.
        """
        deep = self._deep(plain, grouped, memory)
        return self._scored(self._plain_logits(deep, grouped), arm_log_score, arm_mask)

    def learn(
        self,
        plain: Tensor,
        grouped: Tensor,
        arm_log_score: Tensor,
        arm_mask: Tensor,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Logits as `logits` gives them, and the log responses foretold [..., S, K], if it does that."""
        deep = self._deep(plain, grouped, memory)
        told = None if self.foretold is None else self.foretold(deep)
        return self._scored(self._plain_logits(deep, grouped), arm_log_score, arm_mask), told

    def _deep(self, plain: Tensor, grouped: Tensor, memory: Tensor | None) -> Tensor:
        hidden = self.hidden(self.seen(plain, grouped))
        if self.recalled is not None:
            hidden = hidden + self.recalled(memory)
        return torch.relu(hidden)

    def _plain_logits(self, deep: Tensor, grouped: Tensor) -> Tensor:
        logits: Tensor = self.output(deep)
        return logits if self.assets is None else logits + self.assets(deep, grouped)

    def _scored(self, logits: Tensor, arm_log_score: Tensor, arm_mask: Tensor) -> Tensor:
        if self.log_kappa is not None:
            logits = logits + self.log_kappa.exp() * arm_log_score
        return logits.masked_fill(~arm_mask, REFUSED)

    def forward(
        self,
        observation: Tensor,
        campaign_belief: Tensor,
        segment_belief: Tensor,
        arm_log_score: Tensor,
        arm_mask: Tensor,
        memory: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits [..., S, K] of a campaign's observation [..., size], its beliefs and the desk's scores.

        A recurrent actor is given its memory of the intervals before and hands the next one back as well.
        """
        plain, grouped = self.encoder(observation, (campaign_belief, segment_belief))
        if self.memory is None or memory is None:
            return self.logits(plain, grouped, arm_log_score, arm_mask)
        memory = self.memory(self.seen(plain, grouped), memory)
        return self.logits(plain, grouped, arm_log_score, arm_mask, memory), memory


class SegmentBids(nn.Module):
    """Mean of the bidding agent's action where segments share weights: what holds for one is told of all."""

    def __init__(self, plain: int, grouped: int, hidden: int) -> None:
        """Sizes of a campaign's features, of a segment's and of the layers."""
        super().__init__()
        self.campaign = linear(plain, hidden, 1.0)
        self.segment = linear(grouped, hidden, 1.0, bias=False)
        self.each = nn.Parameter(torch.zeros(S, hidden))
        self.own = linear(hidden, hidden)
        self.others = linear(hidden, hidden, bias=False)
        self.of_segment = linear(hidden, 1, 0.01)
        self.of_all = linear(hidden, 1 + P, 0.01)

    def forward(self, plain: Tensor, grouped: Tensor) -> Tensor:
        """[..., 1 + P + S] of encoded features [..., ·] and [..., S, ·]."""
        seen = torch.relu(self.campaign(plain).unsqueeze(-2) + self.segment(grouped) + self.each)
        hidden = torch.relu(self.own(seen) + self.others(seen.mean(-2, keepdim=True)))
        return torch.cat([self.of_all(hidden.mean(-2)), self.of_segment(hidden).squeeze(-1)], -1)


class BiddingActor(nn.Module):
    """Gaussian over 1 + P + S log-multipliers: global, placement, segment."""

    scale: Tensor
    bound: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        """Builds the network; its output starts near zero."""
        super().__init__()
        self.encoder = campaign_encoder(belief=settings.belief, credit=settings.credit, tally=settings.tally)
        self.residual, self.steps = settings.bidding_residual, settings.bidding_steps
        self.model_aware = settings.belief or settings.bidding_residual
        hidden = seen = settings.bidding_hidden
        plain, grouped = self.encoder.plain_size, self.encoder.grouped_size
        self.monolithic = settings.monolithic
        if self.monolithic:
            seen = S * settings.creative_hidden
            self.campaign = linear(plain, settings.creative_hidden, 1.0)
            self.segment = linear(grouped, settings.creative_hidden, 1.0, bias=False)
        elif not settings.tally:
            self.first = linear(plain + S * grouped, hidden)
        self.memory = GatedMemory(seen, settings.memory) if settings.memory else None
        self.recalled = linear(settings.memory, hidden, bias=False) if settings.memory else None
        self.by_segment = SegmentBids(plain, grouped, hidden) if settings.tally else None
        if self.by_segment is None:
            self.hidden = linear(seen, hidden)
            self.output = linear(hidden, BIDDING_ACTION, 0.01)
        self.log_std = nn.Parameter(torch.full((BIDDING_ACTION,), settings.log_std))
        self.register_buffer("scale", torch.tensor(RESIDUAL_SCALE), persistent=False)
        self.register_buffer("bound", torch.tensor(RESIDUAL_CLIP), persistent=False)

    def seen(self, plain: Tensor, grouped: Tensor) -> Tensor:
        """What is made of an interval's encoded features, before memory: [..., hidden].

        A monolithic one sees what the creative sees: [..., S * hidden of the creative].
        """
        if self.monolithic:
            return torch.relu(self.campaign(plain).unsqueeze(-2) + self.segment(grouped)).flatten(-2)
        return torch.relu(self.first(torch.cat([plain, grouped.flatten(-2)], -1)))

    def mean(self, plain: Tensor, grouped: Tensor, memory: Tensor | None = None) -> Tensor:
        """Mean [..., 1 + P + S] of the action, in units of the residual's scale.

        `memory` [..., units] of a recurrent actor has this interval taken in.
        """
        if self.by_segment is not None:
            return self.by_segment(plain, grouped)  # type: ignore[no-any-return]
        hidden = self.hidden(self.seen(plain, grouped))
        if self.recalled is not None:
            hidden = hidden + self.recalled(memory)
        mean: Tensor = self.output(torch.relu(hidden))
        return mean

    def log_multiplier(self, action: Tensor, base_log_multiplier: Tensor) -> Tensor:
        """What is bid [..., 1 + P + S]: base + clipped residual, or the action alone, within the protocol."""
        log = action * self.scale
        if self.residual or self.steps:
            log = base_log_multiplier + log.clamp(-self.bound, self.bound)
        return log.clamp(-MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG)

    def forward(
        self,
        observation: Tensor,
        campaign_belief: Tensor,
        segment_belief: Tensor,
        base_log_multiplier: Tensor,
        memory: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Deterministic log-multipliers [..., 1 + P + S].

        A recurrent actor is given its memory of the intervals before and hands the next one back as well.
        """
        plain, grouped = self.encoder(observation, (campaign_belief, segment_belief))
        if self.memory is None or memory is None:
            return self.log_multiplier(self.mean(plain, grouped), base_log_multiplier)
        memory = self.memory(self.seen(plain, grouped), memory)
        return self.log_multiplier(self.mean(plain, grouped, memory), base_log_multiplier), memory


def monolith(settings: NetworkSettings) -> tuple[CreativeActor, BiddingActor]:
    """Both actors on the same first layers: one network with two heads, for training.

    Each is stored with a copy of those layers, and so acts and is exported by itself.
    """
    creative, bidding = CreativeActor(settings), BiddingActor(settings)
    if not bidding.monolithic:
        raise ValueError("networks.monolithic is off: the actors have no layers in common")
    bidding.campaign, bidding.segment = creative.campaign, creative.segment
    return creative, bidding


class ValueNetwork(nn.Module):
    """Values of a market for every campaign, alike under any order of campaigns.

    A campaign's own features, the mean of the other campaigns' (zero for one alone) and the market's →
    hidden → heads. Without `others` a campaign is valued from its own features alone.
    """

    def __init__(self, own: int, market: int, hidden: int, heads: int, *, others: bool = True) -> None:
        """Sizes of the inputs and outputs."""
        super().__init__()
        self.own = linear(own, hidden, 1.0)
        self.others = linear(own, hidden, 1.0, bias=False) if others else None
        self.market = linear(market, hidden, 1.0, bias=False) if others else None
        self.hidden = linear(hidden, hidden)
        self.output = linear(hidden, heads, 1.0)

    def forward(self, own: Tensor, market: Tensor) -> Tensor:
        """Own [..., C, own], market [..., market] → values [..., C, heads]."""
        hidden = self.own(own)
        if self.others is not None and self.market is not None:
            each: Tensor = self.others(own)  # linear, so that the others' mean can be taken behind it
            rest = (each.sum(-2, keepdim=True) - each) / max(1, own.shape[-2] - 1)
            hidden = hidden + rest + self.market(market).unsqueeze(-2)
        values: Tensor = self.output(torch.relu(self.hidden(torch.relu(hidden))))
        return values
