from dataclasses import replace

import numpy as np
import pytest
from support.attribution_journeys import by_hand, simulated

from policies.attribution.incrementality import Incrementality, measured_lift
from policies.attribution.models import make_model
from policies.attribution.windows import Windows


def test_the_lift_is_the_difference_of_two_shares() -> None:
    shown = [([0], 1.0)] * 30 + [([0], None)] * 70
    ghosts = [([0], 1.0)] * 10 + [([0], None)] * 90
    lift = measured_lift(by_hand(*shown, *ghosts, held_out=[False] * 100 + [True] * 100), 2, 24.0)
    assert lift.shown.tolist() == [100.0, 0.0]
    np.testing.assert_allclose(lift.effect, [0.2, 0.0])
    rate = 40.5 / 201.0
    np.testing.assert_allclose(lift.variance, [2.0 / 100.0 * rate * (1.0 - rate), np.inf], rtol=1e-2)


def test_only_conversions_after_a_touch_and_within_the_hours_are_outcomes() -> None:
    journeys = by_hand(([0], 30.0), ([0, 0], 0.5), ([0], 1.0), held_out=[False, False, False, True])
    lift = measured_lift(journeys, 1, 24.0)
    assert lift.shown.tolist() == [2.0]
    assert lift.effect.tolist() == [0.5 - 1.0]


def test_a_hold_out_without_conversions_is_no_proof() -> None:
    shown = [([0], 1.0)] * 5 + [([0], None)] * 995
    lift = measured_lift(by_hand(*shown, ([0], None), held_out=[False] * 1000 + [True]), 1, 24.0)
    assert lift.variance[0] > 0.005


def test_touches_of_one_journey_are_not_many_journeys() -> None:
    def variance(repeats: int) -> float:
        paths = [([0] * repeats, 20.0)] * 50 + [([0] * repeats, None)] * 150
        held = [i % 4 == 0 for i in range(200) for _ in range(repeats)]
        return float(measured_lift(by_hand(*paths, held_out=held), 1, 24.0).variance[0])

    assert variance(10) == pytest.approx(variance(1), rel=0.1)


def test_without_ghost_ads_it_is_the_mean_of_its_bases() -> None:
    journeys, _ = simulated(0, 2000, held_out=0.0)
    survival, last = make_model("survival"), make_model("last")
    one, two = survival.credit(journeys, 8).conversions, last.credit(journeys, 8).conversions
    alone = Incrementality(bases=(survival,)).credit(journeys, 8)
    np.testing.assert_allclose(alone.conversions, one)
    assert (
        alone.deviation > survival.credit(journeys, 8).deviation
    ).all()  # it may be wrong beside its sampling
    both = Incrementality(bases=(survival, last)).credit(journeys, 8)
    np.testing.assert_allclose(both.conversions, (one + two) / 2.0)


def test_of_two_bases_it_takes_the_one_that_foretells_the_lifts() -> None:
    """All is baseline here: the last touch is wrong, and a hazard that doesn't decay isn't."""
    journeys = by_hand(*[([0], float(20 + 5 * (i % 30))) for i in range(2000)], *[([0], None)] * 2000)
    journeys = replace(journeys, held_out=np.arange(4000) % 2 == 0)
    survival, last = make_model("survival"), make_model("last")
    told = Incrementality(bases=(last, survival)).credit(journeys, 1)
    assert abs(told.conversions[0]) < 0.15 * last.credit(journeys, 1).conversions[0]


def test_with_many_it_is_the_measured_lift() -> None:
    shown = [([0], 1.0)] * 2000 + [([0], None)] * 8000
    ghosts = [([0], 1.0)] * 1500 + [([0], None)] * 8500
    journeys = by_hand(*shown, *ghosts, held_out=[False] * 10_000 + [True] * 10_000)
    told = Incrementality(bases=(make_model("last"),)).credit(journeys, 1)
    np.testing.assert_allclose(told.conversions, [500.0], rtol=0.02)  # the last touch says 2000
    assert told.deviation[0] < 65.0


def test_a_cell_without_ghost_ads_takes_the_common_share_of_the_others() -> None:
    journeys, _ = simulated(0, 20_000, held_out=0.3)
    journeys = replace(journeys, held_out=journeys.held_out & (journeys.cell != 0))
    last = make_model("last")
    told = Incrementality(bases=(last,)).credit(journeys, 8)
    assert told.conversions[0] < 0.85 * last.credit(journeys, 8).conversions[0]


def errors(seed: int, **world: float) -> tuple[float, float]:
    """Mean absolute error, in true conversions, of the base and of the base calibrated."""
    journeys, truth = simulated(seed, **world)  # type: ignore[arg-type]
    base, told = (model.credit(journeys, 8) for model in (make_model("survival"), Incrementality()))
    scale = truth.sum()
    return np.abs(base.conversions - truth).sum() / scale, np.abs(told.conversions - truth).sum() / scale


def test_it_mends_a_base_that_timing_deceives() -> None:
    """Two cells are met just before purchases that need no ad, which no model without a hold-out can tell."""
    found = [errors(seed, journeys=20_000, held_out=0.2, touches_before_purchase=1.5) for seed in range(3)]
    base, told = np.mean(found, axis=0)
    assert told < 0.7 * base


@pytest.mark.parametrize("held_out", [0.005, 0.02, 0.1])
def test_few_ghost_ads_never_make_it_much_worse_than_its_base(held_out: float) -> None:
    base, told = np.mean([errors(seed, journeys=3000, held_out=held_out) for seed in range(8)], axis=0)
    assert told < 1.3 * base + 0.02


def test_the_windows_end_what_a_touch_may_have_caused() -> None:
    journeys = by_hand(*[([0], 30.0)] * 50, *[([0], None)] * 50, held_out=[i % 2 == 0 for i in range(100)])
    assert measured_lift(journeys, 1, Windows(24.0).view_hours).effect.tolist() == [0.0]
