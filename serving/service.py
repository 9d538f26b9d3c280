"""A served team: bundle, flight, ledger and roles, from requests and events to bids and reports.

One `Service` owns a ledger. Between intervals everything a request needs is a snapshot; `advance` closes an
interval and lets the roles answer, while bids go on by the old one: what takes long is done in threads, and
what is written is written by the event loop alone. What happened is on file, and a service
that starts on a ledger plays the intervals on file again: roles come to the beliefs they had.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as bytes_of

from envs.catalogue import SCRIPTS, SEGMENTS
from envs.errors import InterludeError
from envs.market import Observations
from envs.protocol import ATTRIBUTION, held_out_share
from envs.state import Float, Outcome
from policies.bundle import Bundle, open_bundle
from policies.policy import Flight
from policies.team import Team
from serving.bidding import Snapshot, bid_for, creative_id, snapshot_of
from serving.brief import FlightBrief, Report, example_brief
from serving.impression_rows import ImpressionRows
from serving.journey_rows import JourneysTold, rows_in
from serving.ledger import Ledger
from serving.ledger_cells import cells_in
from serving.ledger_file import NANO, Event
from serving.live_market import LiveMarket, outcome_of
from serving.notices import Notices
from serving.openrtb import BidRequest
from serving.packing import packed, unpacked
from serving.rehearsal import rehearse
from serving.roles import DEADLINE_SECONDS, Cast, History, Seen, in_thread, local_cast

CastMaker = Callable[[Callable[[], Team], float], Cast]


class ConflictError(InterludeError):
    """Something that cannot be done now."""


class Service:
    """Serves one bundle and one flight."""

    def __init__(
        self,
        bundle: str | Path,
        folder: str | Path,
        brief: FlightBrief | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        reservation_seconds: float = 60.0,
        make_cast: CastMaker = local_cast,
    ) -> None:
        """Opens bundle and ledger; `start` makes it ready.

        Args:
            bundle: folder of a bundle; a reload opens the same path again.
            folder: of the ledger.
            brief: flight to begin with where the ledger holds none; an example if None.
            deadline_seconds: that a role has in an interval.
            reservation_seconds: that a bid's price is kept free.
            make_cast: where the roles run.

        Raises:
            InterludeError: bundle or ledger cannot be used.
        """
        self.path = Path(bundle)
        self.bundle = open_bundle(self.path)
        self.ledger = Ledger(folder, reservation_seconds=reservation_seconds)
        self._brief = brief
        self._deadline_seconds, self._make_cast = deadline_seconds, make_cast
        self.notices = Notices()
        self.snapshot: Snapshot | None = None
        """None where nothing may be bid: before the start, after the flight's end."""
        self._acted = False
        self._busy = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether a flight is open."""
        return getattr(self, "history", None) is not None

    async def start(self) -> None:
        """Goes on with the flight on file, or begins one."""
        await in_thread(lambda: rehearse(self.bundle))
        self.cast = self._make_cast(self.bundle.team, self._deadline_seconds)
        on_file = self.ledger.brief
        if on_file is None:
            await self.begin(self._brief or example_brief(self.bundle.scenario))
            return
        try:
            self.brief = FlightBrief.model_validate_json(on_file)
        except ValidationError as error:
            raise InterludeError(f"the ledger's flight is of another version: {error}") from error
        async with self._busy:
            self._go_on_with(await in_thread(lambda: self._opened(self.brief)))
            await in_thread(self._play_again)
            await self._act()

    async def begin(self, brief: FlightBrief) -> None:
        """Forgets the flight and begins another."""
        async with self._busy:
            opened = await in_thread(lambda: self._opened(brief))
            self.ledger.begin(brief.model_dump_json(), [c.budget_usd for c in brief.campaigns])
            self.snapshot, self.brief, self.notices = None, brief, Notices()
            self._go_on_with(opened)
            await self._act()

    def _opened(self, brief: FlightBrief) -> tuple[LiveMarket, History]:
        """A market and a history at a flight's start."""
        market = LiveMarket(brief, self.bundle.scenario)
        flight = Flight(
            market.scenario,
            1,
            len(brief.campaigns),
            np.array([brief.policy_seed], np.uint64),
            listening=brief.listening(),
        )
        attributed = brief.journeys and self.bundle.manifest.attribution is not None
        history = History(f"{brief.id}@{time.time_ns()}", flight, attributed=attributed)
        history.deliveries.append(Seen(market.start()))
        return market, history

    def _go_on_with(self, opened: tuple[LiveMarket, History]) -> None:
        self.market, self.history = opened
        self._listener = {listener.id: index for index, listener in enumerate(self.brief.listeners)}
        self._rows = ImpressionRows(float(self.market.constants.weight))
        if self.bundle.manifest.attribution is not None and not self.history.attributed:
            text = "this flight's brief tells no journeys (`journeys`): the team plays without attribution"
            self.alert("role", "none", "warning", f"{ATTRIBUTION}: {text}")

    def _see(self, observations: Observations) -> None:
        """Keeps what every role sees after an interval."""
        t, log, journeys = self.market.interval, None, None
        with self.ledger.reading() as db:
            if self._listener:
                log = self._rows.of(db, t - 1, self.market.parameters.attention[0, t - 1])
            if self.history.attributed:
                journeys = rows_in(db, t - 1, len(self.brief.campaigns))
        told = Seen(observations, log, self.market.board.credit, journeys)
        self.history.deliveries.append(told)

    def _play_again(self) -> None:
        """Brings the market to where the intervals on file left it."""
        per_day = self.market.scenario.intervals_per_day
        for played in self.ledger.played():
            actions = unpacked(played.actions)
            self.market.begin(actions, np.frombuffer(played.left_before))
            if played.outcome is None or played.left_after is None:
                self._acted = True
                break
            outcome = Outcome(**tensors_of(played.outcome))
            self._see(self.market.close(outcome, np.frombuffer(played.left_after)))
        self.ledger.recount_day(self.market.interval // per_day * per_day)

    async def _act(self) -> None:
        """Lets the roles answer, puts their answers into force and shows them to the bid path."""
        market, notices = self.market, self.notices
        if market.ended:
            self.snapshot = None
            return
        if not self._acted:
            actions, failures = await self.cast.act(self.history)
            notices.hear_failures(market.interval, failures)
            before = self.ledger.left_usd()
            left, on_file = await in_thread(lambda: (market.begin(actions, before), packed(actions)))
            if not self.ledger.act(market.interval, on_file, before, left):
                self.alert("ledger", "none", "notice", "reservations kept budgets from being re-split")
            names = [campaign.name for campaign in self.brief.campaigns]
            notices.hear_monitor(market.interval, names, market.board)
        self._acted = False
        campaigns, listener = self.brief.campaigns, self._listener
        self.snapshot = await in_thread(lambda: snapshot_of(market, campaigns, listener))

    def alert(self, source: str, kind: str, severity: str, text: str) -> None:
        """Keeps a notice of the running interval."""
        self.notices.add(self.market.interval, source, kind, severity, text)

    # What is asked of it.

    def bid(self, request: BidRequest) -> dict[str, Any] | None:
        """The response to a bid request, or None for no bid."""
        return None if self.snapshot is None else bid_for(request, self.snapshot, self.ledger)

    def book(self, events: Sequence[Event]) -> list[str]:
        """Books events; see `Ledger.book`."""
        return self.ledger.book(events)

    def hear_journeys(self, told: JourneysTold) -> int:
        """Keeps what was told of a campaign's journeys; gives how much is new.

        Raises:
            ConflictError: no such campaign, or the flight's brief tells no journeys.
        """
        names = [campaign.name for campaign in self.brief.campaigns]
        if told.campaign not in names:
            raise ConflictError(f"no campaign {told.campaign!r} in this flight; there are {', '.join(names)}")
        if not self.brief.journeys:
            raise ConflictError("this flight's brief tells no journeys: begin one with `journeys` true")
        return self.ledger.journeys(names.index(told.campaign), told)

    async def advance(self, report: Report, interval: int | None = None) -> None:
        """Ends the interval: the roles see what it brought, and answer.

        Args:
            report: what the platform measured.
            interval: which one ends; a repeated call for one that has ended does nothing.

        Raises:
            ConflictError: the flight has ended, another interval is running, or the report does not fit.
        """
        async with self._busy:
            market = self.market
            if interval is not None and interval == market.interval - 1:
                return
            if market.ended or (interval is not None and interval != market.interval):
                where = "the flight has ended" if market.ended else f"interval {market.interval} is running"
                raise ConflictError(f"cannot end interval {interval}: {where}")
            problem = report.check(len(self.brief.campaigns))
            if problem:
                raise ConflictError(f"report: {problem}")
            t = market.interval
            left = self.ledger.turn(t)
            if (t + 1) % market.scenario.intervals_per_day == 0:
                self.ledger.new_day()
            outcome, observations = await in_thread(lambda: self._close(t, report, left))
            self.ledger.close(t, outcome, left.tobytes())
            await in_thread(lambda: self._see(observations))
            await self._act()

    def _close(self, t: int, report: Report, left_usd: Float) -> tuple[bytes, Observations]:
        """What interval t brought, as the ledger keeps it, and what every role sees of it."""
        market = self.market
        with self.ledger.reading() as db:
            cells = cells_in(db, t, float(market.constants.weight), len(self.brief.campaigns))
        outcome = outcome_of(cells, market.last_outcome, report)
        arrays = {name: np.ascontiguousarray(array) for name, array in outcome._asdict().items()}
        return bytes_of(arrays), market.close(outcome, left_usd)

    async def reload(self) -> str:
        """Opens the bundle's path again and goes on with it; gives its name.

        Its golden flights are played from end to end first, and its roles catch up with the flight. Bids go
        on meanwhile.

        Raises:
            ConflictError: the bundle cannot be used; the old one stays.
        """
        async with self._busy:
            try:
                bundle: Bundle = await in_thread(lambda: open_bundle(self.path, whole_flights=True))
                if bundle.scenario != self.bundle.scenario:
                    raise InterludeError("it was made for another scenario: begin a service of its own")
                cast = self._make_cast(bundle.team, self._deadline_seconds)
                _, failures = await cast.act(self.history)
                for failure in failures:
                    known = failure.role in self.notices.failing  # the old one fails there, too
                    if not failure.suspected and not known:
                        raise InterludeError(f"its {failure.role} fails: {failure.reason}")
            except InterludeError as error:
                self.alert("reload", "none", "critical", f"rolled back: {error}")
                raise ConflictError(f"the bundle was not changed: {error}") from error
            self.bundle, self.cast = bundle, cast
            self.alert("reload", "none", "notice", f"{bundle.manifest.name} took over")
            return bundle.manifest.name

    def state(self) -> dict[str, Any]:
        """Where the flight and its campaigns stand."""
        market, ledger = self.market, self.ledger
        held_out = held_out_share(market.board, 1, len(self.brief.campaigns))[0]
        return {
            "flight": self.brief.id,
            "bundle": self.bundle.manifest.name,
            "interval": market.interval,
            "intervals": market.scenario.intervals,
            "ended": market.ended,
            "stand_ins": dict(self.notices.failures),
            "attribution": self.bundle.manifest.attribution if self.history.attributed else None,
            "campaigns": [
                {
                    "name": campaign.name,
                    "vertical": campaign.vertical,
                    "budget_usd": ledger.budget[c] / NANO,
                    "spent_usd": ledger.spent[c] / NANO,
                    "reserved_usd": ledger.reserved[c] / NANO,
                    "pacing_error": float(market.board.spend_plan.pacing_error[0, c]),
                    "win_rate": float(market.board.spend_plan.win_rate[0, c]),
                    "hold_out": float(held_out[c]),
                    "paused": bool((market.controls.throttle[0, c] == 0).all()),
                    "off_air": [
                        name for v, name in enumerate(SCRIPTS) if market.board.creative_pause.script[0, c, v]
                    ],
                    "creatives": {
                        name: creative_id(c, int(market.aired[0, c, s])) for s, name in enumerate(SEGMENTS)
                    },
                }
                for c, campaign in enumerate(self.brief.campaigns)
            ],
        }

    def close(self) -> None:
        """Closes the ledger."""
        self.ledger.close_file()
