"""The bid path: from a request to bids, by the latest snapshot of what the roles said.

No request waits for a role: multipliers, creatives and affinities are looked up. Once an interval the roles
answer, and a new snapshot takes the old one's place.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from envs.catalogue import (
    ARMS,
    FORMATS,
    LENGTH_SECONDS,
    NEEDS_SCREEN,
    PLACEMENT_FIT,
    SEGMENTS,
    P,
)
from serving.brief import CampaignBrief
from serving.ledger import Ledger
from serving.ledger_file import NANO, Offer
from serving.live_market import LiveMarket
from serving.openrtb import MTYPE, BidRequest, fits, read_segment, read_slot

SMALLEST_CPM_USD: Final = 1e-6


@dataclass(frozen=True)
class Snapshot:
    """What the bid path reads: plain lists, made once an interval."""

    interval: int
    campaigns: tuple[CampaignBrief, ...]
    unit_bid: list[list[list[list[float]]]]
    """[2, C, S, P] USD a simulated opportunity, per predicted value; screen hidden or visible."""
    affinity: list[list[float]]
    """[C, L] predicted for every listener of the brief."""
    segment_affinity: list[list[float]]
    """[C, S] for listeners that the brief does not know."""
    arm: list[list[int]]
    """[C, S] creative on air."""
    listener: dict[str, int]
    listener_segment: list[int]
    weight: float
    """Impressions that a simulated opportunity stands for."""
    frequency_cap: float
    daily_cap_nano: list[float]


def snapshot_of(
    market: LiveMarket, campaigns: tuple[CampaignBrief, ...], listener: dict[str, int]
) -> Snapshot:
    """What the controls in force amount to.

    The same formula as the market's own bids: multiplier (capped, throttled) × fit × attention × price level.
    """
    ctl, k = market.controls, market.constants
    format_ = ARMS[market.aired[0], 0]  # [C, S]
    t = min(market.interval, market.scenario.intervals - 1)
    wish = np.minimum(ctl.multiplier[0], ctl.aggression_cap[0, :, None, None]) * ctl.throttle[0, :, None, :]
    wish = wish * (PLACEMENT_FIT[format_] * market.parameters.attention[0, t] * k.price_level_usd)
    hidden = np.where(NEEDS_SCREEN[format_][..., None], 0.0, wish)
    believed = ctl.predicted_affinity[0]
    segment = market.parameters.listener_segment[0]
    sums = np.stack([np.bincount(segment, row, len(SEGMENTS)) for row in believed])
    mean = sums / np.maximum(1, np.bincount(segment, minlength=len(SEGMENTS)))
    return Snapshot(
        interval=market.interval,
        campaigns=campaigns,
        unit_bid=[hidden.tolist(), wish.tolist()],
        affinity=believed.tolist(),
        segment_affinity=mean.tolist(),
        arm=market.aired[0].tolist(),
        listener=listener,
        listener_segment=segment.tolist(),
        weight=float(k.weight),
        frequency_cap=k.frequency_cap,
        daily_cap_nano=[
            float("inf") if math.isinf(k.daily_cap_fraction) else k.daily_cap_fraction * c.budget_usd * NANO
            for c in campaigns
        ],
    )


def bid_id(number: int) -> str:
    """A bid's number in the ledger as clients are told it."""
    return f"{number:x}"


def bid_number(told: str | None) -> int | None:
    """The number of a bid's id; of anything else one that no bid has."""
    if told is None:
        return None
    return int(told, 16) if _BID.fullmatch(told) else 0


def creative_id(campaign: int, arm: int) -> str:
    """Name of a creative, as bids and trafficking tell it."""
    return f"{campaign}-{_ARM_NAME[arm]}"


def arm_of(creative: str) -> int:
    """The arm of a creative's name."""
    return _INDEX[tuple(int(part) for part in creative.split("-")[1:])]


def bid_for(request: BidRequest, now: Snapshot, ledger: Ledger) -> dict[str, Any] | None:
    """The bid response to a request, its prices reserved; None for no bid."""
    if request.cur and "USD" not in request.cur:
        return None
    user = request.user.id or ""
    listener = now.listener.get(user, -1)
    segment = now.listener_segment[listener] if listener >= 0 else read_segment(request.user)
    if segment is None:
        return None
    offers: list[Offer] = []
    seats: dict[int, list[dict[str, Any]]] = {}
    taken, asked = [0] * len(now.campaigns), [0] * len(now.campaigns)
    for imp in request.imp:
        slot = read_slot(imp)
        if slot is None:
            continue
        p, quantity = slot.placement, imp.qty.multiplier / now.weight
        if not request.test:
            ledger.request(segment * P + p, quantity)
        if imp.bidfloorcur != "USD":
            continue
        for c, campaign in enumerate(now.campaigns):
            arm = now.arm[c][segment]
            format_, _, length, _ = _ARMS[arm]
            media = slot.formats.get(format_)
            if media is None or not fits(media, LENGTH_SECONDS[length]):
                continue
            if campaign.adomain in request.badv and campaign.adomain:
                continue
            if not set(campaign.cat).isdisjoint(request.bcat):
                continue
            if user and ledger.impressions_today(c, user) + asked[c] >= now.frequency_cap:
                continue
            affinity = now.affinity[c][listener] if listener >= 0 else now.segment_affinity[c][segment]
            wish = now.unit_bid[slot.visible][c][segment][p] * affinity * slot.quality * quantity
            price = int(min(wish * NANO, ledger.free(c, now.daily_cap_nano[c]) - taken[c]))
            cpm = price / NANO * 1000.0 / imp.qty.multiplier
            if price <= 0 or cpm < SMALLEST_CPM_USD or cpm < imp.bidfloor:
                continue
            taken[c] += price
            asked[c] += 1
            number, creative = ledger.new_id(), creative_id(c, arm)
            offers.append(
                Offer(
                    *(number, c, user, listener, segment, p, arm, int(slot.visible)),
                    *(slot.quality, affinity, imp.qty.multiplier, price),
                )
            )
            seats.setdefault(c, []).append(
                {
                    "id": bid_id(number),
                    "impid": imp.id,
                    "price": cpm,
                    "adid": creative,
                    "crid": creative,
                    "cid": campaign.name,
                    **({"adomain": [campaign.adomain]} if campaign.adomain else {}),
                    **({"dur": int(LENGTH_SECONDS[length])} if FORMATS[format_] != "display" else {}),
                    "mtype": MTYPE[FORMATS[format_]],
                    "exp": int(ledger.reservation_seconds),
                }
            )
    if not offers:
        return None
    if not request.test:
        ledger.reserve(offers)
    return {
        "id": request.id,
        "cur": "USD",
        "seatbid": [{"seat": now.campaigns[c].name, "bid": bids} for c, bids in seats.items()],
    }


_BID: Final = re.compile("[0-9a-f]{1,15}")  # fits a column of 64 bits
_ARMS: Final = [tuple(row) for row in ARMS.tolist()]
_ARM_NAME: Final = ["-".join(map(str, arm)) for arm in _ARMS]
_INDEX: Final = {arm: index for index, arm in enumerate(_ARMS)}
