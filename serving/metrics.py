"""Figures for Prometheus."""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.ledger_file import NANO

if TYPE_CHECKING:
    from serving.service import Service

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1)


class Metrics:
    """Counts what the service answers; asks it for the rest."""

    def __init__(self, service: Service) -> None:
        """A registry of the service's own, so that several may live in one process."""
        self._registry = CollectorRegistry()
        self._bids = Counter(
            "interlude_bid_requests", "Answered, by outcome.", ["outcome"], registry=self._registry
        )
        self._events = Counter("interlude_events", "Told, by answer.", ["answer"], registry=self._registry)
        self._seconds = Histogram(
            "interlude_bid_seconds", "From body to answer.", buckets=_SECONDS, registry=self._registry
        )
        self._outcome = {made: self._bids.labels("bid" if made else "no_bid") for made in (True, False)}
        self._registry.register(_State(service))

    def bid(self, seconds: float, made: bool) -> None:
        """One bid request was answered."""
        self._outcome[made].inc()
        self._seconds.observe(seconds)

    def events(self, answers: Sequence[str]) -> None:
        """Events were booked or refused."""
        for answer, count in Count(
            a if a in ("accepted", "duplicate") else "refused" for a in answers
        ).items():
            self._events.labels(answer).inc(count)

    def text(self) -> bytes:
        """The exposition format."""
        return bytes(generate_latest(self._registry))


class _State(Collector):
    """Figures that are read when they are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[GaugeMetricFamily]:
        service = self._service
        if not service.ready:
            return
        ledger = service.ledger
        for name, what, values in (
            ("budget", "Budget", ledger.budget),
            ("spent", "Spent", ledger.spent),
            ("reserved", "Reserved by bids", ledger.reserved),
        ):
            gauge = GaugeMetricFamily(f"interlude_{name}_usd", f"{what}, by campaign.", labels=["campaign"])
            for campaign, value in zip(service.brief.campaigns, values, strict=True):
                gauge.add_metric([campaign.name], value / NANO)
            yield gauge
        seconds = GaugeMetricFamily("interlude_role_seconds", "Of its last answer.", labels=["role"])
        stood_in = GaugeMetricFamily("interlude_stand_ins", "Times a stand-in answered.", labels=["role"])
        for role, taken in service.cast.seconds.items():
            seconds.add_metric([role], taken)
            stood_in.add_metric([role], service.notices.failures.get(role, 0))
        yield seconds
        yield stood_in
        cpu = "Processor time of the service."
        yield GaugeMetricFamily("interlude_cpu_seconds", cpu, value=time.process_time())
        yield GaugeMetricFamily(
            "interlude_interval", "Number of the interval.", value=service.market.interval
        )
