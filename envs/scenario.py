"""A scenario: everything that makes one kind of market, validated from `configs/scenarios/*.yaml`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from envs.catalogue import MAX_CAMPAIGNS, P
from envs.configuration import load_yaml, resolve_named, validate
from envs.paths import configs_directory
from envs.price_landscape import PriceLandscape, named_landscape

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PerPlacement = tuple[Fraction, Fraction, Fraction]
PodSize = Annotated[int, Field(ge=1, le=8)]
IncidentKind = Literal[
    "invalid_traffic", "rival_surge", "tracking_outage", "creative_burn_out", "overspend_fault"
]
Vertical = Literal["retail", "automotive", "finance", "food", "entertainment", "telecom", "travel", "health"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auction(_Part):
    """How an impression opportunity is sold, and at what prices."""

    pricing: Literal["first_price", "second_price", "generalized_second_price", "vcg"] = "second_price"
    slots: tuple[PodSize, PodSize, PodSize] = (1, 1, 1)
    """Slots of an opportunity's pod by placement; more than one asks for another rule than second price."""
    slot_exposure: tuple[Positive, ...] = (1.0, 0.8, 0.48)
    """P(a slot is heard), as far as the longest pod: AuctionNet's cascade; unheard slots are not billed."""
    competitive_separation: bool = True
    """Two advertisers of one vertical never share a pod."""
    price_level_usd: Positive = 4.25
    """Mean market price of one opportunity inside the table (CPM × impression weight / 1000)."""
    price_landscape: tuple[str, str, str] = ("ipinyou-exchange-3", "ipinyou-exchange-2", "ipinyou-exchange-1")
    """By placement: a shipped landscape or the JSON that `interlude calibrate` wrote."""
    held_out_price_landscape: tuple[str, str, str] = ("ipinyou", "ipinyou-exchange-4", "ipinyou")
    """The same on held-out markets: landscapes that training never saw."""
    probability_within_table: PerPlacement = (0.12, 0.29, 0.69)
    """P(market price within the table) by placement; beyond it an opportunity is unwinnable."""
    reserve_fraction: tuple[NonNegative, NonNegative, NonNegative] = (0.80, 0.25, 0.05)
    """Reserve price by placement, as a fraction of the price level."""
    value_price_elasticity: NonNegative = 1.05
    """Exponent of an opportunity's quality in its market price: good listeners cost more."""
    placement_price: tuple[Positive, Positive, Positive] = (0.85, 1.05, 1.25)

    def landscapes(self, held_out: bool = False) -> list[PriceLandscape]:
        """The price table that each placement resamples."""
        names = self.held_out_price_landscape if held_out else self.price_landscape
        return [named_landscape(name) for name in names]

    @model_validator(mode="after")
    def _pods(self) -> Auction:
        longest = max(self.slots)
        if longest > 1 and self.pricing == "second_price":
            raise ValueError(
                "second_price sells one slot; use generalized_second_price, vcg or first_price for pods"
            )
        if len(self.slot_exposure) < longest:
            raise ValueError(f"slot_exposure needs a number a slot: {longest}, got {len(self.slot_exposure)}")
        if any(x > 1.0 for x in self.slot_exposure) or list(self.slot_exposure) != sorted(
            self.slot_exposure, reverse=True
        ):
            raise ValueError(f"slot_exposure must be at most 1 and not rise, got {self.slot_exposure}")
        return self


class Rivals(_Part):
    """The other side of the auction."""

    count: Annotated[int, Field(ge=1, le=256)] = 5
    daily_budget_fraction: Positive = 0.06
    """Median daily budget of a rival as a fraction of a day's volume at the price level."""
    reactive: bool = False
    """Rivals raise their bids where we win much; bounds that assume fixed rivals do not hold then."""


class Listeners(_Part):
    """Who listens, and how advertising changes that."""

    count: Annotated[int, Field(ge=16, le=4096)] = 256
    taste_sd: NonNegative = 0.35
    activity_sd: NonNegative = 0.5
    """Spread of log listening time: some listen much, many a little."""
    ads_per_hour: Positive = 6.0
    """The platform's ad load; more breaks an hour bring more opportunities now and fewer hours later."""
    irritable_fraction: Fraction = 0.24
    """Share of listeners whom repetition turns negative (doi 10.1177/0022243718820587)."""
    churn_sensitivity: NonNegative = 0.25
    daily_frequency_cap: Annotated[int, Field(ge=1, le=100)] = 5


