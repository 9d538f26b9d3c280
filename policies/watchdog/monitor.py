"""The watchdog as a policy: alerts of episodes, advice to throttle or pause, and probes to resume."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import numpy as np

from envs.catalogue import ADVICE, ALERT_KINDS, INCIDENTS_ON_CREATIVES, MAX_CAMPAIGNS, P, V
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import Alert, CreativeAlert
from envs.state import Bool, Float
from policies.cell_counts import CellCounts, CellReader
from policies.policy import Flight
from policies.watchdog.detectors import ConfidenceSequence, Cusum, Detector
from policies.watchdog.episodes import Episodes
from policies.watchdog.signals import KINDS, PLACES, SCOPE, Signals
from policies.watchdog.thresholds import FALSE_ALARMS_PER_CAMPAIGN_WEEK, season, thresholds

_SCHEMA = SCHEMAS["monitor"]
DETECTORS: Final[dict[str, Callable[[], Detector]]] = {
    "invalid_traffic": lambda: Cusum(20.0),
    "rival_surge": lambda: Cusum(1.4, shape=40.0),
    "tracking_outage": lambda: Cusum(10.0),
    "creative_burn_out": lambda: Cusum(1.65),
    "overspend": lambda: Cusum(10.0),
    "frequency_breach": lambda: Cusum(3.0),
    "dislike_surge": lambda: Cusum(4.0, shape=4.0),
    "silent_agent": lambda: Cusum(0.02, shape=1.0),
    "ctr_drop": lambda: Cusum(0.12, shape=2.0),
    "cpa_breach": lambda: ConfidenceSequence(rises=False),
}
"""What watches each kind's signal: its size is known where a fault has one, and searched for where not."""
RESPONSE: Final[dict[str, tuple[str, str]]] = {
    "invalid_traffic": ("pause", "critical"),
    "rival_surge": ("none", "notice"),
    "tracking_outage": ("none", "notice"),
    "creative_burn_out": ("pause", "notice"),
    "overspend": ("throttle", "critical"),
    "frequency_breach": ("throttle", "critical"),
    "dislike_surge": ("pause", "warning"),
    "silent_agent": ("none", "warning"),
    "ctr_drop": ("pause", "warning"),
    "cpa_breach": ("none", "notice"),
}
"""Advice and severity of each kind's alert: advice that is worth it if it comes in time. Kinds that strike
one creative advise of that creative, never of placements."""
OF_CREATIVES: Final = INCIDENTS_ON_CREATIVES
"""Kinds that are told creative by creative; the campaign hears of them on all placements, too."""
URGENCY: Final = (
    *("invalid_traffic", "tracking_outage", "frequency_breach", "overspend", "dislike_surge"),
    *("cpa_breach", "ctr_drop", "silent_agent", "rival_surge", "creative_burn_out"),
)
"""Which alert a campaign and placement carries where several are due."""
HELD_INTERVALS: Final = 3
"""How long a throttle or a pause is advised before a probe: past faults lasted four to eight intervals, and
three are gone before the first of it is enforced."""
PROBED_INTERVALS: Final = 5
"""Intervals after it in which alarms hold no more: news of the first that was let go comes three later, and
of past faults hardly any had longer to run."""
DELIVERY: Final = 2
"""Intervals from an alert to its enforcement: it is read one later, and directed one after that."""
_LET: Final = {"none": 1.0, "throttle": 0.4, "pause": 0.0, "resume": 1.0}
"""About what advice leaves of the bids: the orchestrator has its own mind."""


class Advisor:
    """Turns episodes into alerts of a campaign's placements or creatives, alarms into holds and probes."""

    def __init__(self, acts_on: Collection[str] = KINDS) -> None:
        """Of kinds whose alarms call for advice here; others are only news."""
        self.acts_on = acts_on

    def start(self, markets: int, places: int = P) -> None:
        """A new flight of markets, whose campaigns have so many places each."""
        self._shape = (markets, MAX_CAMPAIGNS, places)
        self._left = np.zeros(self._shape, np.int64)  # intervals of a hold (above 0) or of a probe (below)
        self._hold = np.zeros(self._shape, np.int64)  # what is advised while it lasts

    def advise(self, running: Mapping[str, Bool], alarmed: Mapping[str, Bool]) -> Alert:
        """Advice, kinds and severities, as the fields of an alert.

        An alarm throttles or pauses for some intervals; then what was held is let go, to see whether all is
        well, and held again if alarms are still coming when the probe is over.

        Args:
            running: by kind, [B, C, places] where an episode runs.
            alarmed: by kind, where the evidence since the last alarm was enough for another.
        """
        kind, severity = np.zeros(self._shape, np.int64), np.zeros(self._shape, np.int64)
        asked = np.zeros(self._shape, np.int64)
        for name in reversed([name for name in URGENCY if name in running]):
            advice, level = RESPONSE[name]
            advice = advice if name in self.acts_on else "none"
            kind = np.where(running[name], ALERT_KINDS.index(name), kind)
            severity = np.where(running[name], SEVERITY[level], severity)
            asked = np.where(alarmed[name] & (advice != "none"), ADVICE.index(advice), asked)
        released = self._left == 1
        self._left -= np.sign(self._left)
        self._left = np.where(released, -PROBED_INTERVALS, self._left)
        begins = (self._left == 0) & (asked > 0)
        self._left = np.where(begins, HELD_INTERVALS, self._left)
        self._hold = np.where(begins, asked, self._hold)
        told = np.where(released, ADVICE.index("resume"), 0)
        return Alert(np.where(self._left > 0, self._hold, told), kind, severity)


