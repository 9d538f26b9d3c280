"""Arbitration holds back what runs away and what brings less, within bounds, and says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flights import flight
from support.markets import tiny

from envs.catalogue import ADVICE, ALERT_KINDS, MAX_CAMPAIGNS, P
from envs.market import Observations
from envs.observation import SCHEMAS, Observation
from envs.protocol import MAX_AGGRESSION, Directive
from policies.arbitrating_orchestrator import HEADROOM, STRONGEST, Arbitrating
from policies.marginal_orchestrator import EqualMargins
from policies.placement_split import LOWEST
from policies.policy import Flight
from policies.registry import make_policy, make_team
from policies.team import Team

SCENARIO = tiny(intervals=12, opportunities_per_interval=96)
CAMPAIGNS = 2
LEVEL_USD = SCENARIO.auction.price_level_usd


def filled(role: str, **fields: object) -> Observation:
    """A role's observation [1, 1, ·] with these fields; one number fills a field."""
    row = np.zeros((1, 1, SCHEMAS[role].size), np.float32)
    for name, value in fields.items():
        row[0, 0, SCHEMAS[role].slices[name]] = np.broadcast_to(
            np.asarray(value, np.float32), SCHEMAS[role].by_name[name].shape
        ).ravel()
    return row


def directed(
    orchestrator: Arbitrating, spend_usd: float = 10.0, price_usd: float = LEVEL_USD, **seen: object
) -> Directive:
    """What is directed where the first campaign spent so much on every placement, the others 10 USD.

    `seen` are the monitor's counts, or the orchestrator's alerts.
    """
    spent = np.full((MAX_CAMPAIGNS, P), 10.0)
    spent[0] = spend_usd
    told = {name: seen.pop(name) for name in list(seen) if name.startswith("alert")}
    own = filled(
        "orchestrator",
        campaign_mask=1.0,
        budget_usd=1000.0,
        budget_left_usd=900.0,
        marginal_price_usd=price_usd,
        throttle=1.0,
        **told,
    )
    monitor = filled("monitor", spend_usd=spent, wins=5.0, opportunities=50.0, **seen)
    nobody = np.zeros((1, CAMPAIGNS, 1), np.float32)
    orchestrator.read_observations(Observations(own, nobody, nobody, monitor, own, None))
    return orchestrator.act(own)


def begun(intervals: int = 6) -> Arbitrating:
    """After some intervals in which both campaigns spent 10 USD on every placement."""
    orchestrator = Arbitrating()
    orchestrator.start(Flight(SCENARIO, 1, CAMPAIGNS, np.zeros(1, np.uint64)))
    for _ in range(intervals):
        directive = directed(orchestrator)
        np.testing.assert_array_equal(directive.throttle, 1.0)
        np.testing.assert_array_equal(directive.aggression_cap, MAX_AGGRESSION)
    return orchestrator


def test_bids_that_run_away_are_throttled_and_capped_until_they_do_not() -> None:
    orchestrator = begun()
    directive = directed(orchestrator, spend_usd=60.0)
    assert (directive.throttle[0, 0] < 0.8).all() and (directive.throttle[0, 0] >= STRONGEST).all()
    np.testing.assert_array_equal(directive.throttle[0, 1:], 1.0)
    assert directive.aggression_cap[0, 0] == pytest.approx(HEADROOM)
    np.testing.assert_array_equal(directive.aggression_cap[0, 1:], MAX_AGGRESSION)
    said = [line for line in orchestrator.reasons(0) if "times what the bids that it states should" in line]
    assert len(said) == 1 and said[0].startswith("bids of campaign 0 x")
    calm = directed(orchestrator, spend_usd=10.0)
    np.testing.assert_array_equal(calm.throttle, 1.0)
    np.testing.assert_array_equal(calm.aggression_cap, MAX_AGGRESSION)
    assert not any("bids of" in line for line in orchestrator.reasons(0))


def test_a_campaign_that_says_it_bids_more_may_spend_more() -> None:
    directive = directed(begun(), spend_usd=30.0, price_usd=2.5 * LEVEL_USD)
    np.testing.assert_array_equal(directive.throttle, 1.0)


def test_a_placement_that_brings_less_is_throttled_for_all_and_the_reason_said() -> None:
    orchestrator = begun()
    counts = np.full((MAX_CAMPAIGNS, P), 900.0)
    brought = counts * np.array([1.0, 0.3, 1.0])
    directive = directed(orchestrator, completions=brought, expected_completions=counts)
    assert (directive.throttle[0, :CAMPAIGNS, 1] < 0.9).all()
    np.testing.assert_array_equal(directive.throttle[0, :, [0, 2]], 1.0)
    assert any("of all campaigns on podcast_break x" in line for line in orchestrator.reasons(0))
    outage = np.zeros((MAX_CAMPAIGNS, P))
    outage[0, 1] = ALERT_KINDS.index("tracking_outage")
    told = directed(orchestrator, completions=brought, expected_completions=counts, alert_kind=outage)
    assert (told.throttle[0, :, 1] == 1.0).all()


def test_the_watchdogs_advice_holds_beside_it() -> None:
    pause = np.zeros((MAX_CAMPAIGNS, P))
    pause[0, 2] = ADVICE.index("pause")
    directive = directed(begun(), spend_usd=60.0, alert_advice=pause)
    assert directive.throttle[0, 0, 2] == 0.0
    assert 0.0 < directive.throttle[0, 0, 0] < 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 1e3), st.floats(0.0, 1e6)), max_size=6))
def test_whatever_is_seen_bounds_hold(intervals: list[tuple[float, float, float]]) -> None:
    orchestrator = begun(3)
    for spend, price, completions in intervals:
        seen = np.array([completions, 50.0, 50.0])
        directive = directed(orchestrator, spend, price, completions=seen, expected_completions=50.0)
        assert (directive.throttle >= LOWEST * STRONGEST).all() and (directive.throttle <= 1.0).all()
        assert (directive.aggression_cap >= 0.0).all() and (directive.aggression_cap <= MAX_AGGRESSION).all()
        assert len(orchestrator.reasons(0)) >= 4


def team_of(orchestrator: EqualMargins) -> Team:
    return Team("arbitrated", {**make_team("certainty-equivalent").policies, "orchestrator": orchestrator})


def test_in_a_flight_it_holds_back_and_grants_and_pauses_as_equal_margins() -> None:
    orchestrator = Arbitrating()
    held = 0.0
    for moment in flight(team_of(orchestrator), SCENARIO, 4):
        directive = moment.actions.orchestrator
        own = orchestrator._directive
        held += float((directive.throttle < own.throttle).sum())
        assert (directive.throttle <= own.throttle).all()
        np.testing.assert_array_equal(directive.premium_grant, own.premium_grant)
        np.testing.assert_array_equal(directive.pause, own.pause)
    assert held > 0.0


def test_where_nobody_shows_it_what_the_monitor_sees_it_is_equal_margins() -> None:
    plain, blind = EqualMargins(), Arbitrating()
    for one in (plain, blind):
        one.start(Flight(SCENARIO, 1, CAMPAIGNS, np.zeros(1, np.uint64)))
    own = filled(
        "orchestrator", campaign_mask=1.0, budget_usd=9.0, budget_left_usd=8.0, marginal_price_usd=1.0
    )
    for _ in range(3):
        for ours, theirs in zip(blind.act(own), plain.act(own), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_it_has_a_name() -> None:
    assert isinstance(make_policy("orchestrator", "arbitrating"), Arbitrating)
