"""The market's kernels against a second implementation in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.markets import leaves, tiny
from support.naive_market import NaiveMarket

from envs.auction import PRICINGS
from envs.bids import LOST, SERVED
from envs.catalogue import INCIDENT_KINDS, K, P, S
from envs.constants import constants_of
from envs.dynamics import new_state, play_interval
from envs.generator import draw_markets
from envs.scenario import Scenario
from envs.scratch import Scratch, new_scratch
from envs.seeds import market_seeds
from envs.state import Controls, Int, MarketParameters, MarketState, Outcome, empty_outcome

COUNTS = {
    *("opportunities", "bids", "wins", "priced", "completions", "skips", "dislikes", "clicks", "tracked"),
    *("conversions_caused", "conversions", "conversions_settled", "incident"),
    *("exposures", "exposures_today", "conversion_pool", "on_air"),
}


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    pricing = draw(st.sampled_from(PRICINGS))
    slots = st.just(1) if pricing == "second_price" else st.integers(1, 4)
    return tiny(
        campaigns=draw(st.integers(1, 4)),
        intervals=draw(st.sampled_from([2, 5])),
        intervals_per_day=3,
        opportunities_per_interval=draw(st.sampled_from([12, 60])),
        impression_weight=draw(st.sampled_from([1, 250, 10_000])),
        budget_fraction=draw(st.sampled_from([0.01, 0.2, 10.0])),
        daily_cap_fraction=draw(st.sampled_from([None, 0.02, 0.3])),
        auction={
            "pricing": pricing,
            "slots": draw(st.tuples(slots, slots, slots)),
            "slot_exposure": (1.0, 0.8, 0.48, 0.48),
            "competitive_separation": draw(st.booleans()),
        },
        rivals={
            "count": draw(st.integers(1, 12)),
            "daily_budget_fraction": draw(st.sampled_from([0.001, 0.06])),
            "reactive": draw(st.booleans()),
        },
        listeners={
            "count": draw(st.integers(16, 64)),
            "daily_frequency_cap": draw(st.sampled_from([1, 3, 100])),
            "ads_per_hour": draw(st.sampled_from([3.0, 12.0])),
        },
        incidents={"incident_probability": draw(st.sampled_from([0.0, 1.0]))},
    )


class Flight:
    """The same actions for any copy of the same markets, drawn over the whole of every space."""

    def __init__(self, scenario: Scenario, seed: int, count: int = 1) -> None:
        self.scenario, self.rng = scenario, np.random.default_rng(seed)
        self.parameters, _ = draw_markets(market_seeds("train", seed, 0, count), scenario, "train")
        starts = self.parameters.incident_start
        starts[:] = self.rng.integers(0, scenario.intervals, starts.shape)
        self.arms = [
            self.rng.integers(0, K, (count, scenario.campaigns, S)) for _ in range(scenario.intervals + 1)
        ]
        self.controls = [self._controls(count) for _ in range(scenario.intervals)]
        self.constants = constants_of(scenario)

    def _controls(self, count: int) -> Controls:
        c, listeners, uniform = self.scenario.campaigns, self.scenario.listeners.count, self.rng.uniform
        return Controls(
            multiplier=np.exp(uniform(-2, 2, (count, c, S, P))),
            throttle=uniform(0.3, 1, (count, c, P)) * (uniform(0, 1, (count, c, P)) < 0.9),
            aggression_cap=uniform(0, 8, (count, c)),
            predicted_affinity=uniform(0, 2, (count, c, listeners)),
        )

    def play(self, which: slice = slice(None), block: int = 256) -> tuple[list[Outcome], MarketState]:
        """Some of the markets from first to last interval."""

        def some(tree: Any) -> Any:
            return type(tree)(*(array[which].copy() for array in tree))

        m: MarketParameters = some(self.parameters)
        state = new_state(m, self.arms[0][which])
        scratch = self.scratch(block)
        return [
            self.step(m, state, t, some(self.controls[t]), self.arms[t + 1][which], scratch)
            for t in range(self.scenario.intervals)
        ], state

    def scratch(self, block: int) -> Scratch:
        scenario = self.scenario
        return new_scratch(scenario.campaigns, scenario.listeners.count, max(scenario.auction.slots), block)

    def step(
        self, m: MarketParameters, state: MarketState, t: int, controls: Controls, arms: Int, scratch: Scratch
    ) -> Outcome:
        out = empty_outcome(len(m.seed), self.scenario.campaigns, S, P)
        play_interval(m, state, self.constants, controls, out, scratch, arms, 0, len(m.seed), t)
        return out


def assert_same(name: str, kernel: Any, naive: Any, t: int) -> None:
    message = f"{name} of interval {t}"
    if name in COUNTS:
        np.testing.assert_array_equal(kernel, naive, message)
    else:
        np.testing.assert_allclose(kernel, naive, rtol=1e-9, atol=1e-9, err_msg=message)


def compare(flight: Flight) -> list[Outcome]:
    m, scenario = flight.parameters, flight.scenario
    state = new_state(m, flight.arms[0])
    naive = NaiveMarket(m, state, flight.constants)
    scratch = flight.scratch(block=16)
    outcomes = []
    for t in range(scenario.intervals):
        arms = flight.arms[t + 1]
        outcomes.append(flight.step(m, state, t, flight.controls[t], arms, scratch))
        cells = naive.play(flight.controls[t], arms, t)
        for name, array in outcomes[-1]._asdict().items():
            expected = np.zeros(array.shape[1:])
            for index, value in cells[name].items():
                expected[index] = value
            assert_same(name, array[0], expected, t)
        for name, array in state._asdict().items():
            assert_same(name, array[0], getattr(naive.state, name), t)
    return outcomes


@settings(max_examples=60, deadline=None)
@given(scenarios(), st.integers(0, 2**31 - 1))
def test_the_kernels_do_what_plain_python_does(scenario: Scenario, seed: int) -> None:
    compare(Flight(scenario, seed))


@pytest.mark.parametrize("kind", range(1, len(INCIDENT_KINDS)))
def test_the_comparison_covers_every_incident_and_every_outcome(kind: int) -> None:
    scenario = tiny(
        campaigns=3,
        intervals=6,
        intervals_per_day=3,
        opportunities_per_interval=300,
        impression_weight=10_000,
        budget_fraction=0.1,
        auction={"pricing": "vcg", "slots": (3, 2, 1), "probability_within_table": (0.5, 0.7, 0.9)},
        rivals={"count": 4, "daily_budget_fraction": 0.01},
        listeners={"count": 32, "daily_frequency_cap": 3},
    )
    flight = Flight(scenario, seed=kind)
    flight.parameters.incident_kind[:], flight.parameters.incident_start[:] = kind, 1
    outcomes = compare(flight)
    for name in Outcome._fields:
        assert sum(getattr(out, name).sum() for out in outcomes) > 0, name


@settings(max_examples=20, deadline=None)
@given(scenarios(), st.integers(0, 2**31 - 1))
def test_the_log_holds_every_bid_and_changes_nothing(scenario: Scenario, seed: int) -> None:
    flight = Flight(scenario, seed)
    state = new_state(flight.parameters, flight.arms[0])
    naive = NaiveMarket(flight.parameters, state, flight.constants)
    flight.constants = flight.constants._replace(log=True)
    scratch = flight.scratch(block=2048)
    out = flight.step(flight.parameters, state, 0, flight.controls[0], flight.arms[1], scratch)
    naive.play(flight.controls[0], flight.arms[1], 0)
    for name, array in state._asdict().items():
        assert_same(name, array[0], getattr(naive.state, name), 0)

    rows = int(out.bids.sum())
    made = {name: column[:rows].tolist() for name, column in scratch.made._asdict().items()}
    keys = list(zip(made["item"], made["campaign"], strict=True))
    assert sorted(keys) == sorted(naive.offered)
    for n, key in enumerate(keys):
        assert made["bid_usd"][n] == pytest.approx(naive.offered[key])
        assert made["price_to_beat_usd"][n] == pytest.approx(naive.beat.get(key, math.nan), nan_ok=True)
        assert made["paid_usd"][n] == pytest.approx(naive.paid.get(key, 0.0))
        assert (made["status"][n] == SERVED) == (key in naive.paid)
        assert (made["status"][n] == LOST) == (made["slot"][n] < 0)
    for name in ("completions", "skips", "dislikes", "clicks"):
        assert sum(made[name]) == getattr(out, name).sum()
    assert sum(made["conversions"]) == out.conversions_caused.sum()


@settings(max_examples=10, deadline=None)
@given(scenarios(), st.integers(0, 2**31 - 1), st.sampled_from([1, 3, 64]), st.integers(1, 4))
def test_block_length_and_batch_change_nothing(scenario: Scenario, seed: int, block: int, cut: int) -> None:
    flight = Flight(scenario, seed, count=5)
    outcomes, state = flight.play()
    for which in (slice(0, cut), slice(cut, 5)):
        some, some_state = flight.play(which, block)
        for whole, part in zip(
            leaves((tuple(outcomes), state)), leaves((tuple(some), some_state)), strict=True
        ):
            np.testing.assert_array_equal(whole[which], part)