class Response(_Part):
    """How rich and how hidden the response of listeners is: standard deviations of log effects."""

    affinity_sd: NonNegative = 0.35
    affinity_hint_sd: NonNegative = 0.25
    format_sd: NonNegative = 0.25
    script_sd: NonNegative = 0.30
    interaction_sd: NonNegative = 0.30
    """Interactions of format × script × length × call to action that no additive model covers."""
    mood_sd: NonNegative = 0.25
    """Interactions of activity × format × script."""
    wear_out: NonNegative = 0.30
    wear_in: NonNegative = 0.25
    quality_sd: NonNegative = 0.35
    """Spread of an opportunity's quality, seen by every bidder."""


class Incidents(_Part):
    """What goes wrong (seeded, hidden from agents) and what is announced."""

    event_probability: Fraction = 0.60
    incident_probability: Fraction = 0.35
    """Of each of two incident slots a flight."""
    kinds: tuple[IncidentKind, ...] = get_args(IncidentKind)
    """What may strike training and development markets."""
    held_out_kinds: tuple[IncidentKind, ...] = get_args(IncidentKind)
    """What may strike held-out markets."""


class Values(_Part):
    """What the advertiser and the platform earn, USD; an opportunity counts `impression_weight` times."""

    completion_usd: NonNegative = 0.006
    conversion_usd: NonNegative = 55.0
    recall_gain_usd: NonNegative = 0.16
    """Per listener who starts to recall the brand."""
    recall_level_usd: NonNegative = 0.16
    """Per listener who recalls the brand over the whole flight."""
    health_usd: NonNegative = 1.25
    """Per listener won or lost for the platform."""


class Scenario(_Part):
    """One kind of market."""

    name: str
    description: str
    campaigns: Annotated[int, Field(ge=1, le=MAX_CAMPAIGNS)] = 3
    intervals: Annotated[int, Field(ge=1, le=4096)] = 48
    intervals_per_day: Annotated[int, Field(ge=1, le=96)] = 12
    opportunities_per_interval: Annotated[int, Field(ge=1, le=65536)] = 192
    impression_weight: Annotated[int, Field(ge=1, le=10000)] = 250
    """Real impressions that one simulated opportunity stands for."""
    time_acceleration: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 5.0
    """How much faster than in the field the slow dynamics run: how listening reacts to ad load and
    annoyance (months) and how brands are forgotten (weeks); 1 in calibration tests."""
    budget_fraction: Positive = 0.025
    """Median campaign budget as a fraction of the flight's volume at the price level."""
    verticals: tuple[Vertical, ...] = get_args(Vertical)[:6]
    """Verticals that training and development markets draw from."""
    held_out_verticals: tuple[Vertical, ...] = get_args(Vertical)
    """Verticals that held-out markets draw from: all of them, two never trained on."""
    held_out_price_shift: Annotated[float, Field(ge=-3, le=3, allow_inf_nan=False)] = 0.10
    """Added to the log price level on held-out markets."""
    auction: Auction = Auction()
    rivals: Rivals = Rivals()
    listeners: Listeners = Listeners()
    response: Response = Response()
    incidents: Incidents = Incidents()
    values: Values = Values()

    @property
    def hours_per_interval(self) -> float:
        """Length of an interval on the market's clock."""
        return 24.0 / self.intervals_per_day

    @model_validator(mode="after")
    def _whole_days(self) -> Scenario:
        if not self.verticals or not self.held_out_verticals:
            raise ValueError("verticals and held_out_verticals each need at least one vertical")
        if len(self.auction.probability_within_table) != P:
            raise ValueError(f"probability_within_table needs {P} numbers, one a placement")
        return self


@lru_cache(maxsize=64)
def _load(path: Path, modified_ns: int) -> Scenario:
    return validate(Scenario, load_yaml(path), str(path))


def load_scenario(name_or_path: str) -> Scenario:
    """A scenario by its name in `configs/scenarios` or by the path of a YAML file.

    Raises:
        UnknownNameError: no such scenario; the valid names are listed.
        ConfigurationError: the file is not a valid scenario; file, key path and value are named.
    """
    path = resolve_named("scenario", "scenarios", name_or_path)
    return _load(path, path.stat().st_mtime_ns)


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the project."""
    return sorted(path.stem for path in (configs_directory() / "scenarios").glob("*.yaml"))
