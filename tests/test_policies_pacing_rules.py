from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from support.evidence import evidence
from support.markets import started, tiny

from envs.catalogue import P, S
from envs.state import Float
from policies.evidence import Evidence
from policies.pacing import LOWEST_DUAL, MultiplicativePacer, Pacer, PacingKnobs
from policies.pacing_rules import (
    AdaptivePacer,
    AuctionNetPacer,
    CostPerActionPacer,
    LinearProgramPacer,
    linear_program_dual,
)
from policies.policy import Flight, flight_of

SCENARIO = tiny(intervals=48, opportunities_per_interval=192)


@cache
def told() -> Flight:
    return flight_of(started(SCENARIO, 2))


def go(pacer: Pacer, usd: float, left_usd: float, conversions: float = 0.0) -> float:
    """One interval of a campaign of 1,000 USD: what was spent, and what is left."""
    now = evidence(
        rows=1,
        spend_usd=usd / (S * P),
        budget_left_fraction=left_usd / 1000.0,
        conversions=conversions / S,
    )
    pacer.update(evidence(rows=1), now)
    return float(pacer.dual[0])


def begun(pacer: Pacer) -> Pacer:
    pacer.start(told(), evidence(rows=1))
    return pacer


def test_adaptive_pacing_steps_along_the_dual() -> None:
    pacer = begun(AdaptivePacer(1.4, step=0.2))
    target = 1000.0 * pacer._share[0] / pacer._left[0]
    assert go(pacer, 1.5 * target, 1000.0 - 1.5 * target) == pytest.approx(1.4 + 0.2 * 0.5)
    assert go(pacer, 0.0, 900.0) == pytest.approx(1.5 - 0.2)
    for _ in range(20):
        low = go(pacer, 0.0, 900.0)
    assert low == LOWEST_DUAL


@pytest.mark.parametrize(
    ("pace", "factor"), [(0.69, 1.2), (0.71, 1.0), (1.09, 1.0), (1.11, 0.7), (0.0, 1.2), (50.0, 0.7)]
)
def test_auctionnets_factors(pace: float, factor: float) -> None:
    """`pace` is what the rest of the flight would cost over what is left."""
    pacer = begun(AuctionNetPacer(2.0))
    share, to_come = pacer._share[0], pacer._left[0] - pacer._share[0]
    usd = pace * 800.0 * share / to_come
    assert 1.0 / go(pacer, usd, 800.0) == pytest.approx(factor / 2.0)


def test_of_two_multipliers_the_smaller_bids() -> None:
    worth = SCENARIO.values.conversion_usd
    knobs = PacingKnobs(initial_dual=1.0, step=0.1)
    dear, cheap = (begun(CostPerActionPacer(knobs, 1.0)) for _ in range(2))
    budget = begun(MultiplicativePacer(knobs))
    target = 1000.0 * budget._share[0] / budget._left[0]
    alone = go(budget, 0.5 * target, 1000.0 - 0.5 * target)
    assert alone < 1.0, "the budget alone would bid more"
    usd = 0.5 * target
    expected = np.exp(0.1 * ((usd + 4.0 * worth) / 4.0 / worth - 1.0))
    assert go(dear, usd, 1000.0 - usd) == pytest.approx(expected), "costs without conversions hold it back"
    assert go(cheap, usd, 1000.0 - usd, conversions=1e3) == pytest.approx(max(alone, np.exp(-0.1)), rel=1e-3)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_the_programs_dual_is_that_of_the_sorted_solution(seed: int) -> None:
    """Against scipy's LP: its value falls by the dual for every USD of budget taken away."""
    rng = np.random.default_rng(seed)
    value, cost = rng.uniform(0.0, 5.0, (1, 12)), rng.uniform(0.1, 3.0, (1, 12))
    quantity = rng.uniform(0.0, 4.0, (1, 12))
    budget = float(rng.uniform(0.01, 1.2) * (cost * quantity).sum())
    solved = linprog(
        -value[0], A_ub=cost, b_ub=[budget], bounds=list(zip(np.zeros(12), quantity[0], strict=True))
    )
    dual = linear_program_dual(value, cost, quantity, np.array([budget]))[0]
    assert dual == pytest.approx(-solved.ineqlin.marginals[0], abs=1e-9)


