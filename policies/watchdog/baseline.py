"""What a count per unit of exposure has been in this flight."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.state import Bool, Float

SETTLED: Final = 8
"""Intervals after which a wild count is cut before it teaches anything."""


class Baseline:
    """Fading sums of counts and exposure, some intervals old, with a prior.

    Counts enter `lag` intervals late and not at all while an episode runs, so that a fault does not become
    the new normal before it is found; those beyond `cap` times what was usual are cut, for one wild interval
    must not make the next ones look like a fall.
    """

    def __init__(
        self,
        prior: float,
        strength: float,
        *,
        memory: float = 0.9,
        lag: int = 3,
        cap: float = np.inf,
        alike: float = np.inf,
        axis: int | None = None,
    ) -> None:
        """`prior` is the rate before anything is known, worth `strength` units of exposure.

        With an `axis`, places along it share what is known of all of them, worth `alike` units of exposure to
        each: creatives of one campaign, say.
        """
        self.prior, self.strength, self.memory, self.lag, self.cap = prior, strength, memory, lag, cap
        self.alike, self.axis = alike, axis

    def start(self, shape: tuple[int, ...]) -> None:
        """Forgets everything."""
        self._count, self._exposure = np.zeros(shape), np.zeros(shape)
        self._waiting: list[tuple[Float, Float]] = []
        self._heard = 0

    @property
    def rate(self) -> Float:
        """[*shape] count per unit of exposure, 0 where nothing is known."""
        count, exposure = self._count, self._exposure
        if self.axis is not None:
            count, exposure = (part.sum(self.axis, keepdims=True) for part in (count, exposure))
        weight = self.strength + exposure
        rate: Float = (self.prior * self.strength + count) / np.where(weight > 0.0, weight, 1.0)
        if self.axis is not None:
            rate = (self.alike * rate + self._count) / (self.alike + self._exposure)
        return rate

    def usual(self, exposure: Float) -> Float:
        """[*shape] what an exposure would usually bring."""
        return self.rate * exposure

    def cut(self, count: Float, exposure: Float, slack: float) -> Float:
        """[*shape] counts cut to `cap` times what is usual, and `slack` more."""
        most: Float = (
            np.minimum(count, self.cap * self.usual(exposure) + slack) if self.cap < np.inf else count
        )
        return most

    def learn(self, count: Float, exposure: Float, troubled: Bool) -> None:
        """Takes an interval in; `troubled` [*shape] leaves out what waits."""
        self._heard += 1
        kept = self.cut(count, exposure, 2.0) if self._heard > SETTLED else count
        self._waiting.append((np.array(kept), np.array(exposure)))
        for waiting in self._waiting:
            for part in waiting:
                part[troubled] = 0.0
        if len(self._waiting) > self.lag:
            old_count, old_exposure = self._waiting.pop(0)
            self._count = self.memory * self._count + old_count
            self._exposure = self.memory * self._exposure + old_exposure
