"""What a service has to say: the monitor's alerts, roles that fail, and its own faults."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from envs.catalogue import ADVICE, ALERT_KINDS, PLACEMENTS, SEVERITIES, V, of_creative, on_placement
from envs.protocol import Alert, Board, CreativeAlert
from serving.roles import RoleFailure

ALERTS_KEPT: Final = 256


class Notice(NamedTuple):
    """An alert of the monitor, or of the service about itself."""

    time: float  # seconds since 1970
    interval: int
    source: str  # monitor, role, reload, ledger, clock
    kind: str
    severity: str
    text: str


class Notices:
    """The newest alerts, and how often each role's stand-in had to answer in this flight."""

    def __init__(self) -> None:
        """None yet."""
        self.alerts: deque[Notice] = deque(maxlen=ALERTS_KEPT)
        self.failures: dict[str, int] = {}
        self.failing: dict[str, str] = {}
        """Why, by role, of those that failed when they were asked last."""

    def add(self, interval: int, source: str, kind: str, severity: str, text: str) -> None:
        """Keeps one."""
        self.alerts.append(Notice(time.time(), interval, source, kind, severity, text))

    def hear_failures(self, interval: int, failures: Sequence[RoleFailure]) -> None:
        """Counts whose stand-in answered, and says so once while it lasts; says whom it suspects."""
        for failure in failures:
            if failure.suspected:
                self.add(interval, "role", "silent_agent", "warning", f"{failure.role}: {failure.reason}")
        failing = {failure.role: failure.reason for failure in failures if not failure.suspected}
        for role, reason in failing.items():
            self.failures[role] = self.failures.get(role, 0) + 1
            if role not in self.failing:
                self.add(interval, "role", "silent_agent", "critical", f"{role}: {reason}")
        self.failing = failing

    def hear_monitor(self, interval: int, campaigns: Sequence[str], board: Board) -> None:
        """Alerts on the board of one market, of campaigns by name and of their creatives."""
        for c, campaign in enumerate(campaigns):
            where = [f"{campaign} {on_placement(placement)}" for placement in PLACEMENTS]
            self._keep(interval, where, c, board.alert)
            self._keep(interval, [of_creative(campaign, v) for v in range(V)], c, board.creative_alert)

    def _keep(self, interval: int, where: Sequence[str], c: int, alert: Alert | CreativeAlert) -> None:
        for n, place in enumerate(where):
            kind, severity = int(alert.kind[0, c, n]), int(alert.severity[0, c, n])
            if kind or severity:
                text = f"{place}; advice: {ADVICE[int(alert.advice[0, c, n])]}"
                self.add(interval, "monitor", ALERT_KINDS[kind], SEVERITIES[severity], text)
