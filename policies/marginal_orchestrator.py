"""An orchestrator that moves money between campaigns until its last dollar buys as much everywhere."""

from __future__ import annotations

import numpy as np

from envs.observation import SCHEMAS, Observation
from envs.protocol import Directive
from envs.state import Float
from policies.budget_split import HIGHEST, LOWEST, weights_on_left
from policies.policy import Flight
from policies.scripted_orchestrator import RuleBook

_SCHEMA = SCHEMAS["orchestrator"]


class EqualMargins(RuleBook):
    """The rule book, and every few intervals a new split of the money that is left.

    Where budgets bind, each campaign bids down to a price for a predicted value of 1, its marginal price,
    which its spend plan tells; another dollar there brings the inverse. Money is well split where it brings
    as much at every margin (the first-order condition of one budget for all). What is left is weighed by
    exp(gain × log worth), log worth being smoothed and over the campaigns' mean. Neither the weights nor
    what a campaign may come to in all, against its first budget, leave [0.5, 2].
    """

    def __init__(
        self, *, every: int = 2, gain: float = 0.5, smoothing: float = 0.5, name: str = "equal-margins"
    ) -> None:
        """Of the rule book as it is.

        Args:
            every: intervals between two splits.
            gain: 0 leaves budgets as they are.
            smoothing: weight of the past in the log of a campaign's worth.
            name: how tables call it.
        """
        super().__init__(name=name)
        self.every, self.gain, self.smoothing = every, gain, smoothing

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self._log_worth = np.zeros((flight.num_markets, flight.num_campaigns))
        self._first_usd: Float | None = None
        self._moved: Float | None = None

    def act(self, observation: Observation) -> Directive:
        """The rule book's directive with budgets split."""
        due = self._interval % self.every == self.every - 1
        directive = super().act(observation)
        left, budget = (
            _SCHEMA.view(self._row, f"budget{which}_usd")[:, : self._campaigns] for which in ("_left", "")
        )
        if self._first_usd is None:
            self._first_usd = budget
        self._moved = None
        if not due:
            return directive
        now = self.log_worth(observation)
        self._log_worth = self.smoothing * self._log_worth + (1.0 - self.smoothing) * now
        self._moved = weights_on_left(np.exp(self.gain * self._log_worth), left, budget, self._first_usd)
        share = directive.budget_share.copy()
        share[:, : self._campaigns] = np.clip(share[:, : self._campaigns] * self._moved, LOWEST, HIGHEST)
        return directive._replace(budget_share=share)

    def log_worth(self, observation: Observation) -> Float:
        """[B, C] log of what another dollar brings, over the mean; 0 where somebody has no price."""
        price = _SCHEMA.view(self._row, "marginal_price_usd")[:, : self._campaigns]
        known = (price > 0.0).all(1, keepdims=True)
        log = -np.log(np.where(known, price, 1.0))
        centred: Float = log - log.mean(1, keepdims=True)
        return centred

    def reasons(self, market: int = 0) -> list[str]:
        """Why the last directive says what it says to one market: a line a decision."""
        lines = super().reasons(market)
        if self._moved is not None:
            lines += [
                f"weight {self._moved[market, c]:.2f} for what campaign {c} has left: another dollar brings "
                f"{np.exp(self._log_worth[market, c]):.2f} times what it does on average"
                for c in range(self._campaigns)
            ]
        return lines
