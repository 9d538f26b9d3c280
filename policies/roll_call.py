"""Who is there: roles that repeat themselves or have begun anew, by what they say and how often."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from envs.observation import SCHEMAS

PATIENCE: Final = 4
"""Intervals of the same numbers after which a role that used to change its mind is suspected."""
CONTINUOUS: Final = ("audience", "bidding")
"""Roles whose numbers move with whatever is bought; creatives, alerts and directives may stay as they are.
Credit does so for days: of attribution only a count of answers tells."""


class Heard(NamedTuple):
    """What is wrong with a role that answered, if anything."""

    missing: str | None  # why its answer cannot be used: it is not new
    suspicion: str | None  # what should be told of it; its answer may be right all the same


class RollCall:
    """Listens to every role of one flight.

    A role whose count of answers (`answered`) stands still is stuck; one whose count has fallen has begun
    anew. Whether or not somebody counts, one is suspected whose numbers are the same to the last bit for some
    intervals in which impressions were bought, having changed as often before.
    """

    def __init__(self) -> None:
        """Nobody has spoken."""
        self._answered: dict[str, int] = {}
        self._said: dict[str, int] = {}
        self._changes: dict[str, int] = {}
        self._same: dict[str, int] = {}

    def hear(self, role: str, answered: int | None, observation: Any, answer: Any) -> Heard:
        """What is wrong with a role by its answer and its count of answers; call it once an interval."""
        if answered is not None:
            before = self._answered.get(role, 0)
            self._answered[role] = answered
            if answered == before:
                return Heard("says again what it has said before", None)
            if answered < before:
                return Heard(None, "has begun anew: what it knew is gone")
        return Heard(None, self._repetition(role, observation, answer))

    def _repetition(self, role: str, observation: Any, answer: Any) -> str | None:
        """Told of once, when patience ends."""
        if role not in CONTINUOUS:
            return None
        parts = answer if isinstance(answer, tuple) else (answer,)
        said = hash(b"".join(np.asarray(part).tobytes() for part in parts))
        same, self._said[role] = self._said.get(role) == said, said
        if not same:
            self._changes[role] = self._changes.get(role, 0) + 1
            self._same[role] = 0
            return None
        if not SCHEMAS[role].view(observation, "wins").any():
            return None
        self._same[role] += 1
        if self._same[role] != PATIENCE or self._changes[role] <= PATIENCE:
            return None
        return f"says the same for {PATIENCE} intervals though much has happened"
