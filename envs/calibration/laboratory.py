"""Markets under full control: the kernels of the market, with every bid and creative set by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs.bids import SERVED
from envs.catalogue import P, S
from envs.constants import constants_of
from envs.dynamics import new_state, play_interval
from envs.feedback import bring_feedback, prepare_creatives
from envs.generator import draw_markets
from envs.kernel import kernel
from envs.opportunities import BLOCK
from envs.scenario import Scenario
from envs.scratch import new_scratch
from envs.seeds import market_seeds
from envs.state import Controls, Int, MarketParameters, Outcome, empty_outcome

CALM: Final = {"event_probability": 0.0, "incident_probability": 0.0}
"""Incidents of a scenario in which nothing goes wrong and nothing is announced."""
UNLIMITED: Final = 1e6
_FIRST_ITEM: Final = 1 << 20
"""Numbers of exposures by hand, beyond those of any interval's opportunities."""


def scenario(**changes: Any) -> Scenario:
    """The default market without incidents and events, on the field's own clock, changed by these fields."""
    fields: dict[str, Any] = {
        "name": "calibration",
        "description": "an experiment of the calibration",
        "time_acceleration": 1.0,
        "incidents": CALM,
    }
    return Scenario.model_validate(fields | changes)


class Laboratory:
    """B training markets of one scenario; their truth, state and controls may be changed between steps."""

    def __init__(self, kind: Scenario, count: int, seed: int = 0) -> None:
        """Draws the markets; nobody bids until `bid` says so."""
        self.scenario = kind
        self.truth: MarketParameters = draw_markets(market_seeds("train", seed, 0, count), kind, "train")[0]
        self.shape = (count, kind.campaigns, S, P)
        self.state = new_state(self.truth, np.zeros(self.shape[:3], np.int64))
        self.constants = constants_of(kind)
        self.controls = Controls(
            multiplier=np.zeros(self.shape),
            throttle=np.ones((count, kind.campaigns, P)),
            aggression_cap=np.full((count, kind.campaigns), UNLIMITED),
            predicted_affinity=np.ones(self.truth.affinity.shape),
        )
        listeners = kind.listeners.count
        self._scratch = new_scratch(
            kind.campaigns, listeners, max(kind.auction.slots), block=max(BLOCK, listeners)
        )
        self.interval = 0
        self._exposures = _FIRST_ITEM

    def bid(self, multiplier: float | NDArray[np.float64]) -> None:
        """Sets bids per predicted value: anything that broadcasts to [B, C, S, P]."""
        self.controls.multiplier[:] = multiplier

    def air(self, arm: int | Int) -> None:
        """Sets the creatives on air: anything that broadcasts to [B, C, S]."""
        self.state.on_air[:] = arm

    def even_prices(self) -> None:
        """Rivals that are all alike, never tire and never run out: the price table itself, nothing on it."""
        kind, truth = self.scenario, self.truth
        truth.rival_level[:] = np.array(kind.auction.placement_price)
        truth.rival_drift[:] = 1.0
        truth.rival_budget_usd[:] = UNLIMITED
        self.state.rival_left_usd[:] = UNLIMITED
        truth.rival_paces[:] = False

    def play(self) -> Outcome:
        """One interval; what is on air stays on air."""
        outcome = empty_outcome(*self.shape)
        play_interval(
            self.truth,
            self.state,
            self.constants,
            self.controls,
            outcome,
            self._scratch,
            self.state.on_air.copy(),
            0,
            self.shape[0],
            self.interval,
        )
        self.interval += 1
        return outcome

    def expose(self, visible: bool = False, placement: int = 0) -> None:
        """Shows every listener every campaign's creative on air once, now, without an auction.

        The interval ends with the next `play`, whose outcome counts these impressions. One market only: what
        an interval brought to whom waits in working memory that markets share.
        """
        count, campaigns, _, _ = self.shape
        if count != 1:
            raise ValueError(f"exposures by hand need a laboratory of one market, got {count}")
        made, segment = self._scratch.made, self.truth.listener_segment[0]
        rows = campaigns * len(segment)
        campaign, listener = np.divmod(np.arange(rows), len(segment))
        made.item[:rows] = self._exposures + np.arange(rows)
        made.first_draw[:rows] = 0
        made.campaign[:rows], made.listener[:rows] = campaign, listener
        made.segment[:rows], made.placement[:rows] = segment[listener], placement
        made.visible[:rows], made.status[:rows], made.slot[:rows] = visible, SERVED, 0
        made.quality[:rows] = made.predicted[:rows] = 1.0
        made.bid_usd[:rows] = made.price_to_beat_usd[:rows] = made.paid_usd[:rows] = 0.0
        self._exposures += rows
        _expose(self.truth, self.state, self.constants, self._scratch, self.interval, rows)

    def flight(self, before: Callable[[int], None] | None = None) -> list[Outcome]:
        """The rest of the flight; `before(t)` may set bids and creatives of interval t."""
        found = []
        for t in range(self.interval, self.scenario.intervals):
            if before is not None:
                before(t)
            found.append(self.play())
        return found


def total(outcomes: list[Outcome], field: str) -> NDArray[np.float64]:
    """Sum over intervals of a field of outcomes."""
    return np.asarray(np.sum([getattr(outcome, field) for outcome in outcomes], axis=0))


@kernel
def _expose(m, st, k, scratch, t, rows):  # type: ignore[no-untyped-def]
    """Feedback of market 0's first `rows` impressions in interval t."""
    prepare_creatives(m, st, scratch, 0, t)
    bring_feedback(m, st, k, scratch, 0, t, rows)
