"""With what probability a team chose what it did: what off-policy evaluation needs of a log.

A random policy says so by an attribute `log_propensity`, read after `act`: natural logs of the
probabilities (densities for bids, in the coordinates in which they are drawn) of its last action, in a
shape that broadcasts to [B, C, S] for creatives and [B, C] for bids; NaN where it cannot know them. A
policy without the attribute is deterministic: given its history it could not have chosen otherwise.
"""

from __future__ import annotations

from typing import Any, Final

from policies.team import Team

RANDOM_ROLES: Final = ("creative", "bidding")
"""Roles whose choices are logged with propensities."""


def log_propensities(team: Team) -> dict[str, Any]:
    """Log-probabilities of the team's last actions, by role; a role that failed is its stand-in's."""
    failed = {incapacity.role for incapacity in team.incapacities}
    acting = {role: (team.stand_ins if role in failed else team.policies)[role] for role in RANDOM_ROLES}
    return {role: getattr(policy, "log_propensity", 0.0) for role, policy in acting.items()}