SEVERITY: Final = {"none": 0, "notice": 1, "warning": 2, "critical": 3}


class SequentialMonitor:
    """Sequential detectors on every kind's signal, at a false-alarm rate that is set and kept.

    Single creatives are watched where it is shown what campaigns see (`read_observations`); `creative_alert`
    then says which are wrong.
    """

    privileged = False

    def __init__(
        self,
        false_alarms_per_campaign_week: float = FALSE_ALARMS_PER_CAMPAIGN_WEEK,
        name: str = "watchdog",
        levels: Mapping[str, float] | None = None,
    ) -> None:
        """The rate is of all kinds together, in a campaign and week; `levels` are thresholds in its place."""
        self.name, self.rate, self.levels = name, false_alarms_per_campaign_week, levels
        self._advisor = Advisor([kind for kind in KINDS if kind not in OF_CREATIVES])
        self._of_creatives = Advisor(OF_CREATIVES)

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._signals = Signals(flight.scenario, season())
        self._signals.start(flight.num_markets)
        levels = self.levels or thresholds(self.rate)
        self.episodes = {kind: Episodes(DETECTORS[kind](), levels[kind]) for kind in KINDS}
        for kind, episodes in self.episodes.items():
            episodes.start((flight.num_markets, PLACES[SCOPE[kind]]))
        self._advisor.start(flight.num_markets)
        self._of_creatives.start(flight.num_markets, V)
        self._cells = CellReader(flight)
        self._counts: CellCounts | None = None
        self.creative_alert: CreativeAlert | None = None
        self._let: list[Float] = [np.ones((flight.num_markets, MAX_CAMPAIGNS, P))] * (DELIVERY + 1)
        self._campaigns = flight.num_campaigns
        self._troubles, self._told = 0, 0  # how many were told of, intervals in which the last is still news

    def read_troubles(self, number: int) -> None:
        """A role of the team failed or began anew: told of for as long as a hold lasts."""
        self._told = HELD_INTERVALS if number > self._troubles else max(0, self._told - 1)
        self._troubles = number

    def read_observations(self, observations: Observations) -> None:
        """What campaigns see is the evidence of their creatives."""
        board = observations.board
        self._counts = self._cells.read(
            observations.creative, None if board is None else board.spend_plan.bid_usd
        )

    def act(self, observation: Observation) -> Alert:
        """Alerts for every campaign and placement; `creative_alert` holds those of creatives."""
        troubled = {kind: episodes.open for kind, episodes in self.episodes.items()}
        signals = self._signals.read(observation, self._let.pop(0), troubled, self._counts)
        for kind, signal in signals.items():
            self.episodes[kind].update(signal.observed, signal.expected)
        running, alarmed = (
            {kind: spread(kind, getattr(one, what), self._campaigns) for kind, one in self.episodes.items()}
            for what in ("open", "alarmed")
        )
        exists = _SCHEMA.view(observation[:, 0], "campaign_mask") > 0.5
        running["silent_agent"] = running["silent_agent"] | (exists[..., None] & (self._told > 0))
        self.creative_alert = CreativeAlert(*self._of_creatives.advise(*self._by_creative()))
        alert = self._advisor.advise(running, alarmed)
        self._let.append(np.choose(alert.advice, [_LET[name] for name in ADVICE]))
        return alert

    def _by_creative(self) -> tuple[dict[str, Bool], dict[str, Bool]]:
        """By kind, [B, MAX_CAMPAIGNS, V] where an episode runs, and where it alarms."""
        running, alarmed = (
            {kind: getattr(self.episodes[kind], what).reshape(-1, MAX_CAMPAIGNS, V) for kind in OF_CREATIVES}
            for what in ("open", "alarmed")
        )
        return running, alarmed


def spread(kind: str, where: Bool, campaigns: int) -> Bool:
    """A kind's places as campaigns and placements: [B, MAX_CAMPAIGNS, P], where campaigns exist."""
    scope = SCOPE[kind]
    if scope == "creative":
        scope, where = "campaign", np.asarray(where.reshape(-1, MAX_CAMPAIGNS, V).any(2))
    by_cell = where[:, :, None] if scope == "campaign" else where[:, None, :]
    exists = np.arange(MAX_CAMPAIGNS)[:, None] < campaigns
    return np.broadcast_to(by_cell, (len(where), MAX_CAMPAIGNS, P)) & exists
