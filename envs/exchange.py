"""The market as an ad exchange: it asks somebody outside for every bid, and tells what each one brought.

Listeners, rivals, prices and random numbers are those of `VectorMarket`; only our campaigns' bids and
creatives come from elsewhere, one opportunity after the other, in order of arrival.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np

from envs import constants as con
from envs.bids import SERVED, Bids
from envs.catalogue import MAX_CAMPAIGNS, P, S
from envs.dynamics import close_interval, open_interval
from envs.errors import ConfigurationError
from envs.impressions import NUMBERS, ImpressionLog
from envs.journeys.identity import JourneyRows
from envs.journeys.world import with_journeys
from envs.kernel import kernel
from envs.market import Step, VectorMarket
from envs.opportunities import find_opportunity, sell
from envs.protocol import Actions, quiet_board
from envs.scenario import Scenario
from envs.seeds import Split
from envs.state import Float, Int, Outcome, empty_outcome

BIDDER_FAULTS: Final = ("overspend_fault", "silent_agent")
"""Incidents of whoever bids, which an exchange cannot bring about."""


class Opportunity(NamedTuple):
    """One impression opportunity, as every bidder sees it."""

    interval: int
    number: int  # within its interval, in order of arrival; numbers of absent listeners are left out
    listener: int
    segment: int
    placement: int
    visible: bool  # the screen is in view
    quality: float  # factor of its value
    reserve_usd: float


class Notice(NamedTuple):
    """What became of a bid. Counts are of `impression_weight` real impressions, as tracked."""

    campaign: int
    served: bool
    paid_usd: float
    completions: int
    skips: int
    dislikes: int
    clicks: int


class Bidder(Protocol):
    """Who bids for our campaigns, from outside."""

    def bid(self, opportunity: Opportunity) -> Float:
        """USD [C] for one simulated opportunity (`impression_weight` real impressions); 0 = no bid."""

    def hear(self, opportunity: Opportunity, notices: list[Notice]) -> None:
        """What became of these bids, one notice each."""


class Exchange(VectorMarket):
    """One market in which a `Bidder` bids for our campaigns, who keeps their budgets and caps himself.

    `play` plays an interval. Markets struck by `BIDDER_FAULTS` are refused: those are the bidder's own, who
    here is somebody else.
    """

    def __init__(self, scenario: Scenario, *, split: Split = "development") -> None:
        """An exchange without a market yet.

        Raises:
            ConfigurationError: on held-out markets, where bidders may be struck by faults of their own.
        """
        kinds = scenario.held_out.incident_kinds if split == "held_out" else scenario.incidents.kinds
        own = [kind for kind in BIDDER_FAULTS if kind in kinds]
        if own:
            raise ConfigurationError(
                f"{split} markets of scenario {scenario.name!r} may be struck by {' and '.join(own)}, "
                "faults of the bidder: play train or development markets of a scenario without them"
            )
        super().__init__(scenario, 1, split=split, log=True)

    def play(self, bidder: Bidder, aired: Int, hold_out: Float | None = None) -> Step:
        """Plays one interval.

        Args:
            bidder: is asked once an opportunity.
            aired: [C, S] the creatives that air in it, rows of `ARMS`, as they were trafficked.
            hold_out: [C] share of impressions that is won and not shown, where there are journeys; what is
                told of the others is rounded to whole impressions.
        """
        self._bidder = bidder
        self._held_out = np.zeros((1, self.num_campaigns)) if hold_out is None else hold_out[None]
        self.market_state.on_air[0] = aired
        return self.step(_idle(self.num_campaigns))

    def _play(self) -> Outcome:
        moment = (self.parameters, self.market_state, self.constants)
        t, scratch = self.interval, self._scratch[0]
        out = empty_outcome(1, self.num_campaigns, S, P)
        served: list[tuple[float, ...]] = []
        hidden = [p for p in range(P) if self._strikes(con.TRACKING_OUTAGE, p)]
        count = _open(*moment, self._controls, scratch, 0, t)
        for item in range(count):
            cell, listener, visible, quality = _find(*moment, scratch, 0, t, item)
            if cell < 0:
                continue
            segment, placement = divmod(cell, P)
            reserve = float(self.constants.reserve_usd[placement])
            seen = Opportunity(t, item, listener, segment, placement, bool(visible), quality, reserve)
            offers = np.ascontiguousarray(self._bidder.bid(seen), np.float64)
            rows = _sell(*moment, out, scratch, 0, t, item, item + 1, offers)
            made, shown = scratch.made, 1.0 - self._held_out[0]
            self._bidder.hear(seen, _notices(made, rows, offers, placement not in hidden, shown))
            if self.journeys is not None:
                served += [self._shown(made, n, quality) for n in range(rows) if made.status[n] == SERVED]
        _close(*moment, out, scratch, self._next_on_air, 0, t)
        if self.journeys is None:
            return out
        log = ImpressionLog._make(np.array(served).reshape(-1, len(ImpressionLog._fields)).T)
        whole = {name: getattr(log, name).astype(np.int64) for name in ImpressionLog._fields[:NUMBERS]}
        found = self.journeys.play(log._replace(**whole), t, self._held_out)
        return with_journeys(out, found, self._held_out)

    def _shown(self, made: Bids, n: int, quality: float) -> tuple[float, ...]:
        """A row of an ImpressionLog: without answers, and what the bidder believed is his."""
        c, s, p = int(made.campaign[n]), int(made.segment[n]), int(made.placement[n])
        who = (0, c, int(made.listener[n]), s, p, int(self.aired[0, c, s]), int(made.visible[n]))
        return (*who, 0, 0, 0, 0, quality, float(self.parameters.attention[0, self.interval, p]), 0.0)

    def told(self) -> list[JourneyRows]:
        """What became known of every campaign's journeys in the last interval."""
        assert self.journeys is not None
        (market,) = self.journeys.markets
        hours = self.scenario.hours_per_interval
        since = (self.interval - 1) * hours if self.interval > 1 else -np.inf
        return [market.told(c, since) for c in range(self.num_campaigns)]

    def _strikes(self, kind: int, placement: int) -> bool:
        """Whether an incident strikes a placement in this interval."""
        m, t = self.parameters, self.interval
        active = (m.incident_start[0] <= t) & (t < m.incident_start[0] + m.incident_length[0])
        return bool((active & (m.incident_kind[0] == kind) & (m.incident_placement[0] == placement)).any())


