"""What a campaign's desk makes of the watchdog's alerts before anybody directs it: it reads them first."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.catalogue import ALERT_KINDS
from envs.state import Bool, Float
from policies.evidence import Evidence

HELD_BACK: Final = 0.05
"""Factor on bids where an alert of invalid traffic is new: the directive to pause comes an interval later."""
_INVALID, _OUTAGE = (ALERT_KINDS.index(name) for name in ("invalid_traffic", "tracking_outage"))
_FEEDBACK: Final = ("wins", "predicted_won", "completions", "skips", "clicks")


def caution(before: Evidence | None, now: Evidence) -> Float:
    """[M, P] factor on bids: low in the one interval in which an alert of invalid traffic is new.

    From then on the orchestrator's directive holds; who went on holding back would leave the watchdog's
    probes nothing to see.
    """
    known: Bool | bool = False if before is None else before.alert_kind == _INVALID
    return np.where((now.alert_kind == _INVALID) & ~np.asarray(known), HELD_BACK, 1.0)


def believable(now: Evidence) -> Evidence:
    """The evidence without feedback from placements that robots fill, as if nothing had been bought there."""
    robots = (now.alert_kind == _INVALID)[:, None, :]
    return now._replace(**{name: np.where(robots, 0.0, getattr(now, name)) for name in _FEEDBACK})


def untracked(now: Evidence) -> Bool:
    """[M, P] where completions are missing because nobody counts them: listeners are there all the same."""
    lost: Bool = now.alert_kind == _OUTAGE
    return lost
