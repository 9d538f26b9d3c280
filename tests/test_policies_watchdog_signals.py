"""Signals in real markets: what was paid above bids, and responses that are lost."""

from __future__ import annotations

import numpy as np
import pytest

from envs.market import VectorMarket
from envs.scenario import Scenario, load_scenario
from envs.seeds import market_seeds
from envs.state import Bool
from evaluation.watchdog.calibration import Recorder, Streams, clean, quiet, struck
from evaluation.watchdog.study import recall, struck_places
from policies.policy import flight_of

MARKETS = 24
DEFAULT = load_scenario("default")


def heard(scenario: Scenario, kind: str) -> tuple[Streams, Bool]:
    """Signals of flights in which nobody acts on them, and [T, B, places] where an incident strikes."""
    market, team = VectorMarket(scenario, MARKETS), quiet("certainty-equivalent")
    observations = market.reset(market_seeds("train", 11, 0, MARKETS))
    team.start(flight_of(market))
    recorder, where = Recorder(market), []
    for _ in range(scenario.intervals):
        recorder.add(observations)
        where.append(struck_places(market, kind))
        observations = market.step(team.act(observations)).observations
    return recorder.streams(), np.stack(where)


def test_more_is_paid_than_was_bid_only_where_bids_are_tripled() -> None:
    calm, _ = heard(clean(DEFAULT), "overspend")
    assert calm["overspend"].expected.sum() > 0.0 and not calm["overspend"].observed.any()
    streams, where = heard(struck(DEFAULT, "overspend"), "overspend")
    paid_more = streams["overspend"].observed[1:] > 0.0  # news is an interval old
    assert not (paid_more & ~where[:-1]).any()
    assert recall(np.concatenate([np.zeros_like(where[:1]), paid_more]).astype(float), where) > 0.9


def test_counts_of_lost_response_rise_where_a_creative_burns_out() -> None:
    calm, _ = heard(clean(DEFAULT), "creative_burn_out")
    observed, expected = calm["creative_burn_out"]
    usual = observed.sum() / expected.sum()
    assert usual == pytest.approx(0.9, abs=0.15)
    known = expected > 0.0
    dispersion = np.square((observed - expected)[known]).sum() / expected[known].sum()
    assert 0.5 < dispersion < 1.5, "counts of lost response vary as counts do"
    streams, where = heard(struck(DEFAULT, "creative_burn_out"), "creative_burn_out")
    burnt = np.concatenate([np.zeros_like(where[:1]), where[:-1]])  # news is an interval old
    observed, expected = (field[burnt].sum() for field in streams["creative_burn_out"])
    assert observed / expected > usual + 0.3
