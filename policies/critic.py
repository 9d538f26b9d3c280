"""The value head on the observable state: what is exported of the shared critic."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from envs.catalogue import S
from envs.observation import SCHEMAS
from policies.encoder import MARKET_COLUMNS, Encoder, campaign_encoder
from policies.networks import NetworkSettings, ValueNetwork

HEADS: Final = 2 + S
"""Value of the flight's rest to the creative role, to the bidding role, and of each segment."""


class ObservableCritic(nn.Module):
    """Values of every campaign from what agents may see: observations and beliefs."""

    return_scale: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        """Builds both encoders and the network."""
        super().__init__()
        self.model_aware = settings.belief
        self.campaign_encoder = campaign_encoder(belief=settings.belief, credit=settings.credit)
        self.market_encoder = Encoder(SCHEMAS["orchestrator"], MARKET_COLUMNS)
        own = self.campaign_encoder.plain_size + S * self.campaign_encoder.grouped_size
        self.own_size = own + self.market_encoder.grouped_size
        self.market_size = self.market_encoder.plain_size
        self.network = ValueNetwork(self.own_size, self.market_size, settings.critic_hidden, HEADS)
        self.register_buffer("return_scale", torch.ones(HEADS))

    def features(self, campaign: tuple[Tensor, Tensor], orchestrator: Tensor) -> tuple[Tensor, Tensor]:
        """Own [..., C, own_size] and market [..., market_size] features.

        Args:
            campaign: the campaigns' encoded plain [..., C, ·] and grouped [..., C, S, ·] features.
            orchestrator: its observation [..., size].
        """
        plain = campaign[0][..., : self.campaign_encoder.plain_size]  # without a tally, if actors keep one
        grouped = campaign[1][..., : self.campaign_encoder.grouped_size]
        market, by_campaign = self.market_encoder(orchestrator)
        own = torch.cat([plain, grouped.flatten(-2), by_campaign[..., : plain.shape[-2], :]], -1)
        return own, market

    def forward(
        self, observation: Tensor, campaign_belief: Tensor, segment_belief: Tensor, orchestrator: Tensor
    ) -> Tensor:
        """Values in USD [..., C, 2 + S] of observations [..., C, ·] and the orchestrator's [..., ·]."""
        campaign = self.campaign_encoder(observation, (campaign_belief, segment_belief))
        values: Tensor = self.network(*self.features(campaign, orchestrator)) * self.return_scale
        return values
