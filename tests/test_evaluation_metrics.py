import numpy as np
import pytest

from envs.catalogue import ARMS, FORMATS, MAX_CAMPAIGNS, K
from envs.market import Step, VectorMarket
from envs.protocol import Actions, quiet_board
from envs.scenario import Incidents, Scenario, load_scenario
from envs.seeds import market_seeds
from envs.state import Float
from evaluation.metrics import KPIS, OBJECTIVE, PARTS, FlightLedger, cpa_factor, gini, mean_over_markets

SCENARIO = load_scenario("default").model_copy(update={"intervals": 10, "intervals_per_day": 5})


def fly(
    markets: int, *, start: int = 0, pause: bool = False, scenario: Scenario = SCENARIO
) -> tuple[VectorMarket, FlightLedger, list[Step]]:
    """A flight of constant bids, rotating creatives and alerts that come and go."""
    market = VectorMarket(scenario, markets)
    market.reset(market_seeds("train", 0, start, markets))
    board, c = quiet_board(markets, scenario.campaigns), scenario.campaigns
    ledger, steps = FlightLedger(market, keep_series=True), []
    for t in range(scenario.intervals):
        kind = np.zeros((markets, MAX_CAMPAIGNS, 3), np.int64)
        kind[:, 0, 1] = t in (2, 3, 6)
        kind[:, MAX_CAMPAIGNS - 1] = 1  # a campaign that does not exist
        actions = Actions(
            audience=board.segment_value,
            creative=np.broadcast_to(ARMS[(5 * t) % K], (markets, c, 4, 4)),
            bidding=np.zeros((markets, c, 8)),
            monitor=board.alert._replace(kind=kind),
            orchestrator=board.directive._replace(pause=np.full((markets, MAX_CAMPAIGNS), int(pause))),
        )
        steps.append(market.step(actions))
        ledger.add(steps[-1])
    return market, ledger, steps


@pytest.fixture(scope="module")
def flown() -> tuple[VectorMarket, FlightLedger, list[Step]]:
    return fly(6)


def test_a_flight_fills_the_whole_table_per_market_and_interval(flown) -> None:  # type: ignore[no-untyped-def]
    _, ledger, _ = flown
    flight, series = ledger.finish(), ledger.series()
    assert list(flight) == list(KPIS) == list(series)
    for tag, values in flight.items():
        assert values.shape == (6,) and values.dtype == np.float64, tag
        assert series[tag].shape == (10, 6), tag
        whole, by_interval = np.isfinite(values), np.isfinite(series[tag])
        assert KPIS[tag].may_be_empty or (whole.all() and by_interval.all()), tag
        if KPIS[tag].unit == "fraction" and tag not in {"spend/pacing_error", "response/recall_lift"}:
            assert ((values[whole] >= 0) & (values[whole] <= 2)).all(), tag


def test_the_objective_is_the_teams_reward_and_its_parts(flown) -> None:  # type: ignore[no-untyped-def]
    _, ledger, steps = flown
    flight = ledger.finish()
    assert flight[OBJECTIVE] == pytest.approx(sum(step.rewards.team for step in steps))
    signs = [-1.0 if tag == "market/wasted_usd" else 1.0 for tag in PARTS]
    parts = sum(sign * flight[tag] for sign, tag in zip(signs, PARTS, strict=True))
    assert flight[OBJECTIVE] == pytest.approx(parts)
    assert ledger.series()[OBJECTIVE].sum(0) == pytest.approx(flight[OBJECTIVE])
    assert len(PARTS) == 5


def test_figures_agree_with_a_plain_count(flown) -> None:  # type: ignore[no-untyped-def]
    market, ledger, steps = flown
    flight, outcomes = ledger.finish(), [step.outcome for step in steps]

    def total(name: str, b: int) -> float:
        return float(sum(getattr(outcome, name)[b].sum() for outcome in outcomes))

    for b in range(6):
        impressions = total("wins", b) * SCENARIO.impression_weight
        budget = market.parameters.budget_usd[b].sum()
        expected = {
            "spend/spend_usd": total("spend_usd", b),
            "spend/budget_fraction": total("spend_usd", b) / budget,
            "spend/wasted_fraction": total("wasted_usd", b) / total("spend_usd", b),
            "auction/win_rate": total("wins", b) / total("bids", b),
            "auction/cpm_usd": 1000 * total("spend_usd", b) / impressions,
            "auction/price_to_bid": total("spend_usd", b) / total("won_bid_usd", b),
            "auction/cpa_usd": total("spend_usd", b) / max(1.0, total("conversions", b)),
            "response/completion_rate": total("completions", b) / impressions,
            "response/click_rate": total("clicks", b) / impressions,
            "listeners/relevance": total("affinity_won", b) / total("wins", b),
            "listeners/reach": outcomes[-1].reach[b].mean(),
            "listeners/listening_fraction": total("opportunities", b) / market.parameters.traffic[b].sum(),
            "monitor/alerts": 2.0,  # intervals 2 and 6; interval 3 goes on with the first
            "monitor/incidents": (market.parameters.incident_kind[b] > 0).sum(),
            "listeners/hours": total("opportunities", b) / (6.0 * 256),
        }
        value = sum(flight[f"market/{part}_usd"][b] for part in ("completions", "conversions", "recall"))
        expected |= {
            "advertiser/value_usd": value,
            "advertiser/return_on_spend": value / total("spend_usd", b),
        }
        attributed = sum(o.conversions[b] + o.conversions_settled[b] for o in outcomes).sum(1)
        spent = sum(o.spend_usd[b] for o in outcomes).sum((1, 2))
        cpa, target = spent / np.maximum(1.0, attributed), SCENARIO.values.conversion_usd
        score = sum(n * target * min(1.0, (target / x) ** 2) for n, x in zip(attributed, cpa, strict=True))
        expected |= {
            "advertiser/cpa_to_target": (cpa / target).mean(),
            "advertiser/competition_score_usd": score,
        }
        for tag, value in expected.items():
            assert flight[tag][b] == pytest.approx(value), tag


