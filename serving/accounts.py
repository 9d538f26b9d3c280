"""What the bid path asks the ledger for, kept in memory: money by campaign, frequencies by listener.

Money is whole nano-USD, so that sums are exact.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from envs.state import Float
from serving.ledger_file import NANO


class Reservation(NamedTuple):
    """What an open bid holds."""

    campaign: int
    user: str
    price: int
    expires: float  # seconds since 1970


class Accounts:
    """Budgets, what is spent and reserved of them, and who was served today."""

    def open_accounts(self, budget: list[int], spent: list[int]) -> None:
        """As the file tells them, nothing reserved."""
        self.budget, self.spent = budget, spent
        self.reserved = [0] * len(budget)
        self.day_spent = [0] * len(budget)
        self._today: dict[tuple[int, str], int] = defaultdict(int)
        self._open: dict[int, Reservation] = {}
        """By number of the bid, in order of expiry."""

    def left(self, campaign: int) -> int:
        """Nano-USD not yet spent."""
        return self.budget[campaign] - self.spent[campaign]

    def free(self, campaign: int, daily_cap: float = float("inf")) -> int:
        """Nano-USD that may be bid now: neither spent nor reserved, within the day's cap (nano-USD)."""
        reserved = self.reserved[campaign]
        today = daily_cap - self.day_spent[campaign] - reserved
        return int(max(0, min(self.left(campaign) - reserved, today)))

    def left_usd(self) -> Float:
        """[C] USD not yet spent."""
        return np.array([self.left(c) / NANO for c in range(len(self.budget))])

    def impressions_today(self, campaign: int, user: str) -> int:
        """Impressions of a campaign that a listener was served today, reserved ones among them."""
        return self._today.get((campaign, user), 0)

    def _hold(self, bid: int, reservation: Reservation) -> None:
        self._open[bid] = reservation
        self.reserved[reservation.campaign] += reservation.price
        self._today[reservation.campaign, reservation.user] += 1

    def _release(self, bid: int) -> None:
        held = self._open.pop(bid)
        self.reserved[held.campaign] -= held.price
        self._today[held.campaign, held.user] -= 1

    def _settle(self, bid: int, campaign: int, user: str, paid: int) -> None:
        if bid in self._open:
            self._release(bid)
        self._count(campaign, user, paid)
        self.spent[campaign] += paid

    def _count(self, campaign: int, user: str, paid: int) -> None:
        """An impression of today."""
        self._today[campaign, user] += 1
        self.day_spent[campaign] += paid

    def new_day(self) -> None:
        """Frequencies and daily caps begin anew; what is reserved counts."""
        self._today.clear()
        for held in self._open.values():
            self._today[held.campaign, held.user] += 1
        self.day_spent = [0] * len(self.spent)
