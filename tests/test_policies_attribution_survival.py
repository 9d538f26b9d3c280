from dataclasses import replace

import numpy as np
import pytest
from support.attribution_journeys import FLIGHT_HOURS, by_hand, simulated

from policies.attribution.survival import Survival, _fit


def test_the_fit_of_one_rate_is_conversions_by_exposure() -> None:
    """With half a conversion more by the prior, whose mean is the same."""
    coefficient, _ = _fit(np.array([200.0]), np.ones((50, 1)))
    np.testing.assert_allclose(coefficient, [0.25])


def test_the_fit_is_the_best_of_its_neighbours() -> None:
    rng = np.random.default_rng(0)
    exposure, rate = rng.uniform(1.0, 100.0, 5), rng.exponential(1.0, (80, 5))
    prior = len(rate) / exposure.sum()

    def loss(at: np.ndarray) -> float:
        return exposure @ at - np.log(rate @ at).sum() - 0.5 * np.sum(np.log(at) - at / prior)

    coefficient, _ = _fit(exposure, rate)
    for _ in range(50):
        assert loss(coefficient) <= loss(coefficient * np.exp(0.02 * rng.normal(size=5)))


def test_conversions_soon_after_a_touch_are_its_own_and_those_at_any_time_are_not() -> None:
    soon = by_hand(*[([0], 0.2)] * 40, *[([0], None)] * 200, *[([], None)] * 200)
    told = Survival(horizon_hours=300.0).credit(soon, 1)
    assert told.conversions[0] > 36.0
    late = by_hand(*[([0], float(5 + 7 * i)) for i in range(40)], *[([0], None)] * 200, *[([], None)] * 200)
    told = Survival(horizon_hours=300.0).credit(late, 1)
    assert told.conversions[0] < 12.0


def test_credit_never_exceeds_the_conversions() -> None:
    journeys, _ = simulated(1, 1000, held_out=0.1)
    assert Survival().credit(journeys, 8).conversions.sum() < np.count_nonzero(journeys.converted)


def test_a_held_out_touch_says_who_is_reached_and_earns_nothing() -> None:
    journeys = by_hand(*[([0], 0.2)] * 40, *[([0], None)] * 200)
    ghosts = replace(journeys, held_out=np.ones(240, np.bool_))
    assert Survival(horizon_hours=300.0).credit(ghosts, 1).conversions[0] < 1.0


@pytest.mark.parametrize("seed", range(2))
def test_effects_are_found_in_a_world_with_a_known_hazard(seed: int) -> None:
    journeys, truth = simulated(seed, 20_000, held_out=0.0)
    told = Survival(horizon_hours=FLIGHT_HOURS).credit(journeys, 8)
    assert (np.abs(told.conversions - truth) < 4.0 * told.deviation + 0.1 * truth).all()


def test_journeys_that_are_listed_for_a_touch_alone_bring_it_no_credit() -> None:
    """Nobody here converts for a touch; but a touch comes before every conversion that is listed."""
    rng = np.random.default_rng(0)
    touch, own = rng.uniform(0.0, 300.0, 20_000), rng.exponential(600.0, 20_000)
    listed = touch < own
    hours = [float(hour) if hour < 300.0 else None for hour in own[listed]]
    journeys = by_hand(*[([0], hour) for hour in hours], hour=touch[listed])
    told = Survival(horizon_hours=300.0).credit(journeys, 1)
    assert told.conversions[0] < 0.05 * np.count_nonzero(journeys.converted)
