"""What a service is told of a flight before it begins, and of every interval when it ends: public facts."""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from envs.catalogue import MAX_CAMPAIGNS, SEGMENTS, VERTICALS, P, S
from envs.generator import VERTICAL_TABLE
from envs.histories import ITEMS, Listening
from envs.recent_plays import RECENT, TOKENS
from envs.response import SLOW_MEMORY_HOURS, kept
from envs.scenario import Scenario, Vertical
from envs.state import Brief, Float

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
BySegment = Annotated[tuple[Finite, ...], Field(min_length=S, max_length=S)]
ByCell = tuple[tuple[tuple[Amount, ...], ...], ...]
LISTENERS: Final = 256
"""Anonymous listeners, spread evenly over segments, where a brief names none."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CampaignBrief(_Part):
    """One advertiser."""

    name: Name
    vertical: Vertical
    budget_usd: Positive
    affinity_hint: Annotated[tuple[Positive, ...], Field(min_length=S, max_length=S)] | None = None
    """By segment, 1 = average; the vertical's if None."""
    adomain: Annotated[str, Field(max_length=256)] = ""
    cat: Annotated[tuple[Name, ...], Field(max_length=32)] = ()
    """IAB categories, for requests that block some."""


class ListenerBrief(_Part):
    """One listener, or a cohort of listeners alike, that requests name as `user.id`."""

    id: Name
    segment: int = Field(ge=0, lt=S)
    plays: dict[Annotated[int, Field(ge=0, lt=ITEMS)], Annotated[int, Field(ge=0, le=2**31 - 1)]] = {}
    """How often each item of the catalogue was played before the flight."""
    recent: Annotated[tuple[Annotated[int, Field(ge=0, lt=TOKENS)], ...], Field(max_length=RECENT)] = ()
    """The last plays in order, the latest at the end: 4 · item + 2 · skipped + first of its session."""


