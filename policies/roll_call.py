"""Who is there: roles that repeat themselves or have begun anew, by what they say and how often."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from envs.observation import SCHEMAS
from policies.policy import Policy

PATIENCE: Final = 4
"""Intervals of the same answer after which a role that used to change its mind is stuck."""
CONTINUOUS: Final = ("audience", "bidding")
"""Roles whose numbers move with whatever is bought; creatives, alerts and directives may stay as they are."""


class RollCall:
    """Listens to every role of one flight.

    A role is stuck if it answers anew no more: its count of answers (`answered`) stands still, or, where
    nobody counts, its numbers are the same to the last bit for some intervals in which impressions were
    bought, having changed as often before. One whose count has fallen has begun anew.
    """

    def __init__(self) -> None:
        """Nobody has spoken."""
        self._answered: dict[str, int] = {}
        self._said: dict[str, int] = {}
        self._changes: dict[str, int] = {}
        self._same: dict[str, int] = {}

    def begun_anew(self, role: str, policy: Policy) -> bool:
        """Whether a role's count of answers is lower than when it was last heard."""
        now, before = getattr(policy, "answered", None), self._answered.get(role)
        return now is not None and before is not None and now < before

    def repeats(self, role: str, policy: Policy, observation: Any, answer: Any) -> str | None:
        """What is wrong with a role that says the same again and again, or None; ask once an interval."""
        answered, before = getattr(policy, "answered", None), self._answered.get(role)
        if answered is not None:
            self._answered[role] = answered
            return "says again what it has said before" if answered == before else None
        if role not in CONTINUOUS:
            return None
        parts = answer if isinstance(answer, tuple) else (answer,)
        said = hash(b"".join(np.asarray(part).tobytes() for part in parts))
        same, self._said[role] = self._said.get(role) == said, said
        if not same:
            self._changes[role] = self._changes.get(role, 0) + 1
            self._same[role] = 0
        elif SCHEMAS[role].view(observation, "wins").any():
            self._same[role] = self._same.get(role, 0) + 1
        stuck = self._same.get(role, 0) >= PATIENCE < self._changes.get(role, 0)
        return f"says the same for {PATIENCE} intervals though much has happened" if stuck else None
