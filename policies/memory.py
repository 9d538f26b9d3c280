"""Memory of a recurrent actor: a gated recurrent unit over the intervals of a flight, in plain operations.

Written out so that acting, learning and the exported graph compute the same formula, and because a flight
always starts from an empty memory: learning unrolls it whole and stores no states.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class GatedMemory(nn.Module):
    """Gated recurrent unit (Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder").

    m' = n + u · (m − n) with reset r, update u and candidate n = tanh(W x + r · U m).
    """

    def __init__(self, inputs: int, units: int) -> None:
        """Sizes of the input and of the memory."""
        super().__init__()
        self.units = units
        self.seen = nn.Linear(inputs, 3 * units)
        self.held = nn.Linear(units, 3 * units)
        for layer in (self.seen, self.held):
            bound = 1.0 / math.sqrt(units)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Memory [..., units] after one interval that showed x [..., inputs]."""
        return self._next(self.seen(x), memory)

    def unroll(self, x: Tensor) -> Tensor:
        """Memories [N, T, ..., units] after every interval of flights x [N, T, ..., inputs]."""
        gates = self.seen(x)
        memory = gates.new_zeros(*gates[:, 0].shape[:-1], self.units)
        memories = []
        for t in range(gates.shape[1]):
            memory = self._next(gates[:, t], memory)
            memories.append(memory)
        return torch.stack(memories, 1)

    def _next(self, seen: Tensor, memory: Tensor) -> Tensor:
        reset_x, update_x, new_x = seen.chunk(3, -1)
        reset_m, update_m, new_m = self.held(memory).chunk(3, -1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_m) * new_m)
        return new + torch.sigmoid(update_x + update_m) * (memory - new)