def test_listeners_count_alike_whatever_their_segments_size(flown) -> None:  # type: ignore[no-untyped-def]
    market, ledger, _ = flown
    flight, state = ledger.finish(), market.market_state
    assert flight["listeners/health"] == pytest.approx(state.health.mean(1))
    assert flight["listeners/churn"] == pytest.approx(np.clip(1.0 - state.health, 0.0, None).mean(1))
    reached = (state.exposures > 0).mean((1, 2))
    assert flight["listeners/frequency"] == pytest.approx(state.exposures.mean((1, 2)) / reached)


def test_formats_share_all_impressions(flown) -> None:  # type: ignore[no-untyped-def]
    _, ledger, _ = flown
    flight = ledger.finish()
    assert sum(flight[f"creative/{name}_share"] for name in FORMATS) == pytest.approx(np.ones(6))
    assert (ledger.series()["creative/entropy"] == 0).all()  # one creative airs at a time
    assert (flight["creative/entropy"] > 0.1).all()


def test_a_ratio_without_denominator_is_what_the_table_says() -> None:
    scenario = SCENARIO.model_copy(update={"incidents": Incidents(incident_probability=0.0)})
    _, ledger, steps = fly(2, pause=True, scenario=scenario)
    assert sum(step.outcome.wins.sum() for step in steps[1:]) == 0
    idle = FlightLedger(ledger._market, keep_series=True)
    idle.add(steps[-1])
    flight = idle.finish()
    for tag, kpi in KPIS.items():
        if kpi.when_empty == "0" and not tag.startswith(("listeners/", "fairness/", "market/")):
            assert (flight[tag] == 0).all(), tag
        if kpi.may_be_empty and tag != "monitor/precision":
            assert np.isnan(flight[tag]).all(), tag
    assert (flight["auction/cpa_usd"] == flight["spend/spend_usd"]).all()
    assert (flight["advertiser/cpa_to_target"] == 0).all()  # nothing spent, one conversion about to come
    assert (flight["advertiser/competition_score_usd"] == 0).all()


def test_the_competition_score_counts_a_campaign_at_twice_its_target_a_quarter() -> None:
    factor = cpa_factor(np.array([0.0, 10.0, 20.0, 40.0, 80.0]), 20.0)
    assert factor == pytest.approx([1.0, 1.0, 1.0, 0.25, 0.0625])


def test_means_leave_out_markets_that_have_no_value() -> None:
    assert mean_over_markets(np.array([1.0, np.nan, 3.0])) == 2.0
    assert np.isnan(mean_over_markets(np.array([np.nan, np.nan])))
    assert mean_over_markets(np.array([[1.0, 2.0], [np.nan, 4.0]])) == pytest.approx([1.5, 4.0])


def test_a_market_is_booked_alike_alone_and_in_a_batch(flown) -> None:  # type: ignore[no-untyped-def]
    batch = flown[1].finish()
    alone: dict[str, Float] = fly(1, start=4)[1].finish()
    for tag in KPIS:
        assert np.array_equal(alone[tag][0], batch[tag][4], equal_nan=True), tag


def test_a_ledger_without_steps_says_so(flown) -> None:  # type: ignore[no-untyped-def]
    ledger = FlightLedger(flown[0])
    with pytest.raises(ValueError, match="before any step"):
        ledger.finish()
    with pytest.raises(ValueError, match="keep_series=True"):
        ledger.series()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 1, 1], 0.0), ([0, 0, 0], 0.0), ([0, 0, 6], 2 / 3), ([1, 3], 0.25), ([5], 0.0)],
)
def test_gini(values: list[float], expected: float) -> None:
    assert gini(np.array(values, np.float64)) == pytest.approx(expected)
