from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.markets import RandomTeam, play, quiet, started, tiny, with_bids, with_directive

from envs.catalogue import MAX_CAMPAIGNS, P
from envs.lift import Act, Lift, Player, incremental_lift
from envs.market import Observations, VectorMarket
from envs.protocol import Actions
from envs.scenario import Scenario
from envs.seeds import market_seeds

BUSY = tiny(
    campaigns=3,
    intervals=8,
    intervals_per_day=4,
    opportunities_per_interval=120,
    budget_fraction=0.1,
    auction={"pricing": "first_price"},
)


def player(team: Any) -> Player:
    def start(market: VectorMarket) -> Act:
        return lambda observations: team(market)

    return start


def lift_of(scenario: Scenario, team: Any, count: int = 2, **options: Any) -> Lift:
    return incremental_lift(
        scenario, market_seeds("train", 3, 0, count), player(team), split="train", **options
    )


@pytest.mark.parametrize("replay", [False, True])
def test_the_factual_flight_is_the_flight_and_the_silent_do_nothing(replay: bool) -> None:
    lift = lift_of(BUSY, RandomTeam(), replay=replay)
    market = started(BUSY, 2, seed=3)
    steps = play(market, RandomTeam())
    spent = sum(step.outcome.spend_usd.sum((-1, -2)) for step in steps)
    assert np.array_equal(lift.factual.spend_usd, spent) and (spent > 0).all()
    assert np.allclose(lift.factual.objective_usd, sum(step.rewards.team for step in steps))
    assert np.allclose(lift.factual.health, market.market_state.health.mean(1))
    for c in range(3):
        for name in ("spend_usd", "completions", "conversions"):
            assert (getattr(lift.silenced, name)[c, :, c] == 0.0).all(), name
    own = np.einsum("cbc->cb", lift.gain.recall)
    assert (own > 0).all()
    assert np.array_equal(np.einsum("cbc->bc", lift.gain.spend_usd), lift.factual.spend_usd)
    others = lift.gain.completions[~np.eye(3, dtype=bool).repeat(2, 0).reshape(3, 2, 3)]
    assert (others != 0.0).any()


@pytest.mark.parametrize("replay", [False, True])
def test_silencing_who_was_silent_anyway_changes_nothing(replay: bool) -> None:
    def team(market: VectorMarket) -> Actions:
        actions = RandomTeam()(market)
        table = np.ones((market.num_markets, 3, market.scenario.listeners.count))
        table[:, 1] = 0.0  # campaign 1 believes in nobody and so bids nothing
        return actions._replace(listener_affinity=table)

    lift = lift_of(BUSY, team, replay=replay)
    assert lift.factual.spend_usd[:, [0, 2]].all() and not lift.factual.spend_usd[:, 1].any()
    for name, gain in lift.gain._asdict().items():
        assert (gain[1] == 0.0).all(), name


def test_what_silence_saves_is_nobody_elses() -> None:
    """Two campaigns on placements of their own whose listeners do not change: neither touches the other."""
    scenario = tiny(
        intervals=8,
        intervals_per_day=4,
        opportunities_per_interval=120,
        budget_fraction=0.004,
        time_acceleration=1e-6,
        auction={"pricing": "first_price"},
        rivals={"daily_budget_fraction": 100.0},
        listeners={"count": 64, "churn_sensitivity": 0.0},
        incidents={"incident_probability": 0.0},
    )
    share, throttle = np.ones((1, MAX_CAMPAIGNS)), np.zeros((1, MAX_CAMPAIGNS, P))
    share[0, 1], throttle[0, 0, 0], throttle[0, 1, 2] = 2.0, 1.0, 1.0  # money moves to campaign 1

    def team(market: VectorMarket) -> Actions:
        log_multiplier = 1.0 if market.interval else -4.0  # directives are in force from interval 1 on
        actions = with_bids(quiet(market), log_multiplier)
        return with_directive(actions, budget_share=share, throttle=throttle)

    lift = lift_of(scenario, team, count=1)
    assert (lift.factual.spend_usd > 0).all()
    assert np.array_equal(lift.gain.spend_usd[0, 0], lift.factual.spend_usd[0] * [1, 0])
    assert lift.gain.objective_usd.shape == lift.gain.health.shape == (2, 1)


def test_a_recorded_team_acts_once_and_a_replayed_one_sees_the_pause() -> None:
    started_times: list[int] = []
    paused: list[float] = []

    def start(market: VectorMarket) -> Act:
        started_times.append(market.interval)

        def act(observations: Observations) -> Actions:
            paused.append(float(market.board.directive.pause[0, 1]))
            return quiet(market)

        return act

    seeds = market_seeds("train", 0, 0, 1)
    incremental_lift(tiny(), seeds, start, split="train")
    assert started_times == [0] and paused == 6 * [0.0]
    incremental_lift(tiny(), seeds, start, split="train", replay=True)
    assert started_times == [0] * 4 and paused == 18 * [0.0] + 6 * [1.0]


def test_actions_are_recorded_as_they_were_given() -> None:
    def recycled(market: VectorMarket) -> Act:
        shared = quiet(market)

        def act(observations: Observations) -> Actions:
            shared.bidding[:] = 0.1 * market.interval  # one array, written over in every interval
            return shared

        return act

    def fresh(market: VectorMarket) -> Act:
        return lambda observations: quiet(market)._replace(bidding=np.full((1, 3, 8), 0.1 * market.interval))

    seeds = market_seeds("train", 0, 0, 1)
    one = incremental_lift(BUSY, seeds, recycled, split="train")
    other = incremental_lift(BUSY, seeds, fresh, split="train")
    for mine, theirs in zip(one.silenced, other.silenced, strict=True):
        assert np.array_equal(mine, theirs)
