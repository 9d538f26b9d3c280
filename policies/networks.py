"""The learned actors and value networks: plain PyTorch, the same code in training, evaluation and export.

Everything a network sees goes through an `Encoder`: fields split into those of the campaign and those of
each segment, counts as logs, beliefs beside them, standardised with fixed statistics and clipped. The
encoder holds no parameters, so training encodes once and its minibatches start from the features.

Axes as in `envs.catalogue`; `...` is any leading shape, in training [T, B, C] or [minibatch, C].
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from envs.catalogue import MAX_CAMPAIGNS, K, P, S
from envs.observation import SCHEMAS, Schema
from envs.protocol import MAX_MULTIPLIER_LOG
from policies.desk import BIDDING_ACTION, CAMPAIGN_BELIEF, SEGMENT_BELIEF
from policies.memory import GatedMemory

Extra = tuple[Tensor, Tensor]
"""What stands beside an observation: beliefs on the campaign [..., ·] and on its segments [..., S, ·]."""

FEATURE_CLIP: Final = 5.0
COUNT_FLOOR: Final = 1e4
"""A field that may exceed this is a count or an amount of money: networks see log(1 + x)."""
REFUSED: Final = -1e9
"""Logit of an arm that is not allowed."""
RESIDUAL_SCALE: Final = (0.5, *(0.35,) * (P + S))
RESIDUAL_CLIP: Final = (1.25, *(0.625,) * (P + S))
"""A cell's bid leaves the base by at most exp(±2.5): global, placement and segment together."""


class NetworkSettings(BaseModel):
    """How the networks are built; stored beside their weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    creative_hidden: int = Field(64, ge=1, le=4096)
    bidding_hidden: int = Field(96, ge=1, le=4096)
    critic_hidden: int = Field(96, ge=1, le=4096)
    creative_residual: bool = True
    """Logits = network + kappa * the desk's log score; off: the network alone."""
    bidding_residual: bool = True
    """Log-multiplier = the desk's bid + network; off: the network alone."""
    belief: bool = True
    """The desk's beliefs are inputs; off: observations alone."""
    kappa: float = Field(8.0, gt=0, allow_inf_nan=False)
    """Initial weight of the desk's log scores; learned."""
    memory: int = Field(0, ge=0, le=1024)
    """Units that a recurrent actor remembers of a segment (creative) or a campaign (bidding); 0 = none."""
    foretells: bool = False
    """The creative actor also foretells the hidden log response of every arm, as the simulator teaches it."""
    monolithic: bool = False
    """One network decides everything for a campaign: both roles stand on the creative's first layers."""
    log_std: float = Field(-0.9, ge=-5.0, le=2.0)
    """Initial log standard deviation of the bidding agent's exploration; learned."""


class Columns(NamedTuple):
    """Which columns of an observation belong to the whole, and which to each member of a group."""

    plain: list[int]
    grouped: list[list[int]]  # [G][columns of one member]


def split_columns(
    schema: Schema, group: int, *, whole: tuple[str, ...] = (), drop: tuple[str, ...] = ()
) -> Columns:
    """Splits a schema: a field whose first axis has length `group` belongs to the group's members."""
    plain: list[int] = []
    grouped: list[list[int]] = [[] for _ in range(group)]
    for field in schema.fields:
        columns = np.arange(schema.slices[field.name].start, schema.slices[field.name].stop)
        if field.name in drop:
            continue
        if field.shape[:1] == (group,) and field.name not in whole:
            for member, rows in enumerate(columns.reshape(group, -1).tolist()):
                grouped[member] += rows
        else:
            plain += columns.tolist()
    return Columns(plain, grouped)


CAMPAIGN_COLUMNS: Final = split_columns(SCHEMAS["bidding"], S)
MARKET_COLUMNS: Final = split_columns(
    SCHEMAS["orchestrator"], MAX_CAMPAIGNS, whole=("health",), drop=("campaign_mask",)
)


