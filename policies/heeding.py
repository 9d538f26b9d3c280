"""What campaigns and audience make of the watchdog's alerts, which they read before anybody directs them."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.catalogue import ADVICE, ALERT_KINDS, ARMS, V
from envs.impressions import ImpressionLog
from envs.protocol import Board
from envs.state import Bool, Float, Int
from policies.evidence import Evidence

HELD_BACK: Final = 0.05
"""Factor on bids where an alert of invalid traffic is new: the directive to pause comes an interval later."""
UNDONE: Final = 1.0 / 3.0
"""Factor on bids where an alert of overspending is new: past faults tripled what was sent."""
_INVALID, _OUTAGE, _DEAD_LINK, _OVERSPEND = (
    ALERT_KINDS.index(name) for name in ("invalid_traffic", "tracking_outage", "ctr_drop", "overspend")
)
_PAUSE: Final = ADVICE.index("pause")
_FEEDBACK: Final = ("wins", "predicted_won", "completions", "skips", "clicks")


def caution(before: Evidence | None, now: Evidence) -> Float:
    """[M, P] factor on bids: low in the one interval in which such an alert is new.

    From then on the orchestrator's directive holds; who went on holding back would leave the watchdog's
    probes nothing to see.
    """
    factor = np.ones_like(now.alert_kind)
    for kind, lowered in ((_INVALID, HELD_BACK), (_OVERSPEND, UNDONE)):
        known = False if before is None else before.alert_kind == kind
        factor = np.where((now.alert_kind == kind) & ~np.asarray(known), lowered, factor)
    return factor


def believable(before: Evidence, now: Evidence, broken: Bool) -> Evidence:
    """The evidence without feedback from placements that robots fill and from creatives that are broken.

    As if nothing had been bought there.

    Args:
        before: what was seen when it was bought, which tells what aired.
        now: what it brought.
        broken: [M, V] creatives.
    """
    hidden = (now.alert_kind == _INVALID)[:, None, :]
    if broken.any():
        hidden = hidden | np.take_along_axis(broken, ARMS[before.arm, 1], 1)[..., None]
    return now._replace(**{name: np.where(hidden, 0.0, getattr(now, name)) for name in _FEEDBACK})


def broken(board: Board, campaigns: int) -> Bool:
    """[M, V] creatives whose clicks are said to be lost: what is left of them tells of the fault alone."""
    said: Bool = board.creative_alert.kind[:, :campaigns] == _DEAD_LINK
    return said.reshape(-1, V)


def doubtful(board: Board, aired: Int) -> Bool:
    """[B, C, S, P] cells whose clicks and completions tell nothing of listeners.

    Of placements that robots fill, of those whose tracking is lost, and of creatives that are broken.

    Args:
        board: what was said.
        aired: [B, C, S] creatives whose feedback is read.
    """
    campaigns = aired.shape[1]
    told = board.alert.kind[:, :campaigns]
    by_placement = (told == _INVALID) | (told == _OUTAGE)
    wrong = board.creative_alert.kind[:, :campaigns] > 0
    by_creative = np.take_along_axis(wrong, ARMS[aired, 1], 2)
    found: Bool = by_placement[:, :, None, :] | by_creative[..., None]
    return found


def trusted_impressions(impressions: ImpressionLog, board: Board) -> ImpressionLog:
    """The rows whose feedback tells of listeners, by the same rule as `doubtful`."""
    market, campaign = impressions.market, impressions.campaign
    told = board.alert.kind[market, campaign, impressions.placement]
    wrong = board.creative_alert.kind[market, campaign, ARMS[impressions.arm, 1]] > 0
    kept = ~((told == _INVALID) | (told == _OUTAGE) | wrong)
    return impressions if kept.all() else ImpressionLog(*(column[kept] for column in impressions))


def avoided(board: Board, campaigns: int) -> Bool:
    """[M, V] creatives not to be chosen: where a pause is advised the directive comes by the time they air.

    None of a campaign all of whose creatives are advised against.
    """
    advised = (board.creative_alert.advice[:, :campaigns] == _PAUSE).reshape(-1, V)
    shunned: Bool = advised & ~advised.all(1, keepdims=True)
    return shunned


def untracked(now: Evidence) -> Bool:
    """[M, P] where completions are missing because nobody counts them: listeners are there all the same."""
    lost: Bool = now.alert_kind == _OUTAGE
    return lost
