"""What each role sees: one table of fields from which spaces, schema hash and documentation are made.

An observation is a float32 vector; a field is a named block of it with a shape, a unit and bounds.
`SCHEMAS[role].view(observation, name)` gives a field back in its shape, without a copy.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import ALERT_KINDS, MAX_CAMPAIGNS, SEVERITIES, F, P, S, V

Observation = NDArray[np.float32]
_BIG = 1e7


@dataclass(frozen=True)
class Field:
    """A named block of an observation."""

    name: str
    shape: tuple[int, ...]
    unit: str
    low: float
    high: float
    meaning: str

    @property
    def size(self) -> int:
        """How many numbers the field holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Schema:
    """The fields of one role's observation, in order."""

    role: str
    fields: tuple[Field, ...]

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each field lies."""
        found, start = {}, 0
        for field in self.fields:
            found[field.name] = slice(start, start + field.size)
            start += field.size
        return found

    @cached_property
    def size(self) -> int:
        """Length of the observation."""
        return sum(field.size for field in self.fields)

    @cached_property
    def low(self) -> Observation:
        """[size] lower bounds."""
        return np.concatenate([np.full(f.size, f.low, np.float32) for f in self.fields])

    @cached_property
    def high(self) -> Observation:
        """[size] upper bounds."""
        return np.concatenate([np.full(f.size, f.high, np.float32) for f in self.fields])

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Field of a name."""
        return {field.name: field for field in self.fields}

    def view(self, observation: NDArray[Any], name: str) -> NDArray[Any]:
        """A field of observations [..., size] in its own shape [..., *shape]."""
        return observation[..., self.slices[name]].reshape(*observation.shape[:-1], *self.by_name[name].shape)

    def pack(self, values: dict[str, NDArray[Any]], leading: tuple[int, ...]) -> Observation:
        """Observations [*leading, size] from the fields' values, clipped to their bounds."""
        if values.keys() != self.by_name.keys():
            raise ValueError(f"{self.role}: fields differ: {sorted(values.keys() ^ self.by_name.keys())}")
        packed = np.empty((*leading, self.size), np.float32)
        for field in self.fields:
            block = np.asarray(values[field.name], np.float64)
            rows = block.reshape(*leading, field.size)
            packed[..., self.slices[field.name]] = np.clip(rows, field.low, field.high)
        return packed

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that change whenever a field does."""
        table = [(f.name, f.shape, f.unit, f.low, f.high) for f in self.fields]
        return hashlib.sha256(json.dumps([self.role, table]).encode()).hexdigest()[:16]


def _fraction(name: str, shape: tuple[int, ...], meaning: str) -> Field:
    return Field(name, shape, "fraction", 0.0, 1.0, meaning)


def _count(name: str, shape: tuple[int, ...], meaning: str, unit: str = "count") -> Field:
    return Field(name, shape, unit, 0.0, _BIG, meaning)


def _log(name: str, shape: tuple[int, ...], meaning: str) -> Field:
    return Field(name, shape, "log factor", -10.0, 10.0, meaning)


_CLOCK = (
    _fraction("elapsed_fraction", (), "share of the flight gone"),
    Field("hour_sine", (), "sine", -1.0, 1.0, "time of day"),
    Field("hour_cosine", (), "cosine", -1.0, 1.0, "time of day"),
    _fraction("event_countdown", (), "share of the flight until the announced event; 1 without one"),
    _fraction("event_active", (), "1 while the announced event lasts"),
)
_CELL = (S, P)
CAMPAIGN_FIELDS: Final = (
    *_CLOCK,
    _count("budget_usd", (), "the campaign's budget", "USD"),
    _fraction("budget_left_fraction", (), "budget left / budget"),
    Field("pacing_error", (), "fraction", -1.0, 1.0, "share spent − share of the flight gone"),
    Field("attention", (P,), "factor", 0.0, 10.0, "attention by placement in this interval"),
    _log("brief_log_affinity", (S,), "the vertical's average affinity"),
    _log("brief_log_format", (S, F), "the vertical's average effect of formats"),
    _log("brief_log_script", (S, V), "the vertical's average effect of scripts"),
    Field("brief_wear_out", (), "per unit of wear", 0.0, 10.0, "the vertical's average wear-out"),
    _fraction("brief_recall_decay", (), "slow memory kept an interval"),
    Field("brief_conversion", (), "factor", 0.0, 10.0, "the vertical's average conversion factor"),
    Field("brief_recall", (), "factor", 0.0, 10.0, "the vertical's average recall factor"),
    Field("affinity_hint", (S,), "factor", 0.0, 100.0, "noisy segment mean of affinity from past campaigns"),
    Field("segment_affinity", (S,), "factor", 0.0, 10.0, "message of audience_0"),
    _fraction("segment_confidence", (S,), "message of audience_0"),
    Field("aggression_cap", (), "bid per predicted value", 0.0, 100.0, "directive"),
    Field("budget_share", (), "weight", 0.0, 10.0, "directive"),
    _fraction("pause", (), "directive"),
    _fraction("throttle", (P,), "directive"),
    _fraction("premium_grant", (S,), "directive: video may be trafficked now"),
    Field("alert_severity", (P,), "index", 0.0, len(SEVERITIES) - 1.0, "message of monitor_0"),
    Field("alert_kind", (P,), "index", 0.0, len(ALERT_KINDS) - 1.0, "message of monitor_0"),
    _fraction("expected_completion", (S,), "message of the campaign's creative agent"),
    _fraction("win_rate_plan", (), "message of the campaign's bidding agent"),
    _count("marginal_price_usd", (), "message of the campaign's bidding agent", "USD"),
    _fraction("on_air_format", (S, F), "one-hot: airs in this interval"),
    _fraction("on_air_script", (S, V), "one-hot"),
    _fraction("on_air_long", (S,), "1 = long spot"),
    _fraction("on_air_early", (S,), "1 = early call to action"),
    Field("wear", (S, F, V), "impressions per listener, decayed", 0.0, 1e3, "wear of each asset"),
    Field(
        "fatigue", (S,), "log response lost", 0.0, 100.0, "mean effect of repetition, by the platform's model"
    ),
    Field("frequency", (S,), "impressions per listener", 0.0, 1e4, "this flight"),
    Field("recent_exposure", (S,), "impressions per listener, decayed", 0.0, 1e3, "massing"),
    Field("recall_survey", (S,), "fraction", -0.5, 1.5, "noisy survey of brand recall"),
    _fraction("health", (S,), "listening against its usual level"),
    _count("opportunities", _CELL, "last interval, simulated"),
    _count("wins", _CELL, "last interval, simulated impressions"),
    _count("spend_usd", _CELL, "last interval", "USD"),
    Field("predicted_won", _CELL, "factor", 0.0, _BIG, "predicted affinity × quality summed over wins"),
    _count("completions", _CELL, "last interval, as tracked"),
    _count("skips", _CELL, "last interval"),
    _count("dislikes", _CELL, "last interval"),
    _count("clicks", _CELL, "last interval, as tracked"),
    _count("conversions", (S,), "reported in the last interval"),
    _count("price_usd", _CELL, "running mean of the price to beat", "USD"),
    _fraction("win_rate", _CELL, "running mean of wins / opportunities"),
)
_ALL = (MAX_CAMPAIGNS,)
_ALL_S = (MAX_CAMPAIGNS, S)
_ALL_P = (MAX_CAMPAIGNS, P)
AUDIENCE_FIELDS: Final = (
    *_CLOCK,
    _fraction("campaign_mask", _ALL, "1 where a campaign exists"),
    Field(
        "affinity_hint", _ALL_S, "factor", 0.0, 100.0, "noisy segment mean of affinity from past campaigns"
    ),
    _log("brief_log_affinity", _ALL_S, "the vertical's average affinity"),
    _count("wins", _ALL_S, "last interval, simulated impressions"),
    Field("predicted_won", _ALL_S, "factor", 0.0, _BIG, "predicted affinity × quality summed over wins"),
    _count("completions", _ALL_S, "last interval, as tracked"),
    _count("clicks", _ALL_S, "last interval, as tracked"),
    _count("expected_clicks", _ALL_S, "clicks that predicted values and creatives on air foretold"),
    _fraction("health", (S,), "listening against its usual level"),
)
MONITOR_FIELDS: Final = (
    *_CLOCK,
    _fraction("campaign_mask", _ALL, "1 where a campaign exists"),
    _fraction("budget_left_fraction", _ALL, "budget left / budget"),
    Field("pacing_error", _ALL, "fraction", -1.0, 1.0, "share spent − share of the flight gone"),
    Field("frequency", _ALL, "impressions per listener", 0.0, 1e4, "this flight"),
    _count("conversions", _ALL, "reported in the last interval"),
    _count("opportunities", (P,), "last interval, simulated"),
    _count("wins", _ALL_P, "last interval, simulated impressions"),
    _count("spend_usd", _ALL_P, "last interval", "USD"),
    _count("completions", _ALL_P, "last interval, as tracked"),
    _count("expected_completions", _ALL_P, "completions that briefs foretell for the creatives aired"),
    _count("clicks", _ALL_P, "last interval, as tracked"),
    _count("expected_clicks", _ALL_P, "clicks that briefs foretell for the creatives aired"),
    _count("skips", _ALL_P, "last interval"),
    _count("dislikes", _ALL_P, "last interval"),
    _count("price_usd", _ALL_P, "mean price to beat in the last interval; 0 without one", "USD"),
)
ORCHESTRATOR_FIELDS: Final = (
    *_CLOCK,
    _fraction("campaign_mask", _ALL, "1 where a campaign exists"),
    _count("budget_usd", _ALL, "budgets", "USD"),
    _count("budget_left_usd", _ALL, "budgets left", "USD"),
    Field("segment_affinity", _ALL_S, "factor", 0.0, 10.0, "message of audience_0"),
    _fraction("segment_confidence", _ALL_S, "message of audience_0"),
    _log("brief_log_video", _ALL_S, "the vertical's average effect of video"),
    _fraction("plan_video", _ALL_S, "creative plan: 1 where video airs next"),
    _fraction("expected_completion", _ALL_S, "creative plan"),
    Field("pacing_error", _ALL, "fraction", -1.0, 1.0, "spend plan"),
    _fraction("win_rate", _ALL, "spend plan"),
    _count("marginal_price_usd", _ALL, "spend plan", "USD"),
    Field("alert_advice", _ALL_P, "index", 0.0, 3.0, "message of monitor_0"),
    Field("alert_kind", _ALL_P, "index", 0.0, len(ALERT_KINDS) - 1.0, "message of monitor_0"),
    Field("alert_severity", _ALL_P, "index", 0.0, len(SEVERITIES) - 1.0, "message of monitor_0"),
    _fraction("throttle", _ALL_P, "directive in force"),
    _fraction("health", (S,), "listening against its usual level"),
    _count("premium_value_usd", _ALL_S, "creative plan: what video is claimed to bring, 0 = no claim", "USD"),
)
SCHEMAS: Final[dict[str, Schema]] = {
    role: Schema(role, fields)
    for role, fields in (
        ("audience", AUDIENCE_FIELDS),
        ("creative", CAMPAIGN_FIELDS),
        ("bidding", CAMPAIGN_FIELDS),
        ("monitor", MONITOR_FIELDS),
        ("orchestrator", ORCHESTRATOR_FIELDS),
    )
}
ROLES: Final = tuple(SCHEMAS)
CLOCK: Final = Schema("clock", _CLOCK)
"""The fields with which every role's observation begins."""


def schema_hash() -> str:
    """Sixteen hexadecimal digits over all roles' observations: what a trained policy was made for."""
    return hashlib.sha256("".join(schema.hash for schema in SCHEMAS.values()).encode()).hexdigest()[:16]
