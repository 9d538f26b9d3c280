"""Scripted orchestrator: a rule book for grants, throttles and pauses."""

from __future__ import annotations

import numpy as np

from envs.catalogue import (
    ADVICE,
    ALERT_KINDS,
    MAX_CAMPAIGNS,
    PLACEMENTS,
    SEGMENTS,
    SEVERITIES,
    P,
    S,
    of_creative,
)
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import MAX_AGGRESSION, Alert, CellCredit, CreativeAlert, CreativePause, Directive
from envs.state import Float, Int
from policies.budget_split import HIGHEST, LOWEST
from policies.policy import Flight

_SCHEMA = SCHEMAS["orchestrator"]
_THROTTLE, _PAUSE = ADVICE.index("throttle"), ADVICE.index("pause")
CRITICAL_THROTTLE = 1.0 / 3.0
"""Factor on bids where an alert to throttle is critical: what undoes bids that a fault has tripled."""
CREDIT_GAIN = 0.25
"""Power of a campaign's credited purchases per USD, against the mean, by which its money left is weighed."""


class RuleBook:
    """Follows the monitor's advice; grants video per segment to the campaign that gains most.

    Creatives that it is advised to pause are taken off air (`creative_pause`), where it is shown what was
    said of them (`read_observations`); of a campaign's creatives one at least stays.

    The grant goes to the highest claim (`CreativePlan.premium_value_usd`). Where nobody claims a segment it
    goes by promise: affinity × brief's video effect × budget pressure (share of budget left over share of
    flight left). `rotate` deals it out by turns instead, blind to both. `reasons` tells why. Where there
    is an attribution agent, each new message of it moves money towards campaigns that bring more for theirs.
    """

    privileged = False

    def __init__(
        self, *, rotate: bool = False, throttle: float = 0.5, pressure: float = 0.5, name: str = ""
    ) -> None:
        """`throttle` is the factor on bids that advice to throttle brings, a third at most if critical."""
        self.name = name or ("rotation" if rotate else "rule-book")
        self.rotate, self.throttle, self.pressure = rotate, throttle, pressure

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._interval, self._campaigns = 0, flight.num_campaigns
        self._credit: CellCredit | None = None
        self._credit_is_new = False
        self._heard: CreativeAlert | None = None
        self.creative_pause: CreativePause | None = None

    def read_observations(self, observations: Observations) -> None:
        """Hears what the monitor says of creatives."""
        self._heard = None if observations.board is None else observations.board.creative_alert

    def read_credit(self, credit: CellCredit) -> None:
        """Hears the attribution agent."""
        old = self._credit
        self._credit_is_new = old is None or credit.touches is not old.touches
        self._credit = credit

    def act(self, observation: Observation) -> Directive:
        """The directive for the next interval."""
        row = observation[:, 0].astype(np.float64)
        markets = len(row)
        advice = _SCHEMA.view(row, "alert_advice")
        critical = _SCHEMA.view(row, "alert_severity") == SEVERITIES.index("critical")
        reduced = np.where(critical, np.minimum(self.throttle, CRITICAL_THROTTLE), self.throttle)
        throttle = np.where(advice == _THROTTLE, reduced, 1.0)
        throttle = np.where(advice == _PAUSE, 0.0, throttle)
        grant = self._rotation(markets) if self.rotate else self._by_claim(row)
        self._interval += 1
        self._row = row
        self.creative_pause = None if self._heard is None else paused_creatives(self._heard)
        self._directive = Directive(
            budget_share=self._by_credit(row),
            aggression_cap=np.full((markets, MAX_CAMPAIGNS), MAX_AGGRESSION),
            throttle=throttle,
            pause=np.zeros((markets, MAX_CAMPAIGNS), np.int64),
            premium_grant=grant,
        )
        return self._directive

    def reasons(self, market: int = 0) -> list[str]:
        """Why the last directive says what it says to one market: a line a decision."""
        return [*self._throttled(market), *self._off_air(market), *self._granted(market)]

    def _throttled(self, b: int) -> list[str]:
        told = [_SCHEMA.view(self._row, f"alert_{part}")[b].astype(int) for part in Alert._fields]
        lines = []
        for c, p in np.argwhere(self._directive.throttle[b, : self._campaigns] < 1.0):
            advice, kind, severity = (int(part[c, p]) for part in told)
            lines.append(
                f"bids of campaign {c} on {PLACEMENTS[p]} x {self._directive.throttle[b, c, p]:.2f}: the "
                f"monitor advises to {ADVICE[advice]} for {ALERT_KINDS[kind]} ({SEVERITIES[severity]})"
            )
        return lines

    def _off_air(self, b: int) -> list[str]:
        if self.creative_pause is None or self._heard is None:
            return []
        return [
            f"{of_creative(int(c), int(v))} is taken off air: the monitor advises to pause it for "
            f"{ALERT_KINDS[int(self._heard.kind[b, c, v])]} "
            f"({SEVERITIES[int(self._heard.severity[b, c, v])]})"
            for c, v in np.argwhere(self.creative_pause.script[b, : self._campaigns] == 1)
        ]

    def _granted(self, b: int) -> list[str]:
        claimed, promise = _SCHEMA.view(self._row, "premium_value_usd")[b], self._promise(self._row)[b]
        lines = []
        for s, name in enumerate(SEGMENTS):
            c = int(self._directive.premium_grant[b, s]) - 1
            if self.rotate:
                why = "its turn"
            elif claimed[c, s] > 0.0:
                rest = float(np.delete(claimed[: self._campaigns, s], c).max(initial=0.0))
                why = f"it claims {claimed[c, s]:.2f} USD an interval, the next {rest:.2f}"
            else:
                why = f"nobody claims it, and its promise is highest ({np.exp(promise[c, s]):.2f})"
            lines.append(f"video for {name} to campaign {c}: {why}")
        return lines

    def _by_credit(self, row: Float) -> Float:
        """[B, MAX_CAMPAIGNS] weights on what is left: (purchases per USD / their mean)^gain, where sure."""
        weight, c = np.ones((len(row), MAX_CAMPAIGNS)), self._campaigns
        if self._credit is None or not self._credit_is_new:
            return weight
        touches = self._credit.touches[:, :c]
        purchases = (self._credit.conversions_per_touch[:, :c] * touches).sum((2, 3))
        error = np.sqrt(((self._credit.deviation[:, :c] * touches) ** 2).sum((2, 3)))
        budget_usd, left_usd = (_SCHEMA.view(row, f"budget{kind}_usd")[:, :c] for kind in ("", "_left"))
        per_usd = purchases / np.maximum(1e-9, budget_usd - left_usd)
        mean = per_usd.mean(1, keepdims=True)
        known = (mean > 0.0) & (purchases > 0.0)
        ratio = np.where(known, per_usd / np.where(mean > 0.0, mean, 1.0), 1.0)
        trust = 1.0 / (1.0 + (error / np.where(known, purchases, 1.0)) ** 2)
        weight[:, :c] = np.clip(np.exp(CREDIT_GAIN * trust * np.log(ratio)), LOWEST, HIGHEST)
        return weight

    def _rotation(self, markets: int) -> Int:
        turn = (self._interval // 4 + np.arange(S)) % self._campaigns
        return np.broadcast_to(1 + turn, (markets, S)).copy()

    def _by_claim(self, row: Float) -> Int:
        claimed = _SCHEMA.view(row, "premium_value_usd")
        grant: Int = 1 + np.where(claimed.max(1) > 0.0, claimed.argmax(1), self._promise(row).argmax(1))
        return grant

    def _promise(self, row: Float) -> Float:
        """[B, MAX_CAMPAIGNS, S] logs; -inf where there is no campaign."""
        affinity = np.log(np.maximum(1e-3, _SCHEMA.view(row, "segment_affinity")))
        left = _SCHEMA.view(row, "budget_left_usd") / np.maximum(1e-9, _SCHEMA.view(row, "budget_usd"))
        time_left = 1.0 - _SCHEMA.view(row, "elapsed_fraction")
        pressure = self.pressure * np.log((left + 0.01) / (time_left + 0.01)[:, None])
        log_video = _SCHEMA.view(row, "brief_log_video")
        exists = _SCHEMA.view(row, "campaign_mask")[..., None] > 0.5
        promise: Float = np.where(exists, affinity + log_video + pressure[..., None], -np.inf)
        return promise


def paused_creatives(alert: CreativeAlert) -> CreativePause:
    """Creatives that the monitor advises to pause; none of a campaign if that would be all it has."""
    advised = alert.advice == _PAUSE
    return CreativePause((advised & ~advised.all(2, keepdims=True)).astype(np.int64))


class NoOrchestrator(RuleBook):
    """Nobody directs: video by turns, for somebody must have it; no advice is followed, no money moved."""

    def __init__(self) -> None:
        """What there is without an orchestrator."""
        super().__init__(rotate=True, throttle=1.0, name="none")

    def act(self, observation: Observation) -> Directive:
        """Grants by turns."""
        heeded_nothing = np.ones((len(observation), MAX_CAMPAIGNS, P))
        moved_nothing = np.ones((len(observation), MAX_CAMPAIGNS))
        self._directive = (
            super().act(observation)._replace(throttle=heeded_nothing, budget_share=moved_nothing)
        )
        self.creative_pause = None
        return self._directive
