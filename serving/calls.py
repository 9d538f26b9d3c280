"""What clients ask of a service, by HTTP or gRPC: bodies read, faults told alike."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import to_json

from envs.errors import InterludeError
from serving.bidding import bid_number
from serving.journey_rows import JourneysTold
from serving.ledger_file import KINDS, Event
from serving.metrics import Metrics
from serving.openrtb import read_request
from serving.service import ConflictError, Service

BODY_LIMIT: Final = 256 * 1024
VERSION: Final = version("interlude")
Word = Annotated[str, Field(min_length=1, max_length=128)]


class EventTold(BaseModel):
    """One event as a platform tells it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Word
    type: Annotated[str, Field(pattern=f"^({'|'.join(KINDS)})$")]
    bid: Word | None = None
    campaign: Word | None = None
    segment: Annotated[int, Field(ge=0, lt=4)] | None = None
    price: float = Field(0.0, ge=0, le=1e9, allow_inf_nan=False)
    """CPM paid, of an impression."""
    count: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)
    """Whole, but for conversions, of which a platform may report parts."""

    @model_validator(mode="after")
    def _whole(self) -> EventTold:
        if self.type != "conversion" and self.count % 1.0:
            raise ValueError(f"count of {self.type} must be whole, got {self.count:g}")
        return self


class Events(BaseModel):
    """A batch of events, in order."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    events: Annotated[tuple[EventTold, ...], Field(max_length=1024)]


_EVENTS, _JOURNEYS = TypeAdapter(Events), TypeAdapter(JourneysTold)


class BadRequestError(Exception):
    """A request that cannot be understood; the message goes to the client."""


class Calls:
    """Bids and events of one service, and who may write."""

    def __init__(self, service: Service, token: str) -> None:
        """`token` that writing asks for."""
        self.service, self._token, self.metrics = service, token, Metrics(service)

    def may_write(self, authorization: str) -> bool:
        """Whether `Bearer TOKEN` was told."""
        return hmac.compare_digest(authorization.encode("utf-8", "replace"), f"Bearer {self._token}".encode())

    def bid(self, body: bytes) -> bytes | None:
        """An OpenRTB request's response, or None for no bid.

        Raises:
            ValueError: the body is no request.
        """
        started = time.perf_counter()
        answer = self.service.bid(read_request(body))
        self.metrics.bid(time.perf_counter() - started, answer is not None)
        return None if answer is None else to_json(answer)

    def events(self, body: bytes) -> dict[str, Any]:
        """Books events: how many were accepted, were known already, and which were refused, and why.

        Raises:
            ValueError: the body holds no events.
        """
        told = _EVENTS.validate_json(body).events
        names = {campaign.name: c for c, campaign in enumerate(self.service.brief.campaigns)}
        answers = self.service.book([_event_of(event, names) for event in told])
        self.metrics.events(answers)
        refused = [
            {"id": event.id, "reason": answer}
            for event, answer in zip(told, answers, strict=True)
            if answer not in ("accepted", "duplicate")
        ]
        counts = {"accepted": answers.count("accepted"), "duplicate": answers.count("duplicate")}
        return {**counts, "refused": refused}

    def journeys(self, body: bytes) -> dict[str, int]:
        """Keeps touches and conversions of a campaign's journeys: how many are new.

        Raises:
            ValueError: the body holds none.
            ConflictError: no such campaign, or the flight's brief says that no journeys are told.
        """
        told = _JOURNEYS.validate_json(body)
        return {"accepted": self.service.hear_journeys(told)}


def _event_of(told: EventTold, campaigns: Mapping[str, int]) -> Event:
    campaign = campaigns.get(told.campaign or "")
    return Event(told.id, told.type, bid_number(told.bid), campaign, told.segment, told.count, told.price)


FAULTS: Final = (BadRequestError, InterludeError, ValueError, RecursionError)
"""What a client's request may raise; anything else is a fault of ours."""


def fault_of(error: Exception) -> tuple[int, str]:
    """Status by HTTP's numbers, and what to tell the client."""
    if isinstance(error, ConflictError):
        return 409, str(error)
    if isinstance(error, BadRequestError):
        return 400, str(error)
    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_context=False, include_input=False)[:5]
        return 400, "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    return 400, f"{type(error).__name__}: {error}"[:500]