class Encoder(nn.Module):
    """Observation [..., size] (+ beliefs) → standardised plain and grouped features, without parameters."""

    plain_columns: Tensor
    grouped_columns: Tensor
    is_count: Tensor
    plain_mean: Tensor
    plain_scale: Tensor
    grouped_mean: Tensor
    grouped_scale: Tensor

    def __init__(self, schema: Schema, columns: Columns, extra: tuple[int, int] = (0, 0)) -> None:
        """`extra`: how many numbers stand beside the observation, plain and for each member."""
        super().__init__()
        self.extra = extra
        self.plain_size = len(columns.plain) + extra[0]
        self.grouped_size = len(columns.grouped[0]) + extra[1]
        self.register_buffer("plain_columns", torch.tensor(columns.plain), persistent=False)
        self.register_buffer("grouped_columns", torch.tensor(columns.grouped), persistent=False)
        self.register_buffer("is_count", torch.from_numpy(schema.high > COUNT_FLOOR), persistent=False)
        for name, size in (("plain", self.plain_size), ("grouped", self.grouped_size)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def raw(self, observation: Tensor, extra: Extra | None = None) -> tuple[Tensor, Tensor]:
        """Features before standardisation: plain [..., plain_size], grouped [..., G, grouped_size]."""
        values = torch.where(self.is_count, torch.log1p(observation.clamp(min=0.0)), observation)
        plain, grouped = values[..., self.plain_columns], values[..., self.grouped_columns]
        if extra is not None:
            plain = torch.cat([plain, extra[0]], -1) if self.extra[0] else plain
            grouped = torch.cat([grouped, extra[1]], -1) if self.extra[1] else grouped
        return plain, grouped

    def forward(self, observation: Tensor, extra: Extra | None = None) -> tuple[Tensor, Tensor]:
        """Plain [..., plain_size] and grouped [..., G, grouped_size] features, clipped to ±5."""
        plain, grouped = self.raw(observation, extra)
        plain = (plain - self.plain_mean) * self.plain_scale
        grouped = (grouped - self.grouped_mean) * self.grouped_scale
        return plain.clamp(-FEATURE_CLIP, FEATURE_CLIP), grouped.clamp(-FEATURE_CLIP, FEATURE_CLIP)

    @torch.no_grad()
    def fit(self, observation: Tensor, extra: Extra | None = None) -> None:
        """Takes mean and spread from a rollout; a column that never moves is only centred."""
        for name, values in zip(("plain", "grouped"), self.raw(observation, extra), strict=True):
            rows = values.reshape(-1, values.shape[-1]).double()
            spread = rows.std(0)
            getattr(self, f"{name}_mean").copy_(rows.mean(0))
            getattr(self, f"{name}_scale").copy_(torch.where(spread > 1e-4, 1.0 / spread, 1.0))


def campaign_encoder(settings: NetworkSettings) -> Encoder:
    """Encoder of a campaign's observation and beliefs: plain = campaign, grouped = segments."""
    extra = (CAMPAIGN_BELIEF, SEGMENT_BELIEF) if settings.belief else (0, 0)
    return Encoder(SCHEMAS["bidding"], CAMPAIGN_COLUMNS, extra)


def linear(inputs: int, outputs: int, gain: float = math.sqrt(2.0), *, bias: bool = True) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.orthogonal_(layer.weight, gain)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class CreativeActor(nn.Module):
    """Chooses an arm (format, script, length, call to action) for each segment; segments share weights."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Builds the network; its output starts near zero, so that it starts as the desk's rule."""
        super().__init__()
        self.encoder = campaign_encoder(settings)
        self.model_aware = settings.belief or settings.creative_residual
        hidden = settings.creative_hidden
        self.campaign = linear(self.encoder.plain_size, hidden, 1.0)
        self.segment = linear(self.encoder.grouped_size, hidden, 1.0, bias=False)
        self.memory = GatedMemory(hidden, settings.memory) if settings.memory else None
        self.recalled = linear(settings.memory, hidden, bias=False) if settings.memory else None
        self.hidden = linear(hidden, hidden)
        self.output = linear(hidden, K, 0.01)
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
        return self._scored(self.output(self._deep(plain, grouped, memory)), arm_log_score, arm_mask)

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
        return self._scored(self.output(deep), arm_log_score, arm_mask), told

    def _deep(self, plain: Tensor, grouped: Tensor, memory: Tensor | None) -> Tensor:
        hidden = self.hidden(self.seen(plain, grouped))
        if self.recalled is not None:
            hidden = hidden + self.recalled(memory)
        return torch.relu(hidden)

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


class BiddingActor(nn.Module):
    """Gaussian over 1 + P + S log-multipliers: global, placement, segment."""

    scale: Tensor
    bound: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        """Builds the network; its output starts near zero."""
        super().__init__()
        self.encoder = campaign_encoder(settings)
        self.residual = settings.bidding_residual
        self.model_aware = settings.belief or settings.bidding_residual
        hidden = seen = settings.bidding_hidden
        plain, grouped = self.encoder.plain_size, self.encoder.grouped_size
        self.monolithic = settings.monolithic
        if self.monolithic:
            seen = S * settings.creative_hidden
            self.campaign = linear(plain, settings.creative_hidden, 1.0)
            self.segment = linear(grouped, settings.creative_hidden, 1.0, bias=False)
        else:
            self.first = linear(plain + S * grouped, hidden)
        self.memory = GatedMemory(seen, settings.memory) if settings.memory else None
        self.recalled = linear(settings.memory, hidden, bias=False) if settings.memory else None
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
        hidden = self.hidden(self.seen(plain, grouped))
        if self.recalled is not None:
            hidden = hidden + self.recalled(memory)
        mean: Tensor = self.output(torch.relu(hidden))
        return mean

    def log_multiplier(self, action: Tensor, base_log_multiplier: Tensor) -> Tensor:
        """What is bid [..., 1 + P + S]: base + clipped residual, or the action alone, within the protocol."""
        log = action * self.scale
        if self.residual:
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
            rest = (own.sum(-2, keepdim=True) - own) / max(1, own.shape[-2] - 1)
            hidden = hidden + self.others(rest) + self.market(market).unsqueeze(-2)
        values: Tensor = self.output(torch.relu(self.hidden(torch.relu(hidden))))
        return values
