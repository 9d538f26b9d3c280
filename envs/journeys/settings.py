"""What a scenario may say about journeys, and the cells that credit goes to."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from envs.catalogue import FORMATS, PLACEMENT_FIT, PLACEMENTS, F, P

CHANNELS: Final = ("search", "social", "retail_media")
"""Off the platform: they have a life of their own, and meet the same people."""
OWN_CELLS: Final = P * F
"""Cells of placement × format, placement major; then come the channels."""
SEARCH, SOCIAL, RETAIL = (OWN_CELLS + n for n in range(len(CHANNELS)))
CELLS: Final = OWN_CELLS + len(CHANNELS)
CELL_NAMES: Final = (*(f"{p} {f}" for p in PLACEMENTS for f in FORMATS), *CHANNELS)
ELIGIBLE_CELLS: Final = tuple(p * F + f for p in range(P) for f in range(F) if PLACEMENT_FIT[f, p] > 0.0)
"""Where a format may air at all."""
DEVICES: Final = ("speaker", "phone", "desk", "shop")
"""Where people are touched or convert; a conversion in a shop is off the platform."""
Channel = Literal["search", "social", "retail_media"]
WindowDays = Literal[7, 30]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]


class JourneySettings(BaseModel):
    """People behind listeners, what they meet elsewhere, and what an advertiser may know of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    people: Annotated[int, Field(ge=1, le=1024)] = 64
    """People simulated for each listener, for the `impression_weight` people that it counts for."""
    match_rate: Fraction = 0.7
    """P(a device of a person is linked to the person); one that is not is somebody of its own."""
    view_window_days: WindowDays = 7
    click_window_days: WindowDays = 30
    """Touches older than this at the conversion are not reported with it (a published audio-ads API)."""
    walled: tuple[Channel, ...] = ("social", "retail_media")
    """Channels that report aggregates only: their touches are in nobody's journey."""
    conversions_per_purchase: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] = 2.0
    """A conversion of a journey is the step before a purchase, such as a checkout begun, and worth this part
    of one: more frequent than purchases, and rarer than visits (28 a purchase: Podsights, Q1 2023)."""
    organic: Fraction = 0.01
    """P(a person converts in 30 days without any touch), of average affinity."""
    cell_sd: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.7
    """Of log effects of placement × format on conversions, by campaign: what credit has to find out."""
    activity_bias: Annotated[float, Field(ge=1, le=2.5, allow_inf_nan=False)] = 2.5
    """Factor on being reached with the screen in view of people who are about to convert anyway (Lewis, Rao &
    Reiley 2011)."""
    organic_search: Fraction = 0.6
    """Share of organic conversions that come in by a search, which causes none of them."""
    search_after_touch: Fraction = 0.04
    """P(a touch of response 1 makes a person search)."""
    search_pull: Fraction = 0.01
    """P(such a search brings a conversion that nothing else would have brought)."""
    touches: tuple[Rate, Rate, Rate] = (0.05, 0.8, 0.3)
    """Touches of a person in 30 days by channel, besides those that people or campaigns bring about."""
    retail_intent: Rate = 1.5
    """Retail media's touches of a person in the week before an organic conversion: it knows who will buy."""
    channel_pull: tuple[Fraction, Fraction, Fraction] = (0.002, 0.0005, 0.0003)
    """P(conversion) that a touch of each channel brings to somebody who never met the brand."""
    shop_share: Fraction = 0.3
    """Share of conversions in a shop: known only where the person's card is linked."""
