from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.markets import quiet, started, tiny

from envs.errors import ConfigurationError, UnknownNameError
from envs.journeys.settings import ELIGIBLE_CELLS
from envs.market import VectorMarket
from envs.protocol import ATTRIBUTION, CREDIT_BOUNDS, CellCredit, InvalidActionError, log_records
from envs.reception import credit_problem
from evaluation.independence.faults import FAULTS, LATE, FaultyPolicy
from evaluation.sources import TeamSource
from policies.attribution.agent import STAND_IN, Attribution, TrueCredit, make_attribution, matured
from policies.policy import flight_of
from policies.registry import make_team
from policies.team import Team

SCENARIO = tiny(intervals=24, intervals_per_day=4, budget_fraction=1.0, journeys={"people": 32})


def team(attribution: Any = None, base: str = "value-aware", deadline: float = math.inf) -> Team:
    policies = dict(make_team(base).policies)
    if attribution is not None:
        policies[ATTRIBUTION] = attribution
    return Team(base, policies, stand_ins=dict(make_team("pid").policies), deadline_seconds=deadline)


def flown(crew: Team, count: int = 1, intervals: int = 24) -> tuple[VectorMarket, list[Any], list[Any]]:
    market = VectorMarket(SCENARIO, count)
    observations = market.reset(started(SCENARIO, count, seed=5).seeds)
    crew.start(flight_of(market, privileged=crew.privileged))
    actions, steps = [], []
    for _ in range(intervals):
        actions.append(crew.act(observations))
        steps.append(market.step(actions[-1]))
        observations = steps[-1].observations
    return market, actions, steps


def test_the_agent_speaks_every_few_days_within_bounds_and_is_heard_an_interval_later() -> None:
    crew = team(Attribution("linear"))
    market, actions, _ = flown(crew)
    assert not crew.incapacities
    said = [action.credit for action in actions]
    assert all(credit_problem(credit, 1) is None for credit in said)
    assert not said[13].touches.any()
    touched = said[14].touches[0, 0].ravel()
    assert set(np.flatnonzero(touched)) <= set(ELIGIBLE_CELLS)
    assert (said[14].conversions_per_touch > 0.0).any()
    assert np.array_equal(market.board.credit.touches, said[-1].touches)  # type: ignore[union-attr]
    desk = crew.policies["bidding"].desk  # type: ignore[attr-defined]
    assert (desk.credited.factors() != 1.0).any()
    assert any(record["sender"] == "attribution_0" for record in log_records(market.board, 0, 24, 2))


def test_a_team_without_the_role_neither_says_nor_hears_anything_of_it() -> None:
    crew = team()
    market, actions, _ = flown(crew, intervals=3)
    assert all(action.credit is None for action in actions)
    assert market.board.credit is None
    assert not any(record["sender"] == "attribution_0" for record in log_records(market.board, 0, 3, 2))


def test_a_hold_out_that_nobody_asked_for_is_nobodys_and_one_that_was_ends() -> None:
    _, actions, steps = flown(team(Attribution("incrementality", 0.4, hold_out_days=3.0, every_days=99.0)))
    assert (actions[0].credit.hold_out == 0.4).all()
    assert (actions[12].credit.hold_out == 0.0).all()
    _, _, without = flown(team(Attribution("last", every_days=99.0)))

    def wasted(played: list[Any], interval: int) -> float:
        outcome = played[interval].outcome
        return float(outcome.wasted_usd.sum() / outcome.spend_usd.sum())

    # Delivered in the second interval: the first is the same, and then it is paid for on the account.
    assert np.array_equal(steps[0].outcome.completions, without[0].outcome.completions)
    assert wasted(steps, 1) - wasted(without, 1) == pytest.approx(0.4 * (1.0 - wasted(without, 1)))
    assert np.allclose(steps[1].outcome.completions, 0.6 * without[1].outcome.completions)
    assert np.array_equal(steps[1].outcome.spend_usd, without[1].outcome.spend_usd)


