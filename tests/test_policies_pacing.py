from functools import cache

import numpy as np
import pytest
from support.evidence import evidence
from support.flights import flight
from support.markets import started, tiny

from envs.catalogue import P, S
from policies.pacing import MultiplicativePacer, Pacer, PacingKnobs
from policies.policy import Flight, flight_of
from policies.registry import make_team

SCENARIO = tiny(intervals=12)


@cache
def told() -> Flight:
    return flight_of(started(SCENARIO, 2))


def pacer(**knobs: float) -> Pacer:
    made = MultiplicativePacer(PacingKnobs(**knobs))
    made.start(told(), evidence(rows=1))
    return made


def spend(made: Pacer, usd: float, left_usd: float) -> float:
    """One interval in which so much was spent and so much is left of 1,000 USD."""
    now = evidence(rows=1, spend_usd=usd / (S * P), budget_left_fraction=left_usd / 1000.0)
    made.update(evidence(rows=1), now)
    return float(made.dual[0])


def target(made: Pacer, left_usd: float) -> float:
    return left_usd * made._share[made._interval] / made._left[made._interval]


def test_spending_on_plan_leaves_the_price_alone() -> None:
    made, left = pacer(initial_dual=1.3), 1000.0
    for _ in range(SCENARIO.intervals):
        usd = target(made, left)
        left -= usd
        assert spend(made, usd, left) == pytest.approx(1.3)
    assert left == pytest.approx(0.0, abs=1e-9)


def test_the_price_follows_the_error_by_the_rule() -> None:
    made = pacer(initial_dual=2.0, step=0.1)
    usd = 1.5 * target(made, 1000.0)
    assert spend(made, usd, 1000.0 - usd) == pytest.approx(2.0 * np.exp(0.1 * 0.5))
    assert spend(made, 0.0, 1000.0 - usd) == pytest.approx(2.0 * np.exp(0.1 * 0.5) * np.exp(-0.1))
    assert spend(made, 900.0, 10.0) == pytest.approx(2.0 * np.exp(0.05 - 0.1 + 0.15)), (
        "an error is at most 1.5"
    )


def test_the_integral_remembers() -> None:
    made = pacer(initial_dual=1.0, step=0.0, integral=0.1)
    spend(made, 0.0, 1000.0)
    assert spend(made, 0.0, 1000.0) == pytest.approx(np.exp(-0.1 * (1.0 + 1.8)))


def test_a_plain_pacer_keeps_its_price() -> None:
    made = Pacer(1.7)
    made.start(told(), evidence(rows=1))
    assert spend(made, 900.0, 100.0) == spend(made, 0.0, 100.0) == 1.7


def test_the_tilt_moves_money_in_time() -> None:
    early, late = (pacer(tilt=tilt) for tilt in (-0.5, 0.5))
    assert target(early, 1000.0) > target(late, 1000.0)
    assert early._share[-1] < late._share[-1]


def test_the_price_stays_finite_whatever_happens() -> None:
    made = pacer(initial_dual=1.0, step=0.4, integral=0.1)
    for interval in range(SCENARIO.intervals):
        assert 0.02 <= spend(made, 1e6 if interval < 6 else 0.0, 0.0) <= 50.0


def test_over_a_flight_the_budget_is_spent_and_not_too_soon() -> None:
    scenario = tiny(intervals=36, opportunities_per_interval=96, budget_fraction=0.1)
    left = [
        moment.market.market_state.budget_left_usd / moment.market.feed.budget_usd
        for moment in flight(make_team("pid"), scenario, 8)
    ]
    assert np.mean(left[-1]) < 0.25
    assert np.mean(left[17]) > 0.3
