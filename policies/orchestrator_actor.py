"""The learned orchestrator's network: more or less money, and more or less of a claim, for each campaign."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from envs.catalogue import S
from envs.observation import SCHEMAS
from policies.encoder import MARKET_COLUMNS, Encoder, campaign_encoder
from policies.networks import NetworkSettings, ValueNetwork
from policies.tensors import DIRECTED


class OrchestratorActor(nn.Module):
    """Gaussian over `DIRECTED` numbers a campaign; sees what the observable critic sees."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Builds encoders and network; its output starts near zero, so that it starts as the rule book."""
        super().__init__()
        self.campaign_encoder = campaign_encoder(belief=settings.belief, credit=settings.credit)
        self.market_encoder = Encoder(SCHEMAS["orchestrator"], MARKET_COLUMNS)
        own = self.campaign_encoder.plain_size + S * self.campaign_encoder.grouped_size
        own += self.market_encoder.grouped_size
        hidden = settings.orchestrator_hidden
        self.network = ValueNetwork(own, self.market_encoder.plain_size, hidden, DIRECTED)
        with torch.no_grad():
            self.network.output.weight.mul_(0.01)
        self.log_std = nn.Parameter(torch.full((DIRECTED,), settings.log_std))

    def mean(self, own: Tensor, market: Tensor) -> Tensor:
        """Mean [..., C, DIRECTED] of own [..., C, ·] and market [..., ·] features, see `features`."""
        mean: Tensor = self.network(own, market)
        return mean

    def features(self, campaign: tuple[Tensor, Tensor], orchestrator: Tensor) -> tuple[Tensor, Tensor]:
        """Own and market features, as `ObservableCritic.features` has them."""
        plain, grouped = campaign
        market, by_campaign = self.market_encoder(orchestrator)
        return torch.cat([plain, grouped.flatten(-2), by_campaign[..., : plain.shape[-2], :]], -1), market

    def forward(
        self, observation: Tensor, campaign_belief: Tensor, segment_belief: Tensor, orchestrator: Tensor
    ) -> Tensor:
        """Mean action [..., C, DIRECTED] of observations [..., C, ·] and the orchestrator's [..., ·]."""
        campaign = self.campaign_encoder(observation, (campaign_belief, segment_belief))
        return self.mean(*self.features(campaign, orchestrator))
