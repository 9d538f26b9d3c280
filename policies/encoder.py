"""From observations to features: what every network of ours sees, whoever it belongs to.

Fields are split into those of the whole and those of each member of a group (segments of a campaign,
campaigns of a market), counts are taken as logs, beliefs stand beside them, all standardised with fixed
statistics and clipped. An encoder holds no parameters: training encodes once, and its minibatches start
from the features. `...` is any leading shape.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from envs.catalogue import MAX_CAMPAIGNS, S
from envs.observation import SCHEMAS, Schema
from policies.credited import CREDIT
from policies.desk import CAMPAIGN_BELIEF, SEGMENT_BELIEF
from policies.tally import CAMPAIGN_TALLY, SEGMENT_TALLY

Extra = tuple[Tensor, Tensor]
"""Beliefs or a tally beside an observation: of the campaign [..., ·] and of its segments [..., S, ·]."""

FEATURE_CLIP: Final = 5.0
COUNT_FLOOR: Final = 1e4
"""A field that may exceed this is a count or an amount of money: networks see log(1 + x)."""


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
    SCHEMAS["orchestrator"], MAX_CAMPAIGNS, whole=("health",), drop=("campaign_mask", "premium_value_usd")
)
"""Without what campaigns claim for video: it follows from the beliefs, which a critic reads anyway."""


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
        self.tallies = extra == (CAMPAIGN_TALLY, SEGMENT_TALLY)
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


def campaign_encoder(*, belief: bool, credit: bool = False, tally: bool = False) -> Encoder:
    """Encoder of a campaign's observation (plain) and its segments' (grouped).

    Beside it stand the desk's beliefs, with `credit` what the attribution agent says among them, or a tally
    (`policies/tally.py`), or nothing.
    """
    beside = (CAMPAIGN_TALLY, SEGMENT_TALLY) if tally else (0, 0)
    extra = (CAMPAIGN_BELIEF + CREDIT * credit, SEGMENT_BELIEF) if belief else beside
    return Encoder(SCHEMAS["bidding"], CAMPAIGN_COLUMNS, extra)


def segment_columns(name: str) -> list[int]:
    """Where a field's numbers for one segment lie among its grouped features."""
    lies = SCHEMAS["bidding"].slices[name]
    return [i for i, column in enumerate(CAMPAIGN_COLUMNS.grouped[0]) if lies.start <= column < lies.stop]
