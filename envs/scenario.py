"""A scenario: everything that makes one kind of market, validated from `configs/scenarios/*.yaml`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from envs.catalogue import MAX_CAMPAIGNS
from envs.configuration import load_yaml, resolve_named, validate
from envs.journeys.settings import JourneySettings
from envs.paths import configs_directory
from envs.price_landscape import PriceLandscape, named_landscape

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)]
"""A standard deviation of logs: beyond 3 the largest of a flight's draws dwarfs all others."""
Reserve = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
PerPlacement = tuple[Fraction, Fraction, Fraction]
Landscapes = tuple[str, str, str]
"""By placement: a shipped price landscape or the JSON that `interlude calibrate` wrote."""
PodSize = Annotated[int, Field(ge=1, le=8)]
IncidentKind = Literal[
    "invalid_traffic",
    "rival_surge",
    "tracking_outage",
    "creative_burn_out",
    "overspend_fault",
    "frequency_breach",
    "dislike_surge",
    "silent_agent",
    "ctr_drop",
    "cpa_breach",
]
Vertical = Literal["retail", "automotive", "finance", "food", "entertainment", "telecom", "travel", "health"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auction(_Part):
    """How an impression opportunity is sold, and at what prices."""

    pricing: Literal["first_price", "second_price", "generalized_second_price", "vcg"] = "second_price"
    slots: tuple[PodSize, PodSize, PodSize] = (1, 1, 1)
    """Slots of an opportunity's pod by placement; more than one asks for another rule than second price."""
    slot_exposure: tuple[Share, ...] = (1.0, 0.8, 0.48)
    """P(a slot is heard), as far as the longest pod: AuctionNet's cascade; unheard slots are not billed."""
    competitive_separation: bool = True
    """Two advertisers of one vertical never share a pod."""
    price_level_usd: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 4.25
    """Mean market price of one opportunity inside the table (CPM × impression weight / 1000)."""
    price_landscape: Landscapes = ("ipinyou-exchange-3", "ipinyou-exchange-2", "ipinyou-exchange-1")
    probability_within_table: PerPlacement = (0.12, 0.29, 0.69)
    """P(market price within the table) by placement; beyond it an opportunity is unwinnable."""
    reserve_fraction: tuple[Reserve, Reserve, Reserve] = (0.80, 0.25, 0.05)
    """Reserve price by placement, as a fraction of the price level."""
    value_price_dependence: Fraction = 0.40
    """Share of opportunities whose price ranks as their quality does: good listeners cost more. The other
    prices are independent of it; either way prices follow their table."""
    placement_price: tuple[Factor, Factor, Factor] = (0.85, 1.05, 1.25)
    """Factor on the price level by placement."""

    @model_validator(mode="after")
    def _pods(self) -> Auction:
        longest = max(self.slots)
        if longest > 1 and self.pricing == "second_price":
            raise ValueError(
                "second_price sells one slot; use generalized_second_price, vcg or first_price for pods"
            )
        if len(self.slot_exposure) < longest:
            raise ValueError(f"slot_exposure needs a number a slot: {longest}, got {len(self.slot_exposure)}")
        if list(self.slot_exposure) != sorted(self.slot_exposure, reverse=True):
            raise ValueError(f"slot_exposure must not rise from slot to slot, got {self.slot_exposure}")
        return self


class Rivals(_Part):
    """The other side of the auction."""

    count: Annotated[int, Field(ge=1, le=256)] = 5
    daily_budget_fraction: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 0.06
    """Median daily budget of a rival as a fraction of a day's volume at the price level."""
    reactive: bool = False
    """Rivals raise their bids where we win much; bounds that assume fixed rivals do not hold then."""


class Listeners(_Part):
    """Who listens, and how advertising changes that."""

    count: Annotated[int, Field(ge=16, le=4096)] = 256
    taste_sd: Spread = 0.35
    activity_sd: Spread = 0.5
    """Spread of log listening time: some listen much, many a little."""
    ads_per_hour: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 6.0
    """The platform's ad load; more breaks an hour bring more opportunities now and fewer hours later."""
    irritable_fraction: Fraction = 0.24
    """Share of listeners whom repetition turns negative (doi 10.1177/0022243718820587)."""
    churn_sensitivity: Strength = 0.25
    """Share of its listening that a listener loses, in the end, per unit of annoyance above the threshold."""
    daily_frequency_cap: Annotated[int, Field(ge=1, le=100)] = 5
    plays_median: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 300.0
    """Plays in a listener's history, which an audience agent may ask for; 0 = nobody has one."""
    cold_share: Fraction = 0.05
    """Share of listeners of whom no play is known."""
    steady: bool = False
    """Listeners start every interval as they started the flight: nothing shown before leaves a trace, so that
    value is linear in what is bought and the clairvoyant bound exact (docs/bounds.md)."""


class Response(_Part):
    """How rich and how hidden the response of listeners is: standard deviations of log effects."""

    affinity_sd: Spread = 0.35
    affinity_hint_sd: Spread = 0.25
    format_sd: Spread = 0.25
    script_sd: Spread = 0.30
    interaction_sd: Spread = 0.30
    """Interactions of format × script × length × call to action that no additive model covers."""
    mood_sd: Spread = 0.25
    """Interactions of activity × format × script."""
    wear_out: Strength = 0.30
    wear_in: Strength = 0.25
    quality_sd: Spread = 0.35
    """Spread of an opportunity's quality, seen by every bidder."""


class Incidents(_Part):
    """What goes wrong (seeded, hidden from agents) and what is announced."""

    event_probability: Fraction = 0.60
    incident_probability: Fraction = 0.35
    """Of each of two incident slots a flight."""
    kinds: tuple[IncidentKind, ...] = ("invalid_traffic", "rival_surge", "tracking_outage")
    """What may strike training and development markets; none if empty."""


class HeldOut(_Part):
    """The regime of held-out markets: what training and development markets never show."""

    verticals: Annotated[tuple[Vertical, ...], Field(min_length=1)] = get_args(Vertical)
    """All of them, two never trained on."""
    price_shift: Annotated[float, Field(ge=-3, le=3, allow_inf_nan=False)] = 0.10
    """Added to the log price level."""
    price_landscape: Landscapes = ("ipinyou", "ipinyou-exchange-4", "ipinyou")
    incident_kinds: tuple[IncidentKind, ...] = get_args(IncidentKind)[:5]
    """Two of them never trained on; the others have scenarios of their own."""


class Values(_Part):
    """What the advertiser and the platform earn, USD; an opportunity counts `impression_weight` times."""

    completion_usd: Dollars = 0.006
    conversion_usd: Dollars = 27.0
    recall_gain_usd: Dollars = 0.16
    """Per listener who starts to recall the brand."""
    recall_level_usd: Dollars = 0.16
    """Per listener who recalls the brand over the whole flight."""
    health_usd: Dollars = 1.25
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
    budget_fraction: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 0.025
    """Median campaign budget as a fraction of the flight's volume at the price level."""
    daily_cap_fraction: Factor | None = None
    """Most that a campaign may spend in a day, as a fraction of the budget with which it started; None = no
    cap. Directives that re-split budgets leave it as it is."""
    placement_share: tuple[Share, Share, Share] = (0.66, 0.25, 0.09)
    """Share of opportunities by placement; with the default a quarter of listening has the screen in view."""
    verticals: Annotated[tuple[Vertical, ...], Field(min_length=1)] = get_args(Vertical)[:6]
    """Verticals that training and development markets draw from."""
    auction: Auction = Auction()
    rivals: Rivals = Rivals()
    listeners: Listeners = Listeners()
    response: Response = Response()
    incidents: Incidents = Incidents()
    values: Values = Values()
    held_out: HeldOut = HeldOut()
    journeys: JourneySettings | None = None
    """People and what they meet elsewhere (`envs.journeys`); None: conversions are the market's own."""

    @property
    def hours_per_interval(self) -> float:
        """Length of an interval on the market's clock."""
        return 24.0 / self.intervals_per_day

    def landscapes(self, held_out: bool = False) -> list[PriceLandscape]:
        """The price table that each placement resamples, on held-out markets or on others."""
        names = self.held_out.price_landscape if held_out else self.auction.price_landscape
        return [named_landscape(name) for name in names]

    @field_validator("placement_share")
    @classmethod
    def _whole(cls, share: tuple[float, ...]) -> tuple[float, ...]:
        if abs(sum(share) - 1.0) > 1e-6:
            raise ValueError(f"must add up to 1, got {share}")
        return share


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


def with_all_verticals(scenario: Scenario) -> Scenario:
    """The scenario with the verticals of its held-out markets in all markets.

    What is learned there has seen what it is tested on, and is good for comparison alone.
    """
    verticals = dict.fromkeys((*scenario.verticals, *scenario.held_out.verticals))
    return scenario.model_copy(update={"verticals": tuple(verticals)})


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the project."""
    return sorted(path.stem for path in (configs_directory() / "scenarios").glob("*.yaml"))