def test_ghost_ads_are_the_share_asked_for() -> None:
    market, _, _ = flown(team(Attribution("incrementality", 0.3, hold_out_days=99.0)))
    assert market.journeys is not None
    touches = market.journeys.markets[0].touches
    own = touches.cell < 9
    later = own & (touches.hour > 6.0)
    assert touches.held_out[later].mean() == pytest.approx(0.3, abs=0.03)
    assert not touches.held_out[~own].any()


def test_a_market_alone_is_credited_as_in_a_batch() -> None:
    _, together, _ = flown(team(Attribution("shapley")), 3, 16)
    _, alone, _ = flown(team(Attribution("shapley")), 1, 16)
    for field, other in zip(together[-1].credit, alone[-1].credit, strict=True):
        assert np.array_equal(field[:1], other)


def test_true_credit_reads_the_truth_and_others_are_not_shown_it() -> None:
    crew = team(TrueCredit())
    assert crew.privileged
    _, actions, _ = flown(crew, intervals=16)
    assert (actions[-1].credit.conversions_per_touch > 0.0).any()
    assert not team(Attribution("last")).privileged
    with pytest.raises(ValueError, match="hidden truth"):
        market = started(SCENARIO)
        TrueCredit().start(flight_of(market))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stand_in_takes_over_from_an_agent_that_fails_and_nobody_else_notices(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.independence.faults.DEADLINE_SECONDS", 0.3)
    crew = team(FaultyPolicy(Attribution("last"), fault, 3), deadline=0.3 if fault == LATE else math.inf)
    _, actions, _ = flown(crew, intervals=16)
    said = actions[-1].credit
    plain, forgetful = (flown(team(Attribution(name)), intervals=16)[1] for name in (STAND_IN, "last"))
    if FAULTS[fault].stood_in_for:
        assert [(one.role, one.interval) for one in crew.incapacities] == [(ATTRIBUTION, 3)]
        assert np.array_equal(said.conversions_per_touch, plain[-1].credit.conversions_per_touch)
    else:
        assert [(one.role, one.interval) for one in crew.suspicions] == [(ATTRIBUTION, 3)]
        assert not crew.incapacities
        assert not said.touches.any() and forgetful[-1].credit.touches.any()  # it counts days anew


def test_without_stand_ins_its_fault_is_raised() -> None:
    crew = team(FaultyPolicy(Attribution("last"), "exception", 0))
    alone = Team("alone", crew.policies)
    with pytest.raises(RuntimeError, match="crashed"):
        flown(alone, intervals=1)


def test_a_market_without_journeys_refuses_the_role() -> None:
    market = started(tiny())
    with pytest.raises(ConfigurationError, match="needs a scenario with journeys"):
        Attribution("last").start(flight_of(market))
    shape = (1, 4, 3, 3)
    credit = CellCredit(np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros((1, 4)))
    with pytest.raises(InvalidActionError, match="no journeys"):
        market.step(quiet(market)._replace(credit=credit))


@pytest.mark.parametrize("field", CREDIT_BOUNDS)
def test_credit_outside_its_bounds_is_refused_by_name(field: str) -> None:
    market = started(SCENARIO)
    shape = (1, 4, 3, 3)
    credit = CellCredit(np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros((1, 4)))
    for wrong in (np.nan, CREDIT_BOUNDS[field].high * 1.01, -1.0):
        bad = credit._replace(**{field: getattr(credit, field) + wrong})
        with pytest.raises(InvalidActionError, match=field):
            market.step(quiet(market)._replace(credit=bad))


def test_teams_name_the_role_like_any_other() -> None:
    entrant = TeamSource("value-aware+attribution=markov").resolve()
    assert entrant.name == "value-aware+attribution=markov"
    assert entrant.team.policies[ATTRIBUTION].name == "markov"
    assert TeamSource("value-aware+attribution=truth").resolve().knowledge == "privileged"
    with pytest.raises(UnknownNameError, match="shapley"):
        make_attribution("shaply")


def test_old_touches_have_matured_and_new_ones_have_not() -> None:
    age = matured(np.array([0.0, 1.0, 24.0, 1e6]))
    assert age[0] == 0.0
    assert (np.diff(age) > 0.0).all()
    assert age[2] == pytest.approx(0.5, abs=0.03)
    assert age[3] == pytest.approx(1.0)
