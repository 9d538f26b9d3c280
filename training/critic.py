"""The critics that training knows: shared over the whole market, observable only, or one per role."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from envs.catalogue import S
from policies.critic import HEADS, ObservableCritic
from policies.networks import NetworkSettings, ValueNetwork
from training.configuration import CriticKind

CREATIVE_HEAD, BIDDING_HEAD, SEGMENT_HEADS = 0, 1, slice(2, 2 + S)
TRUTH_CLIP = 10.0


class Critic(nn.Module):
    """Values every campaign's future to both learned roles and on each segment, in units of `return_scale`.

    Beside the network that training acts on there is always one on the observable state, trained on the
    same targets: the one that is exported.
    """

    def __init__(self, settings: NetworkSettings, kind: CriticKind, truth: tuple[int, int]) -> None:
        """`truth`: sizes of the hidden truth's market and campaign blocks."""
        super().__init__()
        self.kind = kind
        self.observable = ObservableCritic(settings)
        own, market, hidden = self.observable.own_size, self.observable.market_size, settings.critic_hidden
        if kind == "shared":
            self.privileged = ValueNetwork(own + truth[1], market + truth[0], hidden, HEADS)
        elif kind == "independent":
            self.creative = ValueNetwork(own, market, hidden, 1 + S, others=False)
            self.bidding = ValueNetwork(own, market, hidden, 1, others=False)

    def features(
        self,
        campaign: tuple[Tensor, Tensor],
        orchestrator: Tensor,
        market_truth: Tensor,
        campaign_truth: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Inputs of `forward`: the observable features, the hidden truth behind them."""
        own, market = self.observable.features(campaign, orchestrator)
        if self.kind != "shared":
            return own, market
        own = torch.cat([own, campaign_truth.clamp(-TRUTH_CLIP, TRUTH_CLIP)], -1)
        return own, torch.cat([market, market_truth.clamp(-TRUTH_CLIP, TRUTH_CLIP)], -1)

    def forward(self, own: Tensor, market: Tensor) -> tuple[Tensor, Tensor]:
        """Values that training acts on and those of the observable head: [..., C, HEADS] each."""
        seen_own = own[..., : self.observable.own_size]
        seen_market = market[..., : self.observable.market_size]
        observable = self.observable.network(seen_own, seen_market)
        if self.kind == "shared":
            return self.privileged(own, market), observable
        if self.kind == "independent":
            creative, bidding = self.creative(own, market), self.bidding(own, market)
            return torch.cat([creative[..., :1], bidding, creative[..., 1:]], -1), observable
        return observable, observable


def critic_loss(values: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    """Mean squared error of both value functions against targets [..., C, HEADS]."""
    acting, observable = values
    loss = (observable - targets).square().mean()
    return loss if acting is observable else loss + (acting - targets).square().mean()
