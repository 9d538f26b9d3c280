"""An audience agent that addresses learned segments: groups of listeners who care for the same campaigns.

K-means (Lloyd 1982) of listeners' predicted log affinities to the flight's campaigns, learned anew every
day. Groups of embeddings would be groups of music: the given segments, which no history tells, are half of
what divides listeners, and a few campaigns see a few of the directions in which tastes differ.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from envs.kernel import allocating_kernel
from envs.observation import Observation
from envs.protocol import SegmentValue
from envs.state import Float
from policies.audience.agent import CollaborativeAudience
from policies.audience.listener_model import ListenerModel
from policies.policy import Flight

GROUPS: Final = 16
ROUNDS: Final = 20
DAY_HOURS: Final = 24.0


@allocating_kernel
def group_listeners(point, group, centre):  # type: ignore[no-untyped-def]
    """Groups points [B, C, L] into group [B, L] around centre [B, G, C], both overwritten.

    Starts from the points that lie farthest apart, so that nothing is drawn; a group that loses everybody
    keeps its centre.
    """
    markets, size, listeners = point.shape
    groups = centre.shape[1]
    apart, total, count = np.empty(listeners), np.empty((groups, size)), np.empty(groups)
    for b in range(markets):
        apart[:] = np.inf
        farthest = 0
        for g in range(groups):
            for c in range(size):
                centre[b, g, c] = point[b, c, farthest]
            for i in range(listeners):
                distance = 0.0
                for c in range(size):
                    distance += (point[b, c, i] - centre[b, g, c]) ** 2
                apart[i] = min(apart[i], distance)
            for i in range(listeners):
                if apart[i] > apart[farthest]:
                    farthest = i
        for _ in range(ROUNDS):
            total[:] = 0.0
            count[:] = 0.0
            for i in range(listeners):
                least, nearest = np.inf, 0
                for g in range(groups):
                    distance = 0.0
                    for c in range(size):
                        distance += (point[b, c, i] - centre[b, g, c]) ** 2
                    if distance < least:
                        least, nearest = distance, g
                group[b, i] = nearest
                count[nearest] += 1.0
                for c in range(size):
                    total[nearest, c] += point[b, c, i]
            for g in range(groups):
                if count[g] > 0.0:
                    for c in range(size):
                        centre[b, g, c] = total[g, c] / count[g]


@allocating_kernel
def average_within(table, group, mean):  # type: ignore[no-untyped-def]
    """Fills mean [B, ≥ C, G] with the table's [B, C, L] over each group [B, L]; kept where nobody is."""
    groups = mean.shape[2]
    total, count = np.empty(groups), np.empty(groups)
    for b in range(table.shape[0]):
        for c in range(table.shape[1]):
            total[:] = 0.0
            count[:] = 0.0
            for i in range(group.shape[1]):
                total[group[b, i]] += table[b, c, i]
                count[group[b, i]] += 1.0
            for g in range(groups):
                if count[g] > 0.0:
                    mean[b, c, g] = total[g] / count[g]


class LearnedSegments(CollaborativeAudience):
    """As its base predicts, but all listeners of a learned segment get the segment's mean.

    The given segments stay what agents tell one another: traffic, creatives and surveys come by them. So the
    message holds the means of the given segments, and bids are by learned ones.
    """

    def __init__(self, groups: int = GROUPS, model: ListenerModel | None = None) -> None:
        """`groups` of each market's listeners, from 1."""
        if groups < 1:
            raise ValueError(f"groups must be at least 1, got {groups}")
        name = "learned-segments" if groups == GROUPS else f"learned-segments:{groups}"
        super().__init__(name=name, model=model)
        self.groups = groups

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self.group: NDArray[np.int64] = np.zeros(self._segment.shape, np.int64)
        self.group_affinity: Float = np.ones((flight.num_markets, flight.num_campaigns, self.groups))
        self._centre: Float = np.empty((flight.num_markets, self.groups, flight.num_campaigns))
        self._refresh = max(1, round(DAY_HOURS / flight.scenario.hours_per_interval))
        self._interval = 0

    def act(self, observation: Observation) -> SegmentValue:
        """Affinity and confidence of given segments.

        Who is in which learned one stands in `group` [B, L], its affinity in `group_affinity` [B, C, G].
        """
        value, table = super().act(observation), self.listener_affinity
        if self._interval % self._refresh == 0:
            group_listeners(np.log(table), self.group, self._centre)
        self._interval += 1
        average_within(table, self.group, self.group_affinity)
        every = np.broadcast_to(self.group[:, None, :], table.shape)
        table[:] = np.take_along_axis(self.group_affinity, every, 2)
        affinity = value.affinity.copy()
        average_within(table, self._segment, affinity)
        return SegmentValue(affinity, value.confidence)
