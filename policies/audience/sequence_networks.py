"""Two networks that read what a listener played, in order, and say what comes next: SASRec and a GRU.

Both embed items in D dimensions, give a state [N, T, D] after every step, and score items by the state's dot
product with the same embeddings (weights tied) plus a bias an item. Row 0 of the embedding is the padding, so
item i stands in row i + 1; sequences are padded on the left.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

PADDING = 0


class SequenceSettings(BaseModel):
    """The shape of a network; part of an artefact's manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sasrec", "gru"]
    items: int = Field(ge=1)
    dimensions: int = Field(default=64, ge=1)
    max_length: int = Field(default=50, ge=2)
    blocks: int = Field(default=2, ge=1)
    heads: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)


class SequenceNetwork(nn.Module):
    """What both share: embeddings, the tied output, the bias."""

    def __init__(self, settings: SequenceSettings) -> None:
        """Embeddings drawn narrow, so that the first scores are near 0."""
        super().__init__()
        self.settings = settings
        self.embedding = nn.Embedding(settings.items + 1, settings.dimensions, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=0.02)
        with torch.no_grad():
            self.embedding.weight[PADDING] = 0.0
        self.bias = nn.Parameter(torch.zeros(settings.items))
        self.dropout = nn.Dropout(settings.dropout)

    def states(self, rows: Tensor) -> Tensor:
        """States [N, T, D] after each of the steps rows [N, T] (0 = padding)."""
        raise NotImplementedError

    def scores(self, state: Tensor) -> Tensor:
        """Scores [..., I] of every item after states [..., D]."""
        scores: Tensor = state @ self.embedding.weight[1:].T + self.bias
        return scores

    def forward(self, rows: Tensor) -> Tensor:
        """Scores [N, I] of what comes after rows [N, T]."""
        return self.scores(self.states(rows)[:, -1])


class _Block(nn.Module):
    """Pre-normalised causal self-attention and a pointwise feed-forward layer."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        width = settings.dimensions
        self.heads, self.dropout_probability = settings.heads, settings.dropout
        self.before_attention, self.before_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = (
            part.view(n, t, self.heads, d // self.heads).transpose(1, 2)
            for part in self.query_key_value(self.before_attention(x)).chunk(3, -1)
        )
        attended = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=visible, dropout_p=self.dropout_probability if self.training else 0.0
        )
        x = x + self.dropout(self.joined(attended.transpose(1, 2).reshape(n, t, d)))
        hidden = self.dropout(torch.relu(self.wide(self.before_forward(x))))
        added: Tensor = x + self.dropout(self.narrow(hidden))
        return added


class SasRec(SequenceNetwork):
    """Self-attentive sequential recommendation (Kang & McAuley 2018)."""

    def __init__(self, settings: SequenceSettings) -> None:
        """Blocks of attention over embeddings and learned positions, counted from the end."""
        super().__init__(settings)
        if settings.dimensions % settings.heads:
            raise ValueError(
                f"dimensions must be a multiple of heads ({settings.heads}), got {settings.dimensions}"
            )
        self.position = nn.Parameter(0.02 * torch.randn(settings.max_length, settings.dimensions))
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.blocks))
        self.last_norm = nn.LayerNorm(settings.dimensions)

    def states(self, rows: Tensor) -> Tensor:
        """See `SequenceNetwork.states`."""
        t = rows.shape[1]
        real = rows != PADDING
        x = self.embedding(rows) * self.settings.dimensions**0.5 + self.position[-t:]
        x = self.dropout(x) * real[..., None]
        causal = torch.ones(t, t, dtype=torch.bool, device=rows.device).tril()
        # A step always sees itself, also where it is padding: a softmax over nothing is not a number.
        itself = torch.eye(t, dtype=torch.bool, device=rows.device)
        visible = ((causal & real[:, None, :]) | itself)[:, None]
        for block in self.blocks:
            x = block(x, visible)
        normed: Tensor = self.last_norm(x)
        return normed


class Gru(SequenceNetwork):
    """A gated recurrent network over the steps (GRU4Rec, Hidasi et al. 2016)."""

    def __init__(self, settings: SequenceSettings) -> None:
        """`blocks` layers; padding feeds zeros before the sequence begins."""
        super().__init__(settings)
        self.recurrent = nn.GRU(
            settings.dimensions, settings.dimensions, num_layers=settings.blocks, batch_first=True
        )
        self.joined = nn.Linear(settings.dimensions, settings.dimensions)

    def states(self, rows: Tensor) -> Tensor:
        """See `SequenceNetwork.states`."""
        x = self.dropout(self.embedding(rows) * self.settings.dimensions**0.5)
        hidden, _ = self.recurrent(x)
        joined: Tensor = self.joined(self.dropout(hidden))
        return joined


def build_network(settings: SequenceSettings) -> SequenceNetwork:
    """The network of its settings; draws its weights from torch's generator."""
    return {"sasrec": SasRec, "gru": Gru}[settings.kind](settings)