def test_a_budget_for_everything_has_no_price() -> None:
    ones = np.ones((1, 3))
    assert linear_program_dual(ones, ones, ones, np.array([3.0])) == 0.0
    assert linear_program_dual(ones, 0.5 * ones, ones, np.array([1.4])) == 2.0


def market(pacer: Pacer, budget_usd: float, price_sd: float = 0.5) -> tuple[float, float]:
    """A flight of cells with log-normal prices at second price: (share of budget spent, value bought)."""
    rng = np.random.default_rng(3)
    value, mean = rng.uniform(1.0, 6.0, (1, S, P)), rng.uniform(1.0, 3.0, (1, S, P))
    flow = Pacer()
    first = evidence(rows=1, budget_usd=budget_usd, price_usd=mean)
    for one in (pacer, flow):
        one.start(told(), first)
    pacer.plan(first, value)
    left, bought, before = budget_usd, 0.0, first
    shape = np.array(SCENARIO.placement_share) * SCENARIO.opportunities_per_interval / S
    winnable = np.array(SCENARIO.auction.probability_within_table)
    for t in range(SCENARIO.intervals):
        offered = rng.poisson(np.broadcast_to(shape * flow._share[t] / flow._share.mean(), (1, S, P)))
        spend, wins = np.zeros((1, S, P)), np.zeros((1, S, P))
        for s, p in np.ndindex(S, P):
            within = rng.random(offered[0, s, p]) < winnable[p]
            noise = rng.normal(size=within.sum())
            price = mean[0, s, p] * np.exp(price_sd * noise - 0.5 * price_sd**2)
            won = price[price < value[0, s, p] / pacer.dual[0]]
            won = won[np.cumsum(won) <= left]
            spend[0, s, p], wins[0, s, p] = won.sum(), len(won)
            left -= won.sum()
        bought += float((wins * value).sum())
        now = first._replace(
            spend_usd=spend,
            wins=wins,
            opportunities=offered.astype(np.float64),
            budget_left_fraction=np.array([left / budget_usd]),
        )
        pacer.update(before, now)
        pacer.plan(now, value)
        before = now
    return 1.0 - left / budget_usd, bought


RULES: dict[str, Pacer] = {
    "multiplicative": MultiplicativePacer(PacingKnobs(2.5, 0.15)),
    "pid": MultiplicativePacer(PacingKnobs(2.5, 0.1, 0.02)),
    "adaptive": AdaptivePacer(2.5, 0.3),
    "auctionnet": AuctionNetPacer(2.5),
    "linear-program": LinearProgramPacer(price_sd=0.5),
}


@pytest.mark.parametrize("budget_usd", [200.0, 600.0])
@pytest.mark.parametrize("name", RULES)
def test_every_pacer_spends_its_budget_on_a_market_of_cells(name: str, budget_usd: float) -> None:
    spent, bought = market(RULES[name], budget_usd)
    assert 0.95 < spent <= 1.0
    best = max(market(Pacer(dual), budget_usd)[1] for dual in np.geomspace(0.5, 8.0, 24))
    assert bought > (0.99 if name == "linear-program" else 0.95) * best


def test_without_a_rule_the_budget_runs_out_early_or_is_left() -> None:
    assert market(Pacer(0.5), 200.0)[1] < 0.8 * market(RULES["linear-program"], 200.0)[1]
    assert market(Pacer(8.0), 600.0)[0] < 0.5


def test_the_program_counts_what_it_saw() -> None:
    """Half the opportunities of what is usual: half as much to come, at a lower price of budget."""
    duals = []
    for factor in (0.5, 1.0):
        pacer = begun(LinearProgramPacer(price_sd=0.5))
        offered = factor * 192.0 / S * np.array(SCENARIO.placement_share)
        now: Evidence = evidence(rows=1, opportunities=offered, budget_usd=500.0)
        value: Float = np.linspace(1.0, 4.0, S * P).reshape(1, S, P)
        for _ in range(20):
            pacer.update(now, now)
        pacer.plan(now, value)
        duals.append(pacer.dual[0])
    assert duals[0] < duals[1]
