"""Memory of a recurrent actor: a gated recurrent unit over the intervals of a flight, in plain operations.

Written out so that acting, learning and the exported graph compute the same formula, and because a flight
always starts from an empty memory: learning unrolls it whole and stores no states.
"""

from __future__ import annotations

import math
from typing import Any

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
        gates = self.seen(x).movedim(1, 0)  # [T, N, ..., 3 * units]
        rows = gates.reshape(len(gates), -1, 3 * self.units)
        memories: Tensor = _Unrolled.apply(rows, self.held.weight, self.held.bias)  # type: ignore[no-untyped-call]
        return memories.reshape(*gates.shape[:-1], self.units).movedim(0, 1)

    def _next(self, seen: Tensor, memory: Tensor) -> Tensor:
        reset_x, update_x, new_x = seen.chunk(3, -1)
        reset_m, update_m, new_m = self.held(memory).chunk(3, -1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_m) * new_m)
        return new + torch.sigmoid(update_x + update_m) * (memory - new)


class _Unrolled(torch.autograd.Function):
    """`GatedMemory` over T intervals at once, its derivative by hand.

    Of the derivative only m's own recursion needs one interval after the other: five small operations each,
    where autograd would record and replay a score. All else is done for all intervals together.
    """

    @staticmethod
    def forward(ctx: Any, seen: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Memories [T, R, H] of what was seen [T, R, 3H], from an empty memory."""
        both, units = 2 * weight.shape[1], weight.shape[1]
        of_gates, of_new = weight[:both].t(), weight[both:].t()
        gates = seen[..., :both] + bias[:both]  # in the end r and u
        new = seen[..., both:].clone()
        memories, held_new = torch.empty_like(new), torch.empty_like(new)
        memory = new.new_zeros(seen.shape[1], units)
        resets, updates = gates.chunk(2, -1)
        intervals = (gates, resets, updates, new, held_new, memories)
        for gate, reset, update, candidate, held, now in zip(*(x.unbind() for x in intervals), strict=True):
            gate.addmm_(memory, of_gates).sigmoid_()
            torch.addmm(bias[both:], memory, of_new, out=held)
            candidate.addcmul_(reset, held).tanh_()
            memory = torch.addcmul(candidate, update, memory - candidate, out=now)
        ctx.save_for_backward(memories, gates, new, held_new, weight)
        return memories

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of what was seen, of the weight and of the bias."""
        memories, gates, new, held_new, weight = ctx.saved_tensors
        units = weight.shape[1]
        reset, update = gates.chunk(2, -1)
        before = torch.cat([torch.zeros_like(memories[:1]), memories[:-1]])
        keep = 1.0 - update
        of_new = keep * (1.0 - new * new)
        # how a memory moves with its gates' inputs, as far as those come from the memory before
        slopes = torch.empty(*new.shape[:2], 3, units, dtype=new.dtype, device=new.device)
        slopes[..., 0, :] = of_new * held_new * reset * (1.0 - reset)
        slopes[..., 1, :] = (before - new) * update * keep
        slopes[..., 2, :] = of_new * reset
        whole = gradients[0].clone()  # gradient of each memory, its effect on all that follows included
        held = slopes.flatten(-2)
        following: Tensor | None = None
        intervals = (whole, slopes, held, update)
        for of_memory, slope, row, kept in zip(*(reversed(x.unbind()) for x in intervals), strict=True):
            if following is not None:
                of_memory += following
            slope *= of_memory.unsqueeze(-2)
            following = torch.addmm(of_memory * kept, row, weight)
        seen = torch.cat([held[..., : 2 * units], whole * of_new], -1)
        rows = held.flatten(0, 1)
        return seen, rows.t() @ before.flatten(0, 1), rows.sum(0)
