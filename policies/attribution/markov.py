"""Markov removal: how many conversions a chain of touches loses when a cell leads nowhere.

Source: Anderl, Becker, von Wangenheim & Schumann, "Mapping the customer journey: lessons learned from
graph-based online attribution modeling", International Journal of Research in Marketing 33 (2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.attribution.journeys import Credit, Journeys
from policies.attribution.windows import DEFAULT_WINDOWS, Windows


@dataclass(frozen=True)
class Markov:
    """Conversions shared out by removal effects of an absorbing chain of order 1.

    States are the start, the cells, and two ends: converted or not. Its transitions are those of all journeys
    with an eligible touch; where one did not convert, all its shown touches are. The removal effect of a cell
    is 1 − P(converted, if entering the cell ends all) / P(converted); effects are scaled to the number of
    conversions with a touch. The deviation is the infinitesimal jackknife over journeys (Jaeckel 1972): the
    chain's probabilities are smooth in the weight of each journey, and their derivatives closed.
    """

    name: str = "markov"
    windows: Windows = DEFAULT_WINDOWS

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """As every `AttributionModel`."""
        paths = self.windows.eligible(journeys, cells)
        length = np.diff(paths.offset)
        touched = length > 0
        converted = paths.converted[touched].astype(np.float64)
        if not converted.any():
            return Credit(np.zeros(cells), np.zeros(cells))
        journey = np.cumsum(touched)[paths.journey] - 1
        begin, end = paths.offset[:-1][touched], paths.offset[1:][touched] - 1

        start, conversion, states = cells, cells + 1, cells + 3  # cells come first, no conversion last
        onward = np.roll(paths.cell, -1)
        onward[end] = np.where(converted > 0.0, conversion, conversion + 1)
        source = np.concatenate([np.full(len(begin), start), paths.cell])
        target = np.concatenate([paths.cell[begin], onward])
        whose = np.concatenate([np.arange(len(begin)), journey])

        count = np.bincount(source * states + target, minlength=states * states).reshape(states, states)
        left = np.maximum(count.sum(axis=1), 1)[: cells + 1]
        step = count[: cells + 1] / left[:, None]
        cell = np.arange(cells)
        inner = np.repeat(step[None, :, : cells + 1], cells, axis=0)  # [removed, from, to]
        inner[cell, :, cell] = 0.0
        system = np.eye(cells + 1) - inner
        reach = np.linalg.solve(system, step[:, conversion][None, :, None])[..., 0]  # [removed, from]
        visits = np.linalg.solve(system.transpose(0, 2, 1), np.eye(cells + 1)[start][None, :, None])[..., 0]

        loss = converted.mean() - reach[:, start]  # the chain converts as many as did
        share = loss / loss.sum()
        total = converted.sum()
        variance = np.zeros(cells)
        change = np.empty((cells, len(begin)))  # of each loss with the weight of each journey
        for c in range(cells):
            worth = np.append(reach[c], [1.0, 0.0])
            worth[c] = 0.0
            slope = visits[c][:, None] / left[:, None] * (worth[None, :] - reach[c][:, None])
            change[c] = (converted - converted.mean()) / len(begin)
            change[c] -= np.bincount(whose, slope.ravel()[source * states + target], len(begin))
        change -= share[:, None] * change.sum(axis=0)
        for c in range(cells):
            variance[c] = np.sum((converted * share[c] + total / loss.sum() * change[c]) ** 2)
        return Credit(conversions=total * share, deviation=np.sqrt(variance))
