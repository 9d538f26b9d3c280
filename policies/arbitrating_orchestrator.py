"""An orchestrator that arbitrates: it splits spending over placements too, and caps bids that run away."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.catalogue import ALERT_KINDS, PLACEMENTS, P
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import MAX_AGGRESSION, Directive
from envs.state import Float
from policies.marginal_orchestrator import EqualMargins
from policies.overrun import ELASTICITY, Overrun
from policies.placement_split import PlacementSplit
from policies.policy import Flight

TOLERATED: Final = 0.5
"""Log of spending over what stated bids should spend up to which nothing is done: a third of intervals in
which a fault begins stay below it, and nine tenths of all others."""
STRONGEST: Final = 1.0 / 3.0
"""Lowest factor on bids for an overrun: what undoes bids that a fault has tripled."""
HEADROOM: Final = 3.0
"""How far above its mean stated bid a campaign may bid anywhere while it overruns."""
_ALL, _MONITOR = SCHEMAS["orchestrator"], SCHEMAS["monitor"]
_OUTAGE: Final = ALERT_KINDS.index("tracking_outage")


class Arbitrating(EqualMargins):
    """Equal margins, spending split over placements by what they bring, and caution where money runs away.

    The bidding agent wants to spend and says at what price; where a campaign spends more than that should,
    its bids are throttled by the excess and capped near what it stated, from the first interval on: sooner
    than the watchdog, which waits for evidence, advises. Both are over as soon as spending is as stated.
    Advice is followed as the rule book follows it: the lower factor holds. It reads what the monitor sees;
    where nobody shows it that, it is `EqualMargins`. It earns no more than that (docs/orchestrators.md).
    """

    def __init__(self, *, name: str = "arbitrating") -> None:
        """Of equal margins as they are."""
        super().__init__(name=name)
        self.placements, self.overrun = PlacementSplit(), Overrun()

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self.placements.start(flight.num_markets)
        self.overrun.start(flight.num_markets, flight.num_campaigns)
        self._level_usd = flight.scenario.auction.price_level_usd
        self._monitor: Float | None = None
        self._in_force = np.ones((flight.num_markets, flight.num_campaigns, P))
        self._split = np.ones((flight.num_markets, P))
        self._log_overrun = np.zeros((flight.num_markets, flight.num_campaigns))

    def read_observations(self, observations: Observations) -> None:
        """What the monitor sees is the evidence; the rule book hears what is said of creatives."""
        super().read_observations(observations)
        self._monitor = observations.monitor[:, 0].astype(np.float64)

    def act(self, observation: Observation) -> Directive:
        """The directive of equal margins with throttles and caps of its own."""
        directive, c = super().act(observation), self._campaigns
        if self._monitor is None:
            return directive
        untracked = (_ALL.view(self._row, "alert_kind")[:, :c] == _OUTAGE).any(1)
        self._split = self.placements.throttle(self._monitor, untracked)
        self._log_overrun = self._overruns(self._monitor)
        self._in_force = _ALL.view(self._row, "throttle")[:, :c]
        throttle, cap = directive.throttle.copy(), directive.aggression_cap.copy()
        held = self._split[:, None] * self._caution()[..., None]
        throttle[:, :c] = np.minimum(throttle[:, :c], held)
        cap[:, :c] = self._cap()
        return directive._replace(throttle=throttle, aggression_cap=cap)

    def _overruns(self, monitor: Float) -> Float:
        """[B, C] log overrun of the interval that was."""
        spend_usd, wins = (
            _MONITOR.view(monitor, name)[:, : self._campaigns] for name in ("spend_usd", "wins")
        )
        price_usd = _ALL.view(self._row, "marginal_price_usd")[:, : self._campaigns]
        return self.overrun.read(
            spend_usd.sum(2),
            wins.sum(2),
            _MONITOR.view(monitor, "opportunities").sum(1),
            price_usd * self._in_force.mean(2),
        )

    def _caution(self) -> Float:
        """[B, C] factors on bids that bring spending back to TOLERATED over what was stated."""
        excess = np.maximum(0.0, self._log_overrun - TOLERATED)
        factor: Float = np.maximum(STRONGEST, np.exp(-excess / ELASTICITY))
        return factor

    def _cap(self) -> Float:
        """[B, C] bids per predicted value that none may exceed."""
        stated = _ALL.view(self._row, "marginal_price_usd")[:, : self._campaigns] / self._level_usd
        runs = self._log_overrun > TOLERATED
        capped: Float = np.where(runs, np.minimum(MAX_AGGRESSION, HEADROOM * stated), MAX_AGGRESSION)
        return capped

    def reasons(self, market: int = 0) -> list[str]:
        """Why the last directive says what it says to one market: a line a decision."""
        return [*super().reasons(market), *self._split_reasons(market), *self._caution_reasons(market)]

    def _split_reasons(self, b: int) -> list[str]:
        return [
            f"bids of all campaigns on {PLACEMENTS[p]} x {self._split[b, p]:.2f}: it brings "
            f"{self.placements.returns[b, p]:.2f} times the completions foretold, the mean being 1"
            for p in np.flatnonzero(self._split[b] < 1.0)
        ]

    def _caution_reasons(self, b: int) -> list[str]:
        caution, cap = self._caution()[b], self._cap()[b]
        return [
            f"bids of campaign {c} x {caution[c]:.2f}, and none above {cap[c]:.2f} per predicted value: it "
            f"spent {np.exp(self._log_overrun[b, c]):.1f} times what the bids that it states should"
            for c in np.flatnonzero(caution < 1.0)
        ]