class Report(_Part):
    """What the platform measured at an interval's end; a field left out stays as it was."""

    health: BySegment | None = None
    """Share of usual listening."""
    recall_survey: tuple[BySegment, ...] | None = None
    fatigue: tuple[BySegment, ...] | None = None
    """Mean log response lost to repetition."""
    frequency: tuple[BySegment, ...] | None = None
    """Mean exposures of a listener in this flight."""
    recent_exposure: tuple[BySegment, ...] | None = None
    price_usd: ByCell | None = None
    """[C, S, P] sum of prices to beat, of opportunities that could be won."""
    priced: ByCell | None = None
    """[C, S, P] how many those were. Without these two, prices paid stand for them."""

    def check(self, campaigns: int) -> str | None:
        """Why it does not fit so many campaigns, or None."""
        for name in ("recall_survey", "fatigue", "frequency", "recent_exposure"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != campaigns:
                return f"{name} tells of {len(rows)} campaigns; there are {campaigns}"
        for name in ("price_usd", "priced"):
            cells = getattr(self, name)
            if cells is not None and np.shape(_ragged(cells)) != (campaigns, S, P):
                return f"{name} must be [{campaigns}, {S}, {P}]"
        return None


class FlightBrief(_Part):
    """A flight: who advertises, to whom, at what hours."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    campaigns: Annotated[tuple[CampaignBrief, ...], Field(min_length=1, max_length=MAX_CAMPAIGNS)]
    listeners: Annotated[tuple[ListenerBrief, ...], Field(max_length=4096)] = ()
    """None, or at least 16, sorted by segment."""
    attention: tuple[tuple[Positive, Positive, Positive], ...] | None = None
    """[T, P] how attentively listeners hear, public; 1 everywhere if None."""
    event_interval: int = -1
    """When an announced event begins; −1 = none."""
    policy_seed: int = Field(0, ge=0, lt=2**64)
    report: Report = Report()
    journeys: bool = False
    """Whether touches and conversions of journeys are told (`POST /journeys`), which attribution reads."""

    @model_validator(mode="after")
    def _fits(self) -> FlightBrief:
        segments = [listener.segment for listener in self.listeners]
        if segments and (segments != sorted(segments) or len(segments) < 16):
            raise ValueError("listeners must be at least 16, sorted by segment")
        if len({listener.id for listener in self.listeners}) < len(segments):
            raise ValueError("two listeners have one id")
        if len({campaign.name for campaign in self.campaigns}) < len(self.campaigns):
            raise ValueError("two campaigns have one name")
        problem = self.report.check(len(self.campaigns))
        if problem:
            raise ValueError(f"report: {problem}")
        return self

    def scenario(self, trained: Scenario) -> Scenario:
        """The scenario a team was trained in, with this flight's campaigns and listeners."""
        count = len(self.listeners) or LISTENERS
        listeners = trained.listeners.model_copy(update={"count": count})
        return trained.model_copy(update={"campaigns": len(self.campaigns), "listeners": listeners})

    def segments(self) -> NDArray[np.int64]:
        """[L] segment of every listener."""
        if not self.listeners:
            return np.repeat(np.arange(S), LISTENERS // S)
        return np.array([listener.segment for listener in self.listeners], np.int64)

    def listening(self) -> Listening | None:
        """What listeners played, or None where nothing was told; their order where any was told."""
        if not any(listener.plays for listener in self.listeners):
            return None
        plays = np.zeros((1, len(self.listeners), ITEMS), np.int32)
        for row, listener in zip(plays[0], self.listeners, strict=True):
            for item, times in listener.plays.items():
                row[item] = times
        recent = None
        if any(listener.recent for listener in self.listeners):
            recent = np.full((1, len(self.listeners), RECENT), -1, np.int16)
            for row, listener in zip(recent[0], self.listeners, strict=True):
                row[RECENT - len(listener.recent) :] = listener.recent
        return Listening(plays, self.segments()[None], recent)

    def brief(self, scenario: Scenario) -> Brief:
        """The averages of the campaigns' verticals, as in training: [1, C, …]."""
        table = VERTICAL_TABLE
        vertical = np.array([[VERTICALS.index(campaign.vertical) for campaign in self.campaigns]])
        hours = scenario.hours_per_interval * scenario.time_acceleration
        return Brief(
            vertical=vertical,
            log_affinity=table.log_affinity[vertical],
            log_format=table.log_format[vertical],
            log_script=table.log_script[vertical],
            wear_out=scenario.response.wear_out * table.wear_out[vertical],
            recall_decay=np.asarray(kept(hours, SLOW_MEMORY_HOURS * table.memory_hours[vertical])),
            conversion=table.conversion[vertical],
            recall=table.recall[vertical],
        )

    def affinity_hint(self, brief: Brief) -> Float:
        """[1, C, S]."""
        hint = np.exp(brief.log_affinity)
        for c, campaign in enumerate(self.campaigns):
            if campaign.affinity_hint is not None:
                hint[0, c] = campaign.affinity_hint
        return hint


def example_brief(scenario: Scenario) -> FlightBrief:
    """A flight to try a service with: the scenario's number of campaigns, median budgets."""
    volume_usd = scenario.opportunities_per_interval * scenario.intervals * scenario.auction.price_level_usd
    campaigns = tuple(
        CampaignBrief(
            name=f"campaign-{c}",
            vertical=scenario.verticals[c % len(scenario.verticals)],
            budget_usd=scenario.budget_fraction * volume_usd,
        )
        for c in range(scenario.campaigns)
    )
    return FlightBrief(id="example", campaigns=campaigns)


def _ragged(cells: ByCell) -> NDArray[np.object_] | ByCell:
    """The cells, or an array of no particular shape where they have none."""
    try:
        np.asarray(cells, np.float64)
    except ValueError:
        return np.empty(0, object)
    return cells


__all__ = ["SEGMENTS", "CampaignBrief", "FlightBrief", "ListenerBrief", "Report", "example_brief"]