@kernel
def _open(m, st, k, controls, scratch, b, t):  # type: ignore[no-untyped-def]
    return open_interval(m, st, k, controls, scratch, b, t)


@kernel
def _find(m, st, k, scratch, b, t, item):  # type: ignore[no-untyped-def]
    return find_opportunity(m, st, k, scratch, b, t, item)


@kernel
def _sell(m, st, k, out, scratch, b, t, first, end, offers):  # type: ignore[no-untyped-def]
    return sell(m, st, k, out, scratch, b, t, first, end, offers)


@kernel
def _close(m, st, k, out, scratch, next_on_air, b, t):  # type: ignore[no-untyped-def]
    close_interval(m, st, k, out, scratch, next_on_air, b, t)


def _notices(made: Bids, rows: int, offers: Float, tracked: bool, shown: Float) -> list[Notice]:
    """One notice a bid; a bid for what could not be won has no row. `shown` [C] is not held out."""

    def notice(n: int) -> Notice:
        c = int(made.campaign[n])
        answers = (made.completions[n] * tracked, made.skips[n], made.dislikes[n], made.clicks[n] * tracked)
        counts = (round(float(answer) * float(shown[c])) for answer in answers)
        return Notice(c, bool(made.status[n] == SERVED), float(made.paid_usd[n]), *counts)

    found = {int(made.campaign[n]): notice(n) for n in range(rows)}
    lost = Notice(0, False, 0.0, 0, 0, 0, 0)
    return [found.get(c, lost._replace(campaign=c)) for c in range(len(offers)) if offers[c] > 0]


def _idle(campaigns: int) -> Actions:
    """Actions that change nothing: what our campaigns do is decided outside."""
    board = quiet_board(1, MAX_CAMPAIGNS)
    return Actions(
        audience=board.segment_value,
        creative=np.zeros((1, campaigns, S, 4), np.int64),
        bidding=np.zeros((1, campaigns, 1 + P + S)),
        monitor=board.alert,
        orchestrator=board.directive,
    )


__all__ = ["Bidder", "Exchange", "Notice", "Opportunity"]
